//! `locum connector try`: the calls, one after the other.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::{CoreConfig, CoreConnector, Heard, Listener};
use schemas::core::{Outcome, Posting};
use standin::journal::EntryId;
use standin::reference::reference;

use super::judge::{self, Grade, Judged};
use super::{request, told};
use crate::cli::TryConnector;
use crate::commands::{Failure, table};
use crate::config::connector;

/// A core that is tried.
struct Trial<'t> {
    core: Arc<dyn CoreConnector>,
    heard: Arc<Mutex<Vec<Heard>>>,
    operation: &'t str,
    timeout: Duration,
    wrong: u32,
}

/// Tries a connector's file, and prints what every answer shows.
pub async fn run(what: &TryConnector) -> Result<(), Failure> {
    let config = read(&what.config, what.base_url.as_deref())?;
    let known = config.operations().join(", ");
    let fields = config.fields(&what.operation).cloned().ok_or_else(|| {
        Failure::Usage(format!("{} is not declared in {}; it has {known}", what.operation, what.config.display()))
    })?;
    let can_ask = config.can_ask(&what.operation);
    let fresh = || reference(config.reference(), &EntryId::generate(), 0);
    let (unsent, ours) = (fresh(), fresh());
    let request = what.yes.then(|| request::smallest(what, &fields, &ours, jiff::Timestamp::now())).transpose()?;
    let place = format!("{} at {}", config.name(), config.address());
    let mut trial = Trial::begin(config, what)?;
    table::line(place);

    let probe = trial.core.probe(trial.timeout).await;
    trial.tell("probe", judge::probe(&probe));
    if can_ask {
        let found = trial.core.enquire(trial.operation, &unsent, trial.timeout).await;
        trial.tell(&format!("enquiry for {unsent}, which nobody sent"), judge::of_nothing(&found));
    } else {
        table::line("enquiry: not declared, so an unknown outcome ends by change data or a person");
    }
    match &request {
        Some(_) if trial.wrong > 0 => table::line("nothing was posted: mend first what is WRONG above"),
        Some(request) => {
            trial
                .core
                .check(request)
                .map_err(|what| Failure::Usage(format!("the request cannot be written: {what}")))?;
            trial.post(request, can_ask).await;
        }
        None => table::line(
            "nothing was posted; --yes with --from-account, --to-account and --currency sends a smallest posting",
        ),
    }
    match trial.wrong {
        0 => Ok(()),
        wrong => Err(Failure::Failed(anyhow::anyhow!(
            "{wrong} of the answers are not what the file must make of them; see WRONG above"
        ))),
    }
}

/// The file, whole and right; opens no connection.
fn read(path: &Path, base_url: Option<&str>) -> Result<CoreConfig, Failure> {
    let mut config = connector(path).map_err(|text| {
        Failure::Usage(format!(
            "{text}\n(expected a connector's file, the one that `core.connector` of the configuration names)"
        ))
    })?;
    config.resolve(path.parent().unwrap_or(Path::new("")));
    if let Some(address) = base_url {
        config.set_address(address);
    }
    Ok(config)
}

