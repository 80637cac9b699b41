//! Whether what a core has under a reference is what we asked for.

use crate::core::{CoreLeg, Enquiry};

use crate::operation::Operation;
use crate::post_request::PostRequest;

/// The comparison after a duplicate-reference answer: the same legs are posted, other legs need a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegsMatch {
    /// The core posted exactly our legs.
    Same,
    /// The core posted something else under our reference.
    Other,
    /// Nothing to compare: not posted, or one side tells no legs.
    Untold,
}

/// Compares the legs that a request of a known operation has with what an enquiry found.
/// Who knows the legs from the journal uses [`same_legs`].
pub fn legs_match(request: &PostRequest, found: &Enquiry) -> LegsMatch {
    same_legs(&expected(request).unwrap_or_default(), found)
}

/// Compares legs, in any order, with what an enquiry found.
pub fn same_legs(expected: &[CoreLeg], found: &Enquiry) -> LegsMatch {
    let Enquiry::Posted { legs, .. } = found else { return LegsMatch::Untold };
    if expected.is_empty() || legs.is_empty() {
        return LegsMatch::Untold;
    }
    if sorted(expected) == sorted(legs) { LegsMatch::Same } else { LegsMatch::Other }
}

fn sorted(legs: &[CoreLeg]) -> Vec<(&str, i64)> {
    let mut keys: Vec<_> = legs.iter().map(|leg| (leg.account.as_str(), leg.amount_minor)).collect();
    keys.sort_unstable();
    keys
}

fn expected(request: &PostRequest) -> Option<Vec<CoreLeg>> {
    Operation::of(&request.operation)?.core_legs(|name| request.field(name))
}

#[cfg(test)]
mod tests {
    use crate::core::Posting;
    use crate::money::Currency;
    use crate::post_request::Field;

    use super::*;

    fn transfer() -> PostRequest {
        PostRequest {
            operation: "transfer".into(),
            core_ref: "R1".into(),
            accepted_at: jiff::Timestamp::UNIX_EPOCH,
            value_date: jiff::civil::date(2026, 1, 2),
            fields: vec![
                ("from_account".into(), Field::Text("A".into())),
                ("to_account".into(), Field::Text("B".into())),
                ("amount".into(), Field::Money { minor: 5, currency: Currency::parse("EUR").unwrap() }),
            ],
        }
    }

    fn found(legs: &[(&str, i64)]) -> Enquiry {
        let legs = legs.iter().map(|(a, m)| CoreLeg { account: (*a).into(), amount_minor: *m }).collect();
        Enquiry::Posted { posting: Posting::default(), legs }
    }

    #[test]
    fn our_legs_in_any_order_are_the_same() {
        assert_eq!(legs_match(&transfer(), &found(&[("B", 5), ("A", -5)])), LegsMatch::Same);
    }

    #[test]
    fn another_amount_direction_account_or_a_third_leg_is_other() {
        for legs in [
            &[("A", -6), ("B", 6)][..],
            &[("A", 5), ("B", -5)],
            &[("A", -5), ("C", 5)],
            &[("A", -5), ("B", 5), ("F", 0)],
            &[("A", -5)],
        ] {
            assert_eq!(legs_match(&transfer(), &found(legs)), LegsMatch::Other, "{legs:?}");
        }
    }

    #[test]
    fn without_legs_on_either_side_nothing_is_claimed() {
        assert_eq!(legs_match(&transfer(), &found(&[])), LegsMatch::Untold);
        assert_eq!(legs_match(&transfer(), &Enquiry::NotFound), LegsMatch::Untold);
        assert_eq!(same_legs(&[], &found(&[("A", -5)])), LegsMatch::Untold);
        let unknown = PostRequest { operation: "levitate".into(), ..transfer() };
        assert_eq!(legs_match(&unknown, &found(&[("A", -5)])), LegsMatch::Untold);
    }

    #[test]
    fn a_request_in_a_log_shows_no_values() {
        let mut request = transfer();
        request.fields.push(("remittance".into(), Field::Text("CANARY".into())));
        let shown = format!("{request:?} {:?}", request.fields);
        assert!(!shown.contains("CANARY") && shown.contains("remittance"), "{shown}");
    }
}
