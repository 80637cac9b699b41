//! What an answer says of the connector's file: right, wrong, or nothing; and what to change. Pure.

use connectors::{LegsMatch, PostRequest, Probe, legs_match};
use schemas::core::{Capabilities, Enquiry, Outcome, Posting, Unsent};

/// What a call showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// The file reads the core's answer as it must.
    Right,
    /// The file, or the core, is not as declared.
    Wrong,
    /// Nothing is shown either way.
    Open,
}

impl Grade {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Grade::Right => "right",
            Grade::Wrong => "WRONG",
            Grade::Open => "open",
        }
    }
}

/// A judgement: what the answer was read as, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What it shows.
    pub grade: Grade,
    /// What the answer was read as.
    pub read_as: String,
    /// What to change, or what it means.
    pub advice: Option<&'static str>,
}

fn judged(grade: Grade, read_as: impl Into<String>, advice: impl Into<Option<&'static str>>) -> Judged {
    Judged { grade, read_as: read_as.into(), advice: advice.into() }
}

const UNREACHABLE: &str = "no whole answer came, so nothing is shown of the rules: see that the address is right and reachable from here, that the \
    certificate's authority is the one in `tls.ca`, that the credentials are good, and that --timeout-ms is long enough";
const UNDECLARED: &str = "the answer fits no rule, or rules of two kinds: declare it by its status and what it alone has in the body; the nearest \
    rules above say what keeps them from fitting";

impl Judged {
    /// The same, with what it means if no answer was heard.
    pub fn unless_silent(self, is_silent: bool) -> Self {
        match self.advice {
            Some(UNDECLARED) if is_silent => Self { advice: Some(UNREACHABLE), ..self },
            _ => self,
        }
    }
}

/// The answer to a probe.
pub fn probe(probe: &Probe) -> Judged {
    match probe {
        Probe::Up => judged(Grade::Right, "up: it takes postings", None),
        Probe::ReadOnly => judged(
            Grade::Open,
            "read-only: it answers and takes no postings",
            "if it does take postings now, `probe.read-only` fits too much",
        ),
        Probe::Down { reason } => judged(Grade::Wrong, format!("down: {reason}"), UNDECLARED),
    }
}

/// The answer to an enquiry for a reference that nobody ever sent.
pub fn of_nothing(enquiry: &Enquiry) -> Judged {
    const NOTHING: &str = "nobody ever sent this reference, so only `not-found` may fit: with this rule a lost request would be taken for one that \
        arrived. Let `enquiry.not-found` ask for what says that there is nothing, and the others for the reference itself";
    match enquiry {
        Enquiry::NotFound => judged(Grade::Right, "not found", None),
        Enquiry::Posted { .. } => judged(Grade::Wrong, "posted", NOTHING),
        Enquiry::Refused { code } => judged(Grade::Wrong, format!("refused with {code}"), NOTHING),
        Enquiry::Pending => judged(Grade::Wrong, "pending", NOTHING),
        Enquiry::Unavailable { reason } => judged(Grade::Open, format!("no answer: {reason}"), UNREACHABLE),
        Enquiry::NotUnderstood { reason } => judged(Grade::Wrong, format!("not understood: {reason}"), UNDECLARED),
    }
}

/// The answer to the first post.
pub fn first(outcome: &Outcome) -> Judged {
    match outcome {
        Outcome::Posted(posting) => judged(Grade::Right, format!("accepted{}", told(posting)), None),
        Outcome::Pending => judged(
            Grade::Open,
            "pending: it books later",
            "an enquiry or the core's change data must tell its end; ask again with the enquiry",
        ),
        Outcome::Refused { code } => judged(
            Grade::Open,
            format!("refused with {code}"),
            "a declared no of the core; name two accounts that it would let pay one another to see an acceptance",
        ),
        Outcome::Duplicate => judged(
            Grade::Wrong,
            "duplicate",
            "the reference is new: either `duplicate` fits too much, or the core stored references of another length or case, or the answer \
             tells other legs than those that were sent (see `posting.legs`)",
        ),
        Outcome::NotSent { why: Unsent::NotDone, reason } => judged(
            Grade::Open,
            format!("not done: {reason}"),
            "the core did nothing and may do it later; if it did book it, `not-done` is wrong and would post twice",
        ),
        Outcome::NotSent { reason, .. } => judged(Grade::Wrong, format!("not sent: {reason}"), UNREACHABLE),
        Outcome::Unknown { reason } => judged(Grade::Wrong, format!("unknown: {reason}"), UNDECLARED),
    }
}

