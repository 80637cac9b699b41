//! Four eyes: an order waits for a second person. It takes effect only if what it is about has not changed.

use serde_json::json;
use sql::{Row, Tx, params};

use super::Carrying;
use super::Done;
use super::Order;
use super::basis;
use super::carry_out;
use crate::entry::EntryId;
use crate::journal::audit;
use crate::journal::error::JournalError;
use crate::journal::handles::OperatorsJournal;
use crate::journal::objection::{ApprovalState, Objection};
use crate::journal::shared::Shared;

/// An order that waits, or waited, for a second person.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its own id.
    pub id: EntryId,
    /// Who ordered it.
    pub asked_by: String,
    /// When, by the SQL server's clock, milliseconds since 1970.
    pub asked_ms: i64,
    /// From when on it cannot be approved any more.
    pub expires_ms: i64,
    /// What was ordered.
    pub order: Order,
    /// What became of it.
    pub state: ApprovalState,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_ms: Option<i64>,
}

const COLUMNS: &str =
    "id, asked_by, asked_ms, expires_ms, body, state, decided_by, decided_ms, basis, deed, {now_ms} AS now_ms";

impl Approval {
    fn read(row: &Row) -> Result<Self, JournalError> {
        let (expires_ms, now_ms): (i64, i64) = (row.get("expires_ms")?, row.get("now_ms")?);
        let name: &str = row.get("state")?;
        let kept = ApprovalState::ALL.into_iter().find(|state| state.as_str() == name);
        let kept = kept.ok_or(JournalError::Corrupt("approval state"))?;
        let over = kept == ApprovalState::Pending && now_ms >= expires_ms;
        Ok(Self {
            id: EntryId::parse(row.get("id")?).ok_or(JournalError::Corrupt("approval id"))?,
            asked_by: row.get("asked_by")?,
            asked_ms: row.get("asked_ms")?,
            expires_ms,
            order: serde_json::from_slice(row.get("body")?).map_err(|_| JournalError::Corrupt("approval"))?,
            state: if over { ApprovalState::Expired } else { kept },
            decided_by: row.get("decided_by")?,
            decided_ms: row.get("decided_ms")?,
        })
    }
}

impl OperatorsJournal {
    /// Keeps an order until a second person agrees, for `ttl_ms` at most. Under the same `id` it finds itself.
    pub async fn ask(&self, id: &EntryId, by: &str, order: &Order, ttl_ms: u64) -> Result<Approval, JournalError> {
        order.check()?;
        let ttl_ms = i64::try_from(ttl_ms).unwrap_or(i64::MAX / 2);
        let (id, by, order) = (id.clone(), by.to_owned(), order.clone());
        self.0
            .run(move |tx| {
                let (id, by, order) = (id.clone(), by.clone(), order.clone());
                Box::pin(async move {
                    if let Some((known, _)) = find(tx, &id).await? {
                        return Ok(known);
                    }
                    let basis = basis(tx, &order.act).await?;
                    let body = serde_json::to_vec(&order).map_err(|_| JournalError::Corrupt("order"))?;
                    let (action, subject) = (order.act.kind().action(), order.act.subject());
                    tx.exec(
                    "INSERT INTO approvals (id, asked_by, action, subject, basis, body, state, asked_ms, expires_ms) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, {now_ms}, {now_ms} + ?)",
                    params![id.as_str(), &by, action, subject, basis, body, ApprovalState::Pending.as_str(), ttl_ms],
                )
                .await?;
                    let detail = json!({ "approval": id.as_str(), "order": order });
                    audit::keep(tx, &id, &by, "approval.ask", subject, detail).await?;
                    Ok(find(tx, &id).await?.ok_or(JournalError::NoSuchEntry)?.0)
                })
            })
            .await
    }

    /// The newest approvals first; with `state`, only those.
    pub async fn approvals(&self, state: Option<ApprovalState>, limit: i64) -> Result<Vec<Approval>, JournalError> {
        let sql = format!("SELECT {COLUMNS} FROM approvals ORDER BY id DESC LIMIT ?");
        let kept = format!("SELECT {COLUMNS} FROM approvals WHERE state = ? ORDER BY id DESC LIMIT ?");
        let rows = match state {
            None => self.0.db.query(&sql, params![limit]).await?,
            // An expired one is kept as pending: nothing writes when its time is over.
            Some(ApprovalState::Expired) => {
                self.0.db.query(&kept, params![ApprovalState::Pending.as_str(), limit]).await?
            }
            Some(state) => self.0.db.query(&kept, params![state.as_str(), limit]).await?,
        };
        let all: Vec<Approval> = rows.iter().map(Approval::read).collect::<Result<_, _>>()?;
        Ok(all.into_iter().filter(|approval| state.is_none_or(|state| approval.state == state)).collect())
    }

    /// The approval of this id.
    pub async fn approval(&self, id: &EntryId) -> Result<Option<Approval>, JournalError> {
        let sql = format!("SELECT {COLUMNS} FROM approvals WHERE id = ?");
        self.0.db.query(&sql, params![id.as_str()]).await?.first().map(Approval::read).transpose()
    }

