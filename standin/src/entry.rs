//! An entry: one write, as the journal knows it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use schemas::entry::{EntryState, LegKind};
use schemas::money::Currency;
use schemas::post_request::Field;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Places that new ids are spread over: one for each value of the first digit.
const SHARDS: u64 = 16;

/// Identity of an entry, made before the first transaction so that a repeated one finds itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(String);

impl EntryId {
    /// A new id, of a person's act or a break; ordered by time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().simple().to_string())
    }

    /// A new id of an entry that debits this account.
    pub fn generate_for(account: &str) -> Self {
        Self::generate().in_shard_of(account)
    }

    /// With the shard of this account as its first digit. Behind it the digits stay ordered by time.
    ///
    /// A store that is split by ranges of keys would else take every new row in one place. The digit was always 0: it is the highest
    /// one of the milliseconds since 1970, until the year 2527.
    #[must_use]
    pub fn in_shard_of(self, account: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(account.as_bytes());
        Self(format!("{:x}{}", hasher.finish() % SHARDS, self.time()))
    }

    /// The digits behind the shard: by them entries are in order of time, whatever their shards.
    pub(crate) fn time(&self) -> &str {
        self.0.get(1..).unwrap_or_default()
    }

    /// When it was made, by its maker's clock, microseconds since 1970; one that tells no time was made at the beginning of all times.
    pub(crate) fn made_us(&self) -> i64 {
        let digits = self.0.get(1..12);
        digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0).saturating_mul(1_000)
    }

    /// For each shard, the range of the ids that were made before this: from the first text, up to the second one without it.
    pub(crate) fn ranges_before(us: i64) -> Vec<(String, String)> {
        let ms = (us / 1_000).max(0);
        (0..SHARDS).map(|shard| (format!("{shard:x}"), format!("{shard:x}{ms:011x}"))).collect()
    }

    /// What entries are sorted by to have the oldest first.
    pub(crate) fn by_time(&self) -> (&str, &str) {
        (self.time(), &self.0)
    }

    /// For each shard, the range in which the ids that come after this one in order of time lie: from the first text, up to the second
    /// one without it. Without an id: all of them.
    pub(crate) fn ranges_after(after: Option<&Self>) -> Vec<(String, String)> {
        let digit = |shard: u64| format!("{shard:x}");
        let range = |shard: u64| {
            let from = match after {
                // The same time in this shard comes after it if the shard does.
                Some(id) if digit(shard).as_str() > id.0.get(..1).unwrap_or_default() => digit(shard) + id.time(),
                Some(id) => digit(shard) + id.time() + "0",
                None => digit(shard),
            };
            (from, digit(shard) + "g")
        };
        (0..SHARDS).map(range).collect()
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// As it is stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parsed command of a transfer; what the fingerprint covers and the core is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Debited account.
    pub from_account: String,
    /// Credited account; another one than the debited.
    pub to_account: String,
    /// Positive minor units.
    pub amount_minor: i64,
    /// Of the amount.
    pub currency: Currency,
    /// Text for the statement; personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remittance: Option<String>,
    /// Fields that a newer Locum kept and this one does not know. Such an entry can be read and confirmed. It is not sent.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

impl Transfer {
    /// Both legs, the debit first.
    pub fn legs(&self) -> [(LegKind, &str); 2] {
        [(LegKind::Debit, self.from_account.as_str()), (LegKind::Credit, self.to_account.as_str())]
    }

    /// From the fields of a request ([`TRANSFER`]); `None`: one is missing, of another kind, or not a transfer's.
    ///
    /// [`TRANSFER`]: schemas::operation::TRANSFER
    pub fn of_fields(fields: Vec<(String, Field)>) -> Option<Self> {
        let (mut from_account, mut to_account, mut amount, mut remittance) = (None, None, None, None);
        for (name, field) in fields {
            match (name.as_str(), field) {
                ("from_account", Field::Text(account)) => from_account = Some(account),
                ("to_account", Field::Text(account)) => to_account = Some(account),
                ("amount", Field::Money { minor, currency }) => amount = Some((minor, currency)),
                ("remittance", Field::Text(text)) => remittance = Some(text),
                _ => return None,
            }
        }
        let (from_account, to_account, (amount_minor, currency)) = (from_account?, to_account?, amount?);
        Some(Self { from_account, to_account, amount_minor, currency, remittance, unknown: BTreeMap::new() })
    }

    /// The value of a field; `None`: it was left out, or there is no such field.
    pub fn field(&self, name: &str) -> Option<Field> {
        match name {
            "from_account" => Some(Field::Text(self.from_account.clone())),
            "to_account" => Some(Field::Text(self.to_account.clone())),
            "amount" => Some(Field::Money { minor: self.amount_minor, currency: self.currency }),
            "remittance" => self.remittance.clone().map(Field::Text),
            _ => None,
        }
    }
}

/// One write as the journal knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Identity.
    pub id: EntryId,
    /// Raised by every transition.
    pub version: i64,
    /// Whose key it is.
    pub principal: String,
    /// Operation, e.g. `transfer`.
    pub operation: String,
    /// The client's key.
    pub idempotency_key: String,
    /// Versioned hash of the command.
    pub fingerprint: Vec<u8>,
    /// Reference at the core, the same on every attempt.
    pub core_ref: String,
    /// What was asked for.
    pub command: Transfer,
    /// Where it stands.
    pub state: EntryState,
    /// May have been answered 202: keeps its place in its lanes until posted or terminal.
    pub ordered: bool,
    /// Evidence was found against its state.
    pub contradicted: bool,
    /// Of a refusal or decline.
    pub reason: Option<String>,
    /// The core's own number of the posting.
    pub core_id: Option<String>,
    /// The lane's day on which its promise is only reserved, because the core was there; given back when the core decides.
    pub reserved_day: Option<i64>,
    /// When the customer acted, microseconds since 1970.
    pub accepted_us: i64,
    /// The core's business date then, days since 1970-01-01.
    pub business_day: i64,
    /// Last transition, microseconds since 1970.
    pub updated_us: i64,
    /// Of the debited account's lane, as the transaction left it that this comes from; `None` where the entry was merely read.
    pub lane_version: Option<i64>,
}

