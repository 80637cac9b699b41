//! Canonical rows and evidence from the columns of one row of the core.

use super::MapError;
use super::amount::Amount;
use super::code::Predicate;
use super::table::{AccountFields, BalanceFields, Confirms, CustomerFields, PostingFields, TransactionFields};
use super::view::View;
use super::words::Words;
use crate::debezium::Row;
use crate::decimal::DecimalError;
use crate::entry::LegKind;
use crate::model::{Account, Balance, CanonicalRow, Customer, LegEvidence, LegVerdict, Personal, Transaction};

impl View<'_> {
    pub(super) fn customer(&self, row: &Row<'_>, fields: &CustomerFields) -> Result<CanonicalRow, MapError> {
        Ok(CanonicalRow::Customer(Customer {
            customer_id: self.id(row, &fields.customer_id)?,
            name: self.words_of(row, fields.name.as_ref())?.map(Personal::new),
        }))
    }

    pub(super) fn account(&self, row: &Row<'_>, fields: &AccountFields) -> Result<CanonicalRow, MapError> {
        Ok(CanonicalRow::Account(Account {
            account_id: self.id(row, &fields.account_id)?,
            customer_id: self.holder(row, &fields.customer_id)?,
            currency: self.currency(row, &fields.currency)?.currency,
            state: self.choose(row, &fields.state)?,
            product: self.words_of(row, fields.product.as_ref())?,
        }))
    }

    pub(super) fn balance(&self, row: &Row<'_>, fields: &BalanceFields) -> Result<CanonicalRow, MapError> {
        let unit = self.currency_on(row, &fields.currency, &fields.account_id)?;
        let amount = |amount: &Option<Amount>| amount.as_ref().map_or(Ok(0), |a| self.amount(row, a, unit));
        let core_holds_minor = amount(&fields.core_holds)?;
        if let Some(holds) = fields.core_holds.as_ref().filter(|_| core_holds_minor < 0) {
            // It would be added to what is available.
            return Err(
                self.error(holds.column(), MapReason::Expected("holds that are not negative; `minus` turns the sign"))
            );
        }
        Ok(CanonicalRow::Balance(Balance {
            account_id: self.id(row, &fields.account_id)?,
            currency: unit.currency,
            booked_minor: self.amount(row, &fields.booked, unit)?,
            overdraft_line_minor: amount(&fields.overdraft_line)?,
            core_holds_minor,
            last_posting: fields.last_posting.as_ref().map(|column| self.integer(row, column)).transpose()?,
        }))
    }

    pub(super) fn transaction(
        &self,
        row: &Row<'_>,
        fields: &TransactionFields,
        posting: &PostingFields,
    ) -> Result<(Transaction, LegKind), MapError> {
        let unit = self.currency_on(row, &posting.currency, &posting.account_id)?;
        let stated = self.total(row, &posting.amount, unit)?;
        let leg = posting.leg.as_ref().map(|choice| self.choose(row, choice)).transpose()?;
        let rule = posting.amount.inexact();
        let rule = if leg == Some(LegKind::Debit) { rule.mirrored() } else { rule };
        let stated = self.minor(stated, &posting.amount, rule, unit)?;
        let (leg, amount_minor) = match leg {
            None => (if stated < 0 { LegKind::Debit } else { LegKind::Credit }, Some(stated)),
            Some(LegKind::Credit) => (LegKind::Credit, Some(stated)),
            Some(LegKind::Debit) => (LegKind::Debit, stated.checked_neg()),
        };
        let out_of_range = || self.error(posting.amount.column(), DecimalError::OutOfRange.into());
        let booked_at = self.time(row, &fields.booked_at)?;
        let value_date = self.optional(row, fields.value_date.as_ref(), |view, cell, column| {
            view.date(cell, column).map_err(|err| view.error(column, err.into()))
        })?;
        let transaction = Transaction {
            transaction_id: self.id(row, &fields.transaction_id)? + posting.suffix,
            account_id: self.id(row, &posting.account_id)?,
            posting_no: posting.posting_no.as_ref().map(|column| self.integer(row, column)).transpose()?,
            amount_minor: amount_minor.ok_or_else(out_of_range)?,
            currency: unit.currency,
            booked_at,
            value_date: value_date.unwrap_or_else(|| booked_at.to_zoned(self.mapping.zone.clone()).date()),
            remittance: self.words_of(row, fields.remittance.as_ref())?.map(Personal::new),
            core_ref: fields.core_ref.as_ref().map_or(Ok(None), |reference| self.reference(row, reference))?,
        };
        Ok((transaction, leg))
    }

    fn words_of(&self, row: &Row<'_>, words: Option<&Words>) -> Result<Option<String>, MapError> {
        words.map_or(Ok(None), |words| self.words(row, words))
    }

    pub(super) fn evidence(
        &self,
        row: &Row<'_>,
        confirms: &Confirms,
        transaction: &Transaction,
        (leg, suffix): (LegKind, &str),
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
            row_key: self.row_key()? + suffix,
            version: self.version,
        }))
    }
}
