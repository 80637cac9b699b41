//! A mapping applied to a change event. Pure and deterministic: the same event gives the same rows, whenever and wherever.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::code::Predicate;
use super::identifier::Id;
use super::view::View;
use super::{
    AccountFields, Amount, BalanceFields, Confirms, CustomerFields, MapError, MapReason, Mapped, MappedRows, Mapping,
    Touched, TransactionFields,
};
use crate::debezium::{Cell, ChangeEvent, Op, Row};
use crate::decimal::DecimalError;
use crate::entry::LegKind;
use crate::model::{
    Account, Balance, CanonicalChange, CanonicalRow, Customer, Entity, LegEvidence, LegVerdict, Personal, RowChange,
    Transaction,
};
use crate::position::Version;
use crate::temporal::{self, TemporalError};

impl Mapping {
    /// The canonical changes and the evidence of an event. Columns that are not mapped are not looked at.
    pub fn apply(&self, event: &ChangeEvent<'_>, generation: u32) -> Result<Mapped, MapError> {
        self.apply_knowing(event, generation, &[])
    }

    /// The same, with what the event's row was stored under before ([`Mapping::kept_row`]).
    pub fn apply_knowing(
        &self,
        event: &ChangeEvent<'_>,
        generation: u32,
        known: &[Touched],
    ) -> Result<Mapped, MapError> {
        let Some(table) = self.table(event) else { return Ok(Mapped::Unmapped) };
        let view = View { mapping: self, table, event, version: Version::from_event(generation, event), known };
        if event.source.connector != self.connector {
            return Err(view.error("", MapReason::Connector));
        }
        if event.key.is_empty() && table.ids().iter().any(|(entity, _)| *entity != Entity::Transaction) {
            return Err(view.error("", MapReason::NoKey));
        }
        let mut applied = MappedRows::default();
        match (event.op, &event.after) {
            (Op::Delete, _) | (_, None) => view.delete(&mut applied)?,
            (_, Some(after)) => view.upsert(after, &mut applied)?,
        }
        Ok(Mapped::Rows(applied))
    }

    /// The canonical rows an event concerns, as far as its keys can be read; for marking what a parked event degrades.
    pub fn touched(&self, event: &ChangeEvent<'_>, known: &[Touched]) -> Vec<Touched> {
        let Some(table) = self.table(event) else { return Vec::new() };
        let view = View { mapping: self, table, event, version: Version::floor(0), known };
        let rows = [event.after.as_ref(), Some(&event.key), view.whole_before()];
        let mut touched = known.to_vec();
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
}

impl View<'_> {
    fn delete(&self, applied: &mut MappedRows) -> Result<(), MapError> {
        for (entity, id) in self.table.ids() {
            let key = match self.id_if_there(&self.event.key, id)? {
                Some(key) => key,
                None => self.before(entity, id)?,
            };
            self.push_delete(entity, key, applied);
        }
        Ok(())
    }

    /// The key of the row before: as it was stored, otherwise as the log has it.
    fn before(&self, entity: Entity, id: &Id) -> Result<String, MapError> {
        match (self.known(entity), self.whole_before()) {
            (Some(known), _) => Ok(known.key.clone()),
            (None, Some(before)) => self.id(before, id),
            (None, None) => Err(self.error(id.first(), MapReason::NoBefore)),
        }
    }

    fn push_delete(&self, entity: Entity, key: String, applied: &mut MappedRows) {
        let account_id = self.account_of(entity, &key, &[Some(&self.event.key), self.whole_before()]);
        let version = self.version;
        applied.changes.push(CanonicalChange { entity, key, account_id, version, row: RowChange::Delete });
    }

    fn account_of(&self, entity: Entity, key: &str, rows: &[Option<&Row<'_>>]) -> Option<String> {
        let known = self.known(entity).filter(|known| known.key == key);
        known.and_then(|known| known.account_id.clone()).or_else(|| self.account_in(entity, key, rows))
    }

    pub(super) fn account_in(&self, entity: Entity, key: &str, rows: &[Option<&Row<'_>>]) -> Option<String> {
        match entity {
            Entity::Account | Entity::Balance => Some(key.to_owned()),
            Entity::Customer => None,
            Entity::Transaction => {
                let id = &self.table.transaction.as_ref()?.account_id;
                rows.iter().flatten().find_map(|row| self.id_if_there(row, id).ok().flatten())
            }
        }
    }

    fn upsert(&self, after: &Row<'_>, applied: &mut MappedRows) -> Result<(), MapError> {
        for (entity, id) in self.table.ids() {
            if let Some(key) = self.left_behind(after, entity, id)? {
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
        applied.kept = self.kept(after);
        Ok(())
    }

    fn push(&self, row: CanonicalRow, applied: &mut MappedRows) {
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
    fn left_behind(&self, after: &Row<'_>, entity: Entity, id: &Id) -> Result<Option<String>, MapError> {
        if self.event.op != Op::Update || id.columns().all(|column| self.table.key.contains(column)) {
            return Ok(None);
        }
        let (old, new) = (self.before(entity, id)?, self.id(after, id)?);
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
        let out_of_range = || self.error(&fields.amount.column, DecimalError::OutOfRange.into());
        let time = &fields.booked_at;
        let cell = self.value(row, &time.column)?;
        let booked_at = temporal::timestamp(cell, time.format, self.kind(&time.column), &self.mapping.zone)
            .and_then(|at| self.plausible(at).map(|()| at))
            .map_err(|err| self.error(&time.column, err.into()))?;
        let value_date = self.optional(row, fields.value_date.as_ref(), |view, cell, column| {
            view.date(cell, column).map_err(|err| view.error(column, err.into()))
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

    fn date(&self, cell: Cell<'_>, column: &str) -> Result<Date, TemporalError> {
        let date = temporal::date(cell, self.kind(column))?;
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| TemporalError::OutOfRange)?;
        self.plausible(midnight.timestamp()).map(|()| date)
    }

    fn plausible(&self, at: Timestamp) -> Result<(), TemporalError> {
        temporal::plausible(at, self.event.source.ts_source_ms, self.mapping.plausible_years)
    }
}
