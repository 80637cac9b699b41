//! What a legacy core can do, and what it can answer.

use serde::{Deserialize, Serialize};

/// What a core promises about references; decides how an unknown outcome may be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Capabilities {
    /// A second request with a reference the core remembers posts nothing. `Some(ms)` = for how long it remembers,
    /// counted from the first attempt.
    #[serde(default)]
    pub reference_memory_ms: Option<u64>,
    /// The core can be asked authoritatively whether it posted a reference.
    #[serde(default)]
    pub enquiry: bool,
    /// Longest time after its sender ended that a request may still take effect in the core.
    pub request_lifetime_ms_max: u64,
}

/// What one attempt to post came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The core answered with a declared acceptance.
    Posted(Posting),
    /// The core answered with a declared refusal code.
    Refused {
        /// The core's own code.
        code: String,
    },
    /// The core knows the reference already; look up what it posted.
    Duplicate,
    /// No byte of the request can have reached the core, or it declared that it did nothing.
    NotSent {
        /// What that says of the core.
        why: Unsent,
        /// For operators' eyes only.
        reason: String,
    },
    /// Anything else: a time-out, a torn connection, a body we do not know. Never a failure.
    Unknown {
        /// For operators' eyes only.
        reason: String,
    },
}

impl Outcome {
    /// The word in metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Posted(_) => "posted",
            Outcome::Refused { .. } => "refused",
            Outcome::Duplicate => "duplicate",
            Outcome::NotSent { .. } => "not_sent",
            Outcome::Unknown { .. } => "unknown",
        }
    }
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The core could not be reached.
    CoreAway,
    /// The core answered, and declared that it did nothing with this request and that a later attempt may succeed. The core is
    /// there; it may take other requests.
    NotDone,
    /// It was never tried: no time was left, no connection was free, it could not be put into words. Says nothing of the core.
    NotTried,
}

/// What the core said of a posting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The core's own number of the posting, where it gives one.
    pub core_id: Option<String>,
    /// Posting numbers per account, where the core numbers them: (account, number).
    #[serde(default)]
    pub numbers: Vec<(String, i64)>,
}

/// What an enquiry by reference came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enquiry {
    /// Posted; the legs the core reports, for comparison with ours.
    Posted {
        /// The core's numbers.
        posting: Posting,
        /// The legs as the core has them; empty when the core does not tell.
        legs: Vec<CoreLeg>,
    },
    /// The core keeps a refusal under this reference.
    Refused {
        /// The core's own code.
        code: String,
    },
    /// The core has nothing under this reference *now*; a late commit may still come.
    NotFound,
    /// No answer.
    Unavailable {
        /// For operators' eyes only.
        reason: String,
    },
    /// An answer about this reference that none of the declared ones fits. The core is there; it says nothing we understand.
    NotUnderstood {
        /// For operators' eyes only.
        reason: String,
    },
}

/// One leg as the core reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreLeg {
    /// Account in the core's notation.
    pub account: String,
    /// Signed minor units: negative is a debit.
    pub amount_minor: i64,
}
