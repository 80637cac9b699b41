//! The decision to accept a write. Pure: facts in, decision out.

use schemas::entry::LegKind;
use schemas::money::Currency;

use crate::lane::{Lane, may_go_direct};
use crate::rules::{Limits, Reason};

/// What this instance believes of the core. Advice only: it may be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoreBelief {
    /// A request may be sent in its own time.
    Available,
    /// Do not try.
    Away,
}

/// Where an account stands in the core's own books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountStatus {
    /// May be debited and credited.
    Active,
    /// Must not be debited.
    Frozen,
    /// Must not be touched.
    Closed,
}

/// What the read model says of an account, read after its lane was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// Its currency.
    pub currency: Currency,
    /// Active, frozen, closed; accepted state changes that are still queued count already.
    pub status: AccountStatus,
    /// Minor units the core has booked.
    pub booked_minor: i64,
    /// Minor units below zero that the core allows.
    pub overdraft_line_minor: i64,
    /// Minor units the core itself holds.
    pub core_holds_minor: i64,
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
    /// The core's business date, days since 1970-01-01.
    pub business_day: i64,
    /// Age of the data decided on, in seconds.
    pub data_age_s: i64,
}

/// What becomes of a proposed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Journal as `Submitting` and send now.
    Direct,
    /// Journal as `Queued`; stand-in accepted it.
    Queue,
    /// Journal as `Declined`: the same key gets the same answer later.
    Decline(Reason),
}

/// Decides a write: the path by the lanes, then the rules of that path.
///
/// On the direct path the core decides about funds and days; only the rules that guard what it might not know are asked.
pub fn decide(proposal: &Proposal<'_>, limits: &Limits, belief: CoreBelief) -> Decision {
    let direct = belief == CoreBelief::Available && may_go_direct(proposal.legs.iter().map(|leg| leg.lane));
    let verdict = always(proposal, limits).and_then(|()| if direct { Ok(()) } else { in_stand_in(proposal, limits) });
    match verdict {
        Err(reason) => Decision::Decline(reason),
        Ok(()) if direct => Decision::Direct,
        Ok(()) => Decision::Queue,
    }
}

/// Rules asked on every path.
fn always(proposal: &Proposal<'_>, limits: &Limits) -> Result<(), Reason> {
    for leg in &proposal.legs {
        let account = leg.account.ok_or(Reason::UnknownAccount)?;
        match (account.status, leg.kind) {
            (AccountStatus::Closed, _) => return Err(Reason::AccountClosed),
            (AccountStatus::Frozen, LegKind::Debit) => return Err(Reason::AccountFrozen),
            (AccountStatus::Frozen, LegKind::Credit) | (AccountStatus::Active, _) => {}
        }
        if account.currency != proposal.currency {
            return Err(Reason::CurrencyMismatch);
        }
    }
    if proposal.amount_minor > limits.per_transfer_minor { Err(Reason::LimitExceeded) } else { Ok(()) }
}

/// Rules asked when stand-in takes the write: nobody else will say no before money is promised.
fn in_stand_in(proposal: &Proposal<'_>, limits: &Limits) -> Result<(), Reason> {
    let per_day_minor = limits.per_day_at(proposal.data_age_s).ok_or(Reason::DataTooOld)?;
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

/// `booked + overdraft line − the core's own holds − our holds`, the one definition of available.
pub fn available_minor(account: &AccountFacts, held_minor: i64) -> i128 {
    i128::from(account.booked_minor) + i128::from(account.overdraft_line_minor)
        - i128::from(account.core_holds_minor)
        - i128::from(held_minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eur() -> Currency {
        Currency::parse("EUR").unwrap()
    }

    fn account(booked_minor: i64) -> AccountFacts {
        AccountFacts {
            currency: eur(),
            status: AccountStatus::Active,
            booked_minor,
            overdraft_line_minor: 0,
            core_holds_minor: 0,
        }
    }

    fn decide_with(from: &AccountFacts, lane: &Lane, amount_minor: i64, belief: CoreBelief) -> Decision {
        let (to, to_lane) = (account(0), Lane::default());
        let proposal = Proposal {
            amount_minor,
            currency: eur(),
            legs: vec![
                ProposedLeg { kind: LegKind::Debit, lane, account: Some(from) },
                ProposedLeg { kind: LegKind::Credit, lane: &to_lane, account: Some(&to) },
            ],
            business_day: 20_000,
            data_age_s: 1,
        };
        decide(&proposal, &Limits::default(), belief)
    }

    #[test]
    fn the_core_decides_about_funds_when_it_is_there() {
        let poor = account(10);
        assert_eq!(decide_with(&poor, &Lane::default(), 50, CoreBelief::Available), Decision::Direct);
        assert_eq!(
            decide_with(&poor, &Lane::default(), 50, CoreBelief::Away),
            Decision::Decline(Reason::InsufficientFunds)
        );
    }

    #[test]
    fn whoever_meets_a_queue_joins_it_whatever_mode_he_believes_in() {
        let lane = Lane { ordered: 1, ..Lane::default() };
        assert_eq!(decide_with(&account(100), &lane, 50, CoreBelief::Available), Decision::Queue);
    }

    #[test]
    fn holds_lower_what_stand_in_may_promise() {
        let lane = Lane { held_minor: 60, ..Lane::default() };
        assert_eq!(decide_with(&account(100), &lane, 40, CoreBelief::Away), Decision::Queue);
        assert_eq!(
            decide_with(&account(100), &lane, 41, CoreBelief::Away),
            Decision::Decline(Reason::InsufficientFunds)
        );
    }

    #[test]
    fn a_frozen_account_is_never_debited_on_any_path() {
        let frozen = AccountFacts { status: AccountStatus::Frozen, ..account(100) };
        for belief in [CoreBelief::Available, CoreBelief::Away] {
            assert_eq!(decide_with(&frozen, &Lane::default(), 1, belief), Decision::Decline(Reason::AccountFrozen));
        }
    }

    #[test]
    fn a_day_that_is_over_frees_its_usage() {
        use crate::lane::Usage;
        let rich = account(100_000_000);
        let spent =
            |business_day| Lane { usage: Usage { business_day, amount_minor: 2_000_000, count: 1 }, ..Lane::default() };
        assert_eq!(
            decide_with(&rich, &spent(20_000), 1, CoreBelief::Away),
            Decision::Decline(Reason::DailyLimitExceeded)
        );
        assert_eq!(decide_with(&rich, &spent(19_999), 1, CoreBelief::Away), Decision::Queue);
    }
}
