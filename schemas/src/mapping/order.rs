//! How a balance tells which postings it includes: by the number of the last one, or by its source transaction (ADR 0041).

use super::MapError;
use super::field::Fields;
use super::node::{Members, Problems, Value};
use super::table::{BalanceFields, Table};
use super::view::View;
use crate::position::TransactionPlace;

/// Instead of a column: the core numbers no postings.
const SOURCE_TRANSACTION: &str = "source-transaction";

/// How a balance tells which postings it includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LastPosting {
    /// By the number of the last one, in this column.
    Number(String),
    /// By the source transaction that changed it.
    SourceTransaction,
}

impl LastPosting {
    /// The column that it looks at.
    pub(super) fn column(&self) -> Option<&String> {
        match self {
            Self::Number(column) => Some(column),
            Self::SourceTransaction => None,
        }
    }
}

impl Fields<'_> {
    /// The column of a number, or `{by: source-transaction}`.
    pub(super) fn last_posting(&mut self, members: &mut Members<'_>) -> Option<LastPosting> {
        let node = members.take("last_posting")?;
        let at = members.path("last_posting");
        let says_by = matches!(&node.value, Value::Map(all) if all.iter().any(|(name, _)| name == "by"));
        if !says_by {
            let field = self.field(node, &at)?;
            return self.column_of(field, "integer").map(LastPosting::Number);
        }
        let mut by = Members::of(node, &at, self.problems)?;
        let (word, word_at) = (by.take("by")?, by.path("by"));
        by.finish(self.problems);
        if self.problems.text(word, &word_at)? != SOURCE_TRANSACTION {
            self.problems.add(
                word.line,
                &word_at,
                format!("expected `{SOURCE_TRANSACTION}`, or a column instead of `by`"),
            );
            return None;
        }
        Some(LastPosting::SourceTransaction)
    }
}

/// True when some balance is ordered by its source transaction. Then all are: see [`one_order`].
pub(super) fn by_source_transaction(tables: &[Table]) -> bool {
    tables.iter().filter_map(|table| table.balance.as_ref()).any(BalanceFields::is_by_source_transaction)
}

/// Every hold of a source is weighed in one order, and there must be one where postings confirm.
pub(super) fn one_order(tables: &[Table], line: u64, problems: &mut Problems) {
    let confirms = tables.iter().any(|table| table.confirms.is_some() || table.links.is_some());
    let by_transaction = by_source_transaction(tables);
    for table in tables {
        let mut add = |section: &str, problem: &str| {
            problems.add(line, &format!("tables.{}.{section}", table.name), problem);
        };
        let balance = table.balance.as_ref();
        let mut postings = table.transaction.iter().flat_map(|transaction| &transaction.postings);
        if by_transaction {
            if balance.is_some_and(|balance| !balance.is_by_source_transaction()) {
                add(
                    "balance",
                    "another balance is ordered by source transaction, and a source has one order: say \
                     `last_posting: {by: source-transaction}` here, too",
                );
            }
            if postings.any(|posting| posting.posting_no.is_some()) {
                add(
                    "transaction",
                    "`posting_no` and a balance ordered by source transaction are two orders: drop it, or \
                     name the column of `last_posting`",
                );
            }
        } else if confirms {
            if balance.is_some_and(|balance| balance.last_posting.is_none()) {
                add(
                    "balance",
                    "needs `last_posting`: postings of this mapping confirm, and holds end by their number, or with \
                     `{by: source-transaction}` by the source transaction",
                );
            }
            if table.confirms.is_some() && postings.any(|posting| posting.posting_no.is_none()) {
                add(
                    "confirms",
                    "needs `transaction.posting_no`, or `last_posting: {by: source-transaction}` in every balance of \
                     a core that numbers nothing",
                );
            }
        }
    }
}

impl View<'_> {
    /// Where the event's row stands among the source's transactions; none where the mapping does not order by them.
    pub(super) fn place(&self) -> Result<Option<TransactionPlace>, MapError> {
        if !self.mapping.by_source_transaction {
            return Ok(None);
        }
        let place = TransactionPlace::from_event(self.version.generation(), self.event);
        place.map(Some).map_err(|err| self.error("", err.into()))
    }
}
