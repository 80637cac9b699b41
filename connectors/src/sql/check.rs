//! From configuration to a plan. Every error is found in one run.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::check_rules::{self, Allowed};
use super::config::{
    EnquiryQuery, PostCall, Server, SessionLimits, SqlCoreConfig, SqlOperation, Tls, TransactionOwner,
};
use super::errors::Call;
use super::login::{Login, Place, TlsFiles, password};
use super::outcome::{EnquiryAnswers, PostAnswers};
use super::posting::pointers;
use super::statement::{BoundTemplate, Statement, Use};
use crate::check;
use crate::findings::{ConfigError, Findings};
use crate::http::FieldKind;
use crate::template::RESERVED;

/// Longest name of a user, on either server.
const USER_CHARS_MAX: usize = 63;
/// A statement with less time than this would be ended before it did anything.
const STATEMENT_MS_MIN: u64 = 100;
/// No bound in milliseconds is longer: an hour.
const BOUND_MS_MAX: u64 = 3_600_000;

/// The checked form of a configuration.
pub(super) struct Plan {
    pub(super) login: Login,
    pub(super) probe: Statement,
    pub(super) operations: HashMap<String, OperationPlan>,
}

pub(super) struct OperationPlan {
    pub(super) post: Statement,
    pub(super) answers: PostAnswers,
    pub(super) enquiry: Option<(Statement, EnquiryAnswers)>,
}

/// Are the files that are named to be looked at? A process that sends nothing to the core had better not have its secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    Read,
    Unread,
}

/// Checks everything; a plan only where nothing was found.
pub(super) fn plan(config: &SqlCoreConfig, files: Files) -> Result<Plan, Vec<ConfigError>> {
    let mut found = Findings::default();
    check::core(&config.name, &config.reference, !config.operations.is_empty(), &mut found);
    limits(&config.limits, config.server, &mut found);
    lifetime(config, &mut found);
    let login = login(config, files, &mut found);
    let probe = Statement::fixed(&config.probe.query, config.server);
    let probe = probe.map_err(|faults| faults.into_iter().for_each(|fault| found.add("probe.query", fault))).ok();
    check_rules::rules(&config.probe.up, Allowed::ROWS, "probe.up", &mut found);
    check_rules::optional_rules(&config.probe.read_only, Allowed::ROWS, "probe.read-only", &mut found);
    let mut operations = HashMap::new();
    for (name, operation) in &config.operations {
        let at = format!("operations.{name}");
        check::can_be_asked(config.capabilities.enquiry, operation.enquiry.is_some(), &at, &mut found);
        if let Some(plan) = self::operation(operation, config.server, &at, &mut found) {
            operations.insert(name.clone(), plan);
        }
    }
    match (login, probe) {
        (Some(login), Some(probe)) if found.is_empty() => Ok(Plan { login, probe, operations }),
        _ => Err(found.all()),
    }
}

fn limits(limits: &SessionLimits, server: Server, found: &mut Findings) {
    let times = [
        ("connect-ms-max", limits.connect_ms_max),
        ("idle-ms-max", limits.idle_ms_max),
        ("age-ms-max", limits.age_ms_max),
        ("statement-ms-max", limits.statement_ms_max),
        ("lock-wait-ms-max", limits.lock_wait_ms_max),
    ];
    for (name, value) in times {
        let at = format!("limits.{name}");
        found.must((1..=BOUND_MS_MAX).contains(&value), &at, "must be 1 to 3600000");
        let in_seconds = server == Server::Mariadb && ["idle-ms-max", "lock-wait-ms-max"].contains(&name);
        found.must(
            !in_seconds || value.is_multiple_of(1_000),
            &at,
            "must be a multiple of 1000: MariaDB counts it in seconds",
        );
    }
    found.must(
        limits.statement_ms_max >= STATEMENT_MS_MIN,
        "limits.statement-ms-max",
        "must be at least 100: a statement needs some time",
    );
    found.must(
        limits.lock_wait_ms_max < limits.statement_ms_max,
        "limits.lock-wait-ms-max",
        "must be less than statement-ms-max: a wait for a lock would never end as one, which is what can be declared `not-done`",
    );
    found.must((1..=4_096).contains(&limits.connections_max), "limits.connections-max", "must be 1 to 4096");
}

/// What is on its way may arrive while its session lives, take its time to arrive whole, and run for as long.
fn lifetime(config: &SqlCoreConfig, found: &mut Findings) {
    let SessionLimits { idle_ms_max: idle, statement_ms_max: statement, .. } = config.limits;
    let needed = statement.saturating_mul(2).saturating_add(idle);
    let told = config.capabilities.request_lifetime_ms_max;
    if told < needed {
        let text = format!(
            "is {told} ms, and a call may take effect for {needed} ms after its sender ended: idle-ms-max ({idle}) until its session \
             is ended by the server, and twice statement-ms-max ({statement}) to arrive whole and to run; raise it, or lower those limits"
        );
        found.add("capabilities.request-lifetime-ms-max", text);
    }
}

fn login(config: &SqlCoreConfig, files: Files, found: &mut Findings) -> Option<Login> {
    let place = found.take("url", Place::read(&config.url, config.server));
    let user = &config.credentials.user;
    let named = (1..=USER_CHARS_MAX).contains(&user.chars().count()) && !user.contains(char::is_control);
    found.must(named, "credentials.user", "must be 1 to 63 characters");
    if let Some(file) = config.credentials.password_file.as_ref().filter(|_| files == Files::Read) {
        found.take("credentials.password-file", password(file));
    }
    let tls = config.tls.as_ref().map(|tls| certificates(tls, files, found));
    let open = place.as_ref().is_some_and(|place| config.tls.is_none() && !place.is_here());
    found.must(
        !open,
        "tls",
        "is missing, and the server is not on this host: name the authority of its certificate (`tls: {ca: FILE}`), or reach it \
         through an encrypted tunnel that ends on this host",
    );
    Some(Login {
        place: place?,
        user: user.clone(),
        password_file: config.credentials.password_file.clone(),
        tls,
        isolation: config.isolation,
        limits: config.limits.clone(),
    })
}

