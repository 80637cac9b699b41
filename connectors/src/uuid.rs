//! The UUID of a reference, for cores that want one beside the reference or in a header.

use sha2::{Digest, Sha256};

/// Hexadecimal digits of a UUID, and of an entry's id.
const DIGITS: usize = 32;

/// The same UUID whenever it is asked for. A reference that holds the entry's id gives that id; any other gives a hash (RFC 9562,
/// version 8).
pub(super) fn uuid_of(core_ref: &str) -> String {
    hyphenated(&held(core_ref).unwrap_or_else(|| hashed(core_ref)))
}

/// Is this text the reference, or its UUID in either case?
pub(super) fn is_of(core_ref: &str, found: &str) -> bool {
    found == core_ref || found.eq_ignore_ascii_case(&uuid_of(core_ref))
}

/// The id in the forms that hold it whole: a UUID, and 32 hexadecimal digits alone or behind our own mark.
fn held(core_ref: &str) -> Option<String> {
    let is_hex = |text: &str| text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = match core_ref.strip_prefix("LC").unwrap_or(core_ref) {
        id if is_hex(id) => id.to_ascii_lowercase(),
        id => id.replace('-', "").to_ascii_lowercase(),
    };
    (is_hex(&id) && (!core_ref.contains('-') || hyphenated(&id) == core_ref.to_ascii_lowercase())).then_some(id)
}

fn hashed(core_ref: &str) -> String {
    let mut bytes: Vec<u8> = Sha256::digest(core_ref.as_bytes()).into_iter().take(DIGITS / 2).collect();
    for (at, keeps, sets) in [(6, 0x0f, 0x80), (8, 0x3f, 0x80)] {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = (*byte & keeps) | sets;
        }
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hyphenated(digits: &str) -> String {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..DIGITS)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_holds_the_id_gives_it_and_others_a_hash() {
        let id = "0190a1b2-c3d4-7e5f-8091-a2b3c4d5e6f7";
        for (core_ref, uuid) in [
            ("LC0190A1B2C3D47E5F8091A2B3C4D5E6F7", id),
            ("0190a1b2c3d47e5f8091a2b3c4d5e6f7", id),
            (id, id),
            ("00000000000000000042", "f28c1250-0ee2-80c8-a827-f8506ba7236c"),
        ] {
            assert_eq!(uuid_of(core_ref), uuid, "{core_ref}");
            assert!(is_of(core_ref, core_ref) && is_of(core_ref, uuid) && is_of(core_ref, &uuid.to_uppercase()));
            assert!(!is_of(core_ref, "") && !is_of(core_ref, "LC"));
        }
    }

    #[test]
    fn references_that_only_look_alike_have_uuids_of_their_own() {
        let alike = [
            "LC0190A1B2C3D47E5F8091A2B3C4D5E6F7",
            "XX0190A1B2C3D47E5F8091A2B3C4D5E6F7",
            "0190-a1b2c3d47e5f8091a2b3c4d5e6f7",
            "LC0190A1B2C3D47E5F8091A2B3C4D5E6F",
            "LC",
            "",
        ];
        let made: std::collections::BTreeSet<String> = alike.iter().map(|core_ref| uuid_of(core_ref)).collect();
        assert_eq!(made.len(), alike.len());
        assert!(made.iter().all(|uuid| uuid.len() == 36 && uuid.is_ascii()));
    }
}
