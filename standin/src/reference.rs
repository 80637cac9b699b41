//! The reference of an entry at the core: derived from its id, written as the core can store it.

use schemas::core::{Alphabet, ReferenceFormat};
use sha2::{Digest, Sha256};

use crate::entry::EntryId;

/// Characters of an entry's id, all of which fit behind a prefix of two in the default form.
const ID_CHARS: usize = 32;

/// The reference of the entry, the same whenever it is asked for.
///
/// A form with room for the id holds the id. A shorter one holds digits of a hash, so two entries may meet. The unique
/// index tells, and the later one asks again with `met` raised.
pub fn reference(format: &ReferenceFormat, id: &EntryId, met: u32) -> String {
    let (prefix, length) = (format.prefix(), format.length());
    let body = length.saturating_sub(prefix.len());
    match format.alphabet {
        Alphabet::UpperAlphanumeric if body == ID_CHARS && met == 0 => {
            format!("{prefix}{}", id.as_str().to_ascii_uppercase())
        }
        Alphabet::LowerHex if body == ID_CHARS && met == 0 => format!("{prefix}{id}"),
        Alphabet::Uuid if met == 0 => hyphenated(id.as_str()),
        Alphabet::Uuid => hyphenated(&drawn(format.alphabet.chars(), ID_CHARS, id, met)),
        alphabet => format!("{prefix}{}", drawn(alphabet.chars(), body, id, met)),
    }
}

/// May the references of two entries meet? Not where the form holds the whole id, unless one was made anew.
pub fn may_meet(format: &ReferenceFormat, met: u32) -> bool {
    let whole = match format.alphabet {
        Alphabet::UpperAlphanumeric | Alphabet::LowerHex => {
            format.length().saturating_sub(format.prefix().len()) == ID_CHARS
        }
        Alphabet::Uuid => true,
        _ => false,
    };
    met > 0 || !whole
}

fn hyphenated(digits: &str) -> String {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// Characters drawn from a hash of the id, each as likely as the others.
fn drawn(chars: &[u8], length: usize, id: &EntryId, met: u32) -> String {
    let fair = 256 - 256 % chars.len();
    let mut text = String::with_capacity(length);
    for block in 0_u32.. {
        let hash =
            Sha256::new().chain_update(id.as_str()).chain_update(met.to_be_bytes()).chain_update(block.to_be_bytes());
        let bytes = hash.finalize().into_iter().map(usize::from).filter(|byte| *byte < fair);
        text.extend(bytes.map(|byte| char::from(chars[byte % chars.len()])).take(length - text.len()));
        if text.len() == length {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(alphabet: Alphabet, length: Option<usize>) -> ReferenceFormat {
        ReferenceFormat { alphabet, length, prefix: None }
    }

    #[test]
    fn a_reference_has_the_width_and_alphabet_of_the_core_and_is_always_the_same() {
        let id = EntryId::parse("0190a1b2c3d47e5f8091a2b3c4d5e6f7").unwrap();
        for (format, expected) in [
            (ReferenceFormat::default(), Some("LC0190A1B2C3D47E5F8091A2B3C4D5E6F7")),
            (format(Alphabet::LowerHex, None), Some("0190a1b2c3d47e5f8091a2b3c4d5e6f7")),
            (format(Alphabet::Uuid, None), Some("0190a1b2-c3d4-7e5f-8091-a2b3c4d5e6f7")),
            (format(Alphabet::Digits, Some(16)), None),
            (format(Alphabet::UpperAlphanumeric, Some(16)), None),
            (format(Alphabet::LowerHex, Some(20)), None),
            (format(Alphabet::Digits, Some(64)), None),
        ] {
            let made = reference(&format, &id, 0);
            assert_eq!(made, reference(&format, &id, 0));
            assert_eq!(made.len(), format.length(), "{made}");
            assert!(made.starts_with(format.prefix()));
            let of_alphabet =
                |b: u8| format.alphabet.chars().contains(&b) || (b == b'-' && format.alphabet == Alphabet::Uuid);
            assert!(made.bytes().all(of_alphabet), "{made}");
            assert!(expected.is_none_or(|expected| made == expected), "{made}");
            let next = reference(&format, &id, 1);
            assert_eq!(next.len(), made.len());
            assert_ne!(next, made);
        }
    }

    #[test]
    fn short_references_of_many_entries_hardly_meet() {
        let digits = format(Alphabet::Digits, Some(16));
        let made: std::collections::BTreeSet<String> =
            (0..10_000).map(|_| reference(&digits, &EntryId::generate(), 0)).collect();
        assert!(made.len() >= 9_999, "{}", made.len());
    }
}