fn certificates(tls: &Tls, files: Files, found: &mut Findings) -> TlsFiles {
    let mut parts = vec![(&tls.ca, "CERTIFICATE", "tls.ca")];
    if let Some(client) = &tls.client {
        parts.push((&client.certificate, "CERTIFICATE", "tls.client.certificate"));
        parts.push((&client.key, "PRIVATE KEY", "tls.client.key"));
    }
    for (file, part, at) in parts.into_iter().filter(|_| files == Files::Read) {
        pem(file, part, at, found);
    }
    let client = tls.client.as_ref().map(|client| (client.certificate.clone(), client.key.clone()));
    TlsFiles { ca: tls.ca.clone(), client }
}

/// Only that the file is there and holds such a part: whether the server takes it, a connection tells.
fn pem(file: &Path, part: &str, at: &str, found: &mut Findings) {
    match std::fs::read_to_string(file) {
        Err(err) => found.add(at, format!("cannot read {}: {err}", file.display())),
        Ok(text) if text.contains("-----BEGIN ") && text.contains(&format!("{part}-----")) => {}
        Ok(_) => found.add(at, format!("{} holds no {part} in PEM form", file.display())),
    }
}

fn operation(config: &SqlOperation, server: Server, at: &str, found: &mut Findings) -> Option<OperationPlan> {
    for field in config.fields.keys() {
        let usable = !RESERVED.contains(&field.as_str()) && !field.is_empty() && !field.contains(['.', '{', '}']);
        found.must(usable, &format!("{at}.fields.{field}"), "cannot be a field's name");
    }
    let call = call_of(&config.post, server);
    check_rules::post(config, call, at, found);
    let post_at = format!("{at}.post");
    let post = statement(
        (&config.post.call, "call", Use::Post),
        (&config.post.parameters, Some(&config.fields)),
        server,
        &post_at,
        found,
    );
    if let Some(post) = &post {
        let used = post.names();
        for unused in config.fields.keys().filter(|field| !used.contains(*field)) {
            found.add(&format!("{at}.fields.{unused}"), "is declared and never bound");
        }
        found.must(used.contains("core_ref"), &format!("{post_at}.parameters"), "do not carry {core_ref}");
    }
    let enquiry = match &config.enquiry {
        None => None,
        Some(ask) => Some(enquiry(ask, config, server, at, found)?),
    };
    Some(OperationPlan { post: post?, answers: answers(config, server), enquiry })
}

fn enquiry(
    ask: &EnquiryQuery,
    operation: &SqlOperation,
    server: Server,
    at: &str,
    found: &mut Findings,
) -> Option<(Statement, EnquiryAnswers)> {
    check_rules::enquiry(ask, &operation.refusals, at, found);
    let at = format!("{at}.enquiry");
    let query = statement((&ask.query, "query", Use::Ask), (&ask.parameters, None), server, &at, found)?;
    found.must(query.names().contains("core_ref"), &format!("{at}.parameters"), "do not carry {core_ref}");
    let answers = EnquiryAnswers {
        found: ask.found.clone(),
        refused: ask.refused.clone(),
        not_found: ask.not_found.clone(),
        posting: pointers(ask.posting.as_ref().unwrap_or(&operation.post.posting)),
        refusals: operation.refusals.clone(),
    };
    Some((query, answers))
}

/// A text with the key and the use that it has, and its parameters with the fields that they may name.
fn statement(
    (text, key, purpose): (&str, &str, Use),
    (parameters, fields): (&[String], Option<&BTreeMap<String, FieldKind>>),
    server: Server,
    at: &str,
    found: &mut Findings,
) -> Option<Statement> {
    for fault in Statement::faults(text, server, purpose, parameters.len()) {
        found.add(&format!("{at}.{key}"), fault);
    }
    let read = parameters.iter().enumerate().map(|(index, parameter)| {
        let read = BoundTemplate::read(parameter, fields);
        found.take(&format!("{at}.parameters[{index}]"), read)
    });
    // All are read before the first one that is wrong ends this.
    let read: Vec<Option<BoundTemplate>> = read.collect();
    Some(Statement::of(text, read.into_iter().collect::<Option<_>>()?))
}

fn answers(config: &SqlOperation, server: Server) -> PostAnswers {
    let post = &config.post;
    PostAnswers {
        server,
        owner: post.transaction,
        accepted: post.accepted.clone(),
        refused: post.refused.clone(),
        duplicate: post.duplicate.clone(),
        duplicate_means: post.duplicate_means,
        not_done: post.not_done.clone(),
        posting: pointers(&post.posting),
        refusals: config.refusals.clone(),
    }
}

fn call_of(post: &PostCall, server: Server) -> Call {
    let is_function = post.call.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case("select"));
    Call { server, owner: post.transaction, is_function }
}

impl OperationPlan {
    /// Do we begin and commit its transaction?
    pub(super) fn is_ours(&self) -> bool {
        self.answers.owner == TransactionOwner::Connector
    }
}

/// A plan as it is shared by the tasks of an operation.
pub(super) type Operations = HashMap<String, Arc<OperationPlan>>;
