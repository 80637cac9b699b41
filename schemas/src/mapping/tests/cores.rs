//! Two open-source cores, read as their tables are.

use std::collections::{BTreeMap, HashMap};

use super::events::read;
use super::*;
use crate::debezium::tests::Fixture;

pub(super) const FINERACT: (&str, &str) = (
    include_str!("../../../fixtures/cores/fineract/mapping.yaml"),
    include_str!("../../../fixtures/cores/fineract/events.jsonl"),
);
pub(super) const BLNK: (&str, &str) = (
    include_str!("../../../fixtures/cores/blnk/mapping.yaml"),
    include_str!("../../../fixtures/cores/blnk/events.jsonl"),
);

/// What Blnk itself wrote: a deposit, a transfer, and one that is queued first and then applied.
const CAPTURED: &str = include_str!("../../../fixtures/cores/blnk/captured.jsonl");
/// A transfer of Fineract and its reversal, on all topics of the connector.
const TRANSFER: &str = include_str!("../../../fixtures/cores/fineract/transfer.jsonl");

/// What a reader of the mapping's events holds: rows by their versions, and what the core's rows are stored under.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(Entity, String), (Version, Option<CanonicalRow>)>,
    kept: HashMap<RowId, Vec<Touched>>,
    skipped: BTreeMap<String, u32>,
}