/// The answer to the enquiry for what was posted, after this outcome of the post.
pub fn of_posted(request: &PostRequest, outcome: &Outcome, enquiry: &Enquiry) -> Judged {
    let accepted = matches!(outcome, Outcome::Posted(_) | Outcome::Duplicate);
    match enquiry {
        Enquiry::Posted { posting, .. } => match (accepted, legs_match(request, enquiry)) {
            (_, LegsMatch::Other) => judged(
                Grade::Wrong,
                "posted, with other legs than were sent",
                "see `enquiry.posting.legs`: accounts, unit and direction; or the core keeps another posting under this reference",
            ),
            (true, LegsMatch::Same) => {
                judged(Grade::Right, format!("posted, with the legs that were sent{}", told(posting)), None)
            }
            (true, LegsMatch::Untold) => judged(
                Grade::Right,
                format!("posted{}", told(posting)),
                "it tells no legs; if the answer has them, declare `posting.legs`, so that a reference of another posting is noticed",
            ),
            (false, _) => judged(
                Grade::Open,
                "posted",
                "so that is what became of it; if the answer to the post said so, too, declare that answer as `accepted`",
            ),
        },
        Enquiry::Refused { code } if matches!(outcome, Outcome::Refused { .. }) => {
            judged(Grade::Right, format!("refused with {code}"), None)
        }
        Enquiry::NotFound if accepted => judged(
            Grade::Wrong,
            "not found",
            "it was accepted a moment ago: the enquiry asks for another reference than the core stored, `not-found` fits too much, or the enquiry \
             lags behind. With such an enquiry the core must not declare `capabilities.enquiry`: it would post twice",
        ),
        Enquiry::NotFound => judged(Grade::Open, "not found", "as it must be if the core booked nothing"),
        Enquiry::Pending => judged(Grade::Open, "pending", "ask again later"),
        Enquiry::Refused { code } => judged(
            Grade::Wrong,
            format!("refused with {code}"),
            "the answer to the post was another one: see `enquiry.refused` and `post.accepted`",
        ),
        Enquiry::Unavailable { reason } => judged(Grade::Open, format!("no answer: {reason}"), UNREACHABLE),
        Enquiry::NotUnderstood { reason } => judged(Grade::Wrong, format!("not understood: {reason}"), UNDECLARED),
    }
}

/// The answer to the same request once more.
pub fn again(capabilities: Capabilities, first: &Posting, outcome: &Outcome) -> Judged {
    const TWICE: &str = "THE CORE POSTED TWICE under one reference: `capabilities.reference-memory-ms` must not be declared, unless these are two names of \
        one posting. Take the second posting back by hand";
    match outcome {
        Outcome::Duplicate => judged(Grade::Right, "duplicate", None),
        Outcome::Posted(second) => match (&first.core_id, &second.core_id) {
            _ if second == first && *first != Posting::default() => {
                judged(Grade::Right, format!("the first answer once more{}", told(second)), None)
            }
            (Some(one), Some(other)) if one != other => {
                judged(Grade::Wrong, format!("accepted{}", told(second)), TWICE)
            }
            _ if !second.numbers.is_empty() && second.numbers != first.numbers => {
                judged(Grade::Wrong, format!("accepted{}", told(second)), TWICE)
            }
            _ => judged(
                Grade::Open,
                "accepted",
                "nothing in the answer tells whether it posted once or twice: look into the core. If the core has a mark for a repeated \
                 request, declare it as `duplicate`; if it numbers postings, declare `posting.id`",
            ),
        },
        Outcome::Pending => judged(Grade::Open, "pending", "look into the core: it must book one of the two only"),
        Outcome::Refused { code } => judged(
            Grade::Wrong,
            format!("refused with {code}"),
            "an entry that the core has booked would be told as refused: take this code out of `refusals`, and declare the answer as `duplicate`",
        ),
        Outcome::NotSent { why: Unsent::NotDone, reason } => judged(
            Grade::Open,
            format!("not done: {reason}"),
            "safe, and such an entry would be tried for ever: if this is the core's answer to a repeated reference, declare it as `duplicate`",
        ),
        Outcome::NotSent { reason, .. } => judged(Grade::Open, format!("not sent: {reason}"), UNREACHABLE),
        Outcome::Unknown { reason } if capabilities.reference_memory_ms.is_some() => judged(
            Grade::Wrong,
            format!("unknown: {reason}"),
            "the core is declared to remember references: declare this answer as `duplicate`",
        ),
        Outcome::Unknown { reason } => judged(Grade::Open, format!("unknown: {reason}"), UNDECLARED),
    }
}

