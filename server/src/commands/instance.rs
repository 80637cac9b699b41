//! `locum instance`: who sends, and who will not any more.

use http::Method;
use serde_json::json;

use super::{Failure, approvals, client, table};
use crate::cli::{Admin, InstanceCommand};

const PATH: &str = "/admin/v1/instances";
const COLUMNS: [&str; 6] = ["id", "boot", "started_at", "seen_s_ago", "open_attempts", "gone"];

/// Runs one of the commands.
pub async fn run(admin: &Admin, command: InstanceCommand) -> Result<(), Failure> {
    match command {
        InstanceCommand::List => {
            let answer = client::get(admin, &format!("{PATH}?limit=1000")).await?;
            match answer["instances"].as_array() {
                Some(instances) if !admin.json => table::print_list(&COLUMNS, instances),
                _ => table::line(format_args!("{answer:#}")),
            }
        }
        InstanceCommand::DeclareGone { id, fenced, proof, reason, risk_accepted_by } => {
            let mut body = json!({ "action": "declare-gone", "fenced": fenced, "proof": proof, "reason": reason });
            if let Some(name) = risk_accepted_by {
                body["risk_accepted_by"] = name.into();
            }
            eprintln!("RISK: if instance {id} still lives, what it sends after this is posted a second time");
            let path = format!("{PATH}/{}/actions", client::encode(&id));
            let answer = client::order(admin, Method::POST, &path, body).await?;
            if answer["approval"].is_object() {
                approvals::show(admin, &answer);
            } else {
                table::show(admin.json, &answer);
            }
        }
    }
    Ok(())
}
