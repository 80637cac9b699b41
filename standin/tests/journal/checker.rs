//! What must hold between the journal's tables after any history.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{EntryState, LegKind};
use sql::{Db, Row};
use standin::lane::{LanePlace, lane_place};

struct Entry {
    id: String,
    state: EntryState,
    ordered: bool,
    reserved: bool,
    version: i64,
    business_day: i64,
    command: serde_json::Value,
}

struct Leg {
    entry_id: String,
    account: String,
    seq: i64,
    open: bool,
    /// `None`: a place in the lane of all accounts.
    kind: Option<LegKind>,
    in_order: bool,
    amount: i64,
    counts: bool,
}

/// Lanes, legs, attempts and transitions say the same as the entries.
pub async fn assert_consistent(db: &Db) {
    let entries = entries(db).await;
    let legs = legs(db).await;
    check_legs(&entries, &legs);
    check_lanes(db, &entries, &legs).await;
    check_attempts(db, &entries).await;
    check_transitions(db, &entries).await;
}

fn check_legs(entries: &BTreeMap<String, Entry>, legs: &[Leg]) {
    let mut kinds: BTreeMap<&str, Vec<(LegKind, &str, i64)>> = BTreeMap::new();
    for leg in legs {
        let entry = &entries[&leg.entry_id];
        assert_eq!(leg.open, entry.state.is_open() && leg.in_order, "legs.open of a {} entry", entry.state);
        assert!(leg.in_order || leg.kind == Some(LegKind::Credit), "a debit without a place");
        if leg.counts {
            assert_eq!(leg.kind, Some(LegKind::Debit), "a credit holds");
            assert!(entry.state.holds(), "a {} entry holds", entry.state);
        }
        if let Some(kind) = leg.kind {
            kinds.entry(&leg.entry_id).or_default().push((kind, &leg.account, leg.amount));
        }
    }
    for entry in entries.values() {
        let amount = entry.command["amount_minor"].as_i64().unwrap();
        let account = |name: &str| entry.command[name].as_str().unwrap();
        let whole =
            vec![(LegKind::Debit, account("from_account"), amount), (LegKind::Credit, account("to_account"), amount)];
        match kinds.get(entry.id.as_str()) {
            Some(found) => assert_eq!(*found, whole),
            None => assert_eq!(entry.state, EntryState::Declined, "an entry without legs"),
        }
    }
}

async fn check_lanes(db: &Db, entries: &BTreeMap<String, Entry>, legs: &[Leg]) {
    let mut seen = BTreeSet::new();
    let archived = !rows(db, "SELECT file FROM archives").await.is_empty();
    for row in rows(db, "SELECT * FROM lanes").await {
        let account: String = row.get("account").unwrap();
        let number = |column: &str| row.get::<i64>(column).unwrap();
        let mine: Vec<&Leg> = legs.iter().filter(|leg| leg.account == account).collect();
        let stand = |leg: &&&Leg, which| {
            let entry = &entries[&leg.entry_id];
            lane_place(entry.state, entry.ordered) == which
        };
        let count = |which| mine.iter().filter(|leg| leg.in_order && stand(leg, which)).count() as i64;
        assert_eq!(number("ordered"), count(LanePlace::Ordered), "ordered of {account}");
        assert_eq!(number("direct"), count(LanePlace::Direct), "direct of {account}");
        let held: i64 = mine.iter().filter(|leg| leg.counts).map(|leg| leg.amount).sum();
        assert_eq!(number("held_minor"), held, "held of {account}");
        let mut sequence: Vec<i64> = mine.iter().map(|leg| leg.seq).collect();
        sequence.sort_unstable();
        let mut expected: Vec<i64> = (1..number("next_seq")).collect();
        if archived {
            // Places of archived entries are free for good; nobody has a place twice, or one that was never given.
            expected.retain(|seq| sequence.contains(seq));
        }
        assert_eq!(sequence, expected, "sequence of {account}");
        let promised = |leg: &&&Leg| {
            let entry = &entries[&leg.entry_id];
            let decided = matches!(entry.state, EntryState::Posted | EntryState::Confirmed | EntryState::Refused);
            let counts = entry.ordered && !(entry.reserved && decided);
            leg.kind == Some(LegKind::Debit) && counts && entry.business_day == number("used_day")
        };
        let used: i64 = mine.iter().filter(promised).map(|leg| leg.amount).sum();
        assert!(number("used_minor") >= used, "usage of {account}: {} < {used}", number("used_minor"));
        assert!(number("used_count") >= mine.iter().filter(promised).count() as i64, "used count of {account}");
        seen.insert(account);
    }
    assert!(legs.iter().all(|leg| seen.contains(&leg.account)), "a leg without a lane");
}

