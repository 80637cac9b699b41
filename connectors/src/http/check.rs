//! From configuration to a plan. Every error is found in one run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Method, Uri};
use serde_json::Value;

use super::call::{Base, BodyTemplate, Call};
use super::check_credentials::{self, CredentialsPlan};
use super::check_rules;
use super::check_tls::{self, TlsPlan};
use super::config::{CallConfig, EnquiryConfig, HttpCoreConfig, OperationConfig, TransportLimits};
use crate::check;
use crate::config::Kind;
use crate::findings::{ConfigError, Findings};
use crate::template::{CORE_UUID, RESERVED, Scope, Template};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The checked form of a configuration.
pub(super) struct Plan {
    pub(super) base: Base,
    pub(super) tls: Option<TlsPlan>,
    pub(super) credentials: CredentialsPlan,
    pub(super) probe: Call,
    pub(super) operations: HashMap<String, OperationPlan>,
}

pub(super) struct OperationPlan {
    pub(super) config: OperationConfig,
    pub(super) post: Call,
    pub(super) enquiry: Option<Arc<(Call, EnquiryConfig)>>,
}

/// Checks everything, and with `files` what the named files hold; a plan only where nothing was found.
pub(super) fn plan(config: &HttpCoreConfig, files: bool) -> Result<Plan, Vec<ConfigError>> {
    let mut found = Findings::default();
    found.must(
        config.kind == Kind::Http,
        "kind",
        "is sql; a core of SQL procedures is declared in a connector's file of its own",
    );
    check::core(&config.name, &config.reference, !config.operations.is_empty(), &mut found);
    limits(&config.limits, &mut found);
    let base = base(&config.base_url);
    let base = found.take("base-url", base);
    let fixed = &config.headers;
    let probe = call(&config.probe.request, fixed, Scope::Fixed, &[Method::GET], "probe.request", &mut found);
    check_rules::rules(&config.probe.up, "probe.up", &mut found);
    check_rules::optional_rules(&config.probe.read_only, "probe.read-only", &mut found);
    let mut operations = HashMap::new();
    for (name, operation) in &config.operations {
        let at = format!("operations.{name}");
        check::can_be_asked(config.capabilities.enquiry, operation.enquiry.is_some(), &at, &mut found);
        if let Some(plan) = self::operation(operation, fixed, &at, &mut found) {
            operations.insert(name.clone(), plan);
        }
    }
    let tls = base.as_ref().and_then(|base| check_tls::tls(config.tls.as_ref(), base, "tls", files, &mut found));
    let credentials = check_credentials::credentials(config, files, &mut found);
    match (base, probe) {
        (Some(base), Some(probe)) if found.is_empty() => Ok(Plan { base, tls, credentials, probe, operations }),
        _ => Err(found.all()),
    }
}

fn operation(
    config: &OperationConfig,
    fixed: &BTreeMap<String, String>,
    at: &str,
    found: &mut Findings,
) -> Option<OperationPlan> {
    for field in config.fields.keys() {
        let usable = !RESERVED.contains(&field.as_str()) && !field.is_empty() && !field.contains(['.', '{', '}']);
        found.must(usable, &format!("{at}.fields.{field}"), "cannot be a field's name");
    }
    check_rules::post(config, at, found);
    let methods = [Method::POST, Method::PUT, Method::PATCH];
    let scope = Scope::Request(&config.fields);
    let post_at = format!("{at}.post.request");
    let post = call(&config.post.request, fixed, scope, &methods, &post_at, found);
    if let Some(post) = &post {
        let used = post.names();
        for unused in config.fields.keys().filter(|field| !used.contains(*field)) {
            found.add(&format!("{at}.fields.{unused}"), "is declared and never sent");
        }
        found.must(
            used.contains("core_ref"),
            &post_at,
            "does not carry {core_ref}, by which its posting is found again; where the core stores nothing but a UUID, say \
             `reference: {alphabet: uuid}`",
        );
    }
    let enquiry = match &config.enquiry {
        None => None,
        Some(ask) => {
            check_rules::enquiry(ask, !config.refusals.is_empty(), at, found);
            let methods = [Method::GET, Method::POST];
            let ask_at = format!("{at}.enquiry.request");
            let call = call(&ask.request, fixed, Scope::Reference, &methods, &ask_at, found)?;
            let (asks, sent) = (call.names(), post.as_ref().map(Call::names).unwrap_or_default());
            found.must(asks.contains("core_ref") || asks.contains(CORE_UUID), &ask_at, "does not carry {core_ref}");
            found.must(
                asks.contains("core_ref") || !asks.contains(CORE_UUID) || sent.contains(CORE_UUID) || post.is_none(),
                &ask_at,
                "asks by {core_ref.uuid}, which the post request does not carry",
            );
            Some(Arc::new((call, ask.clone())))
        }
    };
    Some(OperationPlan { config: config.clone(), post: post?, enquiry })
}

fn limits(limits: &TransportLimits, found: &mut Findings) {
    for (name, value) in [
        ("connect-ms-max", limits.connect_ms_max),
        ("connections-max", limits.connections_max as u64),
        ("idle-ms-max", limits.idle_ms_max),
        ("age-ms-max", limits.age_ms_max),
        ("body-bytes-max", limits.body_bytes_max as u64),
        ("depth-max", limits.depth_max as u64),
    ] {
        found.must(value > 0, &format!("limits.{name}"), "must be more than 0");
    }
    found.must(limits.depth_max <= 64, "limits.depth-max", "must be at most 64");
    found.must(limits.connections_max <= 4096, "limits.connections-max", "must be at most 4096");
}

