//! The decision to accept a write. Pure: facts in, decision out.

mod record;

use failpoints::{Flaw, flawed};
use schemas::entry::{EntryState, Evidence, LegKind};
use schemas::money::Currency;

pub use crate::account::{AccountFacts, AccountStatus};
use crate::lane::{Lane, may_go_direct};
use crate::rules::Order;
pub use crate::rules::Path;
pub use record::{BalancePlace, record};

use crate::rules::{CurrencyLimits, Limits, OperationRules, PayeeReasons, Reason};

/// What this instance believes of the core. Advice only: it may be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoreBelief {
    /// A request may be sent in its own time.
    Available,
    /// Do not try.
    Away,
}

/// One leg of a proposed write with all that is known of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedLeg<'a> {
    /// Debit or credit.
    pub kind: LegKind,
    /// Its locked lane.
    pub lane: &'a Lane,
    /// `None`: the read model has no such account.
    pub account: Option<&'a AccountFacts>,
    /// The principal may see the account, so it may learn what is wrong with it.
    pub visible: bool,
}

/// A write to be decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Positive minor units, the same on every leg.
    pub amount_minor: i64,
    /// Currency of the amount.
    pub currency: Currency,
    /// Every leg.
    pub legs: Vec<ProposedLeg<'a>>,
    /// The locked lane of all accounts; `None`: it was not locked, because no write needed it.
    pub global: Option<&'a Lane>,
    /// The core's business date, days since 1970-01-01.
    pub business_day: i64,
    /// Age of the data decided on, in seconds; `None`: unknown, and so too old for stand-in.
    pub data_age_s: Option<i64>,
}

/// What becomes of a proposed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Journal as `Submitting` and send now.
    Direct,
    /// Journal as `Queued`, nothing promised: the core, which is there, decides when its turn comes.
    Wait,
    /// Journal as `Queued`; stand-in accepted it.
    Queue,
    /// Journal as `Declined`: the same key gets the same answer later.
    Decline(Reason),
}

/// The path of a write: with the core there direct if nothing is queued before it in the lanes whose order it joins, else in its turn.
pub fn path(proposal: &Proposal<'_>, belief: CoreBelief, rules: &OperationRules) -> Path {
    let legs = proposal.legs.iter().map(|leg| (leg.lane, rules.in_order(leg.kind)));
    let is_first_of_all =
        rules.order != Order::Global || proposal.global.is_some_and(|lane| may_go_direct([(lane, true)]));
    match belief {
        CoreBelief::Available if is_first_of_all && may_go_direct(legs) => Path::Direct,
        CoreBelief::Available => Path::InTurn,
        CoreBelief::Away => Path::StandIn,
    }
}

/// Decides a write by the rules of its path.
///
/// With the core there it decides, at once or in the write's turn: whether an account exists, its state, its currency and its funds are
/// the core's to know, and our data may be late. Only the bank's own rules are asked: the limit of one transfer, and states that it
/// declared.
pub fn decide(proposal: &Proposal<'_>, limits: &Limits, rules: &OperationRules, path: Path) -> Decision {
    let verdict = match path {
        Path::Direct | Path::InTurn => before_the_core(proposal, limits, rules),
        Path::StandIn => in_stand_in(proposal, limits, rules),
    };
    match (verdict, path) {
        (Err(reason), _) => Decision::Decline(reason),
        (Ok(()), Path::Direct) => Decision::Direct,
        (Ok(()), Path::InTurn) => Decision::Wait,
        (Ok(()), Path::StandIn) => Decision::Queue,
    }
}

/// What it means for an entry that its attempt was provably not sent. `decision` is stand-in's, made anew.
///
/// What was answered "accepted" is queued. Stand-in declines only while the core is away; with the core there the entry waits for the
/// core, which decides.
pub fn not_sent(state: EntryState, ordered: bool, belief: CoreBelief, decision: Decision) -> Evidence {
    match decision {
        Decision::Decline(_) if may_decline(state, ordered) => match belief {
            CoreBelief::Away => Evidence::Decline,
            CoreBelief::Available => Evidence::Undecided,
        },
        _ => Evidence::NotSent,
    }
}

