//! What an answer of the core means for the journal. Shared by both senders: the gateway in the request, the replayer later.

use failpoints::{Flaw, flawed};
use schemas::core::{CoreLeg, Enquiry, Outcome, Unsent};
use schemas::entry::{Evidence, LegKind};
use schemas::legs::{LegsMatch, same_legs};
use schemas::post_request::{Field, PostRequest};

use crate::admission::CoreBelief;
use crate::change::Change;
use crate::entry::{Entry, Transfer};
use crate::write::Write;

/// Why an entry waits for a person.
pub const OTHER_LEGS: &str = "reference-used-for-other-legs";
/// Why an entry waits for a person.
pub const UNRESOLVED: &str = "outcome-unresolved";

const DAY_US: i64 = 86_400_000_000;

/// Why there is no request for an entry. Nothing of it can have been sent.
#[derive(Debug, thiserror::Error)]
pub enum NoRequest {
    /// Its times are out of range.
    #[error("a time is out of range: {0}")]
    Time(#[from] jiff::Error),
    /// A newer Locum kept more with it than this one could tell the core.
    #[error("a newer version of Locum kept it; that version must send it")]
    Newer,
}

/// The request for an entry: the same on every attempt and path.
pub fn post_request(entry: &Entry) -> Result<PostRequest, NoRequest> {
    build(&entry.operation, entry.core_ref.clone(), &entry.command, entry.accepted_us, entry.business_day)
}

/// The request that a write would become, to be asked of the core's connector before a key is consumed. Its times are of `at_us`;
/// admission sets those that count.
pub fn check_request(write: &Write, core_ref: String, at_us: i64) -> Result<PostRequest, NoRequest> {
    build(&write.operation, core_ref, &write.command, at_us, at_us.div_euclid(DAY_US))
}

fn build(
    operation: &str,
    core_ref: String,
    command: &Transfer,
    accepted_us: i64,
    business_day: i64,
) -> Result<PostRequest, NoRequest> {
    if !command.unknown.is_empty() {
        return Err(NoRequest::Newer);
    }
    let text = |name: &str, value: &str| (name.to_owned(), Field::Text(value.to_owned()));
    let day = i32::try_from(business_day).unwrap_or(i32::MAX);
    Ok(PostRequest {
        operation: operation.to_owned(),
        core_ref,
        accepted_at: jiff::Timestamp::from_microsecond(accepted_us)?,
        value_date: jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day)?)?,
        fields: vec![
            text("from_account", &command.from_account),
            text("to_account", &command.to_account),
            ("amount".to_owned(), Field::Money { minor: command.amount_minor, currency: command.currency }),
            text("remittance", command.remittance.as_deref().unwrap_or("")),
        ],
    })
}

/// The changes that the outcome of attempt `n` makes. `None`: the reference is taken; enquire and ask [`after_enquiry`].
pub fn after_post(
    entry: &Entry,
    n: i64,
    outcome: &Outcome,
    reason: impl Fn(&str) -> Option<String>,
) -> Option<Vec<Change>> {
    let change = |evidence| Change::new(entry.id.clone(), evidence).ending(n);
    Some(vec![match outcome {
        Outcome::Posted(posting) => change(Evidence::CorePosted).with_posting(posting.clone()),
        Outcome::Refused { code } => {
            change(Evidence::CoreRefused).because(reason(code).unwrap_or_else(|| code.clone()))
        }
        Outcome::NotSent { why: Unsent::CoreAway, .. } => change(Evidence::NotSent).believing(CoreBelief::Away),
        // About this request alone, or about us: nothing shows that the core is away, and then it decides.
        Outcome::NotSent { why: Unsent::ConnectionLost | Unsent::NotDone | Unsent::NotTried, .. } => {
            change(Evidence::NotSent)
        }
        Outcome::Unknown { .. } if flawed(Flaw::SilenceIsNotSent) => change(Evidence::NotSent),
        // What will be booked later is not booked yet, and may never be.
        Outcome::Unknown { .. } | Outcome::Pending => change(Evidence::NoAnswer),
        Outcome::Duplicate => return None,
    }])
}

/// The changes that an enquiry about an unknown outcome makes; none for *not found*, *pending* and no answer, which prove nothing by themselves.
///
/// `quiet_up_to`: attempts up to this number could take no effect any more when the core was asked ([`Refused::Reference`]).
///
/// [`Refused::Reference`]: crate::resolution::Refused::Reference
pub fn after_enquiry(
    entry: &Entry,
    found: &Enquiry,
    quiet_up_to: i64,
    reason: impl Fn(&str) -> Option<String>,
) -> Vec<Change> {
    let change = |evidence| Change::new(entry.id.clone(), evidence);
    match found {
        Enquiry::Posted { posting, .. } => match same_legs(&legs(entry), found) {
            LegsMatch::Other => vec![change(Evidence::Unresolvable).because(OTHER_LEGS)],
            LegsMatch::Same | LegsMatch::Untold => vec![change(Evidence::CorePosted).with_posting(posting.clone())],
        },
        Enquiry::Refused { code } => {
            let refused = change(Evidence::CoreRefused).because(reason(code).unwrap_or_else(|| code.clone()));
            vec![refused.asked_when_quiet(quiet_up_to)]
        }
        Enquiry::Pending | Enquiry::NotFound | Enquiry::Unavailable { .. } | Enquiry::NotUnderstood { .. } => {
            Vec::new()
        }
    }
}

/// The changes after a duplicate-reference answer to attempt `n`: its outcome is unknown until the enquiry says the same legs.
pub fn after_duplicate(entry: &Entry, n: i64, found: &Enquiry, reason: impl Fn(&str) -> Option<String>) -> Vec<Change> {
    let unknown = Change::new(entry.id.clone(), Evidence::NoAnswer).ending(n);
    std::iter::once(unknown).chain(after_enquiry(entry, found, 0, reason)).collect()
}

/// Did the core say that it posted? Nothing takes a posting back, so what follows from it need not wait for the record. A refusal that is not
/// recorded may be sent again and post later.
pub fn is_posted(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.evidence == Evidence::CorePosted)
}

fn legs(entry: &Entry) -> Vec<CoreLeg> {
    let amount = entry.command.amount_minor;
    let signed = |kind| if kind == LegKind::Debit { -amount } else { amount };
    let leg = |(kind, account): (LegKind, &str)| CoreLeg { account: account.to_owned(), amount_minor: signed(kind) };
    entry.command.legs().map(leg).into()
}
