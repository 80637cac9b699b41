//! Tables from their records: what the columns look like in the events of a connector.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{has_any, words};
use super::shape::{CODES_MAX, Column, Form, Table, Tables};
use crate::debezium::{COLUMNS_MAX, Cell, ChangeEvent, ColumnKind, Connector, Op, Row};
use crate::decimal::is_base64;

/// Tables that are looked at; records of further ones are passed over.
const TABLES_MAX: usize = 1_000;
/// Longest value that may be a code, in characters.
const CODE_CHARS_MAX: usize = 32;
/// Days since 1970 that a date may be: to the year 2243, and back as far.
const DAYS_MAX: u64 = 100_000;
/// Words of columns that hold times.
const TIME_WORDS: [&str; 14] = [
    "at",
    "on",
    "date",
    "time",
    "timestamp",
    "utc",
    "created",
    "updated",
    "modified",
    "booked",
    "posted",
    "ts",
    "dob",
    "scheduled",
];

/// What was seen of the tables so far. Bounded, whatever is shown to it.
#[derive(Default)]
pub struct Observed {
    connector: Option<Connector>,
    tables: BTreeMap<(String, String), Seen>,
}

/// One table.
#[derive(Default)]
struct Seen {
    key: Vec<String>,
    /// In the order of the records.
    columns: Vec<(String, Cells)>,
}

/// The cells of one column.
#[derive(Default)]
struct Cells {
    kind: Option<ColumnKind>,
    rows: u64,
    nulls: u64,
    booleans: u64,
    integers: u64,
    /// Largest integer without its sign.
    highest: u64,
    texts: u64,
    /// Of them those that may be base64, numbers with a point, times with a zone.
    base64: u64,
    decimals: u64,
    zoned: u64,
    variable: u64,
    others: u64,
    codes: BTreeSet<String>,
    /// There were too many or too long ones.
    no_codes: bool,
}

impl Observed {
    /// Looks at one more event.
    pub fn see(&mut self, event: &ChangeEvent<'_>) {
        self.connector.get_or_insert(event.source.connector);
        let name = (event.source.database.to_string(), event.source.table.to_string());
        if self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&name) {
            return;
        }
        let seen = self.tables.entry(name).or_default();
        if !event.key.is_empty() {
            seen.key = event.key.iter().map(|(column, _)| column.to_owned()).collect();
        }
        let row = if event.op == Op::Delete { None } else { event.after.as_ref() };
        if let Some(row) = row {
            seen.see(row, event);
        }
    }

    /// The tables, as far as they were seen.
    pub fn tables(&self) -> Tables {
        let table = |((database, name), seen): (&(String, String), &Seen)| Table {
            database: Some(database.clone()),
            name: name.clone(),
            key: seen.key.clone(),
            columns: seen.columns.iter().map(|(name, cells)| cells.column(name)).collect(),
        };
        Tables { connector: self.connector, tables: self.tables.iter().map(table).collect() }
    }
}

impl Seen {
    fn see(&mut self, row: &Row<'_>, event: &ChangeEvent<'_>) {
        for (name, cell) in row.iter() {
            let known = self.columns.iter().position(|(column, _)| column == name);
            let place = match known {
                Some(place) => place,
                None if self.columns.len() < COLUMNS_MAX => {
                    self.columns.push((name.to_owned(), Cells::default()));
                    self.columns.len() - 1
                }
                None => continue,
            };
            let cells = &mut self.columns[place].1;
            cells.kind = cells.kind.or_else(|| event.schema.as_ref()?.kind(name));
            cells.see(cell);
        }
    }
}

impl Cells {
    fn see(&mut self, cell: Cell<'_>) {
        self.rows += 1;
        match cell.kind() {
            "null" => self.nulls += 1,
            "boolean" => self.booleans += 1,
            "number" => match cell.json().parse::<i128>() {
                Ok(number) => {
                    self.integers += 1;
                    self.highest = self.highest.max(u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX));
                    self.code(cell.json());
                }
                Err(_) => self.others += 1,
            },
            "string" => self.text(&cell.text().unwrap_or_default()),
            "object" if is_variable_decimal(cell) => self.variable += 1,
            _ => self.others += 1,
        }
    }

    fn text(&mut self, text: &str) {
        self.texts += 1;
        self.base64 += u64::from(!text.is_empty() && is_base64(text));
        let is_decimal = text.split_once('.').is_some_and(|(whole, part)| {
            let digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(part)
        });
        self.decimals += u64::from(is_decimal);
        self.zoned += u64::from(text.parse::<jiff::Timestamp>().is_ok());
        self.code(text);
    }

    fn code(&mut self, code: &str) {
        if self.no_codes || self.codes.contains(code) {
            return;
        }
        if self.codes.len() >= CODES_MAX || code.chars().count() > CODE_CHARS_MAX {
            self.no_codes = true;
            self.codes.clear();
        } else {
            self.codes.insert(code.to_owned());
        }
    }

    fn column(&self, name: &str) -> Column {
        Column {
            name: name.to_owned(),
            form: self.kind.and_then(of_kind).unwrap_or_else(|| self.looks_like(name)),
            may_be_null: self.nulls > 0,
            refers_to: None,
            codes: self.codes.clone(),
        }
    }

    /// What the cells alone say, when no schema block comes with them.
    fn looks_like(&self, name: &str) -> Form {
        let values = self.rows - self.nulls;
        match values {
            0 => Form::Unknown,
            all if self.booleans == all => Form::Boolean,
            all if self.variable == all => Form::DecimalVariable,
            all if self.zoned == all => Form::Time("timestamp_zoned"),
            all if self.decimals == all => Form::DecimalText,
            all if self.texts == all => {
                if self.base64 == all {
                    Form::TextOrDecimal
                } else {
                    Form::Text
                }
            }
            all if self.integers == all => self.number(name),
            _ => Form::Other,
        }
    }

    /// An integer, or a time by the column's name and the size of its numbers.
    fn number(&self, name: &str) -> Form {
        if !has_any(&words(name), &TIME_WORDS) {
            return Form::Integer;
        }
        match self.highest {
            0 => Form::Integer,
            days if days <= DAYS_MAX => Form::Date,
            ..100_000_000_000 => Form::Integer,
            ..100_000_000_000_000 => Form::Time("timestamp_ms"),
            ..100_000_000_000_000_000 => Form::Time("timestamp_us"),
            _ => Form::Time("timestamp_ns"),
        }
    }
}

fn of_kind(kind: ColumnKind) -> Option<Form> {
    Some(match kind {
        ColumnKind::Integer | ColumnKind::Unsigned => Form::Integer,
        ColumnKind::Text => return None,
        ColumnKind::Decimal { scale } => Form::Decimal { scale },
        ColumnKind::VariableScaleDecimal => Form::DecimalVariable,
        ColumnKind::Float | ColumnKind::Other => return None,
        ColumnKind::Date => Form::Date,
        ColumnKind::TimestampMillis => Form::Time("timestamp_ms"),
        ColumnKind::TimestampMicros => Form::Time("timestamp_us"),
        ColumnKind::TimestampNanos => Form::Time("timestamp_ns"),
        ColumnKind::ZonedTimestamp => Form::Time("timestamp_zoned"),
    })
}

fn is_variable_decimal(cell: Cell<'_>) -> bool {
    let read: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(cell.json()).ok();
    read.is_some_and(|map| map.len() == 2 && map.contains_key("scale") && map.contains_key("value"))
}
