use bigdecimal::{BigDecimal, ToPrimitive};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn read(json: &str, declared: DecimalFormat, block: Option<ColumnKind>) -> Result<Decimal, DecimalError> {
    let raw: &RawValue = serde_json::from_str(json).unwrap();
    Decimal::from_cell(Cell::new(raw), declared, block)
}

const PRECISE: DecimalFormat = DecimalFormat::Precise { scale: 2 };
const TEXT: DecimalFormat = DecimalFormat::Text { scale: None };

fn base64(unscaled: i128, extension: usize) -> String {
    let fill = if unscaled < 0 { 0xff } else { 0x00 };
    let bytes: Vec<u8> = std::iter::repeat_n(fill, extension).chain(unscaled.to_be_bytes()).collect();
    STANDARD.encode(bytes)
}

#[test]
fn debezium_cells_of_every_mode_are_read_exactly() {
    for (json, format, unscaled, scale) in [
        (r#""AZoo""#, PRECISE, 105_000, 2),
        (r#""AA==""#, PRECISE, 0, 2),
        (r#""/w==""#, PRECISE, -1, 2),
        (r#""++Y=""#, PRECISE, -1_050, 2),
        (r#""10.50""#, TEXT, 1_050, 2),
        (r#""-0.05""#, TEXT, -5, 2),
        (r#""1.2E+3""#, TEXT, 12, -2),
        (r#""0E-10""#, TEXT, 0, 10),
        (r#"{"scale":3,"value":"BNI="}"#, DecimalFormat::Variable, 1_234, 3),
        ("-1050", DecimalFormat::Integer { scale: 2 }, -1_050, 2),
    ] {
        assert_eq!(read(json, format, None), Ok(Decimal { unscaled, scale }), "{json}");
    }
}

#[test]
fn binary_fractions_are_refused_with_the_remedy() {
    for json in ["10.5", "12", "1e3", "1E400"] {
        let err = read(json, PRECISE, None).unwrap_err();
        assert_eq!(err, DecimalError::BinaryFraction);
        assert!(err.to_string().contains("decimal.handling.mode=precise or string"));
    }
    assert_eq!(read("10.0", DecimalFormat::Integer { scale: 2 }, None), Err(DecimalError::BinaryFraction));
    assert_eq!(read("10.0", PRECISE, Some(ColumnKind::Float)), Err(DecimalError::BinaryFraction));
}

#[test]
fn the_schema_block_decides_over_the_mapping() {
    let wider = Some(ColumnKind::Decimal { scale: 4 });
    assert_eq!(read(r#""AZoo""#, PRECISE, wider), Ok(Decimal { unscaled: 105_000, scale: 4 }));
    assert_eq!(read(r#""1234""#, PRECISE, Some(ColumnKind::Text)), Ok(Decimal { unscaled: 1_234, scale: 0 }));
    assert!(matches!(read("5", PRECISE, Some(ColumnKind::Date)), Err(DecimalError::OtherForm(_))));
}

#[test]
fn a_text_that_two_forms_would_read_is_refused_without_a_schema_block() {
    for json in [r#""1000""#, r#""12345678""#] {
        assert_eq!(read(json, PRECISE, None), Err(DecimalError::Ambiguous));
        assert!(read(json, PRECISE, Some(ColumnKind::Decimal { scale: 2 })).is_ok());
    }
    let with_scale = DecimalFormat::Text { scale: Some(2) };
    assert_eq!(read(r#""1000""#, with_scale, None), Err(DecimalError::OtherScale(2)));
    assert_eq!(read(r#""1000.00""#, with_scale, None), Ok(Decimal { unscaled: 100_000, scale: 2 }));
}

#[test]
fn a_column_in_another_form_contradicts_the_mapping_and_a_broken_value_does_not() {
    let minor = DecimalFormat::Integer { scale: 2 };
    let error = |json, declared| read(json, declared, None).unwrap_err();
    for (json, declared) in [
        (r#""10.50""#, PRECISE),
        ("10.5", PRECISE),
        (r#"{"scale":2,"value":"AZoo"}"#, PRECISE),
        (r#""AZoo""#, TEXT),
        (r#""AZoo""#, DecimalFormat::Variable),
        (r#""1000""#, minor),
    ] {
        assert!(error(json, declared).is_contradiction(), "{json}");
    }
    for (json, declared) in [
        (r#""A$==""#, PRECISE),
        (r#""not.a-number""#, PRECISE),
        (r#""1,5""#, TEXT),
        ("{}", DecimalFormat::Variable),
        ("true", minor),
        ("18446744073709551615", minor),
    ] {
        assert!(!error(json, declared).is_contradiction(), "{json}");
    }
    assert_eq!(error("18446744073709551615", minor), DecimalError::OutOfRange);
}

#[test]
fn equal_numbers_have_one_plain_text() {
    for (unscaled, scale, plain) in [
        (4_711_000_815, 0, "4711000815"),
        (100, 2, "1"),
        (150, 2, "1.5"),
        (-5, 2, "-0.05"),
        (12, -2, "1200"),
        (0, 3, "0"),
    ] {
        assert_eq!(Decimal { unscaled, scale }.to_string(), plain);
    }
}

#[test]
fn text_mode_under_a_precise_mapping_is_named() {
    assert_eq!(read(r#""10.50""#, PRECISE, None), Err(DecimalError::TextNotBase64));
}

#[test]
fn amounts_become_minor_units_exactly_or_not_at_all() {
    let minor = |unscaled, scale, exponent| Decimal { unscaled, scale }.to_minor(exponent);
    assert_eq!(minor(1_050, 2, 2), Ok(1_050));
    assert_eq!(minor(500_000, 2, 0), Ok(5_000));
    assert_eq!(minor(5, 0, 3), Ok(5_000));
    assert_eq!(minor(12, -2, 2), Ok(120_000));
    assert_eq!(minor(1_055, 3, 2), Err(DecimalError::Inexact));
    assert_eq!(minor(500_001, 2, 0), Err(DecimalError::Inexact));
    assert_eq!(minor(i128::from(i64::MAX), 2, 2), Ok(i64::MAX));
    assert_eq!(minor(i128::from(i64::MAX) + 1, 2, 2), Err(DecimalError::OutOfRange));
    assert_eq!(minor(1, -40, 2), Err(DecimalError::OutOfRange));
    assert_eq!(minor(1, 1_000, 2), Err(DecimalError::Inexact));
    assert_eq!(minor(0, 1_000, 2), Ok(0));
}

#[test]
fn what_is_no_decimal_is_refused() {
    for json in
        [r#""""#, r#"".5""#, r#""1.""#, r#""NaN""#, r#""+1""#, r#""1,5""#, r#""--1""#, r#""1e99999999999""#, r#""é""#]
    {
        assert!(read(json, TEXT, None).is_err(), "{json}");
    }
    for json in [r#""""#, r#""A""#, r#""A$==""#, "null", "true", "[]", "{}"] {
        assert!(read(json, PRECISE, None).is_err(), "{json}");
    }
    assert_eq!(Decimal::from_text("1e-1001"), Err(DecimalError::Scale));
    assert_eq!(Decimal::from_text(&"9".repeat(60)), Err(DecimalError::TooManyDigits));
    assert_eq!(Decimal::from_base64(&STANDARD.encode([0x7f; 17]), 0), Err(DecimalError::TooManyDigits));
    assert_eq!(
        Decimal::from_base64(&STANDARD.encode([[0u8].as_slice(), &[0xff; 16]].concat()), 0),
        Err(DecimalError::TooManyDigits)
    );
}

proptest! {
    #[test]
    fn base64_of_any_length_reads_back(unscaled in any::<i128>(), extension in 0..20usize, scale in 0..30i32) {
        prop_assert_eq!(Decimal::from_base64(&base64(unscaled, extension), scale), Ok(Decimal { unscaled, scale }));
    }

    #[test]
    fn shortest_base64_reads_back(unscaled in prop_oneof![-70_000..70_000i128, any::<i128>()]) {
        let all = unscaled.to_be_bytes();
        let spare = (0..15).take_while(|i| {
            let fill = if unscaled < 0 { 0xff } else { 0 };
            all[*i] == fill && (all[i + 1] & 0x80 != 0) == (unscaled < 0)
        }).count();
        let text = STANDARD.encode(&all[spare..]);
        prop_assert_eq!(Decimal::from_base64(&text, 2), Ok(Decimal { unscaled, scale: 2 }));
    }

    #[test]
    fn minor_units_agree_with_arbitrary_precision(
        unscaled in prop_oneof![-2_000_000..2_000_000i128, any::<i64>().prop_map(i128::from), any::<i128>()],
        scale in -5..12i32, exponent in 0..5u32,
    ) {
        let decimal = Decimal { unscaled, scale };
        let shifted = BigDecimal::from(decimal) * BigDecimal::from(10u64.pow(exponent));
        let oracle = if shifted.is_integer() { shifted.to_i64() } else { None };
        prop_assert_eq!(decimal.to_minor(exponent).ok(), oracle);
    }

    #[test]
    fn floor_and_ceil_are_the_next_whole_minor_units(
        unscaled in prop_oneof![-2_000_000..2_000_000i128, any::<i64>().prop_map(i128::from)], scale in -2..60i32, exponent in 0..5u32,
    ) {
        let decimal = Decimal { unscaled, scale };
        let exact = BigDecimal::from(decimal) * BigDecimal::from(10u64.pow(exponent));
        if let Ok(floor) = decimal.to_minor_by(exponent, Inexact::Floor) {
            prop_assert!(exact >= floor && exact < BigDecimal::from(floor) + BigDecimal::from(1));
        }
        if let Ok(ceil) = decimal.to_minor_by(exponent, Inexact::Ceil) {
            prop_assert!(exact <= ceil && exact > BigDecimal::from(ceil) - BigDecimal::from(1));
            let mirrored = decimal.checked_neg().unwrap().to_minor_by(exponent, Inexact::Ceil.mirrored());
            prop_assert_eq!(mirrored.ok(), ceil.checked_neg());
        }
    }

    #[test]
    fn sums_agree_with_arbitrary_precision_or_are_refused(
        a in any::<i128>(), b in prop_oneof![-2_000_000..2_000_000i128, any::<i128>()], scale in -20..20i32, other in -20..20i32,
    ) {
        let (a, b) = (Decimal { unscaled: a, scale }, Decimal { unscaled: b, scale: other });
        match a.checked_add(b) {
            Ok(sum) => prop_assert_eq!(BigDecimal::from(sum), BigDecimal::from(a) + BigDecimal::from(b)),
            Err(err) => prop_assert_eq!(err, DecimalError::TooManyDigits),
        }
        prop_assert_eq!(a.checked_add(b).map(BigDecimal::from), b.checked_add(a).map(BigDecimal::from));
    }

    #[test]
    fn plain_text_agrees_with_arbitrary_precision(whole in 0..10_000_000_000u64, fraction in "[0-9]{0,12}", negative in any::<bool>()) {
        let sign = if negative { "-" } else { "" };
        let text = if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
        let read = Decimal::from_text(&text).unwrap();
        prop_assert_eq!(BigDecimal::from(read), text.parse::<BigDecimal>().unwrap());
    }

    #[test]
    fn no_text_panics(text in any::<String>(), scale in any::<i32>(), exponent in any::<u32>()) {
        for read in [Decimal::from_text(&text), Decimal::from_base64(&text, scale)].into_iter().flatten() {
            let _ = read.to_minor(exponent);
            let _ = read.to_minor_by(exponent, Inexact::Ceil);
            let _ = read.of_units(exponent).and_then(|units| units.checked_add(read));
        }
    }
}
