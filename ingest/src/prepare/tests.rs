use std::collections::BTreeSet;

use schemas::model::RowChange;

use super::*;

const MAPPING: &str = include_str!("../../../schemas/mappings/core-sim.yaml");

fn record(offset: i64, key: Option<&str>, value: &str) -> RawRecord {
    RawRecord {
        topic: "core.corebank.customers".into(),
        partition: Arc::new(Partition { topic: "core.corebank.customers".into(), partition: 0 }),
        offset,
        timestamp_ms: Some(offset),
        key: key.map(|key| key.as_bytes().to_vec()),
        value: Some(value.into()),
    }
}

fn customer(offset: i64, key: Option<&str>) -> RawRecord {
    let value = format!(
        r#"{{"before":null,"after":{{"customer_no":"C{offset}","name":"Zoe"}},"op":"c","source":{{"connector":"mariadb",
        "name":"core","ts_ms":{offset},"snapshot":"false","db":"corebank","table":"customers","server_id":1,"gtid":null,
        "file":"bin.000001","pos":{offset},"row":0}}}}"#
    );
    record(offset, key, &value)
}

fn preparer() -> Preparer {
    Preparer::new(Arc::new(Mapping::from_yaml(MAPPING).unwrap()), 1, None, BTreeMap::new())
}

#[test]
fn a_record_that_makes_us_panic_is_parked_and_the_others_are_applied() {
    let mut preparer = preparer();
    preparer.trip = |record| assert_ne!(record.offset, 2, "a customer's data");
    let records: Vec<_> = (1..=3).map(|n| customer(n, Some(&format!(r#"{{"customer_no":"C{n}"}}"#)))).collect();
    let prepared = preparer.prepare(&records, &HashMap::new());
    assert_eq!((prepared.changes.len(), prepared.parked.len(), prepared.records), (2, 1, 3));
    let parked = &prepared.parked[0];
    assert!(parked.reason.contains("panic") && !parked.reason.contains("data"), "{}", parked.reason);
    assert_eq!(parked.touches, [(Entity::Customer, "C2".to_owned())]);
}

/// A posting of a table without a primary key.
fn posting(offset: i64, amount: &str) -> RawRecord {
    let value = format!(
        r#"{{"before":null,"after":{{"account_no":"A1","posting_no":{offset},"ext_ref":null,"leg":"C","amount":{amount},"ccy":"EUR",
        "booked_at":1700000000000000,"value_date":19676,"text":null}},"op":"c","source":{{"connector":"mariadb","name":"core",
        "ts_ms":1700000000000,"snapshot":"false","db":"corebank","table":"postings","file":"bin.000001","pos":{offset},"row":0}}}}"#
    );
    RawRecord { topic: "core.corebank.postings".into(), ..record(offset, None, &value) }
}

#[test]
fn events_without_a_key_do_not_queue_behind_a_parked_one() {
    let mut preparer = preparer();
    let records = [record(1, None, "{"), posting(2, "\"AZoo\""), posting(3, "\"AZoo\""), customer(4, None)];
    let prepared = preparer.prepare(&records, &HashMap::new());
    assert_eq!((prepared.parked.len(), prepared.changes.len()), (2, 2));
    let state = &prepared.parked[1].reason;
    assert!(state.contains("message.key.columns"), "{state}");
}

#[test]
fn a_column_in_another_form_halts_the_source_at_the_first_event() {
    for amount in ["\"1000\"", "\"1000.00\"", "1000.0"] {
        let records = [posting(1, "\"AZoo\""), posting(2, amount), posting(3, "\"AZoo\"")];
        let prepared = preparer().prepare(&records, &HashMap::new());
        let halt = prepared.halt.as_ref().expect("a halt").text("corebank");
        assert!(halt.contains("postings.amount") && halt.ends_with("locum source resume corebank"), "{halt}");
        assert_eq!((prepared.changes.len(), prepared.parked.len(), prepared.records), (1, 0, 1));
    }
}

#[test]
fn a_batch_that_was_not_committed_teaches_nothing() {
    let mut preparer = preparer();
    let key = r#"{"customer_no":"C2"}"#;
    let (poison, good) = (record(1, Some(key), "{"), customer(2, Some(key)));
    let failed = preparer.prepare(std::slice::from_ref(&poison), &HashMap::new());
    assert_eq!(failed.parked.len(), 1);
    assert_eq!(preparer.prepare(std::slice::from_ref(&good), &HashMap::new()).healed.len(), 0);
    preparer.learn(&failed);
    assert_eq!(preparer.prepare(std::slice::from_ref(&good), &HashMap::new()).healed.len(), 1);
}

