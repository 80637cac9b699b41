//! Cursors of pages: opaque, signed, and bound to principal, account and filters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use read_model::PageKey;
use sha2::{Digest, Sha256};

/// Layout of the signed bytes.
const LAYOUT: u8 = 1;
/// Longest cursor taken from a client, in characters.
const CURSOR_LEN_MAX: usize = 1_024;
/// Bytes of the signature.
const TAG_BYTES: usize = 32;

/// The key that signs cursors; the same on every instance behind one address.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// From 32 secret random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn mac(&self, scope: &Scope, payload: &[u8]) -> Hmac<Sha256> {
        let mut key = [0; 64];
        key[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(&scope.0);
        mac.update(payload);
        mac
    }

    /// The cursor that goes on after `key`, for requests of `scope` only.
    pub(crate) fn seal(&self, scope: &Scope, key: &PageKey) -> String {
        let mut bytes = vec![LAYOUT];
        bytes.extend(key.booked_at_us.to_be_bytes());
        bytes.extend(key.transaction_id.as_bytes());
        let tag = self.mac(scope, &bytes).finalize().into_bytes();
        bytes.extend(tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Where to go on; `None` for whatever was not sealed for this scope.
    pub(crate) fn open(&self, scope: &Scope, cursor: &str) -> Option<PageKey> {
        if cursor.len() > CURSOR_LEN_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (payload, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        self.mac(scope, payload).verify_slice(tag).ok()?;
        let (layout, rest) = payload.split_first()?;
        let (booked_at, id) = rest.split_first_chunk::<8>()?;
        let transaction_id = String::from_utf8(id.to_vec()).ok()?;
        (*layout == LAYOUT).then_some(PageKey { booked_at_us: i64::from_be_bytes(*booked_at), transaction_id })
    }
}

/// What a cursor is bound to.
pub(crate) struct Scope([u8; 32]);

impl Scope {
    /// Hashes the parts with their lengths, so that no two lists of parts collide.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_for_what_it_was_sealed_for() {
        let key = CursorKey::new([7; 32]);
        let place = PageKey { booked_at_us: -5, transaction_id: "t-9".into() };
        let mine = Scope::of(&["mobile", "acc-1", "text=a"]);
        let cursor = key.seal(&mine, &place);
        assert_eq!(key.open(&mine, &cursor), Some(place));
        assert_eq!(key.open(&Scope::of(&["mobile", "acc-2", "text=a"]), &cursor), None);
        assert_eq!(key.open(&Scope::of(&["mobileacc-1", "text=a"]), &cursor), None);
        assert_eq!(CursorKey::new([8; 32]).open(&mine, &cursor), None);
        for cut in 0..cursor.len() {
            assert_eq!(key.open(&mine, &cursor[..cut]), None);
        }
        assert_eq!(key.open(&mine, &"A".repeat(CURSOR_LEN_MAX + 1)), None);
    }
}