/// What an acceptance told of the posting.
fn told(posting: &Posting) -> String {
    let id = posting.core_id.as_ref().map(|id| format!("posting {id}"));
    let numbers = posting.numbers.iter().map(|(account, number)| format!("number {number} on {account}"));
    let all: Vec<String> = id.into_iter().chain(numbers).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use schemas::core::CoreLeg;
    use schemas::money::Currency;

    use super::*;
    use connectors::Field;

    fn request() -> PostRequest {
        let text = |name: &str, value: &str| (name.to_owned(), Field::Text(value.to_owned()));
        let amount = Field::Money { minor: 1, currency: Currency::parse("EUR").unwrap() };
        PostRequest {
            operation: "transfer".into(),
            core_ref: "LC1".into(),
            accepted_at: jiff::Timestamp::UNIX_EPOCH,
            value_date: jiff::civil::date(2026, 1, 2),
            fields: vec![text("from_account", "A"), text("to_account", "B"), ("amount".into(), amount)],
        }
    }

    fn posting(id: &str) -> Posting {
        Posting { core_id: Some(id.into()), numbers: Vec::new() }
    }

    fn asked(legs: &[(&str, i64)]) -> Enquiry {
        let leg = |(account, amount_minor): &(&str, i64)| CoreLeg {
            account: (*account).to_owned(),
            amount_minor: *amount_minor,
        };
        Enquiry::Posted { posting: posting("7"), legs: legs.iter().map(leg).collect() }
    }

    #[test]
    fn silence_says_nothing_of_the_rules() {
        let down = probe(&Probe::Down { reason: "refused".into() });
        assert!(down.clone().unless_silent(true).advice.is_some_and(|advice| advice.contains("--timeout-ms")));
        assert_eq!(down.clone().unless_silent(false), down);
        assert_eq!(probe(&Probe::Up).unless_silent(true).advice, None);
    }

    #[test]
    fn a_reference_that_nobody_sent_must_not_be_found() {
        assert_eq!(of_nothing(&Enquiry::NotFound).grade, Grade::Right);
        for wrong in [asked(&[]), Enquiry::Pending, Enquiry::Refused { code: "X".into() }] {
            let Judged { grade, advice, .. } = of_nothing(&wrong);
            assert_eq!(grade, Grade::Wrong, "{wrong:?}");
            assert!(advice.is_some_and(|advice| advice.contains("not-found")));
        }
    }

    #[test]
    fn what_was_accepted_must_be_found_with_its_legs() {
        let accepted = Outcome::Posted(posting("7"));
        let grade = |outcome: &Outcome, enquiry: &Enquiry| of_posted(&request(), outcome, enquiry).grade;
        assert_eq!(grade(&accepted, &asked(&[("A", -1), ("B", 1)])), Grade::Right);
        assert_eq!(grade(&accepted, &asked(&[])), Grade::Right);
        assert_eq!(grade(&accepted, &asked(&[("A", -100), ("B", 100)])), Grade::Wrong);
        assert_eq!(grade(&accepted, &Enquiry::NotFound), Grade::Wrong);
        assert_eq!(grade(&Outcome::Unknown { reason: String::new() }, &Enquiry::NotFound), Grade::Open);
    }

    #[test]
    fn a_second_posting_under_one_reference_is_told_loudly() {
        let remembers = Capabilities { reference_memory_ms: Some(1), enquiry: true, request_lifetime_ms_max: 1 };
        let grade = |second: Outcome| again(remembers, &posting("7"), &second).grade;
        assert_eq!(grade(Outcome::Duplicate), Grade::Right);
        assert_eq!(grade(Outcome::Posted(posting("7"))), Grade::Right);
        assert_eq!(grade(Outcome::Posted(posting("8"))), Grade::Wrong);
        assert_eq!(grade(Outcome::Posted(Posting::default())), Grade::Open);
        assert_eq!(grade(Outcome::Refused { code: "DUP".into() }), Grade::Wrong);
        assert_eq!(grade(Outcome::Unknown { reason: String::new() }), Grade::Wrong);
    }
}