async fn check_attempts(db: &Db, entries: &BTreeMap<String, Entry>) {
    let (mut open, mut all) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
    for row in rows(db, "SELECT entry_id, ended_us FROM attempts").await {
        let id: String = row.get("entry_id").unwrap();
        *all.entry(id.clone()).or_default() += 1;
        *open.entry(id).or_default() += i64::from(row.get::<Option<i64>>("ended_us").unwrap().is_none());
    }
    for entry in entries.values() {
        let (open, all) = (open.get(&entry.id).copied().unwrap_or(0), all.get(&entry.id).copied().unwrap_or(0));
        match entry.state {
            EntryState::Queued | EntryState::Cancelled | EntryState::Declined => {
                assert_eq!(open, 0, "an attempt of a {} entry may still be under way", entry.state);
            }
            EntryState::Submitting | EntryState::OutcomeUnknown => assert!(all > 0, "{} without attempt", entry.state),
            _ => {}
        }
    }
}

async fn check_transitions(db: &Db, entries: &BTreeMap<String, Entry>) {
    let mut logs: BTreeMap<String, Vec<(i64, String, String)>> = BTreeMap::new();
    for row in rows(db, "SELECT entry_id, version, state, evidence FROM transitions ORDER BY entry_id, version").await {
        let step = (row.get("version").unwrap(), row.get("state").unwrap(), row.get("evidence").unwrap());
        logs.entry(row.get("entry_id").unwrap()).or_default().push(step);
    }
    assert_eq!(logs.len(), entries.len());
    for entry in entries.values() {
        let log = &logs[&entry.id];
        let versions: Vec<i64> = log.iter().map(|(version, ..)| *version).collect();
        assert_eq!(versions, (1..=entry.version).collect::<Vec<_>>(), "log of an entry");
        assert_eq!(log[0].2, "admitted");
        assert_eq!(log.last().unwrap().1, entry.state.as_str());
    }
}

async fn rows(db: &Db, sql: &str) -> Vec<Row> {
    db.query(sql, vec![]).await.unwrap()
}

async fn entries(db: &Db) -> BTreeMap<String, Entry> {
    let rows = rows(db, "SELECT id, state, ordered, reserved_day, version, business_day, command FROM entries").await;
    let read = |row: &Row| Entry {
        id: row.get("id").unwrap(),
        state: EntryState::parse(row.get("state").unwrap()).unwrap(),
        ordered: row.get("ordered").unwrap(),
        reserved: row.get::<Option<i64>>("reserved_day").unwrap().is_some(),
        version: row.get("version").unwrap(),
        business_day: row.get("business_day").unwrap(),
        command: serde_json::from_slice(row.get("command").unwrap()).unwrap(),
    };
    rows.iter().map(read).map(|entry| (entry.id.clone(), entry)).collect()
}

async fn legs(db: &Db) -> Vec<Leg> {
    let sql = "SELECT entry_id, account, seq, open, kind, in_order, amount_minor, released_at FROM legs ORDER BY entry_id, leg";
    let read = |row: &Row| Leg {
        entry_id: row.get("entry_id").unwrap(),
        account: row.get("account").unwrap(),
        seq: row.get("seq").unwrap(),
        open: row.get("open").unwrap(),
        kind: LegKind::parse(row.get("kind").unwrap()),
        in_order: row.get("in_order").unwrap(),
        amount: row.get("amount_minor").unwrap(),
        counts: row.get::<Option<Vec<u8>>>("released_at").unwrap().is_none(),
    };
    rows(db, sql).await.iter().map(read).collect()
}
