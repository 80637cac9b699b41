//! What a check of a mapping tells: one JSON document, and the same as text.

use ingest::coverage::{Coverage, ShownAccount, SumOf, TableSeen};
use schemas::debezium::Connector;
use schemas::mapping::Mapping;
use schemas::money::Currency;
use serde_json::{Value, json};

use crate::commands::table;

/// Columns of each part that is a table.
const ROWS: [&str; 3] = ["kind", "written", "ended"];
const TABLES: [&str; 5] = ["table", "events", "mapped", "left_out", "refused"];
const COLUMNS: [&str; 4] = ["table", "column", "rows", "nulls"];
const CODES: [&str; 5] = ["table", "place", "column", "code", "rows"];
const SUMS: [&str; 8] =
    ["currency", "balances", "booked", "core_holds", "overdraft_lines", "postings", "credits", "debits"];

/// Everything that was seen. `note` = what the source would say before its first record.
pub fn of(mapping: &Mapping, seen: &Coverage, note: Option<String>) -> Value {
    let counts = seen.counts();
    let refused = seen.refusals().reasons.iter().map(|refusal| {
        json!({
            "reason": refusal.reason,
            "halts": refusal.halts,
            "records": refusal.records,
            "first": refusal.places,
        })
    });
    let rows = seen.written().iter().map(
        |(entity, written)| json!({"kind": entity.as_str(), "written": written.upserts, "ended": written.deletes}),
    );
    let tables = seen.tables().iter().map(|(name, table)| {
        json!({
            "table": name,
            "events": table.events,
            "mapped": table.mapped,
            "left_out": table.skipped,
            "refused": table.refused,
        })
    });
    json!({
        "source": mapping.source(),
        "records": {
            "read": counts.records,
            "mapped": counts.mapped,
            "left_out": counts.skipped,
            "refused": counts.refused,
            "of_other_tables": counts.unmapped,
            "without_rows": counts.other,
        },
        "refused": refused.collect::<Vec<_>>(),
        "refused_for_further_reasons": seen.refusals().others,
        "rows": rows.collect::<Vec<_>>(),
        "tables": tables.collect::<Vec<_>>(),
        "other_tables": seen.unmapped(),
        "columns": seen.tables().iter().flat_map(|(name, table)| columns(name, table)).collect::<Vec<_>>(),
        "unused_columns": seen.unused(),
        "codes": seen.tables().iter().flat_map(|(name, table)| codes(name, table)).collect::<Vec<_>>(),
        "sums": seen.sums().iter().map(|(currency, sum)| sums(currency, sum)).collect::<Vec<_>>(),
        "accounts": seen.shown().iter().map(|shown| account(mapping.source(), shown)).collect::<Vec<_>>(),
        "notes": notes(mapping, seen, note),
    })
}

fn columns(name: &str, table: &TableSeen) -> Vec<Value> {
    let used = table.columns.iter().filter(|(_, seen)| seen.is_used);
    used.map(|(column, seen)| json!({"table": name, "column": column, "rows": seen.rows, "nulls": seen.nulls}))
        .collect()
}

fn codes(name: &str, table: &TableSeen) -> Vec<Value> {
    let code = |code: &ingest::coverage::CodeSeen| {
        let unlisted = &code.unlisted;
        json!({
            "table": name,
            "place": unlisted.place,
            "column": unlisted.column,
            "code": unlisted.code,
            "rows": code.rows,
        })
    };
    table.codes.iter().map(code).collect()
}

fn sums(currency: &str, sum: &SumOf) -> Value {
    let exponent = Currency::parse(currency).map_or(0, |currency| currency.exponent());
    let amount = |minor: i128| amount(minor, exponent);
    json!({
        "currency": currency,
        "balances": sum.balances,
        "booked": amount(sum.booked_minor),
        "core_holds": amount(sum.core_holds_minor),
        "overdraft_lines": amount(sum.overdraft_lines_minor),
        "postings": sum.postings,
        "credits": amount(sum.credits_minor),
        "debits": amount(sum.debits_minor),
    })
}