/// May stand-in decline it? Nobody was told "accepted", and no attempt of it can post.
pub fn may_decline(state: EntryState, ordered: bool) -> bool {
    (!ordered || flawed(Flaw::PromiseBroken)) && matches!(state, EntryState::Submitting | EntryState::Queued)
}

/// Rules asked before the core is.
fn before_the_core(proposal: &Proposal<'_>, limits: &Limits, rules: &OperationRules) -> Result<(), Reason> {
    for leg in &proposal.legs {
        let Some(account) = leg.account else { continue };
        allowed(leg, account, rules, Path::Direct).map_err(|reason| told(leg, reason, rules))?;
    }
    one_transfer(proposal, limits).map(drop)
}

/// The rules of stand-in: nobody else says no before money is promised.
fn in_stand_in(proposal: &Proposal<'_>, limits: &Limits, rules: &OperationRules) -> Result<(), Reason> {
    accounts_fit(proposal, rules)?;
    let of_currency = one_transfer(proposal, limits)?;
    let share = proposal.data_age_s.and_then(|age_s| limits.share_at(of_currency.per_day_minor, age_s));
    let per_day_minor = share.ok_or(Reason::DataTooOld)?;
    for leg in proposal.legs.iter().filter(|leg| leg.kind == LegKind::Debit) {
        let account = leg.account.ok_or(Reason::UnknownAccount)?;
        if available_minor(account, leg.lane.held_minor) < i128::from(proposal.amount_minor) {
            return Err(Reason::InsufficientFunds);
        }
        let usage = leg.lane.usage.on(proposal.business_day);
        let after = usage.plus(proposal.amount_minor).ok_or(Reason::DailyLimitExceeded)?;
        if after.amount_minor > per_day_minor {
            return Err(Reason::DailyLimitExceeded);
        }
        if after.count > limits.per_day_count {
            return Err(Reason::DailyCountExceeded);
        }
    }
    Ok(())
}

/// May stand-in touch these accounts by our data?
fn accounts_fit(proposal: &Proposal<'_>, rules: &OperationRules) -> Result<(), Reason> {
    let fit = |leg| fits(leg, proposal.currency, rules).map_err(|reason| told(leg, reason, rules));
    proposal.legs.iter().try_for_each(fit)
}

/// Do our data show an account that may take this leg?
fn fits(leg: &ProposedLeg<'_>, currency: Currency, rules: &OperationRules) -> Result<(), Reason> {
    let account = leg.account.ok_or(Reason::UnknownAccount)?;
    allowed(leg, account, rules, Path::StandIn)?;
    if account.currency == currency { Ok(()) } else { Err(Reason::CurrencyMismatch) }
}

/// Is the account's status among those declared for this side and path?
fn allowed(leg: &ProposedLeg<'_>, account: &AccountFacts, rules: &OperationRules, path: Path) -> Result<(), Reason> {
    match account.status {
        status if rules.allow(path, leg.kind, status) => Ok(()),
        AccountStatus::Closed => Err(Reason::AccountClosed),
        AccountStatus::Frozen | AccountStatus::Active => Err(Reason::AccountFrozen),
    }
}

/// The reason as the principal may learn it. Of a stranger's account it learns only that the account cannot be credited.
fn told(leg: &ProposedLeg<'_>, reason: Reason, rules: &OperationRules) -> Reason {
    let neutral = leg.kind == LegKind::Credit && !leg.visible && rules.payee_reasons == PayeeReasons::Neutral;
    if neutral { Reason::PayeeNotAvailable } else { reason }
}

/// The limits of the amount's currency, if one transfer may move so much.
fn one_transfer(proposal: &Proposal<'_>, limits: &Limits) -> Result<CurrencyLimits, Reason> {
    let of_currency = limits.of(proposal.currency).ok_or(Reason::NoLimitForCurrency)?;
    if proposal.amount_minor > of_currency.per_transfer_minor { Err(Reason::LimitExceeded) } else { Ok(of_currency) }
}

/// `booked + overdraft line − the core's own holds − our holds`, the one definition of available.
pub fn available_minor(account: &AccountFacts, held_minor: i64) -> i128 {
    i128::from(account.booked_minor) + i128::from(account.overdraft_line_minor)
        - i128::from(account.core_holds_minor)
        - i128::from(if flawed(Flaw::HoldsIgnored) { 0 } else { held_minor })
}

#[cfg(test)]
mod tests;
