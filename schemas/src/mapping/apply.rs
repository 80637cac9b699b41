//! A mapping applied to a change event. Pure and deterministic: the same event gives the same rows, whenever and wherever.

use super::identifier::{Id, names_nothing};
use super::lookup::{Accounts, NO_ACCOUNTS};
use super::table::{Feed, TransactionFields};
use super::view::View;
use super::{MapError, MapReason, Mapped, MappedRows, Mapping, Touched};
use crate::debezium::{ChangeEvent, Op, Row};
use crate::model::{CanonicalChange, CanonicalRow, Entity, RowChange, Was};
use crate::position::Version;

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
        self.apply_with(event, generation, known, &NO_ACCOUNTS)
    }

    /// The same, with the accounts that the event's rows take something from ([`Mapping::accounts_asked`]).
    pub fn apply_with(
        &self,
        event: &ChangeEvent<'_>,
        generation: u32,
        known: &[Touched],
        accounts: &Accounts,
    ) -> Result<Mapped, MapError> {
        let Some(table) = self.table(event) else { return Ok(Mapped::Unmapped) };
        let version = Version::from_event(generation, event);
        let view = View { mapping: self, table, event, version, known, accounts };
        if event.source.connector != self.connector {
            return Err(view.error("", MapReason::Connector));
        }
        if event.key.is_empty() && table.feeds().iter().any(|feed| feed.entity != Entity::Transaction) {
            return Err(view.error("", MapReason::NoKey));
        }
        let mut applied = MappedRows::default();
        if !view.may_feed()? {
            view.skip_for_good(&mut applied)?;
            return Ok(Mapped::Rows(applied));
        }
        match (event.op, &event.after) {
            (Op::Delete, _) | (_, None) => view.delete(&mut applied)?,
            (_, Some(after)) if view.passes(after)? => view.upsert(after, &mut applied)?,
            (_, Some(after)) => view.skip(after, &mut applied)?,
        }
        Ok(Mapped::Rows(applied))
    }

    /// The canonical rows an event concerns, as far as its keys can be read; for marking what a parked event degrades.
    pub fn touched(&self, event: &ChangeEvent<'_>, known: &[Touched]) -> Vec<Touched> {
        let Some(table) = self.table(event) else { return Vec::new() };
        let view = View::plain(self, table, event, Version::floor(0), known);
        let rows = [event.after.as_ref(), Some(&event.key), view.whole_before()];
        let mut touched: Vec<Touched> =
            known.iter().filter(|known| !known.is_nothing()).flat_map(|known| view.touched_by(known, &rows)).collect();
        for row in rows.into_iter().flatten() {
            for feed in table.feeds() {
                let Ok(Some(id)) = view.id_if_there(row, feed.id) else { continue };
                if view.is_absent(row, &feed) {
                    continue;
                }
                let key = feed.key(id);
                let account_id = view.account_of(&feed, &key, &rows);
                let found = Touched { entity: feed.entity, key, account_id };
                if !touched.contains(&found) {
                    touched.push(found);
                }
            }
        }
        touched
    }
}

