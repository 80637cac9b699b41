//! A mapping applied to a change event. Pure and deterministic: the same event gives the same rows, whenever and wherever.

use std::borrow::Cow;

use super::{
    AccountFields, Amount, AmountFormat, Applied, BalanceFields, Codes, Confirms, CustomerFields, Id, MapError,
    MapReason, Mapping, Predicate, Table, Touched, TransactionFields,
};
use crate::debezium::{Cell, ChangeEvent, ColumnKind, Op, Row};
use crate::decimal::{Decimal, DecimalFormat};
use crate::entry::LegKind;
use crate::model::{
    Account, Balance, CanonicalChange, CanonicalRow, Customer, Entity, LegEvidence, LegVerdict, Personal, RowChange,
    Transaction,
};
use crate::money::Currency;
use crate::position::Version;
use crate::temporal;

/// What Debezium writes for a value that the log does not have (PostgreSQL TOAST), as text.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

impl Mapping {
    /// The canonical changes and the evidence of an event. An event of an unmapped table gives nothing; columns that are
    /// not mapped are not looked at.
    pub fn apply(&self, event: &ChangeEvent<'_>, generation: u32) -> Result<Applied, MapError> {
        let Some(table) = self.table(&event.source) else { return Ok(Applied::default()) };
        let view = View { mapping: self, table, event, version: Version::from_event(generation, event) };
        if event.source.connector != self.connector {
            return Err(view.error("", MapReason::Connector));
        }
        let mut applied = Applied::default();
        match (event.op, &event.after) {
            (Op::Delete, _) | (_, None) => view.delete(&mut applied)?,
            (_, Some(after)) => view.upsert(after, &mut applied)?,
        }
        Ok(applied)
    }

    /// The canonical rows an event concerns, as far as its keys can be read; for marking what a parked event degrades.
    pub fn touched(&self, event: &ChangeEvent<'_>) -> Vec<Touched> {
        let Some(table) = self.table(&event.source) else { return Vec::new() };
        let view = View { mapping: self, table, event, version: Version::floor(0) };
        let rows = [event.after.as_ref(), Some(&event.key), event.before.as_ref()];
        let mut touched: Vec<Touched> = Vec::new();
        for row in rows.into_iter().flatten() {
            for (entity, id) in table.ids() {
                let Ok(Some(key)) = view.id_if_there(row, id) else { continue };
                let account_id = view.account_of(entity, &key, &rows);
                let found = Touched { entity, key, account_id };
                if !touched.contains(&found) {
                    touched.push(found);
                }
            }
        }
        touched
    }

    /// The event's row in the core, as one text: the key columns that the mapping names.
    pub fn row_key(&self, event: &ChangeEvent<'_>) -> Option<String> {
        let table = self.table(&event.source)?;
        let view = View { mapping: self, table, event, version: Version::floor(0) };
        view.row_key().ok()
    }
}

/// One event seen through its table's mapping.
#[derive(Clone, Copy)]
struct View<'v> {
    mapping: &'v Mapping,
    table: &'v Table,
    event: &'v ChangeEvent<'v>,
    version: Version,
}

impl<'v> View<'v> {
    fn error(&self, column: &str, reason: MapReason) -> MapError {
        MapError { table: self.table.full_name(), column: column.to_owned(), reason }
    }

    fn delete(&self, applied: &mut Applied) -> Result<(), MapError> {
        for (entity, id) in self.table.ids() {
            let key = match self.id_if_there(&self.event.key, id)? {
                Some(key) => key,
                None => match &self.event.before {
                    Some(before) => self.id(before, id)?,
                    None => return Err(self.error(&id.0[0], MapReason::NoBefore)),
                },
            };
            self.push_delete(entity, key, applied);
        }
        Ok(())
    }

    fn push_delete(&self, entity: Entity, key: String, applied: &mut Applied) {
        let account_id = self.account_of(entity, &key, &[Some(&self.event.key), self.event.before.as_ref()]);
        let version = self.version;
        applied.changes.push(CanonicalChange { entity, key, account_id, version, row: RowChange::Delete });
    }

