use proptest::prelude::*;

use super::*;
use crate::debezium::{Decoder, Record};

/// A change of account `key` to `amount`, with the source block's members that matter.
fn json(connector: &str, key: &str, amount: i64, source: &str, transaction: Option<u64>) -> (String, String) {
    let transaction = transaction.map_or("null".to_owned(), |order| {
        format!(r#"{{"id":"x","total_order":{order},"data_collection_order":{order}}}"#)
    });
    let value = format!(
        r#"{{"after":{{"no":"{key}","amount":{amount}}},"op":"u","transaction":{transaction},"source":{{"connector":"{connector}","name":"s","db":"d","schema":"d","table":"t",{source}}}}}"#
    );
    (format!(r#"{{"no":"{key}"}}"#), value)
}

fn observe(continuity: &mut Continuity, (key, value): &(String, String)) -> Result<(), Discontinuity> {
    let mut decoder = Decoder::new();
    match decoder.decode("t", Some(key.as_bytes()), Some(value.as_bytes())).unwrap() {
        Record::Change(event) => continuity.observe(1, &event),
        other => panic!("{other:?}"),
    }
}

fn wal(lsn: u64, ts_ms: i64) -> (String, String) {
    json(
        "postgresql",
        "A",
        lsn as i64,
        &format!(r#""ts_ms":{ts_ms},"lsn":{lsn},"sequence":"[\"{lsn}\",\"{lsn}\"]""#),
        None,
    )
}

fn binlog(pos: u64, ts_ms: i64, gtid: &str) -> (String, String) {
    let source = format!(r#""ts_ms":{ts_ms},"file":"bin.000003","pos":{pos},"row":0,"gtid":{gtid}"#);
    json("mariadb", "A", pos as i64, &source, None)
}

/// A change inside the one compressed transaction of the tests.
fn compressed(key: &str, amount: i64, order: Option<u64>) -> (String, String) {
    json("mysql", key, amount, r#""ts_ms":5,"file":"bin.000003","pos":700,"row":0"#, order)
}

fn all(records: &[(String, String)]) -> Result<(), Discontinuity> {
    let mut continuity = Continuity::default();
    records.iter().try_for_each(|record| observe(&mut continuity, record))
}

#[test]
fn a_position_that_goes_back_while_time_goes_forward_is_refused() {
    let mut continuity = Continuity::default();
    observe(&mut continuity, &wal(9_000_100, 100_000)).unwrap();
    let back = observe(&mut continuity, &wal(5_100, 112_000));
    let Err(Discontinuity::WentBack { later_ms: 12_000, .. }) = &back else { panic!("{back:?}") };
    assert_eq!(observe(&mut continuity, &wal(5_100, 112_000)), back, "asked again, it answers the same");
    observe(&mut continuity, &wal(9_000_200, 113_000)).unwrap();
}

#[test]
fn changes_that_are_delivered_again_pass() {
    let first = [wal(1_000, 50_000), wal(1_010, 20_000), wal(1_020, 60_000), wal(1_030, 60_000)];
    let again = [first.clone(), first].concat();
    assert_eq!(all(&again), Ok(()));
}

#[test]
fn a_long_transaction_with_an_early_time_does_not_make_redelivered_changes_late() {
    // The last change is of a statement that began long before its transaction ended.
    assert_eq!(
        all(&[binlog(100, 500_000, "null"), binlog(200, 400_000, "null"), binlog(100, 500_000, "null")]),
        Ok(())
    );
}

#[test]
fn rows_of_snapshots_say_nothing_about_the_log() {
    let snapshot = |lsn: u64| {
        let (key, value) = wal(lsn, 900_000);
        (key, value.replace(r#""ts_ms""#, r#""snapshot":"true","ts_ms""#).replace(r#""op":"u""#, r#""op":"r""#))
    };
    assert_eq!(all(&[wal(9_000, 1_000), snapshot(10), wal(9_001, 2_000)]), Ok(()));
}

#[test]
fn several_servers_write_one_log() {
    let records = [(1_000, r#""0-101-50""#), (2_000, r#""0-102-51""#), (3_000, r#""0-101-52""#)]
        .map(|(pos, gtid)| binlog(pos, pos as i64, gtid));
    assert_eq!(all(&records), Ok(()));
}

#[test]
fn a_log_that_goes_on_with_lower_transaction_numbers_is_refused() {
    for (before, after) in [
        ("0-101-60", "0-102-59"),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:60", "3e11fa47-71ca-11e1-9e33-c80aa9429562:9"),
    ] {
        let (before, after) = (format!("\"{before}\""), format!("\"{after}\""));
        let back = all(&[binlog(1_000, 0, &before), binlog(2_000, 61_000, &after)]);
        assert!(matches!(back, Err(Discontinuity::NumbersWentBack { from: 60, later_ms: 61_000, .. })), "{back:?}");
        let out_of_order = all(&[binlog(1_000, 0, &before), binlog(2_000, 900, &after)]);
        assert_eq!(out_of_order, Ok(()), "a parallel replica commits out of order");
        let other = all(&[binlog(1_000, 0, &before), binlog(2_000, 61_000, "\"7-1-1\"")]);
        assert_eq!(other, Ok(()), "another domain has numbers of its own");
    }
}

#[test]
fn two_changes_of_a_row_at_one_place_need_transaction_metadata() {
    assert_eq!(all(&[compressed("A", 98_950, Some(2)), compressed("A", 98_925, Some(4))]), Ok(()));
    let refused = all(&[compressed("A", 98_950, None), compressed("A", 98_925, None)]).unwrap_err();
    assert!(refused.to_string().contains("provide.transaction.metadata=true"), "{refused}");
    assert_eq!(all(&[compressed("A", 1, None), compressed("B", 2, None)]), Ok(()), "other rows need no order");
    assert_eq!(all(&[compressed("A", 1, None), compressed("A", 1, None)]), Ok(()), "it is delivered again");
}

#[test]
fn a_connector_that_counts_a_transaction_anew_is_noticed_before_a_change_is_lost() {
    let anew = all(&[compressed("A", 98_950, Some(2)), compressed("A", 98_925, Some(1))]);
    assert_eq!(anew, Err(Discontinuity::CountedAnew { at: "000003:700/0".into() }));
    let again = [compressed("A", 1, Some(2)), compressed("A", 2, Some(4)), compressed("A", 1, Some(2))];
    assert_eq!(all(&again), Ok(()), "a change that was seen may be counted anew");
}

#[test]
fn another_change_at_a_place_of_a_write_ahead_log_shows_that_the_log_is_another_one() {
    let change = |amount| {
        let source = r#""ts_ms":5,"lsn":700,"sequence":"[\"700\",\"700\"]""#;
        json("postgresql", "A", amount, source, None)
    };
    assert_eq!(all(&[change(1), change(1)]), Ok(()), "delivered again");
    let other = all(&[change(1), change(2)]);
    assert!(matches!(other, Err(Discontinuity::OtherLog { .. })), "{other:?}");
}

#[test]
fn what_was_reached_survives_a_restart() {
    let mut before = Continuity::default();
    assert_eq!(before.to_text(), None);
    observe(&mut before, &binlog(9_000, 50_000, r#""0-1-7""#)).unwrap();
    let mut after = Continuity::parse(&before.to_text().unwrap()).unwrap();
    assert_eq!(after.to_text(), before.to_text());
    assert!(matches!(observe(&mut after, &binlog(1, 60_000, "null")), Err(Discontinuity::WentBack { .. })));
    assert!(matches!(
        observe(&mut after, &binlog(9_001, 500_000, r#""0-2-6""#)),
        Err(Discontinuity::NumbersWentBack { .. })
    ));
    assert_eq!(["", "{}", "7"].map(Continuity::parse), [None, None, None]);
}

proptest! {
    /// A log that goes on, delivered with restarts that begin again at any earlier change.
    #[test]
    fn no_redelivery_is_taken_for_a_log_that_went_back(
        steps in proptest::collection::vec((1..1_000u64, -30_000..30_000i64), 1..60),
        restarts in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
    ) {
        let (mut pos, mut ts_ms) = (0, 1_000_000);
        let log: Vec<_> = steps.into_iter().map(|(forward, late)| {
            pos += forward;
            ts_ms += 1_000;
            binlog(pos, ts_ms + late, &format!(r#""0-1-{pos}""#))
        }).collect();
        let mut delivered = log.clone();
        for (from, to) in restarts {
            let to = to.index(log.len()) + 1;
            let from = from.index(to);
            // What was delivered up to `to` comes again from `from`.
            delivered = [&log[..to], &log[from..]].concat();
            prop_assert_eq!(all(&delivered), Ok(()));
        }
        prop_assert_eq!(all(&delivered), Ok(()));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = Continuity::parse(&text);
    }
}

fn beats_in(
    record: &(String, String),
    timeline: Option<&str>,
    continuity: &mut Continuity,
    beat: &str,
    previous: Option<&str>,
) -> Result<(), Discontinuity> {
    let (key, value) = record;
    let mut decoder = Decoder::new();
    let Record::Change(event) = decoder.decode("t", Some(key.as_bytes()), Some(value.as_bytes())).unwrap() else {
        panic!("{value}");
    };
    let [previous, timeline] = [previous, timeline].map(|text| text.map(str::to_owned));
    let beat = Beat { beat: beat.to_owned(), previous, timeline };
    continuity.observe(1, &event).and_then(|()| continuity.beats(1, &event, &beat))
}

fn beats_on(
    timeline: Option<&str>,
    continuity: &mut Continuity,
    lsn: u64,
    beat: &str,
    previous: Option<&str>,
) -> Result<(), Discontinuity> {
    beats_in(&wal(lsn, lsn as i64), timeline, continuity, beat, previous)
}

/// A change in this file of the binary log, by its second.
fn in_file(connector: &str, file: u64, second: i64, gtid: &str) -> (String, String) {
    let ts_ms = second * 1_000;
    let source = format!(r#""ts_ms":{ts_ms},"file":"bin.{file:06}","pos":{second},"row":0,"gtid":{gtid}"#);
    json(connector, "A", second, &source, None)
}

/// Connector, and transaction ids of a server and of the standby that was promoted in its place.
const PROMOTED: [(&str, &str, &str); 5] = [
    ("mysql", "null", "null"),
    ("mysql", r#""3e11fa47-71ca-11e1-9e33-c80aa9429562:60""#, r#""aaaaaaaa-71ca-11e1-9e33-c80aa9429562:1""#),
    ("mysql", r#""3e11fa47-71ca-11e1-9e33-c80aa9429562:60""#, r#""3e11fa47-71ca-11e1-9e33-c80aa9429562:59""#),
    ("mariadb", r#""0-1-60""#, r#""0-2-59""#),
    ("mariadb", r#""0-1-60""#, r#""0-2-61""#),
];

#[test]
fn a_promoted_standby_that_missed_a_heartbeat_is_refused_whatever_its_log_and_its_transactions_are_called() {
    for (connector, before, after) in PROMOTED {
        let mut continuity = Continuity::default();
        beats_in(&in_file(connector, 3, 10, before), None, &mut continuity, "b", Some("a")).unwrap();
        beats_in(&in_file(connector, 3, 11, before), None, &mut continuity, "c", Some("b")).unwrap();
        let promoted = |file, second| {
            let record = in_file(connector, file, second, after);
            beats_in(&record, None, &mut continuity.clone(), "x", Some("b"))
        };
        for file in [3, 4, 900] {
            let missed = promoted(file, 12);
            assert!(matches!(missed, Err(Discontinuity::BeatMissed { .. })), "{connector} {after} {file}: {missed:?}");
        }
        let back = promoted(2, 13);
        assert!(matches!(back, Err(Discontinuity::WentBack { .. })), "{connector} {after}: {back:?}");
    }
}

#[test]
fn a_promoted_standby_that_missed_less_than_a_heartbeat_is_refused_where_heartbeats_name_the_server() {
    for (connector, before, after) in PROMOTED {
        let follows = |was, is| {
            let mut continuity = Continuity::default();
            beats_in(&in_file(connector, 3, 10, before), was, &mut continuity, "b", Some("a")).unwrap();
            beats_in(&in_file(connector, 900, 11, after), is, &mut continuity, "c", Some("b"))
        };
        let branched = follows(Some("server 1"), Some("server 2"));
        assert!(matches!(branched, Err(Discontinuity::OtherTimeline { .. })), "{connector} {after}: {branched:?}");
        assert_eq!(follows(Some("server 1"), Some("server 1")), Ok(()));
        assert_eq!(follows(None, None), Ok(()), "nothing tells");
    }
}

#[test]
fn a_heartbeat_of_another_timeline_is_refused_although_it_follows_the_last_one() {
    let mut continuity = Continuity::default();
    // The column was added later.
    beats_on(None, &mut continuity, 1_000, "b", Some("a")).unwrap();
    beats_on(Some("00000001"), &mut continuity, 2_000, "c", Some("b")).unwrap();
    let mut continuity = Continuity::parse(&continuity.to_text().unwrap()).unwrap();
    for lsn in [2_000, 3_000] {
        let branched = beats_on(Some("00000002"), &mut continuity.clone(), lsn, "d", Some("c"));
        let Err(Discontinuity::OtherTimeline { from, to, .. }) = branched else { panic!("{branched:?}") };
        assert_eq!((&*from, &*to), ("00000001", "00000002"));
    }
    beats_on(Some("00000001"), &mut continuity, 3_000, "d", Some("c")).unwrap();
}

#[test]
fn a_heartbeat_that_does_not_follow_the_last_one_is_refused_although_the_log_goes_on() {
    let beats = |continuity: &mut Continuity, lsn, beat, previous| beats_on(None, continuity, lsn, beat, previous);
    let mut continuity = Continuity::default();
    beats(&mut continuity, 1_000, "b", Some("a")).unwrap();
    beats(&mut continuity, 2_000, "c", Some("b")).unwrap();
    beats(&mut continuity, 1_000, "b", Some("a")).unwrap();
    let mut continuity = Continuity::parse(&continuity.to_text().unwrap()).unwrap();
    beats(&mut continuity, 3_000, "d", Some("c")).unwrap();
    for previous in [Some("c"), None] {
        let missed = beats(&mut continuity.clone(), 900_000, "x", previous);
        assert!(matches!(missed, Err(Discontinuity::BeatMissed { .. })), "{missed:?}");
    }
    beats(&mut continuity, 4_000, "e", Some("d")).unwrap();
}
