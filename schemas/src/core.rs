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
    /// The core has taken the request and books it later. Nothing is known of its end, so it is an unknown outcome of a core that is
    /// there: it ends by an enquiry, by its change events, or by a person.
    Pending,
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
    /// Did the core answer about this request?
    pub fn is_answer(&self) -> bool {
        match self {
            Outcome::Posted(_) | Outcome::Refused { .. } | Outcome::Duplicate | Outcome::Pending => true,
            Outcome::NotSent { why, .. } => *why == Unsent::NotDone,
            Outcome::Unknown { .. } => false,
        }
    }

    /// The word in metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Posted(_) => "posted",
            Outcome::Refused { .. } => "refused",
            Outcome::Duplicate => "duplicate",
            Outcome::Pending => "pending",
            Outcome::NotSent { .. } => "not_sent",
            Outcome::Unknown { .. } => "unknown",
        }
    }
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The core could not be reached: no connection came about.
    CoreAway,
    /// A connection came about and broke before a byte was written. One alone may be a proxy's doing; it does not show that the core is away.
    ConnectionLost,
    /// The core answered, and declared that it did nothing with this request and that a later attempt may succeed. The core is
    /// there; it may take other requests.
    NotDone,
    /// Nothing was tried: no time was left, no connection was free, or the request cannot be put into the core's form. Says
    /// nothing about the core.
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
    /// The core has taken the request and has not booked it yet.
    Pending,
    /// The core has nothing under this reference *now*; a late commit may still come.
    NotFound,
    /// No answer.
    Unavailable {
        /// For operators' eyes only.
        reason: String,
    },
    /// An answer about this reference that is none of the declared ones. The core is there; we do not understand it.
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

/// How references must be written for a core to store them whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ReferenceFormat {
    /// Which characters. Default `upper-alphanumeric`.
    pub alphabet: Alphabet,
    /// How many, the prefix included. Default 34, of digits 20, of lower-case hexadecimal digits 32; of a UUID always 36.
    pub length: Option<usize>,
    /// What every reference of ours begins with. It marks a row of the core as ours. Default `LC` in upper-case letters and
    /// digits, otherwise none.
    pub prefix: Option<String>,
}

/// The characters of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// `0-9`.
    Digits,
    /// `0-9A-Z`.
    #[default]
    UpperAlphanumeric,
    /// `0-9a-f`.
    LowerHex,
    /// A UUID in lower case, with hyphens.
    Uuid,
}

impl Alphabet {
    /// Every character, in order.
    pub fn chars(self) -> &'static [u8] {
        const UPPER: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        match self {
            Alphabet::Digits => &UPPER[..10],
            Alphabet::UpperAlphanumeric => UPPER,
            Alphabet::LowerHex | Alphabet::Uuid => b"0123456789abcdef",
        }
    }
}

/// Shorter references would meet each other too often.
const REFERENCE_CHARS_MIN: usize = 16;
/// Longest reference that the journal keeps.
pub(crate) const REFERENCE_CHARS_MAX: usize = 64;
/// Longest prefix: what is left must tell entries apart.
const PREFIX_CHARS_MAX: usize = 4;
const UUID_CHARS: usize = 36;

impl ReferenceFormat {
    /// Characters of a reference.
    pub fn length(&self) -> usize {
        self.length.unwrap_or(match self.alphabet {
            Alphabet::Digits => 20,
            Alphabet::UpperAlphanumeric => 34,
            Alphabet::LowerHex => 32,
            Alphabet::Uuid => UUID_CHARS,
        })
    }

    /// What every reference begins with.
    pub fn prefix(&self) -> &str {
        match (&self.prefix, self.alphabet) {
            (Some(prefix), _) => prefix,
            (None, Alphabet::UpperAlphanumeric) => "LC",
            (None, _) => "",
        }
    }

    /// Everything that makes no sense, in one list.
    pub fn problems(&self) -> Vec<String> {
        let (length, prefix) = (self.length(), self.prefix());
        let mut problems = Vec::new();
        if self.alphabet == Alphabet::Uuid {
            if length != UUID_CHARS || !prefix.is_empty() {
                problems.push("a UUID has 36 characters and no prefix; leave `length` and `prefix` out".to_owned());
            }
            return problems;
        }
        if !(REFERENCE_CHARS_MIN..=REFERENCE_CHARS_MAX).contains(&length) {
            problems.push(format!("length: must be {REFERENCE_CHARS_MIN} to {REFERENCE_CHARS_MAX}, not {length}"));
        }
        if prefix.len() > PREFIX_CHARS_MAX || !prefix.bytes().all(|b| self.alphabet.chars().contains(&b)) {
            problems.push(format!("prefix: must be at most {PREFIX_CHARS_MAX} characters of the alphabet"));
        }
        problems
    }

    /// Does this text carry our mark? `false` for every text where references have no prefix: others may write the same.
    pub fn marks(&self, reference: &str) -> bool {
        !self.prefix().is_empty() && self.fits(reference)
    }

