//! May an entry leave the tables? Nothing may follow on it, nothing may count on it, and it must be old enough.

use schemas::entry::EntryState;

use super::month::Month;

/// All that decides whether an entry may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub state: EntryState,
    /// Evidence was found against its state.
    pub contradicted: bool,
    /// A leg of it is among the open places of its lane.
    pub open_leg: bool,
    /// A debit of it counts against a balance that is served.
    pub holds: bool,
    /// An attempt of it is not over.
    pub open_attempt: bool,
    /// An order about it waits for a second person.
    pub pending_approval: bool,
    /// A break about its reference is not settled.
    pub open_break: bool,
    /// A posting that stands for it has not come.
    pub unseen_link: bool,
    /// Its last change, microseconds since 1970: not before its end.
    pub updated_us: i64,
}

/// Why an entry stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// Something may follow.
    NotFinal,
    /// A person must look at it.
    Contradicted,
    /// Its lane counts it.
    OpenLeg,
    /// A balance does not include it.
    Holds,
    /// Somebody may still be sending it.
    OpenAttempt,
    /// A person may decide about it.
    PendingApproval,
    /// The books and the journal disagree about it.
    OpenBreak,
    /// What was keyed for it has not come.
    UnseenLink,
    /// Its month is not past for long enough.
    TooYoung,
}

/// The last month whose entries may leave when so many full months must have passed since.
pub fn last_due(now_us: i64, journal_months: u32) -> Option<Month> {
    Some(Month::of_us(now_us)?.plus(-1 - i64::from(journal_months)))
}

/// Why the entry stays; `None`: it may leave. `due` is the last month whose entries may leave.
pub fn stays(standing: &Standing, due: Month) -> Option<Stays> {
    let old_enough = Month::of_us(standing.updated_us).is_some_and(|month| month <= due);
    [
        (!standing.state.is_terminal(), Stays::NotFinal),
        (standing.contradicted, Stays::Contradicted),
        (standing.open_leg, Stays::OpenLeg),
        (standing.holds, Stays::Holds),
        (standing.open_attempt, Stays::OpenAttempt),
        (standing.pending_approval, Stays::PendingApproval),
        (standing.open_break, Stays::OpenBreak),
        (standing.unseen_link, Stays::UnseenLink),
        (!old_enough, Stays::TooYoung),
    ]
    .into_iter()
    .find_map(|(so, stays)| so.then_some(stays))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    fn ended() -> Standing {
        Standing {
            state: EntryState::Confirmed,
            contradicted: false,
            open_leg: false,
            holds: false,
            open_attempt: false,
            pending_approval: false,
            open_break: false,
            unseen_link: false,
            updated_us: at("2026-01-31T23:59:59.999999Z"),
        }
    }

    #[test]
    fn what_ended_long_ago_and_nothing_counts_on_leaves() {
        let due = last_due(at("2026-03-01T00:00:00Z"), 1).unwrap();
        for state in EntryState::ALL {
            let expected = (!state.is_terminal()).then_some(Stays::NotFinal);
            assert_eq!(stays(&Standing { state, ..ended() }, due), expected, "{state}");
        }
    }

    #[test]
    fn each_condition_alone_keeps_an_entry() {
        let due = last_due(at("2030-01-01T00:00:00Z"), 1).unwrap();
        for (standing, why) in [
            (Standing { contradicted: true, ..ended() }, Stays::Contradicted),
            (Standing { open_leg: true, ..ended() }, Stays::OpenLeg),
            (Standing { holds: true, ..ended() }, Stays::Holds),
            (Standing { open_attempt: true, ..ended() }, Stays::OpenAttempt),
            (Standing { pending_approval: true, ..ended() }, Stays::PendingApproval),
            (Standing { open_break: true, ..ended() }, Stays::OpenBreak),
            (Standing { unseen_link: true, ..ended() }, Stays::UnseenLink),
            (Standing { updated_us: i64::MAX, ..ended() }, Stays::TooYoung),
        ] {
            assert_eq!(stays(&standing, due), Some(why));
        }
    }

    #[test]
    fn a_month_leaves_when_so_many_full_months_have_passed_since() {
        let young = |now: &str, months| stays(&ended(), last_due(at(now), months).unwrap()) == Some(Stays::TooYoung);
        assert!(young("2026-02-28T23:59:59.999999Z", 1), "February is not full yet");
        assert!(!young("2026-03-01T00:00:00Z", 1));
        assert!(young("2027-01-31T23:59:59.999999Z", 12));
        assert!(!young("2027-02-01T00:00:00Z", 12));
    }
}
