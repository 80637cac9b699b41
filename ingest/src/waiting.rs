//! A balance that is ahead of its postings waits for them.
//!
//! The row of a balance may come in an earlier batch than the row of a posting that it includes. While the number of a
//! debit of ours on that account is unknown, such a balance would count the debit twice: in the balance, and by a hold that
//! nobody can release. So the balance is kept, and applied in the transaction of the posting that it waits for (M2). It
//! waits no longer once everything that was sent with it is attested to be applied: then the posting is not one of ours.
//!
//! Where balances tell by source transaction what they include, no gap shows that a posting is missing. There a balance waits
//! until the rows of all debits of ours on the account have come, and one of a transaction that booked such a debit until it is
//! known to be the last one of that transaction ([`OpenDebits::let_pass`], ADR 0041).
//!
//! Nobody is served from a shadow, so by number nothing waits in it. By source transaction a balance does, on an account with an
//! open debit: the swap ends holds by the balances that the shadow has, and nothing tells then which of them are whole.

use std::collections::{BTreeMap, BTreeSet};

use read_model::{WaitingBalance, WriteError, Writer};
use schemas::model::{CanonicalChange, CanonicalRow, Entity, LegEvidence, RowChange};
use schemas::position::OpenDebits;
use sql::Tx;

use crate::apply_error::ApplyError;
use crate::attest::LATE_MS;
use crate::confirm::Confirm;
use crate::prepared::{Prepared, Times};

/// What of a batch is applied now.
pub(crate) struct Settled {
    /// Changes, without the balances that wait and with those that waited long enough.
    pub(crate) changes: Vec<CanonicalChange>,
    /// When the core made the oldest balance that waits, milliseconds since 1970.
    pub(crate) waiting_since_ms: Option<i64>,
}

/// What makes a balance wait, by account: what is known of debits of ours on it. No other account's balance waits.
#[derive(Default)]
struct Concerns {
    /// By number: the number of a debit's posting is not known.
    numbered: BTreeSet<String>,
    /// By source transaction: a debit's hold counts.
    placed: BTreeMap<String, OpenDebits>,
}

impl Concerns {
    fn contains(&self, account: &str) -> bool {
        self.numbered.contains(account) || self.placed.contains_key(account)
    }

    fn is_empty(&self) -> bool {
        self.numbered.is_empty() && self.placed.is_empty()
    }
}

/// What one account's balances are judged by, where the core numbers its postings.
struct Account<'a> {
    /// Number of the last posting in the balance that is served.
    served: Option<i64>,
    /// Numbers of postings that are applied, this batch's included.
    numbers: &'a BTreeSet<i64>,
}

impl Account<'_> {
    /// Up to where every posting after the served balance is applied.
    fn seen(&self) -> i64 {
        let mut seen = self.served.unwrap_or(i64::MIN);
        while let Some(next) = seen.checked_add(1).filter(|next| self.numbers.contains(next)) {
            seen = next;
        }
        seen
    }
}

/// What is known before a batch is settled.
pub(crate) struct Before<'b> {
    /// All that the confirmation of the batch is told, also what links say.
    pub(crate) evidence: &'b [LegEvidence],
    /// Some balance may wait from before.
    pub(crate) any_waiting: bool,
    /// Everything that was sent before is applied.
    pub(crate) attested_ms: Option<i64>,
    /// Postings do not say whose they are: links do. So a number says nothing before its link has come, and a balance of an account
    /// with an unknown debit waits for all of them.
    pub(crate) by_links: bool,
}

/// Decides which balances are applied with this batch, and keeps the others.
pub(crate) async fn settle(
    tx: &mut Tx,
    writer: &Writer,
    confirm: &dyn Confirm,
    prepared: &Prepared,
    Before { evidence, any_waiting, attested_ms, by_links }: Before<'_>,
) -> Result<Settled, ApplyError> {
    let mut waiting = if any_waiting { writer.waiting_balances(tx).await? } else { BTreeMap::new() };
    let concerns = concerns(tx, writer, confirm, (&prepared.changes[..], evidence), &waiting).await?;
    if concerns.is_empty() && waiting.is_empty() {
        return Ok(Settled { changes: prepared.changes.clone(), waiting_since_ms: None });
    }
    let served = writer.served_postings(tx, &concerns.numbered).await?;
    let in_shadow = concerns.placed.keys().filter(|_| writer.is_shadow()).cloned().collect();
    let begun = writer.accounts_with_balance(tx, &in_shadow).await?;
    let times = prepared.times.unwrap_or(Times { sent_ms: i64::MAX, made_ms: i64::MAX });
    let mut settled = Settled { changes: Vec::new(), waiting_since_ms: None };
    for change in &prepared.changes {
        match as_waiting(change, times).filter(|_| concerns.contains(&change.key)) {
            Some(balance) => waiting.entry(change.key.clone()).or_default().push(balance),
            None => settled.changes.push(change.clone()),
        }
    }
    for (account, mut balances) in waiting {
        balances.sort_by_key(|balance| balance.version);
        let serves = if let Some(debits) = concerns.placed.get(&account) {
            // The first balance of a shadow is the snapshot's, which is whole.
            let is_first = writer.is_shadow() && !begun.contains(&account);
            served_beside(&balances, debits, attested_ms).max(usize::from(is_first))
        } else if concerns.numbered.contains(&account) {
            let mut numbers = BTreeSet::new();
            if !by_links {
                numbers = writer.newest_posting_numbers(tx, &account).await?;
                numbers.extend(posted(&prepared.changes, &account));
            }
            let known = Account { served: served.get(&account).copied(), numbers: &numbers };
            served_of(&balances, &known, attested_ms, |last, seen| confirm.serves(last, seen))
        } else {
            balances.len()
        };
        apply_some(tx, writer, &balances, serves, &mut settled).await?;
    }
    Ok(settled)
}