    fn account_of(&self, entity: Entity, key: &str, rows: &[Option<&Row<'_>>]) -> Option<String> {
        match entity {
            Entity::Account | Entity::Balance => Some(key.to_owned()),
            Entity::Customer => None,
            Entity::Transaction => {
                let id = &self.table.transaction.as_ref()?.account_id;
                rows.iter().flatten().find_map(|row| self.id_if_there(row, id).ok().flatten())
            }
        }
    }

    fn upsert(&self, after: &Row<'_>, applied: &mut Applied) -> Result<(), MapError> {
        for (entity, id) in self.table.ids() {
            if let Some(key) = self.left_behind(after, id)? {
                self.push_delete(entity, key, applied);
            }
        }
        if let Some(fields) = &self.table.customer {
            self.push(self.customer(after, fields)?, applied);
        }
        if let Some(fields) = &self.table.account {
            self.push(self.account(after, fields)?, applied);
        }
        if let Some(fields) = &self.table.balance {
            self.push(self.balance(after, fields)?, applied);
        }
        if let Some(fields) = &self.table.transaction {
            let (transaction, leg) = self.transaction(after, fields)?;
            if let Some(confirms) = &self.table.confirms {
                applied.evidence.extend(self.evidence(after, confirms, &transaction, leg)?);
            }
            self.push(CanonicalRow::Transaction(transaction), applied);
        }
        Ok(())
    }

    fn push(&self, row: CanonicalRow, applied: &mut Applied) {
        let (entity, key, account_id) = match &row {
            CanonicalRow::Customer(c) => (Entity::Customer, &c.customer_id, None),
            CanonicalRow::Account(a) => (Entity::Account, &a.account_id, Some(&a.account_id)),
            CanonicalRow::Balance(b) => (Entity::Balance, &b.account_id, Some(&b.account_id)),
            CanonicalRow::Transaction(t) => (Entity::Transaction, &t.transaction_id, Some(&t.account_id)),
        };
        let (key, account_id) = (key.clone(), account_id.cloned());
        applied.changes.push(CanonicalChange {
            entity,
            key,
            account_id,
            version: self.version,
            row: RowChange::Upsert(row),
        });
    }

    /// The key that an update moved its canonical row away from. Debezium splits changes of the table's own key; this is
    /// for identifiers that are no part of it.
    fn left_behind(&self, after: &Row<'_>, id: &Id) -> Result<Option<String>, MapError> {
        if self.event.op != Op::Update || id.0.iter().all(|column| self.table.key.contains(column)) {
            return Ok(None);
        }
        let Some(before) = &self.event.before else { return Err(self.error(&id.0[0], MapReason::NoBefore)) };
        let (old, new) = (self.id(before, id)?, self.id(after, id)?);
        Ok((old != new).then_some(old))
    }

    fn customer(&self, row: &Row<'_>, fields: &CustomerFields) -> Result<CanonicalRow, MapError> {
        Ok(CanonicalRow::Customer(Customer {
            customer_id: self.id(row, &fields.customer_id)?,
            name: self.optional(row, fields.name.as_ref(), Self::text)?.map(Personal::new),
        }))
    }

    fn account(&self, row: &Row<'_>, fields: &AccountFields) -> Result<CanonicalRow, MapError> {
        Ok(CanonicalRow::Account(Account {
            account_id: self.id(row, &fields.account_id)?,
            customer_id: self.id(row, &fields.customer_id)?,
            currency: self.currency(row, &fields.currency)?,
            state: self.code(row, &fields.state)?,
            product: self.optional(row, fields.product.as_ref(), Self::text)?.map(Cow::into_owned),
        }))
    }

    fn balance(&self, row: &Row<'_>, fields: &BalanceFields) -> Result<CanonicalRow, MapError> {
        let currency = self.currency(row, &fields.currency)?;
        let amount = |amount: &Option<Amount>| amount.as_ref().map_or(Ok(0), |a| self.amount(row, a, currency));
        Ok(CanonicalRow::Balance(Balance {
            account_id: self.id(row, &fields.account_id)?,
            currency,
            booked_minor: self.amount(row, &fields.booked, currency)?,
            overdraft_line_minor: amount(&fields.overdraft_line)?,
            core_holds_minor: amount(&fields.core_holds)?,
            last_posting: fields.last_posting.as_ref().map(|column| self.integer(row, column)).transpose()?,
        }))
    }

    fn transaction(&self, row: &Row<'_>, fields: &TransactionFields) -> Result<(Transaction, LegKind), MapError> {
        let currency = self.currency(row, &fields.currency)?;
        let stated = self.amount(row, &fields.amount, currency)?;
        let (leg, amount_minor) = match &fields.leg {
            None => (if stated < 0 { LegKind::Debit } else { LegKind::Credit }, Some(stated)),
            Some(codes) => match self.code(row, codes)? {
                LegKind::Credit => (LegKind::Credit, Some(stated)),
                LegKind::Debit => (LegKind::Debit, stated.checked_neg()),
            },
        };
        let out_of_range = || self.error(&fields.amount.column, crate::decimal::DecimalError::OutOfRange.into());
        let time = &fields.booked_at;
        let cell = self.value(row, &time.column)?;
        let booked_at = temporal::timestamp(cell, time.format, self.kind(&time.column), &self.mapping.zone)
            .map_err(|err| self.error(&time.column, err.into()))?;
        let value_date = self.optional(row, fields.value_date.as_ref(), |view, cell, column| {
            temporal::date(cell, view.kind(column)).map_err(|err| view.error(column, err.into()))
        })?;
        let transaction = Transaction {
            transaction_id: self.id(row, &fields.transaction_id)?,
            account_id: self.id(row, &fields.account_id)?,
            posting_no: fields.posting_no.as_ref().map(|column| self.integer(row, column)).transpose()?,
            amount_minor: amount_minor.ok_or_else(out_of_range)?,
            currency,
            booked_at,
            value_date: value_date.unwrap_or_else(|| booked_at.to_zoned(self.mapping.zone.clone()).date()),
            remittance: self.optional(row, fields.remittance.as_ref(), Self::text)?.map(Personal::new),
            core_ref: self.optional(row, fields.core_ref.as_ref(), Self::text)?.map(Cow::into_owned),
        };
        Ok((transaction, leg))
    }

    fn evidence(
        &self,
        row: &Row<'_>,
        confirms: &Confirms,
        transaction: &Transaction,
        leg: LegKind,
    ) -> Result<Option<LegEvidence>, MapError> {
        let Some(core_ref) = transaction.core_ref.clone().filter(|text| !text.is_empty()) else { return Ok(None) };
        let holds = |predicate: &Option<Predicate>| predicate.as_ref().map(|p| self.holds(row, p)).transpose();
        let verdict = match (holds(&confirms.reversed)?, holds(&confirms.refused)?, holds(&confirms.posted)?) {
            (Some(true), _, _) => LegVerdict::Reversed,
            (_, Some(true), _) => LegVerdict::Refused,
            (_, _, None | Some(true)) => LegVerdict::Posted,
            _ => return Ok(None),
        };
        Ok(Some(LegEvidence {
            core_ref,
            leg,
            verdict,
            account_id: transaction.account_id.clone(),
            amount_minor: transaction.amount_minor,
            currency: transaction.currency,
            posting_no: transaction.posting_no,
            row_key: self.row_key()?,
            version: self.version,
        }))
    }

    fn holds(&self, row: &Row<'_>, predicate: &Predicate) -> Result<bool, MapError> {
        let text = self.optional(row, Some(&predicate.column), Self::text)?;
        Ok(text.is_some_and(|text| predicate.equals.iter().any(|code| *code == text)))
    }

    fn row_key(&self) -> Result<String, MapError> {
        let rows = [Some(&self.event.key), self.event.after.as_ref(), self.event.before.as_ref()];
        let id = Id(self.table.key.clone());
        for row in rows.into_iter().flatten() {
            if let Some(key) = self.id_if_there(row, &id)? {
                return Ok(key);
            }
        }
        Err(self.error(&self.table.key[0], MapReason::Missing))
    }

    /// What the schema block says of a column.
    fn kind(&self, column: &str) -> Option<ColumnKind> {
        self.event.schema.as_ref()?.kind(column)
    }

    /// A cell that must be there; it may be NULL.
    fn cell<'r>(&self, row: &Row<'r>, column: &str) -> Result<Cell<'r>, MapError> {
        row.get(column).ok_or_else(|| self.error(column, MapReason::Missing))
    }

    /// A cell that must hold a value.
    fn value<'r>(&self, row: &Row<'r>, column: &str) -> Result<Cell<'r>, MapError> {
        let cell = self.cell(row, column)?;
        if cell.is_null() { Err(self.error(column, MapReason::Null)) } else { Ok(cell) }
    }

    fn optional<'r, T>(
        &self,
        row: &Row<'r>,
        column: Option<&String>,
        read: impl Fn(&Self, Cell<'r>, &str) -> Result<T, MapError>,
    ) -> Result<Option<T>, MapError> {
        let Some(column) = column else { return Ok(None) };
        let cell = self.cell(row, column)?;
        if cell.is_null() { Ok(None) } else { read(self, cell, column).map(Some) }
    }

    /// Text, or an integer as it is written: identifiers may be either.
    fn text<'r>(&self, cell: Cell<'r>, column: &str) -> Result<Cow<'r, str>, MapError> {
        match cell.text() {
            Some(text) if text == UNAVAILABLE => Err(self.error(column, MapReason::Unavailable)),
            Some(text) => Ok(text),
            None if cell.i64().is_some() || cell.u64().is_some() => Ok(Cow::Borrowed(cell.json())),
            None => Err(self.error(column, MapReason::Expected("a text or an integer"))),
        }
    }

    fn id(&self, row: &Row<'_>, id: &Id) -> Result<String, MapError> {
        let mut joined = String::new();
        for (i, column) in id.0.iter().enumerate() {
            let part = self.text(self.value(row, column)?, column)?;
            if part.is_empty() {
                return Err(self.error(column, MapReason::Expected("a text that is not empty")));
            }
            if i > 0 {
                joined.push('-');
            }
            if id.0.len() > 1 && part.contains(['-', '%']) {
                joined.push_str(&part.replace('%', "%25").replace('-', "%2D"));
            } else {
                joined.push_str(&part);
            }
        }
        Ok(joined)
    }

    /// The identifier when the row has all its columns.
    fn id_if_there(&self, row: &Row<'_>, id: &Id) -> Result<Option<String>, MapError> {
        if id.0.iter().all(|column| row.get(column).is_some()) { self.id(row, id).map(Some) } else { Ok(None) }
    }

    fn integer(&self, row: &Row<'_>, column: &str) -> Result<i64, MapError> {
        let cell = self.value(row, column)?;
        cell.i64().ok_or_else(|| self.error(column, MapReason::Expected("an integer of 64 bits")))
    }

    fn currency(&self, row: &Row<'_>, column: &str) -> Result<Currency, MapError> {
        let text = self.text(self.value(row, column)?, column)?;
        Currency::parse(&text).map_err(|_| self.error(column, MapReason::UnknownCurrency))
    }

    fn code<T: Copy>(&self, row: &Row<'_>, codes: &Codes<T>) -> Result<T, MapError> {
        let text = self.text(self.value(row, &codes.column)?, &codes.column)?;
        let found = codes.codes.iter().find(|(code, _)| *code == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| self.error(&codes.column, MapReason::UnknownCode))
    }

    fn amount(&self, row: &Row<'_>, amount: &Amount, currency: Currency) -> Result<i64, MapError> {
        let cell = self.value(row, &amount.column)?;
        let exponent = currency.exponent();
        let format = match amount.format {
            AmountFormat::Decimal(format) => format,
            AmountFormat::MinorUnits => DecimalFormat::Integer { scale: i32::try_from(exponent).unwrap_or(0) },
        };
        Decimal::from_cell(cell, format, self.kind(&amount.column))
            .and_then(|decimal| decimal.to_minor(exponent))
            .map_err(|err| self.error(&amount.column, err.into()))
    }
}
