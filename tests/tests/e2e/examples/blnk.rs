//! Blnk's transactions over its tables, as far as Locum sees them. Its rules are in `examples/blnk/stand-in.sql`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use super::http::{Answer, Core, Request};

const BY_REFERENCE: &str = "/transactions/reference/";

/// One transaction of a POST.
const POST: &str = "SELECT blnk.stand_in_post(:'reference', :'source', :'destination', :'precise_amount'::numeric, \
    :'precision'::bigint, :'currency', :'description');";

/// The core over this database.
pub struct Blnk {
    /// `postgresql://…/blnk`
    pub database: String,
}

impl Core for Blnk {
    async fn answer(&self, request: &Request) -> Answer {
        if request.path != "/health" && !request.headers.contains_key("x-blnk-key") {
            return Answer::json(401, &json!({"error": "no X-Blnk-Key"}));
        }
        let (statement, values) = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/health") => (r#"SELECT '200 {"status":"UP"}';"#, Vec::new()),
            ("POST", "/transactions") => match posting(&request.body) {
                Some(values) => (POST, values),
                None => return Answer::json(400, &json!({"error": "not a transaction that skips the queue"})),
            },
            ("GET", path) if path.starts_with(BY_REFERENCE) => {
                let reference = path.trim_start_matches(BY_REFERENCE).to_owned();
                ("SELECT blnk.stand_in_by_reference(:'reference');", vec![("reference", reference)])
            }
            _ => return Answer::json(404, &json!({"error": "no such route"})),
        };
        let database = self.database.clone();
        let said = tokio::task::spawn_blocking(move || psql(&database, statement, &values)).await;
        match said.unwrap_or_else(|err| Err(err.to_string())) {
            Ok(said) => told(&said),
            // A lost race for a reference ends here, too.
            Err(said) => Answer::json(500, &json!({"error": said})),
        }
    }
}

/// The fields of a transaction, as psql takes them.
fn posting(body: &[u8]) -> Option<Vec<(&'static str, String)>> {
    const FIELDS: [&str; 7] =
        ["reference", "source", "destination", "precise_amount", "precision", "currency", "description"];
    let body: Json = serde_json::from_slice(body).ok()?;
    if body["skip_queue"] != true || !body["precise_amount"].is_u64() || !body["precision"].is_u64() {
        return None;
    }
    let text = |name: &'static str| match &body[name] {
        Json::String(text) => Some((name, text.clone())),
        Json::Number(number) => Some((name, number.to_string())),
        _ => None,
    };
    FIELDS.into_iter().map(text).collect()
}

/// What the database says: a status and a body.
fn told(said: &str) -> Answer {
    let read = said.split_once(' ').and_then(|(status, body)| Some((status.parse().ok()?, body.to_owned())));
    match read {
        Some((status, body)) => Answer { status, header: None, body },
        None => Answer::json(500, &json!({"error": said})),
    }
}

/// Runs one statement, into which psql puts these values in quotes.
fn psql(url: &str, statement: &str, values: &[(&'static str, String)]) -> Result<String, String> {
    let mut command = Command::new("psql");
    command.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    command.args(values.iter().map(|(name, value)| format!("--set={name}={value}"))).arg(url);
    command.env("PGCONNECT_TIMEOUT", "2").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|err| format!("psql: {err}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(statement.as_bytes()).map_err(|err| format!("psql: {err}"))?;
    }
    let output = child.wait_with_output().map_err(|err| format!("psql: {err}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