/// Never prints the command: accounts and remittance are personal.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EntryId {
        EntryId::parse(&format!("{text:0<32}")).unwrap()
    }

    #[test]
    fn new_ids_are_spread_by_account_and_ordered_by_time_behind_their_shard() {
        let accounts: Vec<String> = (0..200).map(|n| format!("1000000{n:05}")).collect();
        let ids: Vec<EntryId> = accounts.iter().map(|account| EntryId::generate_for(account)).collect();
        let shards: std::collections::BTreeSet<&str> = ids.iter().map(|id| &id.as_str()[..1]).collect();
        assert_eq!(shards.len(), 16);
        assert!(ids.iter().all(|id| EntryId::parse(id.as_str()).is_some()));
        assert!(ids.is_sorted_by_key(|id| id.by_time()));
        let again = EntryId::generate_for(&accounts[7]);
        assert_eq!(again.as_str()[..1], ids[7].as_str()[..1], "an account keeps its shard");
        assert!(again.by_time() > ids[199].by_time());
        // Those of older versions are in shard 0.
        assert!(EntryId::generate().as_str().starts_with('0'));
    }

    #[test]
    fn an_id_tells_when_it_was_made_and_the_ranges_before_a_time_hold_what_is_older() {
        let made = EntryId::generate_for("a1");
        let now_us = jiff::Timestamp::now().as_microsecond();
        assert!((now_us - 1_000_000..=now_us).contains(&made.made_us()), "{made}");
        let lies_before = |us: i64| {
            let ranges = EntryId::ranges_before(us);
            ranges.iter().filter(|(from, to)| *from <= made.0 && made.0 < *to).count()
        };
        assert_eq!((lies_before(made.made_us()), lies_before(made.made_us() + 1_000)), (0, 1));
    }

    #[test]
    fn the_ranges_after_an_id_hold_what_is_later_and_nothing_else() {
        let after = id("7019a2");
        let (earlier, same, later) = (["0019a1", "f019a1", "70199f"], ["3019a2", "7019a2", "8019a2"], ["0019a3", "f1"]);
        let ranges = EntryId::ranges_after(Some(&after));
        let lies_in = |text: &str| {
            let id = id(text);
            ranges.iter().filter(|(from, to)| from.as_str() <= id.as_str() && id.as_str() < to.as_str()).count()
        };
        assert_eq!(earlier.map(lies_in), [0, 0, 0]);
        assert_eq!(same.map(lies_in), [0, 0, 1], "of one time, the shard decides");
        assert_eq!(later.map(lies_in), [1, 1]);
        let all = EntryId::ranges_after(None);
        for text in ["00", "9fff", "ffff"] {
            assert_eq!(all.iter().filter(|(from, to)| *from <= id(text).0 && id(text).0 < *to).count(), 1, "{text}");
        }
    }
}