impl Model {
    fn play<'e>(mapping: &str, events: impl IntoIterator<Item = &'e str>) -> Self {
        let (mapping, mut model) = (read(mapping), Self::default());
        for line in events {
            model.apply(&mapping, line);
        }
        model
    }

    /// The same, of all topics of a connector: those of tables that are not mapped, of transactions and of heartbeats are left out.
    fn play_mapped(mapping: &str, events: &str) -> Self {
        let tables: Vec<String> = read(mapping).tables().map(|table| format!(".{table}")).collect();
        let topic = |line: &str| line.split('"').nth(3).unwrap_or_default().to_owned();
        let is_mapped = |line: &&str| tables.iter().any(|table| topic(line).ends_with(table));
        Self::play(mapping, events.lines().filter(is_mapped))
    }

    fn apply(&mut self, mapping: &Mapping, line: &str) {
        let record: Fixture = serde_json::from_str(line).unwrap();
        let mut decoder = Decoder::new();
        let event = match decoder.decode(&record.topic, record.key(), record.value()).unwrap() {
            Record::Change(event) => event,
            other => panic!("{other:?}"),
        };
        let known = mapping.kept_row(&event).and_then(|row| self.kept.get(&row).cloned()).unwrap_or_default();
        let currency = |id: String| match self.row(Entity::Account, &id)? {
            CanonicalRow::Account(account) => Some((id, account.currency)),
            other => panic!("{other:?}"),
        };
        let accounts: Accounts = mapping.accounts_asked(&event).into_iter().filter_map(currency).collect();
        let applied = mapping.apply_with(&event, 1, &known, &accounts);
        let applied = applied.unwrap_or_else(|err| panic!("{err}: {line}")).rows();
        for change in applied.changes {
            let row = match change.row {
                RowChange::Upsert(row) => Some(row),
                RowChange::Delete | RowChange::Ended(_) => None,
            };
            let slot = self.rows.entry((change.entity, change.key)).or_insert((Version::floor(0), None));
            if change.version > slot.0 {
                *slot = (change.version, row);
            }
        }
        self.kept.extend(applied.kept.map(|kept| (kept.row, kept.keys)));
        if let Some(table) = applied.skipped {
            *self.skipped.entry(table).or_default() += 1;
        }
    }

    fn served(&self) -> BTreeMap<(Entity, String), CanonicalRow> {
        self.rows.iter().filter_map(|(key, (_, row))| Some((key.clone(), row.clone()?))).collect()
    }

    fn row(&self, entity: Entity, key: &str) -> Option<CanonicalRow> {
        self.rows.get(&(entity, key.to_owned())).and_then(|(_, row)| row.clone())
    }

    fn name(&self, key: &str) -> Option<String> {
        match self.row(Entity::Customer, key)? {
            CanonicalRow::Customer(customer) => customer.name.map(|name| name.expose().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    fn account(&self, key: &str) -> Option<(String, AccountState)> {
        match self.row(Entity::Account, key)? {
            CanonicalRow::Account(account) => Some((account.customer_id, account.state)),
            other => panic!("{other:?}"),
        }
    }

    /// Booked, overdraft line and holds.
    fn balance(&self, key: &str) -> Option<(i64, i64, i64)> {
        match self.row(Entity::Balance, key)? {
            CanonicalRow::Balance(b) => Some((b.booked_minor, b.overdraft_line_minor, b.core_holds_minor)),
            other => panic!("{other:?}"),
        }
    }

    /// Account and amount of each transaction, by key.
    fn transactions(&self) -> Vec<(String, String, i64)> {
        let read = |row: CanonicalRow| match row {
            CanonicalRow::Transaction(t) => Some((t.transaction_id, t.account_id, t.amount_minor)),
            _ => None,
        };
        self.served().into_values().filter_map(read).collect()
    }

    fn skips(&self) -> Vec<(&str, u32)> {
        self.skipped.iter().map(|(table, events)| (table.as_str(), *events)).collect()
    }
}

fn transaction(key: &str, account: &str, amount: i64) -> (String, String, i64) {
    (key.to_owned(), account.to_owned(), amount)
}

/// The events as a core sends them that does not log the row before.
fn without_before(events: &str) -> Vec<String> {
    let blind = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["value"]["before"] = serde_json::Value::Null;
        record.to_string()
    };
    events.lines().map(blind).collect()
}

#[test]
fn a_transfer_of_fineract_is_two_postings_and_a_hold_is_none() {
    let model = Model::play(FINERACT.0, FINERACT.1.lines().take(15));
    assert_eq!(
        model.transactions(),
        [transaction("700", "30", 20_000), transaction("701", "30", -1_050), transaction("702", "32", 1_050)]
    );
    assert_eq!(model.balance("30"), Some((18_950, 0, 350)), "the overdraft is not allowed yet");
    assert_eq!(model.balance("32"), Some((1_050, 0, 400)));
    let booked = match model.row(Entity::Transaction, "700") {
        Some(CanonicalRow::Transaction(transaction)) => transaction,
        other => panic!("{other:?}"),
    };
    assert_eq!(booked.booked_at, booked.value_date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp());
}

#[test]
fn what_fineract_takes_back_ends_and_its_states_come_from_several_columns() {
    let model = Model::play(FINERACT.0, FINERACT.1.lines());
    assert_eq!(model.transactions(), [transaction("700", "30", 20_000)]);
    assert_eq!(model.balance("30"), Some((20_000, 5_000, 350)), "a fraction of a cent is no cent");
    assert_eq!(model.balance("32"), Some((0, 0, 0)));
    assert_eq!((model.name("5").as_deref(), model.name("6").as_deref()), (Some("Hansa Boote GmbH"), Some("Ada Meier")));
    assert_eq!(model.account("30"), Some(("5".to_owned(), AccountState::Active)));
    assert_eq!(model.account("32"), Some(("6".to_owned(), AccountState::Frozen)));
    assert_eq!(model.account("33"), Some((String::new(), AccountState::Active)), "nobody holds it");
    assert_eq!((model.account("31"), model.balance("31")), (None, None), "a fixed deposit");
    assert_eq!(
        model.skips(),
        [("fineract_default.m_savings_account", 1), ("fineract_default.m_savings_account_transaction", 3)]
    );
}

#[test]
fn a_row_of_blnk_is_both_legs_and_a_queued_one_is_none() {
    let model = Model::play(BLNK.0, BLNK.1.lines());
    assert_eq!(
        model.transactions(),
        [
            transaction("txn_0001-C", "bln_0011", 500_000),
            transaction("txn_0001-D", "bln_0010", -500_000),
            transaction("txn_0003-C", "bln_0012", 1_250),
            transaction("txn_0003-D", "bln_0011", -1_250),
        ]
    );
    assert_eq!(model.balance("bln_0010"), Some((-500_000, 0, 0)));
    assert_eq!(model.balance("bln_0011"), Some((498_750, 0, 300)));
    assert_eq!(model.account("bln_0010"), Some((String::new(), AccountState::Active)));
    assert_eq!(model.account("bln_0012"), Some(("idt_0002".to_owned(), AccountState::Active)));
    assert_eq!(model.account("bln_0013"), None, "points are no currency");
    assert_eq!(model.name("idt_0001").as_deref(), Some("Ada Meier"));
    assert_eq!(model.name("idt_0002").as_deref(), Some("Hansa Boote GmbH"));
    assert_eq!(model.skips(), [("blnk.balances", 1), ("blnk.transactions", 2)]);
}

#[test]
fn what_blnk_itself_wrote_is_read_as_it_was_meant() {
    let model = Model::play_mapped(BLNK.0, CAPTURED);
    let (world, one, two) = (
        "bln_e05bab17-0a58-422d-8105-8d308e3de7ab",
        "bln_c6ae8fc7-cdcd-4142-b854-c2ce99a90c31",
        "bln_d8fec176-39f4-4b62-b7ae-c1dad181fee9",
    );
    assert_eq!(
        model.transactions(),
        [
            transaction("txn_790fd43f-eb2f-4158-be58-1915cda8544e-C", two, 1_250),
            transaction("txn_790fd43f-eb2f-4158-be58-1915cda8544e-D", one, -1_250),
            transaction("txn_d0d11c65-2213-432d-b647-a07733e3f279-C", two, 700),
            transaction("txn_d0d11c65-2213-432d-b647-a07733e3f279-D", one, -700),
            transaction("txn_de573ed5-fd30-4918-827c-c4c4c9170303-C", one, 500_000),
            transaction("txn_de573ed5-fd30-4918-827c-c4c4c9170303-D", world, -500_000),
        ]
    );
    for (account, booked) in [(world, -500_000), (one, 498_050), (two, 1_950)] {
        assert_eq!(model.balance(account), Some((booked, 0, 0)), "{account}");
    }
    assert_eq!(model.account(world), Some((String::new(), AccountState::Active)));
    assert_eq!(model.name("idt_7adcf316-5819-4662-a452-6dcc04357a42").as_deref(), Some("A One"));
    assert_eq!(model.name("idt_7eacc5b5-26ee-4f7f-9b73-32da64fe8e19").as_deref(), Some("Two Ltd"));
    assert_eq!(model.skips(), [("blnk.transactions", 1)], "the queued one, which carries the reference alone");
}

#[test]
fn a_transfer_of_fineract_that_is_taken_back_leaves_what_was_there() {
    let model = Model::play_mapped(FINERACT.0, TRANSFER);
    assert_eq!(model.transactions(), [transaction("901", "21", 125_075)]);
    assert_eq!((model.balance("21"), model.balance("22")), (Some((125_075, 0, 0)), Some((0, 0, 0))));
    assert_eq!(model.account("21"), Some(("11".to_owned(), AccountState::Active)));
    assert_eq!(model.name("12").as_deref(), Some("Tomas Brandt"));
    assert_eq!(model.skips(), [("fineract_default.m_savings_account_transaction", 2)]);
}

/// The mapping of Fineract as it would be if postings and balances were numbered, with the rows that carry references.
fn fineract_with_links() -> String {
    let numbered = FINERACT.0.replace("      transaction_id: id\n", "      transaction_id: id\n      posting_no: id\n");
    let numbered = numbered.replace("      core_holds:\n", "      last_posting: version\n      core_holds:\n");
    let links = "  m_account_transfer_transaction:\n    key: [id]\n    where: {is_reversed: false}\n    links:\n      operations: [transfer]\n      \
        core_ref: {column: description, find: start}\n      table: m_savings_account_transaction\n      \
        postings: [from_savings_transaction_id, to_savings_transaction_id]\n";
    format!("reference: {{prefix: LOC}}\n{numbered}{links}")
}

#[test]
fn a_transfer_of_fineract_carries_its_reference_in_a_row_that_names_both_postings() {
    let mapping = read(&fineract_with_links());
    let topic = r#"{"topic":"fin.fineract_default.m_account_transfer_transaction""#;
    let links = TRANSFER.lines().filter(|line| line.starts_with(topic));
    let mut found = Vec::new();
    for line in links {
        let record: Fixture = serde_json::from_str(line).unwrap();
        let mut decoder = Decoder::new();
        let Record::Change(event) = decoder.decode(&record.topic, record.key(), record.value()).unwrap() else {
            panic!()
        };
        found.extend(mapping.apply(&event, 1).unwrap().rows().links);
    }
    let found: Vec<_> = found.iter().map(|link| (link.core_ref.as_str(), link.transaction_id.as_str())).collect();
    let ours = "LOC7K2M9Q4T8X1B5N6P3R0S7V2W4Y6Z8A1";
    assert_eq!(found, [(ours, "902"), (ours, "903")]);
    // Both are taken back later: what they were is kept with their ends.
    let model = Model::play_mapped(&fineract_with_links(), TRANSFER);
    assert_eq!(model.transactions(), [transaction("901", "21", 125_075)]);
}

#[test]
fn the_mappings_of_the_examples_confirm_without_numbers() {
    for yaml in [
        include_str!("../../../../examples/fineract/mapping.yaml"),
        include_str!("../../../../examples/blnk/mapping.yaml"),
    ] {
        assert!(read(yaml).confirms(), "{yaml}");
    }
}

#[test]
fn postings_of_fineract_may_take_their_currency_from_their_account() {
    let of_account = FINERACT.0.replace("currency: {constant: EUR}", "currency: {of: account}");
    assert_ne!(of_account, FINERACT.0);
    for events in [FINERACT.1, TRANSFER] {
        let told = Model::play_mapped(&of_account, events).served();
        assert_eq!(told, Model::play_mapped(FINERACT.0, events).served());
    }
}

#[test]
fn a_transfer_of_blnk_is_shown_with_the_reference_that_was_sent() {
    let stripped = BLNK.0.replace("core_ref: reference", "core_ref: {column: reference, strip: _q}");
    assert_ne!(stripped, BLNK.0);
    for (mapping, suffixed) in [(BLNK.0, 2), (stripped.as_str(), 0)] {
        let model = Model::play_mapped(mapping, CAPTURED);
        let references = model.served().into_values().filter_map(|row| match row {
            CanonicalRow::Transaction(row) => row.core_ref,
            _ => None,
        });
        assert_eq!(references.filter(|reference| reference.ends_with("_q")).count(), suffixed);
    }
}

#[test]
fn in_both_every_debit_has_its_credit_and_no_posting_is_left_out_of_a_balance() {
    let blnk = Model::play(BLNK.0, BLNK.1.lines());
    for account in ["bln_0010", "bln_0011", "bln_0012"] {
        let postings = blnk.transactions().into_iter().filter(|(_, of, _)| of == account);
        assert_eq!(
            Some(postings.map(|(_, _, amount)| amount).sum()),
            blnk.balance(account).map(|(booked, _, _)| booked)
        );
    }
    assert_eq!(blnk.transactions().iter().map(|(_, _, amount)| amount).sum::<i64>(), 0);
}

#[test]
fn the_row_before_is_not_needed_and_the_order_of_tables_does_not_matter() {
    for (mapping, events) in [FINERACT, BLNK] {
        let whole = Model::play(mapping, events.lines()).served();
        let blind = without_before(events);
        assert_eq!(Model::play(mapping, blind.iter().map(String::as_str)).served(), whole);
        let mut tables: Vec<&str> = events.lines().collect();
        // Each table comes on a topic of its own.
        tables.sort_by_key(|line| std::cmp::Reverse(line.split('"').nth(3)));
        assert_eq!(Model::play(mapping, tables).served(), whole);
        let twice = events.lines().flat_map(|line| [line, line]);
        assert_eq!(Model::play(mapping, twice).served(), whole);
    }
}

proptest! {
    #[test]
    fn no_cell_of_these_cores_makes_the_mapping_panic_or_tell_its_value(
        (mapping, events) in prop::sample::select(vec![FINERACT, BLNK]),
        line in any::<prop::sample::Index>(),
        column in any::<prop::sample::Index>(),
        cell in prop_oneof![
            Just("null".to_owned()), Just("true".to_owned()), Just("{\"scale\":1001,\"value\":\"fw==\"}".to_owned()), Just("[]".to_owned()),
            "\"canary[ -!#-\\[\\]-~]{0,20}\"", "-?[1-9][0-9]{0,18}", "-?[1-9][0-9]{0,5}\\.[0-9]{1,5}", "\"[A-Za-z0-9+/]{4,24}\"",
        ],
    ) {
        let lines: Vec<&str> = events.lines().collect();
        let mut record: serde_json::Value = serde_json::from_str(lines[line.index(lines.len())]).unwrap();
        let after = record["value"]["after"].as_object_mut().unwrap();
        let names: Vec<String> = after.keys().cloned().collect();
        after.insert(names[column.index(names.len())].clone(), serde_json::from_str(&cell).unwrap());
        let text = record.to_string();
        let record: Fixture = serde_json::from_str(&text).unwrap();
        let mut decoder = Decoder::new();
        let Ok(Record::Change(event)) = decoder.decode(&record.topic, record.key(), record.value()) else { return Ok(()) };
        if let Err(err) = read(mapping).apply(&event, 1) {
            let shown = format!("{err} {err:?}");
            prop_assert!(!shown.contains("canary"), "{}", shown);
        }
    }
}
