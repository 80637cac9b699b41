//! Rows that carry our reference and name the postings it is of, where the postings' own rows carry none.

use super::MapError;
use super::field::Fields;
use super::identifier::Id;
use super::node::{Members, Node, Problems};
use super::order::by_source_transaction;
use super::reference::Reference;
use super::table::{Table, TransactionFields};
use super::view::View;
use crate::core::REFERENCE_CHARS_MAX;
use crate::debezium::Row;
use crate::model::PostingLink;

/// What the rows of a table say of postings.
#[derive(Debug, Clone)]
pub(super) struct LinkFields {
    pub(super) core_ref: Reference,
    /// The table of the postings, as the mapping names it.
    table: String,
    /// Where the keys of the postings stand; a row with NULL there names no such posting.
    postings: Vec<Id>,
}

impl Fields<'_> {
    /// Reads `links: {operations, core_ref, table, postings}`.
    pub(super) fn links(&mut self, members: &mut Members<'_>) -> Option<LinkFields> {
        let (operations_at, table_at) = (members.path("operations"), members.path("table"));
        let operations = members.need("operations", self.problems);
        let operations = operations.and_then(|n| self.problems.texts(n, &operations_at));
        let core_ref = members.need("core_ref", self.problems);
        let core_ref = core_ref.and_then(|n| self.reference(n, &members.path("core_ref")));
        let table = members.need("table", self.problems).and_then(|n| self.problems.text(n, &table_at));
        let postings = members.need("postings", self.problems);
        let postings = postings.and_then(|n| self.ids(n, &members.path("postings")));
        // Named for people, as in `confirms`.
        operations?;
        Some(LinkFields { core_ref: core_ref?, table: table?, postings: postings? })
    }

    /// One identifier or a list of them.
    fn ids(&mut self, node: &Node, at: &str) -> Option<Vec<Id>> {
        let currencies = self.currencies;
        self.problems.list(node, at, |problems, node, at| {
            let mut fields = Fields { problems, currencies };
            let field = fields.field(node, at)?;
            fields.id_of(field)
        })
    }
}

/// A link must lead to postings that it can confirm.
pub(super) fn lead_to_postings(tables: &[Table], line: u64, problems: &mut Problems) {
    let by_transaction = by_source_transaction(tables);
    for table in tables {
        let Some(links) = &table.links else { continue };
        let at = format!("tables.{}.links", table.name);
        let named = |other: &&Table| other.name == links.table || other.full_name() == links.table;
        let target = tables.iter().find(named);
        let Some((target, fields)) = target.and_then(|target| Some((target, target.transaction.as_ref()?))) else {
            let problem = format!("`table: {}` is no table of this mapping with a `transaction`", links.table);
            problems.add(line, &at, problem);
            continue;
        };
        for problem in links.disagreements(target, fields, by_transaction) {
            problems.add(line, &at, problem);
        }
    }
}

impl LinkFields {
    /// The columns that it looks at.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        std::iter::once(self.core_ref.column()).chain(self.postings.iter().flat_map(Id::columns))
    }

    fn disagreements(&self, target: &Table, fields: &TransactionFields, by_transaction: bool) -> Vec<String> {
        let mut found = Vec::new();
        let name = &self.table;
        if target.confirms.is_some() {
            found.push(format!(
                "`{name}` has `confirms`: a posting is confirmed by its own row or by a link, not by both"
            ));
        }
        if fields.postings.iter().any(|posting| !posting.suffix.is_empty()) {
            found.push(format!("a row of `{name}` is two postings (`legs`), and a link names one"));
        } else if !by_transaction && fields.postings.iter().any(|posting| posting.posting_no.is_none()) {
            found.push(format!(
                "needs `transaction.posting_no` of `{name}`, or `last_posting: {{by: source-transaction}}` in every balance of a core \
                 that numbers nothing: holds end by one of the two"
            ));
        }
        let columns = fields.transaction_id.columns().count();
        if self.postings.iter().any(|id| id.columns().count() != columns) {
            found.push(format!("each of `postings` needs as many columns as `transaction_id` of `{name}`: {columns}"));
        }
        found
    }
}

impl View<'_> {
    /// The links in a row: none where it carries no reference that could be ours.
    pub(super) fn links(&self, row: &Row<'_>, fields: &LinkFields) -> Result<Vec<PostingLink>, MapError> {
        let may_be_ours = |text: &String| !text.is_empty() && text.chars().count() <= REFERENCE_CHARS_MAX;
        let Some(core_ref) = self.reference(row, &fields.core_ref)?.filter(may_be_ours) else { return Ok(Vec::new()) };
        let mut links = Vec::with_capacity(fields.postings.len());
        for id in &fields.postings {
            if let Some(transaction_id) = self.id_unless_null(row, id)? {
                links.push(PostingLink { transaction_id, core_ref: core_ref.clone(), version: self.version });
            }
        }
        Ok(links)
    }
}