/// Where requests go.
pub(super) fn base(url: &str) -> Result<Base, String> {
    let uri = Uri::try_from(url).map_err(|_| "is not a URL".to_owned())?;
    let (is_tls, port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err("must be http://host:port or https://host:port".to_owned()),
    };
    let authority = uri.authority().ok_or_else(|| "must be http://host:port or https://host:port".to_owned())?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err("must not hold credentials or a query".to_owned());
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let header = HeaderValue::from_str(authority.as_str()).map_err(|_| "is not a URL".to_owned())?;
    let prefix = uri.path().trim_end_matches('/').to_owned();
    Ok(Base { is_tls, host, port: uri.port_u16().unwrap_or(port), authority: header, prefix })
}

/// One kind of request.
pub(super) fn call(
    config: &CallConfig,
    fixed: &BTreeMap<String, String>,
    scope: Scope<'_>,
    methods: &[Method],
    at: &str,
    found: &mut Findings,
) -> Option<Call> {
    let method = Method::from_bytes(config.method.as_bytes()).ok().filter(|method| methods.contains(method));
    let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
    found.must(method.is_some(), &format!("{at}.method"), &format!("must be one of {}", allowed.join(", ")));
    let path_at = format!("{at}.path");
    let path_ok = config.path.starts_with('/') && config.path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    found.must(path_ok, &path_at, "must begin with / and be visible ASCII without #");
    let path = found.take(&path_at, Template::read(&config.path, scope));
    let mut headers = Vec::new();
    let own = config.headers.iter().map(|header| (header, scope));
    for ((name, value), scope) in fixed.iter().map(|header| (header, Scope::Fixed)).chain(own) {
        let at = format!("{at}.headers.{name}");
        let name = found.take(&at, header_name(name));
        let value = found.take(&at, Template::read(value, scope));
        headers.extend(name.zip(value));
    }
    let accept = media_type(config.accept.as_deref().unwrap_or(JSON), &format!("{at}.accept"), found);
    let type_at = format!("{at}.content-type");
    let has_body = config.body.is_some() || !config.form.is_empty();
    found.must(
        config.content_type.is_none() || has_body,
        &type_at,
        "is declared, and no `body` that it would be the type of",
    );
    found.must(
        config.body.is_none() || config.form.is_empty(),
        &format!("{at}.form"),
        "is declared beside `body`; leave one out",
    );
    let default = if config.form.is_empty() { JSON } else { FORM };
    let content_type = media_type(config.content_type.as_deref().unwrap_or(default), &type_at, found);
    let form = form_template(&config.form, scope, &format!("{at}.form"), found);
    let body = config.body.as_ref().and_then(|body| body_template(body, scope, &format!("{at}.body"), found));
    Some(Call {
        method: method?,
        path: path?,
        headers,
        accept: accept?,
        content_type: content_type?,
        body: body.or(form),
    })
}

fn form_template(
    form: &BTreeMap<String, String>,
    scope: Scope<'_>,
    at: &str,
    found: &mut Findings,
) -> Option<BodyTemplate> {
    let read = |(name, text): (&String, &String)| {
        let template = found.take(&format!("{at}.{name}"), Template::read(text, scope))?;
        Some((name.clone(), template))
    };
    let members = form.iter().filter_map(read).collect::<Vec<_>>();
    (!members.is_empty()).then_some(BodyTemplate::Form(members))
}

/// `type/subtype` with its parameters.
fn media_type(text: &str, at: &str, found: &mut Findings) -> Option<HeaderValue> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let parts = essence.split_once('/').filter(|(kind, sub)| !kind.is_empty() && !sub.is_empty() && !sub.contains('/'));
    let value = parts.and_then(|_| HeaderValue::from_str(text).ok());
    found.take(at, value.ok_or_else(|| "is not a media type such as application/json".to_owned()))
}

/// The name of a header that is not the transport's own.
pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(name).map_err(|_| "is not a header's name".to_owned())?;
    let ours = [HOST, ACCEPT, CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TE, UPGRADE];
    if ours.contains(&name) { Err("is set by the transport".to_owned()) } else { Ok(name) }
}

fn body_template(value: &Value, scope: Scope<'_>, at: &str, found: &mut Findings) -> Option<BodyTemplate> {
    match value {
        Value::String(text) => found.take(at, Template::read(text, scope)).map(BodyTemplate::Text),
        Value::Number(number) if number.is_f64() => {
            found.add(at, "is a float; write it as a string");
            None
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(BodyTemplate::Fixed(value.clone())),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let read = items.map(|(i, item)| body_template(item, scope, &format!("{at}[{i}]"), found));
            read.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(BodyTemplate::List)
        }
        Value::Object(members) => {
            if let [(name, Value::Null)] = members.iter().collect::<Vec<_>>()[..]
                && Template::read(&format!("{{{name}}}"), scope).is_ok()
            {
                found.add(at, format!("is an object; for the placeholder write \"{{{name}}}\" in quotes"));
            }
            let read = members
                .iter()
                .map(|(key, member)| Some((key.clone(), body_template(member, scope, &format!("{at}.{key}"), found)?)));
            read.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(BodyTemplate::Object)
        }
    }
}