#[test]
fn a_log_that_went_back_halts_the_source_across_restarts_and_names_the_way_on() {
    let mut first = preparer();
    let before = first.prepare(&[customer(900, Some("{}"))], &HashMap::new());
    let step = &before.steps[0];
    let place = Place { next: step.to, marks: step.marks.clone() };
    let places = HashMap::from([(step.partition.clone(), place)]);
    // Another leader: the position is lower, and the core made it later.
    let mut later = customer(901, Some("{}"));
    let value = String::from_utf8(later.value.unwrap()).unwrap().replace(r#""pos":901"#, r#""pos":17"#);
    let value = value.replace(r#""ts_ms":901"#, r#""ts_ms":9000"#);
    later.value = Some(value.clone().into_bytes());
    let halted = preparer().prepare(&[later.clone()], &places);
    let text = halted.halt.expect("a halt").text("corebank");
    assert!(text.contains("went back") && text.ends_with("locum source rebuild corebank"), "{text}");
    assert_eq!((halted.records, halted.steps.len()), (0, 0));
    // What the connector repeats was made no later.
    later.value = Some(value.replace(r#""ts_ms":9000"#, r#""ts_ms":400"#).into_bytes());
    assert_eq!(preparer().prepare(&[later], &places).halt, None);
}

#[test]
fn events_of_tables_that_the_mapping_does_not_name_are_counted() {
    let mut stranger = customer(1, Some("{}"));
    let value = String::from_utf8(stranger.value.unwrap()).unwrap();
    stranger.value = Some(value.replace(r#""table":"customers""#, r#""table":"customers_2026""#).into_bytes());
    stranger.topic = "core.corebank.customers_2026".into();
    let prepared = preparer().prepare(&[stranger], &HashMap::new());
    assert_eq!(prepared.unmapped, [("corebank.customers_2026".to_owned(), 1)].into());
}

#[test]
fn a_promoted_standby_that_missed_a_heartbeat_of_a_binary_log_halts_the_source() {
    let beat = |offset: i64, file: u64, server: u64, beat: &str, previous: &str| {
        let value = format!(
            r#"{{"before":null,"after":{{"id":1,"beat":"{beat}","previous":"{previous}"}},"op":"u","source":{{"connector":"mariadb",
            "name":"core","ts_ms":{offset}000,"snapshot":"false","db":"corebank","table":"beats","server_id":{server},
            "gtid":"0-{server}-{offset}","file":"bin.{file:06}","pos":{offset},"row":0}}}}"#
        );
        RawRecord { topic: "core.corebank.beats".into(), ..record(offset, Some(r#"{"id":1}"#), &value) }
    };
    let mapping = Mapping::from_yaml(&format!("heartbeat: beats\n{MAPPING}")).unwrap();
    let mut preparer = Preparer::new(Arc::new(mapping), 1, None, BTreeMap::new());
    let records = [beat(1, 3, 1, "b", "a"), beat(2, 3, 1, "c", "b"), beat(3, 900, 2, "x", "b")];
    let prepared = preparer.prepare(&records, &HashMap::new());
    let text = prepared.halt.expect("a halt").text("corebank");
    assert!(text.contains("does not follow") && text.ends_with("locum source rebuild corebank"), "{text}");
    assert_eq!((prepared.records, prepared.signs.heartbeat_ms), (2, Some(2_000)));
}

/// A customer of a mapping whose filter lets rows of state A through.
fn filtered(offset: i64, op: &str, state: &str) -> RawRecord {
    let value = format!(
        r#"{{"before":null,"after":{{"id":1,"no":"N1","state":{state}}},"op":"{op}","source":{{"connector":"mariadb",
        "name":"core","ts_ms":{offset},"snapshot":"false","db":"corebank","table":"customers","server_id":1,"gtid":null,
        "file":"bin.000001","pos":{offset},"row":0}}}}"#
    );
    record(offset, Some(r#"{"id":1}"#), &value)
}

fn filtering(customer_id: &str) -> Preparer {
    let customers = format!("customers: {{key: [id], where: {{state: A}}, customer: {{customer_id: {customer_id}}}}}");
    let mapping = Mapping::from_yaml(&format!("source: s\nconnector: mariadb\ntables:\n  {customers}\n")).unwrap();
    Preparer::new(Arc::new(mapping), 1, None, BTreeMap::new())
}

#[test]
fn rows_that_a_filter_leaves_out_are_counted_and_attest_the_age_of_the_data() {
    let records =
        [filtered(1, "c", "\"B\""), filtered(2, "u", "\"B\""), filtered(3, "u", "\"A\""), filtered(4, "u", "\"B\"")];
    let prepared = filtering("no").prepare(&records, &HashMap::new());
    assert_eq!(prepared.skipped, [("customers".to_owned(), 3)].into());
    let ends: Vec<_> = prepared.changes.iter().map(|change| change.row == RowChange::Delete).collect();
    assert_eq!((ends, prepared.parked.len(), prepared.records), (vec![false, true], 0, 4));
    assert!(prepared.watermark.is_some() && prepared.times.is_some());
}

#[test]
fn a_skipped_row_does_not_hide_that_every_event_is_parked() {
    let records: Vec<_> = (1..=2 * i64::from(PARKED_IN_A_ROW_MAX) + 2)
        .map(|n| {
            let (id, state) = (format!(r#"{{"id":{n}}}"#), if n % 2 == 0 { "1.5" } else { "\"B\"" });
            RawRecord { key: Some(id.into_bytes()), ..filtered(n, "c", state) }
        })
        .collect();
    let halt = filtering("no").prepare(&records, &HashMap::new()).halt.expect("a halt").text("corebank");
    assert!(halt.contains("100 events in a row parked"), "{halt}");
}

#[test]
fn a_skipped_row_heals_its_parked_events_only_where_it_ends_what_they_may_have_changed() {
    for (customer_id, op, healed) in [("no", "c", 0), ("id", "u", 1)] {
        let records = [filtered(1, "c", "1.5"), filtered(2, op, "\"B\"")];
        let prepared = filtering(customer_id).prepare(&records, &HashMap::new());
        assert_eq!((prepared.healed.len(), prepared.changes.len()), (healed, healed), "{customer_id}");
    }
}

/// As [`MAPPING`], but postings take their currency from their account.
fn of_account() -> Preparer {
    let from = "codes: {D: debit, C: credit}}\n      currency: ccy\n";
    assert!(MAPPING.contains(from));
    let mapping = MAPPING.replace(from, "codes: {D: debit, C: credit}}\n      currency: {of: account}\n");
    Preparer::new(Arc::new(Mapping::from_yaml(&mapping).unwrap()), 1, None, BTreeMap::new())
}

fn account(offset: i64, currency: &str) -> RawRecord {
    let value = format!(
        r#"{{"before":null,"after":{{"account_no":"A1","owner":"C1","ccy":"{currency}","status":"A","balance":"AA==","overdraft":"AA==",
        "held":"AA==","last_posting":0}},"op":"u","source":{{"connector":"mariadb","name":"core","ts_ms":{offset},"snapshot":"false",
        "db":"corebank","table":"accounts","file":"bin.000001","pos":{offset},"row":0}}}}"#
    );
    let topic: Arc<str> = "core.corebank.accounts".into();
    let partition = Arc::new(Partition { topic: topic.to_string(), partition: 0 });
    RawRecord { topic, partition, ..record(offset, Some(r#"{"account_no":"A1"}"#), &value) }
}

fn known(currency: Option<&str>) -> Known {
    [("A1".to_owned(), currency.map(|code| schemas::money::Currency::parse(code).unwrap()))].into()
}

#[test]
fn an_event_waits_for_the_account_that_tells_its_currency() {
    let posting = || posting(1, "\"AZoo\"");
    let mut preparer = of_account();
    let asked = |preparer: &mut Preparer, record: &RawRecord| {
        preparer.accounts_asked([(&*record.topic, record.key.as_deref(), record.value.as_deref())])
    };
    assert_eq!(asked(&mut preparer, &posting()), ["A1".to_owned()].into());
    assert_eq!(asked(&mut preparer, &account(1, "EUR")), ["A1".to_owned()].into(), "its currency must not change");
    assert_eq!(asked(&mut preparer, &customer(1, None)), BTreeSet::new());

    let prepared = preparer.prepare(&[posting()], &HashMap::new());
    assert_eq!((prepared.changes.len(), prepared.parked.len(), prepared.waits.len()), (0, 0, 1));
    let waits = prepared.waits.clone();
    assert_eq!((waits[0].account_id.as_str(), waits[0].left_out, waits[0].offset), ("A1", false, 1));
    assert!(prepared.watermark.is_none() && prepared.signs.event.is_some(), "read, and not applied");
    assert_eq!(prepared.steps[0].to, 2, "it is durable with its offset");

    let early = preparer.release(waits.clone(), false);
    assert_eq!((early.waits.len(), early.released.len(), early.parked.len()), (1, 1, 0));
    let late = preparer.release(waits.clone(), true);
    assert_eq!((late.waits.len(), late.released.len(), late.parked.len()), (0, 1, 1));
    assert!(late.parked[0].reason.contains("the row of that account has not come"), "{}", late.parked[0].reason);
    assert_eq!(late.parked[0].touches, [(Entity::Account, "A1".to_owned())]);

    preparer.know_accounts(known(Some("JPY")));
    let there = preparer.release(waits, true);
    assert_eq!((there.changes.len(), there.evidence.len(), there.parked.len(), there.waits.len()), (1, 0, 0, 0));
    let row = match &there.changes[0].row {
        RowChange::Upsert(schemas::model::CanonicalRow::Transaction(row)) => row.currency.code(),
        other => panic!("{other:?}"),
    };
    assert_eq!(row, "JPY");
}

#[test]
fn what_is_known_of_an_account_is_known_within_the_batch_and_may_be_that_it_is_left_out() {
    let mut preparer = of_account();
    let records = [account(1, "EUR"), posting(2, "\"AZoo\"")];
    let prepared = preparer.prepare(&records, &HashMap::new());
    assert_eq!((prepared.waits.len(), prepared.told.clone()), (0, known(Some("EUR"))));
    let mut preparer = of_account();
    preparer.know_accounts(known(None));
    let prepared = preparer.prepare(&[posting(1, "\"AZoo\"")], &HashMap::new());
    assert!(prepared.waits[0].left_out);
}

#[test]
fn an_event_that_is_too_large_to_be_kept_whole_does_not_wait() {
    let mut large = posting(1, "\"AZoo\"");
    large.value.as_mut().unwrap().extend(vec![b' '; PARKED_BYTES_MAX]);
    let prepared = of_account().prepare(&[large], &HashMap::new());
    assert_eq!((prepared.waits.len(), prepared.parked.len()), (0, 1));
    assert!(prepared.parked[0].reason.contains("too large"), "{}", prepared.parked[0].reason);
    assert_eq!(prepared.parked[0].touches, [(Entity::Account, "A1".to_owned())]);
}

#[test]
fn an_account_whose_currency_changes_halts_the_source_where_other_rows_took_it() {
    let mut preparer = of_account();
    preparer.know_accounts(known(Some("USD")));
    assert_eq!(preparer.prepare(&[account(1, "USD")], &HashMap::new()).halt, None);
    let halt = preparer.prepare(&[account(2, "EUR")], &HashMap::new()).halt.expect("a halt").text("corebank");
    assert!(halt.contains("currency of an account changed") && halt.contains("locum source rebuild"), "{halt}");
    let mut others = self::preparer();
    assert_eq!(others.prepare(&[account(1, "EUR"), account(2, "USD")], &HashMap::new()).halt, None, "nobody took it");
}

#[test]
fn a_refusal_that_cannot_be_read_puts_no_account_in_doubt() {
    let refusals = "{operations: [transfer], core_ref: reference, code: result}";
    let commands = format!("commands: {{key: [id], where: {{status: 5}}, refusals: {refusals}}}");
    let mapping = Mapping::from_yaml(&format!("source: s\nconnector: mariadb\ntables:\n  {commands}\n")).unwrap();
    let mut preparer = Preparer::new(Arc::new(mapping), 1, None, BTreeMap::new());
    let command = |offset: i64, value: &str| {
        let key = format!(r#"{{"id":{offset}}}"#);
        RawRecord { topic: "core.corebank.commands".into(), ..record(offset, Some(&key), value) }
    };
    let unread = r#"{"before":null,"after":{"id":1,"status":5,"reference":true,"result":"x"},"op":"u","source":{
        "connector":"mariadb","name":"core","ts_ms":1,"snapshot":"false","db":"corebank","table":"commands","server_id":1,
        "gtid":null,"file":"bin.000001","pos":1,"row":0}}"#;
    let prepared = preparer.prepare(&[command(1, unread), command(2, "{")], &HashMap::new());
    assert_eq!(prepared.parked.len(), 2);
    for parked in &prepared.parked {
        assert_eq!(parked.touches, [(Entity::Transaction, "refusal".to_owned())], "{}", parked.reason);
    }
    assert_eq!(prepared.doubtful_accounts(), Some(BTreeSet::new()));
}