impl View<'_> {
    /// What a row that is stored so touches: several postings where the row is that many.
    fn touched_by(&self, known: &Touched, rows: &[Option<&Row<'_>>]) -> Vec<Touched> {
        let feeds = self.table.feeds().into_iter();
        let legs = feeds.filter(|feed| feed.entity == known.entity && !feed.suffix().is_empty());
        let of_leg = |feed: Feed<'_>| {
            let key = feed.key(known.key.clone());
            let account_id = self.account_in(&feed, &key, rows);
            let absent = rows.iter().flatten().any(|row| self.is_absent(row, &feed));
            (!absent || account_id.is_some()).then_some(Touched { entity: known.entity, key, account_id })
        };
        let legs: Vec<Option<Touched>> = legs.map(of_leg).collect();
        if legs.is_empty() { vec![known.clone()] } else { legs.into_iter().flatten().collect() }
    }

    fn delete(&self, applied: &mut MappedRows) -> Result<(), MapError> {
        for feed in self.table.feeds() {
            let key = match self.id_if_there(&self.event.key, feed.id)? {
                Some(id) => Some(feed.key(id)),
                None => self.before(&feed)?,
            };
            if let Some(key) = key {
                let was = self.whole_before().and_then(|before| self.was_account(&feed, &key, before));
                self.push_was(&feed, key, was, applied);
            }
        }
        if applied.changes.is_empty() {
            applied.skipped = Some(self.table.full_name());
        }
        Ok(())
    }

    /// The key of the row before: as it was stored, otherwise as the log has it. None when it fed nothing.
    pub(super) fn before(&self, feed: &Feed<'_>) -> Result<Option<String>, MapError> {
        match (self.known(feed.entity), self.whole_before()) {
            (Some(known), _) if known.is_nothing() => Ok(None),
            (Some(known), _) => Ok(Some(feed.key(known.key.clone()))),
            (None, Some(before)) if !self.passes(before)? => Ok(None),
            (None, Some(before)) => self.id(before, feed.id).map(|id| Some(feed.key(id))),
            (None, None) => Err(self.error(feed.id.first(), MapReason::NoBefore)),
        }
    }

    pub(super) fn push_delete(&self, feed: &Feed<'_>, key: String, applied: &mut MappedRows) {
        let account_id = self.account_of(feed, &key, &[Some(&self.event.key), self.whole_before()]);
        let (entity, version) = (feed.entity, self.version);
        applied.changes.push(CanonicalChange { entity, key, account_id, version, row: RowChange::Delete });
    }

    /// The end of a row that is not meant any more. A posting stays known where a link may still name it, an account where postings
    /// take their currency from it.
    pub(super) fn push_end(
        &self,
        feed: &Feed<'_>,
        key: String,
        after: &Row<'_>,
        applied: &mut MappedRows,
    ) -> Result<(), MapError> {
        let was = match self.was_account(feed, &key, after) {
            None => self.was_posting(feed, &key, after)?,
            was => was,
        };
        self.push_was(feed, key, was, applied);
        Ok(())
    }

    fn push_was(&self, feed: &Feed<'_>, key: String, was: Option<Was>, applied: &mut MappedRows) {
        let Some(was) = was else { return self.push_delete(feed, key, applied) };
        let account_id = match &was {
            Was::Posting(row) => row.account_id.clone(),
            Was::Account(_) => key.clone(),
        };
        let (entity, account_id, version) = (feed.entity, Some(account_id), self.version);
        applied.changes.push(CanonicalChange { entity, key, account_id, version, row: RowChange::Ended(was) });
    }

    /// What cannot be read was no posting. Only one whose account has not come is waited with.
    fn was_posting(&self, feed: &Feed<'_>, key: &str, row: &Row<'_>) -> Result<Option<Was>, MapError> {
        let fields = self.table.transaction.as_ref().zip(feed.posting).filter(|_| self.mapping.has_links());
        let Some((fields, posting)) = fields else { return Ok(None) };
        match self.transaction(row, fields, posting) {
            Ok((was, _)) => Ok((was.transaction_id == key).then_some(Was::Posting(was))),
            Err(err) if err.reason == MapReason::NoAccount => Err(err),
            Err(_) => Ok(None),
        }
    }

    fn was_account(&self, feed: &Feed<'_>, key: &str, row: &Row<'_>) -> Option<Was> {
        let fields = self.table.account.as_ref().filter(|_| self.must_be_told(feed.entity))?;
        let is_it = self.id(row, feed.id).is_ok_and(|id| feed.key(id) == key);
        let currency = self.currency(row, &fields.currency).ok().filter(|_| is_it)?;
        Some(Was::Account(currency.currency))
    }

    fn account_of(&self, feed: &Feed<'_>, key: &str, rows: &[Option<&Row<'_>>]) -> Option<String> {
        let known = self.known(feed.entity).filter(|known| feed.key(known.key.clone()) == key);
        known.and_then(|known| known.account_id.clone()).or_else(|| self.account_in(feed, key, rows))
    }

    fn account_in(&self, feed: &Feed<'_>, key: &str, rows: &[Option<&Row<'_>>]) -> Option<String> {
        match feed.entity {
            Entity::Account | Entity::Balance => Some(key.to_owned()),
            Entity::Customer => None,
            Entity::Transaction => self.account_id_in(&feed.posting?.account_id, rows),
        }
    }

    fn account_id_in(&self, account: &Id, rows: &[Option<&Row<'_>>]) -> Option<String> {
        rows.iter().flatten().find_map(|row| self.id_if_there(row, account).ok().flatten())
    }

    /// The account that a row is kept with; none where it is several postings.
    pub(super) fn account_kept(&self, entity: Entity, key: &str, after: &Row<'_>) -> Option<String> {
        let feeds = self.table.feeds();
        let mut of_kind = feeds.iter().filter(|feed| feed.entity == entity);
        let only = of_kind.next().filter(|feed| feed.suffix().is_empty());
        only.and_then(|feed| self.account_in(feed, key, &[Some(after)]))
    }

    fn upsert(&self, after: &Row<'_>, applied: &mut MappedRows) -> Result<(), MapError> {
        for feed in self.table.feeds() {
            if let Some(key) = self.left_behind(after, &feed)? {
                self.push_delete(&feed, key, applied);
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
            for feed in fields.feeds() {
                self.posting(after, fields, &feed, applied)?;
            }
        }
        if let Some(fields) = &self.table.links {
            applied.links = self.links(after, fields)?;
        }
        if let Some(fields) = &self.table.refusals {
            applied.refusals.extend(self.refusal(after, fields)?);
        }
        applied.kept = self.kept(after);
        Ok(())
    }

    /// One posting of a row, with its evidence. One that the row does not have any more ends.
    fn posting(
        &self,
        after: &Row<'_>,
        fields: &TransactionFields,
        feed: &Feed<'_>,
        applied: &mut MappedRows,
    ) -> Result<(), MapError> {
        let Some(posting) = feed.posting.filter(|_| !self.is_absent(after, feed)) else {
            if self.may_have_fed() {
                let key = feed.key(self.id(after, feed.id)?);
                self.push_delete(feed, key, applied);
            }
            return Ok(());
        };
        let (transaction, leg) = self.transaction(after, fields, posting)?;
        if let Some(confirms) = &self.table.confirms {
            applied.evidence.extend(self.evidence(after, confirms, &transaction, (leg, posting.suffix))?);
        }
        self.push(CanonicalRow::Transaction(transaction), applied);
        Ok(())
    }

    /// True for a posting that the row does not have: it may be absent, and no account is named.
    fn is_absent(&self, row: &Row<'_>, feed: &Feed<'_>) -> bool {
        let Some(posting) = feed.posting.filter(|posting| posting.may_be_absent) else { return false };
        posting.account_id.columns().any(|column| row.get(column).is_some_and(names_nothing))
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
    fn left_behind(&self, after: &Row<'_>, feed: &Feed<'_>) -> Result<Option<String>, MapError> {
        if self.event.op != Op::Update || self.table.key_tells(feed.id) {
            return Ok(None);
        }
        let Some(old) = self.before(feed)? else { return Ok(None) };
        let new = feed.key(self.id(after, feed.id)?);
        Ok((old != new).then_some(old))
    }
}
