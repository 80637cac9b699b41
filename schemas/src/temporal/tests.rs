use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn cell(json: &str) -> Cell<'_> {
    Cell::new(serde_json::from_str::<&RawValue>(json).unwrap())
}

fn utc(json: &str, format: TimeFormat) -> Result<String, TemporalError> {
    timestamp(cell(json), format, None, &TimeZone::UTC).map(|t| t.to_string())
}

#[test]
fn debezium_dates_and_times_are_read() {
    assert_eq!(date(cell("20414"), None).unwrap().to_string(), "2025-11-22");
    assert_eq!(date(cell("-1"), None).unwrap().to_string(), "1969-12-31");
    let expected = "2025-11-22T02:00:00.123Z";
    assert_eq!(utc("1763776800123", TimeFormat::Millis).unwrap(), expected);
    assert_eq!(utc("1763776800123000", TimeFormat::Micros).unwrap(), expected);
    assert_eq!(utc("1763776800123000000", TimeFormat::Nanos).unwrap(), expected);
    assert_eq!(utc(r#""2025-11-22T03:00:00.123+01:00""#, TimeFormat::Zoned).unwrap(), expected);
}

#[test]
fn the_schema_blocks_unit_decides_over_the_mappings() {
    let read = timestamp(cell("1763776800123"), TimeFormat::Micros, Some(ColumnKind::TimestampMillis), &TimeZone::UTC);
    assert_eq!(read.unwrap().to_string(), "2025-11-22T02:00:00.123Z");
    assert!(timestamp(cell("5"), TimeFormat::Micros, Some(ColumnKind::Date), &TimeZone::UTC).is_err());
    assert!(date(cell("5"), Some(ColumnKind::TimestampMillis)).is_err());
}

#[test]
fn a_wall_clock_time_is_read_in_the_cores_zone() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let read = |json| timestamp(cell(json), TimeFormat::Millis, None, &berlin).unwrap().to_string();
    assert_eq!(read("1763776800000"), "2025-11-22T01:00:00Z");
    // 2025-10-26 02:30 was shown twice: the first, still in summer time, is taken.
    assert_eq!(read("1761445800000"), "2025-10-26T00:30:00Z");
}

#[test]
fn text_with_an_offset_needs_no_zone() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let read = timestamp(cell(r#""2025-11-22T02:00:00Z""#), TimeFormat::Zoned, None, &berlin).unwrap();
    assert_eq!(read.to_string(), "2025-11-22T02:00:00Z");
}

#[test]
fn a_time_decades_from_its_change_is_not_believed() {
    let change_ms = 1_763_776_800_000;
    let read = |json, format| plausible(timestamp(cell(json), format, None, &TimeZone::UTC).unwrap(), change_ms, 40);
    let implausible = Err(TemporalError::Implausible(40));
    assert_eq!(read("0", TimeFormat::Micros), implausible, "a zero date");
    assert_eq!(read("1763776800123", TimeFormat::Micros), implausible, "milliseconds mapped as microseconds");
    assert_eq!(read("1763776800123", TimeFormat::Millis), Ok(()));
    assert_eq!(read("757382400000", TimeFormat::Millis), Ok(()), "a booking of 1994");
    assert_eq!(plausible(Timestamp::MAX, 0, u16::MAX), Ok(()));
}

#[test]
fn what_is_no_time_is_refused() {
    for json in ["null", "1.5", "1e3", r#""2025""#, "true", "{}", "9223372036854775808"] {
        assert!(utc(json, TimeFormat::Millis).is_err(), "{json}");
        assert!(date(cell(json), None).is_err(), "{json}");
    }
    assert_eq!(utc("9223372036854775807", TimeFormat::Millis), Err(TemporalError::OutOfRange));
    assert_eq!(date(cell("999999999"), None), Err(TemporalError::OutOfRange));
    assert!(utc(r#""2025-11-22T02:00:00""#, TimeFormat::Zoned).is_err(), "a time without offset is no point in time");
}

proptest! {
    #[test]
    fn no_number_panics(n in any::<i64>()) {
        let json = n.to_string();
        let _ = date(cell(&json), None);
        for format in [TimeFormat::Millis, TimeFormat::Micros, TimeFormat::Nanos] {
            let _ = timestamp(cell(&json), format, None, &TimeZone::fixed(jiff::tz::offset(14)));
        }
    }

    #[test]
    fn days_are_counted_exactly(days in -700_000..2_900_000i32) {
        let read = date(cell(&days.to_string()), None).unwrap();
        let midnight = read.to_zoned(TimeZone::UTC).unwrap().timestamp();
        prop_assert_eq!(midnight.as_second(), i64::from(days) * 86_400);
    }
}