/// A sum leaves the 64 bits of an amount.
fn amount(minor: i128, exponent: u32) -> String {
    let unit = 10_u128.pow(exponent);
    let (whole, part) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let sign = if minor < 0 { "-" } else { "" };
    match exponent {
        0 => format!("{sign}{whole}"),
        digits => format!("{sign}{whole}.{part:0digits$}", digits = digits as usize),
    }
}

fn account(source: &str, shown: &ShownAccount) -> Value {
    let transactions: Vec<Value> = shown.transactions.iter().map(read_api::shown::transaction).collect();
    let document = shown.document(source);
    let balance = document.as_ref().map(read_api::shown::balance);
    json!({
        "account_id": shown.account_id,
        "account": document.as_ref().map(read_api::shown::account),
        "balance": balance.as_ref().and_then(|balance| balance.as_ref().ok()),
        "no_balance": balance.as_ref().and_then(|balance| balance.as_ref().err()),
        "transactions": transactions,
    })
}

fn notes(mapping: &Mapping, seen: &Coverage, note: Option<String>) -> Vec<String> {
    let mut notes: Vec<String> = note.into_iter().collect();
    for (name, table) in seen.tables() {
        if table.events == 0 {
            notes.push(format!(
                "no record of {name}: a table without rows has no topic; is it in the connector's table.include.list, and its name right?"
            ));
            continue;
        }
        let missing: Vec<&str> = table.missing().collect();
        if table.columns.values().any(|column| column.rows > 0) && !missing.is_empty() {
            notes.push(format!("{name}: no row has {}; mend the name in the mapping", missing.join(", ")));
        }
        if mapping.connector() == Connector::Postgres && table.without_before > 0 {
            notes.push(format!(
                "{name}: {} of {} updates do not tell the row before; without REPLICA IDENTITY FULL an update of a large value, or of an \
                 identifier outside the key, may be refused",
                table.without_before, table.updates
            ));
        }
        if table.more_codes > 0 {
            notes.push(format!("{name}: {} rows with further codes that are not shown", table.more_codes));
        }
    }
    if seen.counts().mapped == 0 {
        notes.push(
            "not one record was mapped: are the tables' names those of the topics (PREFIX.DATABASE.TABLE)?".into(),
        );
    }
    if !seen.summed_all() {
        let max = ingest::coverage::ROWS_SUMMED_MAX;
        notes.push(format!("the sums are not whole: only {max} balances and as many postings are summed"));
    }
    if !seen.followed_all() {
        let max = ingest::coverage::KEPT_MAX;
        notes.push(format!(
            "only {max} rows were followed by what they were stored under: an update refused here for want of the row before may be taken \
             by a source"
        ));
    }
    notes
}