/// What is known of debits of ours on the accounts whose balances are in hand.
async fn concerns(
    tx: &mut Tx,
    writer: &Writer,
    confirm: &dyn Confirm,
    (changes, evidence): (&[CanonicalChange], &[LegEvidence]),
    waiting: &BTreeMap<String, Vec<WaitingBalance>>,
) -> Result<Concerns, ApplyError> {
    let (mut placed, mut numbered) = (BTreeSet::new(), BTreeSet::new());
    let new = ordered(changes).map(|change| (&change.key, change.place.is_some()));
    let kept = waiting.iter().flat_map(|(account, all)| all.iter().map(move |kept| (account, kept.place.is_some())));
    for (account, is_placed) in new.chain(kept) {
        let those = if is_placed { &mut placed } else { &mut numbered };
        those.insert(account.clone());
    }
    let mut concerns = Concerns::default();
    if !numbered.is_empty() && !writer.is_shadow() {
        let numbered: Vec<String> = numbered.into_iter().collect();
        concerns.numbered = confirm.without_numbers(tx, &numbered).await.map_err(ApplyError::Confirm)?;
    }
    if !placed.is_empty() {
        let placed: Vec<String> = placed.into_iter().collect();
        // The journal records no row that a shadow sees, so to the next batch it has not come either.
        let coming: &[LegEvidence] = if writer.is_shadow() { &[] } else { evidence };
        let open = confirm.open_debits(tx, &placed, coming, writer.generation()).await;
        concerns.placed = open.map_err(ApplyError::Confirm)?;
    }
    Ok(concerns)
}

/// How many of these balances, oldest first, are served: all up to the newest that may be.
fn served_of(
    balances: &[WaitingBalance],
    account: &Account<'_>,
    attested_ms: Option<i64>,
    serves: impl Fn(i64, i64) -> bool,
) -> usize {
    let seen = account.seen();
    // The very first balance of an account includes what no entry of ours can be in.
    let may = |balance: &WaitingBalance| {
        account.served.is_none()
            || balance.row.last_posting.is_none_or(|last| serves(last, seen))
            || is_complete(balance, attested_ms)
    };
    balances.iter().rposition(may).map_or(0, |newest| newest + 1)
}

/// The same where balances tell by source transaction what they include, beside these debits of ours.
fn served_beside(balances: &[WaitingBalance], debits: &OpenDebits, attested_ms: Option<i64>) -> usize {
    let place = |n: usize| balances.get(n).and_then(|balance| balance.place.as_ref());
    let passes = |n: usize| place(n).is_some_and(|own| debits.let_pass(own, place(n + 1)));
    let may = |n: usize| passes(n) || is_complete(&balances[n], attested_ms);
    (0..balances.len()).rposition(may).map_or(0, |newest| newest + 1)
}

/// Is everything applied that was sent with this balance?
fn is_complete(balance: &WaitingBalance, attested_ms: Option<i64>) -> bool {
    attested_ms.is_some_and(|ms| ms >= balance.sent_ms.saturating_add(LATE_MS))
}

async fn apply_some(
    tx: &mut Tx,
    writer: &Writer,
    balances: &[WaitingBalance],
    serves: usize,
    settled: &mut Settled,
) -> Result<(), WriteError> {
    let (served, kept) = balances.split_at(serves);
    if let Some(newest) = served.last() {
        writer.end_waiting(tx, &newest.row.account_id, &newest.version).await?;
        settled.changes.push(as_change(newest));
    }
    writer.keep_waiting(tx, kept).await?;
    let since_ms = kept.iter().map(|balance| balance.made_ms).min();
    settled.waiting_since_ms = settled.waiting_since_ms.into_iter().chain(since_ms).min();
    Ok(())
}

/// The changes that are balances and tell which postings they include.
fn ordered(changes: &[CanonicalChange]) -> impl Iterator<Item = &CanonicalChange> {
    let times = Times { sent_ms: 0, made_ms: 0 };
    changes.iter().filter(move |change| as_waiting(change, times).is_some())
}

