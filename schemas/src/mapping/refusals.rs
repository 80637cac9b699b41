//! Rows that say that the core refused what carried our reference.

use super::field::Fields;
use super::node::{Members, Node};
use super::reference::Reference;
use super::view::View;
use super::{MapError, MapReason};
use crate::core::REFERENCE_CHARS_MAX;
use crate::debezium::Row;
use crate::model::{REFUSAL_CODE_CHARS_MAX, Refusal};

/// What the rows of a table say of refusals. Which of them do is its `where`.
#[derive(Debug, Clone)]
pub(super) struct RefusalFields {
    pub(super) core_ref: Reference,
    code: Code,
}

/// Where the core's code of a refusal stands.
#[derive(Debug, Clone)]
struct Code {
    column: String,
    /// Place in the JSON that the column holds as a text; none: the column is the code.
    pointer: Option<String>,
    /// Codes of rows that are not final: the core may book their reference yet.
    not: Vec<String>,
}

impl RefusalFields {
    /// The columns that a row's refusal comes from.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        [self.core_ref.column(), &self.code.column].into_iter()
    }
}

/// The code of a refusal whose row tells none.
const UNTOLD: &str = "refused";

impl Fields<'_> {
    /// Reads `refusals: {operations, core_ref, code}`.
    pub(super) fn refusals(&mut self, members: &mut Members<'_>) -> Option<RefusalFields> {
        let operations_at = members.path("operations");
        let operations = members.need("operations", self.problems);
        let operations = operations.and_then(|n| self.problems.texts(n, &operations_at));
        let core_ref = members.need("core_ref", self.problems);
        let core_ref = core_ref.and_then(|n| self.reference(n, &members.path("core_ref")));
        let code = members.need("code", self.problems);
        let code = code.and_then(|n| self.refusal_code(n, &members.path("code")));
        // Named for people, as in `confirms`.
        operations?;
        Some(RefusalFields { core_ref: core_ref?, code: code? })
    }

    /// Reads a column's name or `{column, json, not}`.
    fn refusal_code(&mut self, node: &Node, at: &str) -> Option<Code> {
        let Some(mut members) = self.long(node, at) else {
            let field = self.field(node, at)?;
            return self.column_of(field, "text").map(|column| Code { column, pointer: None, not: Vec::new() });
        };
        let json = members.take("json").map(|n| {
            let pointer = self.problems.text(n, &members.path("json"))?;
            let is_pointer = pointer.starts_with('/');
            if !is_pointer {
                let problem = "expected a place in JSON that begins with /, such as /errors/0/code";
                self.problems.add(n.line, &members.path("json"), problem);
            }
            is_pointer.then_some(pointer)
        });
        let not = members.take("not").map(|n| self.problems.texts(n, &members.path("not")));
        let field = self.rest(members)?;
        let column = self.column_of(field, "text")?;
        let pointer = match json {
            None => None,
            Some(pointer) => Some(pointer?),
        };
        let not = match not {
            None => Vec::new(),
            Some(codes) => codes?,
        };
        Some(Code { column, pointer, not })
    }
}

impl View<'_> {
    /// The refusal that a row tells; none where it carries no reference that could be ours, or is not final.
    pub(super) fn refusal(&self, row: &Row<'_>, fields: &RefusalFields) -> Result<Option<Refusal>, MapError> {
        let may_be_ours = |text: &String| !text.is_empty() && text.chars().count() <= REFERENCE_CHARS_MAX;
        let Some(core_ref) = self.reference(row, &fields.core_ref)?.filter(may_be_ours) else { return Ok(None) };
        let Code { column, pointer, not } = &fields.code;
        let text = match self.optional(row, Some(column), Self::text) {
            // That it was refused is evidence, whatever the code. Only where the code decides whether it is final must it be read.
            Err(err) if not.is_empty() && matches!(err.reason, MapReason::Unavailable | MapReason::Expected(_)) => None,
            text => text?,
        };
        let code = match pointer {
            None => text.map(|text| text.into_owned()),
            Some(pointer) => text.and_then(|text| in_json(&text, pointer)),
        };
        let code = code.filter(|code| !code.is_empty()).unwrap_or_else(|| UNTOLD.to_owned());
        if not.contains(&code) {
            return Ok(None);
        }
        let code = code.chars().take(REFUSAL_CODE_CHARS_MAX).collect();
        Ok(Some(Refusal { core_ref, code, version: self.version }))
    }
}

/// A text or an integer at this place. What a core writes beside it is nobody's business.
fn in_json(text: &str, pointer: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    match json.pointer(pointer)? {
        serde_json::Value::String(code) => Some(code.clone()),
        serde_json::Value::Number(code) => Some(code.to_string()),
        _ => None,
    }
}