impl<'t> Trial<'t> {
    fn begin(config: CoreConfig, what: &'t TryConnector) -> Result<Self, Failure> {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let told = Arc::clone(&heard);
        let listener: Listener = Arc::new(move |one| told.lock().unwrap_or_else(PoisonError::into_inner).push(one));
        let core = config.build_heard(listener).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::Usage(format!("{}:\n{}", what.config.display(), errors.join("\n")))
        })?;
        let timeout = Duration::from_millis(what.timeout_ms);
        Ok(Self { core, heard, operation: &what.operation, timeout, wrong: 0 })
    }

    /// Prints a call with the answers that were heard since the last one.
    fn tell(&mut self, name: &str, judged: Judged) {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let judged = judged.unless_silent(heard.is_empty());
        told::call(name, &judged, &heard);
        self.wrong += u32::from(judged.grade == Grade::Wrong);
    }

    /// A posting, the enquiry for it, and the same posting once more.
    async fn post(&mut self, request: &connectors::PostRequest, can_ask: bool) {
        let core_ref = &request.core_ref;
        let first = self.core.post(request, self.timeout).await;
        self.tell(&format!("{} with the reference {core_ref}", self.operation), judge::first(&first));
        if let Outcome::Refused { code } = &first
            && let Some(reason) = self.core.refusal_reason(self.operation, code)
        {
            table::line(format_args!("  channels read: {reason}"));
        }
        if matches!(first, Outcome::NotSent { .. }) {
            return table::line("nothing was booked, so nothing more is tried");
        }
        if can_ask {
            let found = self.core.enquire(self.operation, core_ref, self.timeout).await;
            self.tell(&format!("enquiry for {core_ref}"), judge::of_posted(request, &first, &found));
        }
        let capabilities = self.core.capabilities();
        match &first {
            Outcome::Posted(posting) if capabilities.reference_memory_ms.is_some() => {
                self.again(request, posting).await;
            }
            Outcome::Posted(_) => table::line(
                "the same reference again: not tried, as `capabilities.reference-memory-ms` is not declared: the core may post twice",
            ),
            _ => table::line("the same reference again: not tried, as the first answer was no acceptance"),
        }
    }

    async fn again(&mut self, request: &connectors::PostRequest, first: &Posting) {
        let second = self.core.post(request, self.timeout).await;
        let judged = judge::again(self.core.capabilities(), first, &second);
        self.tell(&format!("the reference {} once more", request.core_ref), judged);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const CORE_SIM: &str = include_str!("../../../../connectors/cores/core-sim.yaml");
    const NOT_FOUND: (u16, &str) = (404, r#"{"code":"NOT_FOUND"}"#);
    const UP: (u16, &str) = (200, r#"{"status":"UP"}"#);

    /// A core that answers each request on a connection of its own: to the probe, and to everything else.
    async fn core(probe: (u16, &'static str), other: (u16, &'static str)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let (status, body) = if head.starts_with(b"GET /health") { probe } else { other };
                let length = body.len();
                let kind = "Content-Type: application/json\r\nConnection: close";
                let answer = format!("HTTP/1.1 {status} X\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}");
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        url
    }

    /// Of a posting, too.
    fn with_yes(what: TryConnector) -> TryConnector {
        let account = |name: &str| Some(name.to_owned());
        let (from_account, to_account, currency) = (account("A"), account("B"), account("EUR"));
        TryConnector { yes: true, from_account, to_account, currency, ..what }
    }

    fn what(name: &str, base_url: String, operation: &str) -> TryConnector {
        let path = std::env::temp_dir().join(format!("locum-try-{}-{name}.yaml", std::process::id()));
        std::fs::write(&path, CORE_SIM).unwrap();
        TryConnector {
            config: path,
            operation: operation.to_owned(),
            base_url: Some(base_url),
            timeout_ms: 10_000,
            yes: false,
            from_account: None,
            to_account: None,
            currency: None,
            amount_minor: 1,
            field: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_core_that_answers_as_declared_is_right_and_an_undeclared_answer_is_wrong() {
        run(&what("good", core(UP, NOT_FOUND).await, "transfer")).await.unwrap();
        let found = (200, r#"{"status":"REFUSED","code":"ACCOUNT_CLOSED"}"#);
        for (name, probe, other) in [("probe", (200, r#"{"status":"FINE"}"#), NOT_FOUND), ("found", UP, found)] {
            match run(&what(name, core(probe, other).await, "transfer")).await {
                Err(Failure::Failed(why)) => assert!(why.to_string().contains("WRONG"), "{name}: {why}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn nothing_is_posted_to_a_core_whose_probe_is_not_understood() {
        let posted = (201, "{}");
        let strange = core((200, r#"{"status":"FINE"}"#), posted).await;
        match run(&with_yes(what("strange", strange, "transfer"))).await {
            // The probe, and the enquiry that `posted` does not answer: no third call.
            Err(Failure::Failed(why)) => assert!(why.to_string().starts_with("2 of"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_operation_that_the_file_lacks_is_told_with_those_it_has() {
        match run(&what("lacks", "http://127.0.0.1:1".to_owned(), "freeze")).await {
            Err(Failure::Usage(text)) => assert!(text.contains("transfer"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}