fn as_waiting(change: &CanonicalChange, times: Times) -> Option<WaitingBalance> {
    let RowChange::Upsert(CanonicalRow::Balance(row)) = &change.row else { return None };
    if row.last_posting.is_none() && change.place.is_none() {
        return None;
    }
    let Times { sent_ms, made_ms } = times;
    Some(WaitingBalance { row: row.clone(), version: change.version, place: change.place, sent_ms, made_ms })
}

fn as_change(balance: &WaitingBalance) -> CanonicalChange {
    let key = balance.row.account_id.clone();
    CanonicalChange {
        entity: Entity::Balance,
        account_id: Some(key.clone()),
        key,
        version: balance.version,
        place: balance.place,
        row: RowChange::Upsert(CanonicalRow::Balance(balance.row.clone())),
    }
}

/// Numbers of the postings on an account among these changes.
fn posted<'a>(changes: &'a [CanonicalChange], account: &'a str) -> impl Iterator<Item = i64> + 'a {
    changes.iter().filter_map(move |change| match &change.row {
        RowChange::Upsert(CanonicalRow::Transaction(row)) if row.account_id == account => row.posting_no,
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use schemas::model::Balance;
    use schemas::money::Currency;
    use schemas::position::{SourcePosition, TransactionPlace, Version};

    use super::*;

    fn balances<const N: usize>(last: [i64; N]) -> Vec<WaitingBalance> {
        let balance = |last_posting: i64| WaitingBalance {
            row: Balance {
                account_id: "a".into(),
                currency: Currency::parse("EUR").unwrap(),
                booked_minor: 0,
                overdraft_line_minor: 0,
                core_holds_minor: 0,
                last_posting: Some(last_posting),
            },
            version: Version::floor(1),
            place: None,
            sent_ms: 1_000 * last_posting,
            made_ms: 0,
        };
        last.into_iter().map(balance).collect()
    }

    fn serves(last_posting: i64, seen: i64) -> bool {
        seen >= last_posting
    }

    #[test]
    fn a_balance_is_served_with_the_last_of_its_postings_whatever_their_order() {
        let waiting = balances([5, 7]);
        for (numbers, served) in [(vec![], 0), (vec![7], 0), (vec![5], 1), (vec![5, 7], 1), (vec![5, 6, 7], 2)] {
            let numbers: BTreeSet<i64> = numbers.into_iter().collect();
            let account = Account { served: Some(4), numbers: &numbers };
            assert_eq!(served_of(&waiting, &account, None, serves), served, "{numbers:?}");
        }
    }

    #[test]
    fn a_balance_whose_postings_do_not_come_is_served_once_everything_sent_with_it_is_applied() {
        let (waiting, none) = (balances([5, 7]), BTreeSet::new());
        let account = Account { served: Some(4), numbers: &none };
        for (attested_ms, served) in [(5_000 + LATE_MS - 1, 0), (5_000 + LATE_MS, 1), (7_000 + LATE_MS, 2)] {
            assert_eq!(served_of(&waiting, &account, Some(attested_ms), serves), served, "{attested_ms}");
        }
    }

    fn placed(pos: u64, id: &str) -> TransactionPlace {
        let position = SourcePosition::Binlog { file: 1, pos, row: 0, gtid: None };
        TransactionPlace::streamed(1, &position, id).unwrap()
    }

    #[test]
    fn without_numbers_a_balance_waits_for_the_rows_of_our_debits_and_for_the_rest_of_their_transaction() {
        let places = [placed(4, "0-1-42"), placed(5, "0-1-42"), placed(9, "0-1-43")];
        let at = |(balance, place): (WaitingBalance, _)| {
            let row = Balance { last_posting: None, ..balance.row.clone() };
            WaitingBalance { place: Some(place), row, ..balance }
        };
        let waiting: Vec<_> = balances([5, 6, 7]).into_iter().zip(places).map(at).collect();
        let unknown = OpenDebits { any_without_row: true, booked: vec![] };
        assert_eq!(served_beside(&waiting, &unknown, None), 0);
        assert_eq!(served_beside(&waiting, &unknown, Some(5_000 + LATE_MS)), 1);
        let booked = |pos, id: &str| OpenDebits { any_without_row: false, booked: vec![placed(pos, id)] };
        for (held, known, served) in [(2, "0-1-42", 0), (3, "0-1-42", 3), (3, "0-1-43", 2), (2, "0-1-43", 2)] {
            assert_eq!(served_beside(&waiting[..held], &booked(6, known), None), served, "{held} of {known}");
        }
        assert_eq!(served_beside(&waiting[..2], &booked(6, "0-1-42"), Some(6_000 + LATE_MS)), 2);
        assert_eq!(served_beside(&waiting, &booked(2, "0-1-41"), None), 3, "no later transaction books it");
    }

    #[test]
    fn the_first_balance_of_an_account_waits_for_nothing() {
        let account = Account { served: None, numbers: &BTreeSet::new() };
        assert_eq!(served_of(&balances([5]), &account, None, serves), 1);
    }
}
