//! Booking times: a column with a point in time or a day, and what stands in where it is NULL.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::MapError;
use super::field::Fields;
use super::node::Node;
use super::view::View;
use crate::debezium::{Cell, Row};
use crate::temporal::{self, TemporalError, TimeFormat};

/// Where the time of a row stands.
#[derive(Debug, Clone)]
pub(super) struct Time {
    column: String,
    form: TimeForm,
    /// Where it is NULL: another one. None = the field needs a value.
    otherwise: Option<Box<Time>>,
}

impl Time {
    /// Every column that it may come from.
    pub(super) fn columns(&self) -> Vec<&String> {
        let mut columns = vec![&self.column];
        columns.extend(self.otherwise.iter().flat_map(|other| other.columns()));
        columns
    }
}

/// How a column tells a time.
#[derive(Debug, Clone, Copy)]
enum TimeForm {
    /// A point in time.
    Moment(TimeFormat),
    /// A day, which stands for its first moment in the mapping's zone.
    Day,
}

impl Fields<'_> {
    /// Reads `{column, type, null_is}`; `null_is` is a field of the same form.
    pub(super) fn time(&mut self, node: &Node, at: &str) -> Option<Time> {
        let (mut field, otherwise) = match self.long(node, at) {
            None => (self.field(node, at)?, None),
            Some(mut members) => {
                let null = members.take("null_is").map(|n| self.time(n, &members.path("null_is")));
                (self.rest(members)?, null)
            }
        };
        let form = match field.kind.take().as_ref().map(|(_, kind)| kind.as_str()) {
            Some("timestamp_ms") => TimeForm::Moment(TimeFormat::Millis),
            Some("timestamp_us") => TimeForm::Moment(TimeFormat::Micros),
            Some("timestamp_ns") => TimeForm::Moment(TimeFormat::Nanos),
            Some("timestamp_zoned") => TimeForm::Moment(TimeFormat::Zoned),
            Some("date") => TimeForm::Day,
            _ => {
                let types = "expected a type: timestamp_ms, timestamp_us, timestamp_ns, timestamp_zoned or date";
                self.problems.add(field.line, at, types);
                return None;
            }
        };
        self.plain(&field, "");
        let column = self.single(field)?;
        match otherwise {
            None => Some(Time { column, form, otherwise: None }),
            Some(other) => Some(Time { column, form, otherwise: Some(Box::new(other?)) }),
        }
    }
}

impl View<'_> {
    pub(super) fn time(&self, row: &Row<'_>, time: &Time) -> Result<Timestamp, MapError> {
        if let Some(other) = &time.otherwise
            && self.cell(row, &time.column)?.is_null()
        {
            return self.time(row, other);
        }
        let cell = self.value(row, &time.column)?;
        let at = match time.form {
            TimeForm::Moment(format) => temporal::timestamp(cell, format, self.kind(&time.column), &self.mapping.zone),
            TimeForm::Day => self.midnight(cell, &time.column),
        };
        at.and_then(|at| self.plausible(at).map(|()| at)).map_err(|err| self.error(&time.column, err.into()))
    }

    fn midnight(&self, cell: Cell<'_>, column: &str) -> Result<Timestamp, TemporalError> {
        let day = temporal::date(cell, self.kind(column))?;
        let begins = day.to_zoned(self.mapping.zone.clone()).map_err(|_| TemporalError::OutOfRange)?;
        Ok(begins.timestamp())
    }

    pub(super) fn date(&self, cell: Cell<'_>, column: &str) -> Result<Date, TemporalError> {
        let date = temporal::date(cell, self.kind(column))?;
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| TemporalError::OutOfRange)?;
        self.plausible(midnight.timestamp()).map(|()| date)
    }

    fn plausible(&self, at: Timestamp) -> Result<(), TemporalError> {
        temporal::plausible(at, self.event.source.ts_source_ms, self.mapping.plausible_years)
    }
}
