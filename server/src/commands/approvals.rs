//! `locum approvals`: four eyes.

use http::Method;
use serde_json::{Value, json};

use super::{Failure, client, table};
use crate::cli::{Admin, ApprovalsCommand};

const PATH: &str = "/admin/v1/approvals";
const COLUMNS: [&str; 6] = ["id", "action", "subject", "asked_by", "why", "expires_at"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: ApprovalsCommand) -> Result<(), Failure> {
    let one = |id: &str| format!("{PATH}/{}", client::encode(id));
    let decide = async |id: &str, action: &str, reason: String| {
        let body = json!({ "action": action, "reason": reason });
        client::order(admin, Method::POST, &format!("{}/actions", one(id)), body).await
    };
    match command {
        ApprovalsCommand::List { state } => {
            let answer = client::get(admin, &format!("{PATH}?state={}", client::encode(&state))).await?;
            match answer["approvals"].as_array() {
                Some(approvals) if !admin.json => {
                    table::print_list(&COLUMNS, &approvals.iter().map(row).collect::<Vec<_>>());
                }
                _ => table::line(format_args!("{answer:#}")),
            }
        }
        ApprovalsCommand::Show { id } => table::show(admin.json, &client::get(admin, &one(&id)).await?),
        ApprovalsCommand::Approve { id, reason } => {
            table::show(admin.json, &decide(&id, "approve", reason).await?);
        }
        ApprovalsCommand::Reject { id, reason } => table::show(admin.json, &decide(&id, "reject", reason).await?),
    }
    Ok(())
}

/// One line about an order: what it is about is under a name of its own kind.
fn row(approval: &Value) -> Value {
    let order = &approval["order"];
    let subject = ["entry", "account", "instance"].into_iter().find(|name| order[*name].is_string());
    json!({
        "id": approval["id"],
        "action": order["action"],
        "subject": subject.map(|name| &order[name]),
        "asked_by": approval["asked_by"],
        "why": order["why"],
        "expires_at": approval["expires_at"],
    })
}

/// An order that was not carried out yet, and what must follow.
pub(super) fn show(admin: &Admin, answer: &Value) {
    table::show(admin.json, &answer["approval"]);
    let id = table::cell(&answer["approval"]["id"]);
    eprintln!("nothing is done yet: a second person must say `locum approvals approve {id} --reason …`");
}
