//! Why an order of a person is not carried out.

use serde::{Deserialize, Serialize};

/// Why an order is not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// Its grounds do not bear it.
    #[error("{0}")]
    GroundsMissing(&'static str),
    /// A leg shows in the core's books.
    #[error("a leg of it is in the core's books: adopt it, or free the row if it is not this entry's")]
    Booked,
    /// Not all legs were seen in the books, and nobody says how they are known to be there.
    #[error("not all of its legs were seen in the core's books: give a proof that it is posted")]
    LegsMissing,
    /// No row of the core's is linked to it.
    #[error("no row of the core's books is linked to it")]
    NothingToFree,
    /// The posting is another entry's.
    #[error("this posting belongs to another entry already")]
    PostingTaken,
    /// The posting books something else.
    #[error("the posting is not what the entry asks for: {0}")]
    PostingDiffers(&'static str),
    /// The lane's day is today or before.
    #[error("the account's day does not lie in the future: its limits are those of today")]
    DayNotAhead,
    /// What it is about changed since it was looked at.
    #[error("it changed since this was ordered: look at it again")]
    Changed,
    /// Two people must agree.
    #[error("the person who ordered it cannot approve it")]
    SamePerson,
    /// It was approved, rejected or left to expire.
    #[error("this approval is {}", .0.as_str())]
    NotPending(ApprovalState),
}

/// What became of an order that waited for a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalState {
    /// It waits.
    Pending,
    /// A second person agreed, and it was carried out.
    Approved,
    /// Somebody said no, or took it back.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// What it is about changed before a second person agreed.
    Void,
}

impl ApprovalState {
    pub(super) const ALL: [ApprovalState; 5] =
        [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Void];

    /// The name in SQL and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }
}
