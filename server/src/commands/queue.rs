//! `locum queue`: the journal's entries.

use http::Method;
use serde_json::{Value, json};

use super::entries::{OPEN, entries, page};
use super::{Failure, approvals, client, export, table};
use crate::cli::{Admin, Grounds, QueueCommand};

const COLUMNS: [&str; 8] =
    ["id", "state", "from_account", "to_account", "amount_minor", "currency", "accepted_at", "reason"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: QueueCommand) -> Result<(), Failure> {
    match command {
        QueueCommand::List { state, all, account, after, limit } => {
            let state = state.as_deref().or((!all).then_some(OPEN));
            let page = page(state, account.as_deref(), after.as_deref(), limit);
            list(admin, &client::get(admin, &page).await?, limit);
        }
        QueueCommand::Show { id } => show(admin, client::get(admin, &entry(&id)).await?),
        QueueCommand::Cancel { id, reason } => act(admin, &id, "cancel", &reason, json!({})).await?,
        QueueCommand::Retry { id, reason } => act(admin, &id, "retry", &reason, json!({})).await?,
        QueueCommand::WriteOff { id, reason, grounds } => act(admin, &id, "write-off", &reason, texts(grounds)).await?,
        QueueCommand::Force { id, reason, grounds } => act(admin, &id, "force", &reason, texts(grounds)).await?,
        QueueCommand::Adopt { id, reason, posted_proof, debit_posting_no } => {
            let more = json!({ "posted_proof": posted_proof, "debit_posting_no": debit_posting_no });
            act(admin, &id, "adopt", &reason, more).await?;
        }
        QueueCommand::Free { id, reason, proof } => {
            act(admin, &id, "free", &reason, json!({ "absence_proof": proof })).await?;
        }
        QueueCommand::Link { id, postings, reason } => {
            act(admin, &id, "link", &reason, json!({ "postings": postings })).await?;
        }
        QueueCommand::Compensate { id, reason } => act(admin, &id, "compensate", &reason, json!({})).await?,
        QueueCommand::Export { state, waiting, format } => {
            export::run(admin, state.as_deref(), waiting, format).await?
        }
    }
    Ok(())
}

fn texts(grounds: Grounds) -> Value {
    let Grounds { posted_proof, absence_proof, risk_accepted_by } = grounds;
    json!({ "posted_proof": posted_proof, "absence_proof": absence_proof, "risk_accepted_by": risk_accepted_by })
}

/// One order about an entry; of `more`, what was given.
async fn act(admin: &Admin, id: &str, action: &str, reason: &str, more: Value) -> Result<(), Failure> {
    let mut body = json!({ "action": action, "reason": reason });
    for (name, value) in more.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        body[name] = value.clone();
    }
    let answer = client::order(admin, Method::POST, &format!("{}/actions", entry(id)), body).await?;
    if answer["approval"].is_object() {
        approvals::show(admin, &answer);
    } else {
        show(admin, answer);
    }
    Ok(())
}

fn entry(id: &str) -> String {
    format!("/admin/v1/entries/{}", client::encode(id))
}

fn list(admin: &Admin, answer: &Value, limit: u32) {
    if admin.json {
        return table::line(format_args!("{answer:#}"));
    }
    let entries = entries(answer);
    table::print_list(&COLUMNS, entries);
    if let Some(last) = entries.last().filter(|_| entries.len() as u64 >= u64::from(limit)) {
        eprintln!("there may be more: --after {}", table::cell(&last["id"]));
    }
}

fn show(admin: &Admin, mut entry: Value) {
    if admin.json {
        return table::line(format_args!("{entry:#}"));
    }
    let steps = ["transitions", "orders"].map(|name| entry.as_object_mut().and_then(|entry| entry.remove(name)));
    table::print_object(&entry);
    for step in steps.iter().flatten().filter_map(Value::as_array).flatten() {
        table::line(format_args!("  {step}"));
    }
}