    /// Carries out what another person ordered. Under the same `deed` it finds that it was done. What changed meanwhile makes the
    /// order void, for good.
    pub async fn approve(
        &self,
        deed: &EntryId,
        by: &str,
        id: &EntryId,
        reason: &str,
        request_lifetime_ms: u64,
    ) -> Result<(Approval, Done), JournalError> {
        let (journal, approving) = (self.0.clone(), Approving::new(deed, by, id, reason));
        let outcome = self
            .0
            .run(move |tx| {
                let (journal, approving) = (journal.clone(), approving.clone());
                Box::pin(async move { approving.carry_out(tx, &journal, request_lifetime_ms).await })
            })
            .await;
        if let Err(JournalError::Objected(Objection::Changed)) = &outcome {
            self.end_approval(by, id, ApprovalState::Void, "it changed since it was ordered").await?;
        }
        outcome
    }

    /// Says no to what waits, or takes back what one ordered oneself.
    pub async fn reject(&self, by: &str, id: &EntryId, reason: &str) -> Result<Approval, JournalError> {
        self.end_approval(by, id, ApprovalState::Rejected, reason).await
    }

    async fn end_approval(
        &self,
        by: &str,
        id: &EntryId,
        to: ApprovalState,
        reason: &str,
    ) -> Result<Approval, JournalError> {
        let approving = Approving::new(&EntryId::generate(), by, id, reason);
        self.0
            .run(move |tx| {
                let approving = approving.clone();
                Box::pin(async move {
                    let (approval, deed) = approving.locked(tx).await?;
                    if deed.as_ref() != Some(&approving.deed) {
                        if approval.state != ApprovalState::Pending {
                            return Err(Objection::NotPending(approval.state).into());
                        }
                        approving.end(tx, &approval, to).await?;
                    }
                    Ok(find(tx, &approving.id).await?.ok_or(JournalError::NoSuchEntry)?.0)
                })
            })
            .await
    }
}

/// A second person's decision. Its deed is the trace by which the same transaction finds itself.
#[derive(Clone)]
struct Approving {
    deed: EntryId,
    by: String,
    id: EntryId,
    reason: String,
}

impl Approving {
    fn new(deed: &EntryId, by: &str, id: &EntryId, reason: &str) -> Self {
        Self { deed: deed.clone(), by: by.to_owned(), id: id.clone(), reason: reason.to_owned() }
    }

    /// The approval, locked: before any lane, as in every order that waited.
    async fn locked(&self, tx: &mut Tx) -> Result<(Approval, Option<EntryId>), JournalError> {
        let lock = "SELECT id FROM approvals WHERE id = ? FOR UPDATE";
        tx.query_opt(lock, params![self.id.as_str()]).await?.ok_or(JournalError::NoSuchEntry)?;
        let (approval, row) = find(tx, &self.id).await?.ok_or(JournalError::NoSuchEntry)?;
        Ok((approval, row.deed))
    }

    async fn carry_out(
        &self,
        tx: &mut Tx,
        journal: &Shared,
        request_lifetime_ms: u64,
    ) -> Result<(Approval, Done), JournalError> {
        let (approval, deed) = self.locked(tx).await?;
        let done_before = deed.as_ref() == Some(&self.deed);
        if !done_before && approval.state != ApprovalState::Pending {
            return Err(Objection::NotPending(approval.state).into());
        }
        if approval.asked_by == self.by {
            return Err(Objection::SamePerson.into());
        }
        let basis = find(tx, &self.id).await?.ok_or(JournalError::NoSuchEntry)?.1.basis;
        let carrying = Carrying {
            id: &self.deed,
            by: &approval.asked_by,
            approved_by: Some(&self.by),
            facts: &*journal.facts,
            core: &journal.core,
            references: &journal.references,
            calendar: &journal.calendar,
            request_lifetime_ms,
            basis: Some(&basis),
        };
        let done = carry_out(tx, &carrying, &approval.order).await?;
        if !done_before {
            self.end(tx, &approval, ApprovalState::Approved).await?;
        }
        Ok((find(tx, &self.id).await?.ok_or(JournalError::NoSuchEntry)?.0, done))
    }

    async fn end(&self, tx: &mut Tx, approval: &Approval, to: ApprovalState) -> Result<(), JournalError> {
        tx.exec(
            "UPDATE approvals SET state = ?, decided_by = ?, decided_ms = {now_ms}, deed = ? WHERE id = ?",
            params![to.as_str(), &self.by, self.deed.as_str(), self.id.as_str()],
        )
        .await?;
        let action = format!("approval.{}", to.as_str());
        let detail = json!({ "approval": self.id.as_str(), "asked_by": approval.asked_by, "why": self.reason });
        audit::keep(tx, &EntryId::generate(), &self.by, &action, approval.order.act.subject(), detail).await
    }
}

/// What of an approval's row only its deciding needs.
struct Deciding {
    basis: String,
    deed: Option<EntryId>,
}

async fn find(tx: &mut Tx, id: &EntryId) -> Result<Option<(Approval, Deciding)>, JournalError> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE id = ?");
    let Some(row) = tx.query_opt(&sql, params![id.as_str()]).await? else { return Ok(None) };
    let deed: Option<String> = row.get("deed")?;
    let deciding = Deciding { basis: row.get("basis")?, deed: deed.as_deref().and_then(EntryId::parse) };
    Ok(Some((Approval::read(&row)?, deciding)))
}