    /// Can a reference be told from what stands around it in a text? It has a prefix, or the hyphens of a UUID.
    pub fn stands_out(&self) -> bool {
        !self.prefix().is_empty() || self.alphabet == Alphabet::Uuid
    }

    /// The first reference in a text, with the place where it begins. What is a part of a longer word is none; a UUID has words with
    /// hyphens.
    pub fn first_in<'t>(&self, text: &'t str) -> Option<(usize, &'t str)> {
        text.char_indices().find_map(|(at, _)| {
            let (before, rest) = text.split_at(at);
            let (found, after) = rest.split_at_checked(self.length())?;
            let joins = |c: char| c.is_alphanumeric() || (self.alphabet == Alphabet::Uuid && matches!(c, '-' | '_'));
            let is_part = |c: Option<char>| c.is_some_and(joins);
            let is_apart = !is_part(before.chars().next_back()) && !is_part(after.chars().next());
            (is_apart && self.fits(found)).then_some((at, found))
        })
    }

    fn fits(&self, text: &str) -> bool {
        let Some(body) = text.strip_prefix(self.prefix()) else { return false };
        let fits = |(at, byte): (usize, u8)| match (self.alphabet, at) {
            (Alphabet::Uuid, 8 | 13 | 18 | 23) => byte == b'-',
            _ => self.alphabet.chars().contains(&byte),
        };
        text.len() == self.length() && body.bytes().enumerate().all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_could_not_tell_entries_apart_is_told() {
        let of = |alphabet, length, prefix: Option<&str>| ReferenceFormat {
            alphabet,
            length,
            prefix: prefix.map(str::to_owned),
        };
        for (format, told) in [
            (ReferenceFormat::default(), 0),
            (of(Alphabet::Digits, Some(16), None), 0),
            (of(Alphabet::Digits, Some(16), Some("77")), 0),
            (of(Alphabet::Digits, Some(15), Some("LC")), 2),
            (of(Alphabet::LowerHex, Some(65), Some("00000")), 2),
            (of(Alphabet::Uuid, None, None), 0),
            (of(Alphabet::Uuid, Some(32), None), 1),
            (of(Alphabet::Uuid, None, Some("a")), 1),
        ] {
            assert_eq!(format.problems().len(), told, "{format:?}: {:?}", format.problems());
        }
    }

    #[test]
    fn only_a_prefix_marks_a_reference_as_ours() {
        let ours = "LC0190A1B2C3D47E5F8091A2B3C4D5E6F7";
        assert!(ReferenceFormat::default().marks(ours));
        for other in ["", "LC", &ours[1..], "XX0190A1B2C3D47E5F8091A2B3C4D5E6F7", "LC0190a1b2c3d47e5f8091a2b3c4d5e6f7"]
        {
            assert!(!ReferenceFormat::default().marks(other), "{other}");
        }
        let digits = ReferenceFormat { alphabet: Alphabet::Digits, length: Some(16), prefix: None };
        assert!(!digits.marks("1234567890123456"));
        assert!(ReferenceFormat { prefix: Some("77".into()), ..digits }.marks("7734567890123456"));
    }

    #[test]
    fn a_reference_is_found_in_a_text_and_never_as_a_part_of_a_longer_word() {
        let format = ReferenceFormat::default();
        let ours = "LC0190A1B2C3D47E5F8091A2B3C4D5E6F7";
        for (text, at) in [
            (ours.to_owned(), Some(0)),
            (format!("{ours} Rent"), Some(0)),
            (format!("Miete für März, {ours}."), Some("Miete für März, ".len())),
            (format!("LC {ours}_q"), Some(3)),
            (format!("X{ours} {ours}"), Some(36)),
            (format!("X{ours}"), None),
            (format!("{ours}7"), None),
            (format!("{ours}é"), None),
            (format!("ü{ours}"), None),
            (ours.to_lowercase(), None),
            (ours[..33].to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(format.first_in(&text), at.map(|at| (at, ours)), "{text}");
        }
        let uuid = ReferenceFormat { alphabet: Alphabet::Uuid, length: None, prefix: None };
        let ours = "0190a1b2-c3d4-7e5f-8091-a2b3c4d5e6f7";
        assert_eq!(uuid.first_in(&format!("[{ours}]")), Some((1, ours)));
        assert_eq!(uuid.first_in("0190a1b2c3d4-7e5f-8091-a2b3c4d5e6f7-99"), None);
        for longer in [format!("{ours}-1"), format!("{ours}_1"), format!("0-{ours}"), format!("x_{ours}")] {
            assert_eq!(uuid.first_in(&longer), None, "{longer}");
        }
        assert!(uuid.stands_out() && format.stands_out());
        assert!(!ReferenceFormat { alphabet: Alphabet::Digits, length: None, prefix: None }.stands_out());
    }
}
