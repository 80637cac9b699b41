//! `locum queue export`: entries to standard output, for people and programs that go on with them.

use serde_json::Value;

use super::entries::{self, OPEN, entries};
use super::{Failure, client, table};
use crate::cli::{Admin, ExportFormat};

/// Entries asked for at once.
const PAGE: u32 = 1_000;
const COLUMNS: [&str; 11] = [
    "id",
    "core_reference",
    "state",
    "from_account",
    "to_account",
    "amount",
    "currency",
    "remittance",
    "business_date",
    "accepted_at",
    "reason",
];

/// Prints every entry of these states; those that wait with all that is needed to key them by hand.
pub async fn run(admin: &Admin, state: Option<&str>, waiting: bool, format: ExportFormat) -> Result<(), Failure> {
    let state = if waiting { Some(OPEN) } else { state };
    if format == ExportFormat::Csv {
        table::line(COLUMNS.join(","));
    }
    let mut after: Option<String> = None;
    loop {
        let page = entries::page(state, None, after.as_deref(), PAGE);
        let text = if waiting { "&text=true" } else { "" };
        let answer = client::get(admin, &format!("{page}{text}")).await?;
        for entry in entries(&answer) {
            match format {
                ExportFormat::Json => table::line(entry),
                ExportFormat::Csv => table::line(csv(entry)),
            }
        }
        match entries(&answer).last().and_then(|entry| entry["id"].as_str()) {
            Some(last) if after.as_deref() != Some(last) => after = Some(last.to_owned()),
            _ => return Ok(()),
        }
    }
}

fn csv(entry: &Value) -> String {
    let cell = |name: &&str| match &entry[*name] {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    };
    COLUMNS.iter().map(cell).collect::<Vec<_>>().join(",")
}

/// Quoted as RFC 4180 says. A text that a spreadsheet would run as a formula gets an apostrophe: a customer wrote it.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let apostrophe = if formula { "'" } else { "" };
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_customers_text_is_one_cell_and_no_formula() {
        let entry = json!({"id": "1", "remittance": "=cmd|' /C calc'!A0, \"rent\"", "amount": "10.50"});
        assert_eq!(csv(&entry), r#""1",,,,,"10.50",,"'=cmd|' /C calc'!A0, ""rent""",,,"#);
    }
}