/// Prints it for people.
pub fn print(told: &Value) {
    let counts = ["read", "mapped", "left_out", "refused", "of_other_tables", "without_rows"];
    let records = &told["records"];
    table::print(&["records", ""], &counts.map(|name| vec![words(name), table::cell(&records[name])]));
    refused(told);
    part(told, "rows", "What was written and ended", &ROWS);
    part(told, "tables", "Tables of the mapping", &TABLES);
    part(told, "columns", "Columns that the mapping uses", &COLUMNS);
    lists(told, "unused_columns", "Columns that it does not use");
    part(told, "codes", "Codes that it does not list (place `where`: rows left out)", &CODES);
    part(told, "sums", "Sums of the newest rows, to be compared with the core's", &SUMS);
    accounts(told);
    lists(told, "other_tables", "Events of tables that it does not name");
    for (i, note) in list(told, "notes").iter().enumerate() {
        if i == 0 {
            table::line("\nNotes");
        }
        table::line(format_args!("- {}", table::cell(note)));
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn list<'v>(told: &'v Value, name: &str) -> &'v [Value] {
    told[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn part(told: &Value, name: &str, title: &str, members: &[&str]) {
    let objects = list(told, name);
    if !objects.is_empty() {
        table::line(format_args!("\n{title}"));
        table::print_list(members, objects);
    }
}

fn lists(told: &Value, name: &str, title: &str) {
    let Some(of) = told[name].as_object().filter(|of| !of.is_empty()) else { return };
    table::line(format_args!("\n{title}"));
    for (name, items) in of {
        let items = match items.as_array() {
            Some(items) => items.iter().map(table::cell).collect::<Vec<_>>().join(", "),
            None => table::cell(items),
        };
        table::line(format_args!("{}: {items}", table::plain(name)));
    }
}

fn refused(told: &Value) {
    for (i, refusal) in list(told, "refused").iter().enumerate() {
        if i == 0 {
            table::line("\nRefused");
        }
        let what = if refusal["halts"] == true { "halts the source" } else { "parked" };
        let first: Vec<String> = refusal["first"].as_array().into_iter().flatten().map(table::cell).collect();
        table::line(format_args!("- {} ×, {what}: {}", refusal["records"], table::cell(&refusal["reason"])));
        table::line(format_args!("  first at {}", first.join(", ")));
    }
    if told["refused_for_further_reasons"] != 0 {
        table::line(format_args!("- {} × for further reasons", told["refused_for_further_reasons"]));
    }
}

fn accounts(told: &Value) {
    for (i, shown) in list(told, "accounts").iter().enumerate() {
        if i == 0 {
            table::line("\nThe first accounts, as a channel reads them");
        }
        match &shown["account"] {
            Value::Null => {
                let id = table::cell(&shown["account_id"]);
                table::line(format_args!(
                    "- {id}: no row of an account has this identifier: a channel reads `not-found`"
                ));
            }
            account => table::line(format_args!("- account {}", table::cell(account))),
        }
        match (&shown["balance"], &shown["no_balance"]) {
            (Value::Null, Value::Null) => {}
            (Value::Null, why) => table::line(format_args!("  no balance: {}", table::cell(why))),
            (balance, _) => table::line(format_args!("  balance {}", table::cell(balance))),
        }
        for transaction in list(shown, "transactions") {
            table::line(format_args!("  transaction {}", table::cell(transaction)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ingest::capture;

    use super::*;

    const MAPPING: &str = include_str!("../../../../schemas/fixtures/cores/blnk/mapping.yaml");
    const EVENTS: &str = include_str!("../../../../schemas/fixtures/cores/blnk/captured.jsonl");

    #[test]
    fn amounts_are_written_with_the_digits_of_their_currency() {
        assert_eq!([amount(-5, 2), amount(123_456, 3), amount(7, 0), amount(0, 2)], ["-0.05", "123.456", "7", "0.00"]);
        assert_eq!(amount(i128::from(i64::MIN) * 2, 2), "-184467440737095516.16");
    }

    #[test]
    fn what_blnk_wrote_is_told_as_its_own_books_have_it() {
        let mapping = Arc::new(Mapping::from_yaml(MAPPING).unwrap());
        let mut seen = Coverage::new(Arc::clone(&mapping));
        for (number, line) in EVENTS.lines().enumerate() {
            seen.read(&capture::record(line, number as i64).unwrap());
        }
        let told = of(&mapping, &seen, Some("a note".into()));
        assert_eq!(told["records"]["refused"], 0, "{told:#}");
        assert_eq!((&told["sums"][0]["currency"], &told["sums"][0]["booked"]), (&json!("EUR"), &json!("0.00")));
        assert_eq!((&told["sums"][0]["postings"], &told["sums"][0]["credits"]), (&json!(6), &json!("5019.50")));
        let queued = told["codes"].as_array().unwrap().iter().find(|code| code["code"] == "QUEUED").unwrap();
        assert_eq!((&queued["place"], &queued["rows"]), (&json!("where"), &json!(1)));
        let one = &told["accounts"][0];
        assert_eq!((&one["account"]["state"], &one["balance"]["booked"]), (&json!("active"), &json!("4980.50")));
        assert_eq!(told["notes"][0], "a note");
        let unused = told["unused_columns"]["blnk.transactions"].as_array().unwrap();
        assert!(unused.contains(&json!("meta_data")) && !unused.contains(&json!("status")), "{unused:?}");
        print(&told);
    }
}
