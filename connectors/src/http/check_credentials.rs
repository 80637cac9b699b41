//! From declared credentials to what is needed to use them. Their files are opened later, and only where the core is talked to.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use http::header::{AUTHORIZATION, HeaderName, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};

use super::call::{Base, Call};
use super::check::{base, call, header_name};
use super::check_rules;
use super::check_tls::{self, TlsPlan};
use super::config::{BasicConfig, CredentialsConfig, HttpCoreConfig, RenewRule, SecretHeader, TokenConfig};
use super::secret::SecretFile;
use crate::findings::{FilePlan, Findings};
use crate::here::is_here;
use crate::template::{Scope, Template};

/// The placeholder for what a file holds.
const SECRET: &str = "secret";
/// The placeholder for a token.
const TOKEN: &str = "token";

/// The checked form of credentials.
#[derive(Default)]
pub(super) struct CredentialsPlan {
    pub(super) headers: Vec<HeaderPlan>,
    pub(super) token: Option<TokenPlan>,
}

/// A header made of what a file holds.
pub(super) struct HeaderPlan {
    pub(super) file: FilePlan,
    pub(super) name: HeaderName,
    pub(super) shown: Shown,
}

/// How a secret stands in its header.
pub(super) enum Shown {
    /// As the password of this user.
    Basic { user: String },
    /// In this text.
    Within(Template),
}

/// How a token is fetched and used.
pub(super) struct TokenPlan {
    /// Where it is given, if not by the core.
    pub(super) elsewhere: Option<(Base, Option<TlsPlan>)>,
    pub(super) call: Call,
    pub(super) secret: Option<FilePlan>,
    pub(super) basic: Option<HeaderPlan>,
    pub(super) at: String,
    pub(super) expires: Option<String>,
    pub(super) name: HeaderName,
    pub(super) value: Template,
    pub(super) renew_on: Vec<RenewRule>,
}

/// Checks credentials as they are written, and with `files` whether each file that they name is good.
pub(super) fn credentials(
    config: &HttpCoreConfig,
    base: Option<&Base>,
    files: bool,
    found: &mut Findings,
) -> CredentialsPlan {
    let Some(CredentialsConfig { basic: user, header, token }) = &config.credentials else { return Default::default() };
    if let Some(base) = base {
        must_be_private(base, "base-url", found);
    }
    let given = user.is_some() || !header.is_empty() || token.is_some();
    found.must(given, "credentials", "gives none; declare `basic`, `header` or `token`, or leave it out");
    let mut headers = Vec::new();
    headers.extend(user.as_ref().and_then(|user| basic(user, "credentials.basic", found)));
    for (name, secret) in header {
        headers.extend(secret_header(name, secret, &format!("credentials.header.{name}"), found));
    }
    let token = token.as_ref().and_then(|token| self::token(token, &config.headers, files, found));
    let mut set = BTreeSet::new();
    let names = headers.iter().map(|header| &header.name).chain(token.as_ref().map(|token| &token.name));
    for name in names {
        let once = set.insert(name.as_str().to_owned());
        found.must(once, "credentials", &format!("set the header {name} twice; leave one of them out"));
    }
    for (at, name) in plain_headers(config) {
        let free = !set.contains(&name.to_ascii_lowercase());
        found.must(free, &format!("{at}.{name}"), "is set by `credentials`, too; leave it out here");
    }
    let plan = CredentialsPlan { headers, token };
    for FilePlan { at, path } in plan.files().filter(|_| files) {
        found.take(at, SecretFile::open(path));
    }
    plan
}

impl CredentialsPlan {
    fn files(&self) -> impl Iterator<Item = &FilePlan> {
        let of_token =
            self.token.iter().flat_map(|token| token.secret.iter().chain(token.basic.iter().map(|basic| &basic.file)));
        self.headers.iter().map(|header| &header.file).chain(of_token)
    }
}

/// Whoever hears a secret or a token can post with it.
fn must_be_private(base: &Base, at: &str, found: &mut Findings) {
    found.must(
        base.is_tls || is_here(&base.host),
        at,
        "begins with http and is not on this host, so that everybody on the way would hear `credentials`: write https and name the \
         authority of its certificate (`tls: {ca: FILE.pem}`), or reach it through an encrypted tunnel that ends on this host",
    );
}

/// Every header that is written with its value, and where.
fn plain_headers(config: &HttpCoreConfig) -> Vec<(String, &String)> {
    let mut all: Vec<(String, &BTreeMap<String, String>)> = vec![
        ("headers".to_owned(), &config.headers),
        ("probe.request.headers".to_owned(), &config.probe.request.headers),
    ];
    for (name, operation) in &config.operations {
        all.push((format!("operations.{name}.post.request.headers"), &operation.post.request.headers));
        if let Some(ask) = &operation.enquiry {
            all.push((format!("operations.{name}.enquiry.request.headers"), &ask.request.headers));
        }
    }
    all.into_iter().flat_map(|(at, headers)| headers.keys().map(move |name| (at.clone(), name))).collect()
}

fn basic(config: &BasicConfig, at: &str, found: &mut Findings) -> Option<HeaderPlan> {
    let BasicConfig { user, password_file } = config;
    let usable = !user.is_empty() && !user.contains(':') && !user.chars().any(char::is_control);
    found.must(usable, &format!("{at}.user"), "must be a name without a colon");
    let file = FilePlan { at: format!("{at}.password-file"), path: password_file.clone() };
    Some(HeaderPlan { file, name: AUTHORIZATION, shown: Shown::Basic { user: user.clone() } })
}

fn secret_header(name: &str, config: &SecretHeader, at: &str, found: &mut Findings) -> Option<HeaderPlan> {
    let name = found.take(at, header_name(name));
    let value_at = format!("{at}.value");
    let value = found.take(&value_at, Template::read(&config.value, Scope::Only(SECRET)))?;
    must_carry(&value, SECRET, &value_at, found);
    let file = FilePlan { at: format!("{at}.file"), path: config.file.clone() };
    Some(HeaderPlan { file, name: name?, shown: Shown::Within(value) })
}

fn must_carry(template: &Template, placeholder: &str, at: &str, found: &mut Findings) {
    let mut names = BTreeSet::new();
    template.names(&mut names);
    found.must(names.contains(placeholder), at, &format!("does not carry {{{placeholder}}}"));
}

fn token(
    config: &TokenConfig,
    fixed: &BTreeMap<String, String>,
    files: bool,
    found: &mut Findings,
) -> Option<TokenPlan> {
    const AT: &str = "credentials.token";
    let elsewhere = config.url.as_ref().map(|url| {
        let url_at = format!("{AT}.url");
        let base = found.take(&url_at, base(url))?;
        must_be_private(&base, &url_at, found);
        let tls = check_tls::tls(config.tls.as_ref(), &base, &format!("{AT}.tls"), files, found);
        Some((base, tls))
    });
    let tls_alone = config.tls.is_some() && config.url.is_none();
    found.must(!tls_alone, &format!("{AT}.tls"), "is declared without a `url`; the core's own `tls` holds then");
    let none = BTreeMap::new();
    let fixed = if elsewhere.is_some() { &none } else { fixed };
    let scope = if config.secret_file.is_some() { Scope::Only(SECRET) } else { Scope::Fixed };
    let request_at = format!("{AT}.request");
    let call = call(&config.request, fixed, scope, &[Method::GET, Method::POST], &request_at, found);
    let secret = config.secret_file.as_ref().map(|path| {
        let at = format!("{AT}.secret-file");
        let used = call.as_ref().is_none_or(|call| call.names().contains(SECRET));
        found.must(used, &at, "is declared, and the request does not carry {secret}");
        FilePlan { at, path: path.clone() }
    });
    let user = config.basic.as_ref().and_then(|user| basic(user, &format!("{AT}.basic"), found));
    check_rules::pointer(&config.at, &format!("{AT}.at"), found);
    if let Some(expires) = &config.expires {
        check_rules::pointer(expires, &format!("{AT}.expires"), found);
    }
    for (i, rule) in config.renew_on.iter().enumerate() {
        renew(rule, &format!("{AT}.renew-on[{i}]"), found);
    }
    let (name, value) = carrier(&config.header, &format!("{AT}.header"), found)?;
    Some(TokenPlan {
        // What was declared and is wrong must not become the core's own address.
        elsewhere: elsewhere.map_or(Some(None), |place| place.map(Some))?,
        call: call?,
        secret,
        basic: user,
        at: config.at.clone(),
        expires: config.expires.clone(),
        name,
        value,
        renew_on: config.renew_on.clone(),
    })
}

fn carrier(header: &BTreeMap<String, String>, at: &str, found: &mut Findings) -> Option<(HeaderName, Template)> {
    let mut all = header.iter();
    let (Some((name, value)), None) = (all.next(), all.next()) else {
        found.add(at, "must be one header, such as {Authorization: \"Bearer {token}\"}");
        return None;
    };
    let at = format!("{at}.{name}");
    let name = found.take(&at, header_name(name));
    let value = found.take(&at, Template::read(value, Scope::Only(TOKEN)))?;
    must_carry(&value, TOKEN, &at, found);
    Some((name?, value))
}

fn renew(rule: &RenewRule, at: &str, found: &mut Findings) {
    let refusals = !rule.status.is_empty() && rule.status.iter().all(|status| (400..=499).contains(status));
    found.must(refusals, &format!("{at}.status"), "needs statuses of 400..499");
    check_rules::conditions(rule.conditions(), at, found);
    for name in &rule.exists_header {
        let named = HeaderName::try_from(name).is_ok();
        found.must(named, &format!("{at}.exists-header.{name}"), "is not a header's name");
    }
    let by_header = rule.when_header.iter().any(|(name, value)| value.as_str().is_some_and(|value| tells(name, value)))
        || rule.exists_header.iter().any(|name| tells(name, ""));
    found.must(
        !rule.nothing_done || rule.conditions().any_of_body() || by_header,
        &format!("{at}.nothing-done"),
        "needs a condition beside the status, which alone may come from anything on the way: say `when`, `exists`, `when-header` or \
         `exists-header`. Every 401 has the header WWW-Authenticate, so that only a value of it with an `error=` is such a condition",
    );
}

/// Does this value of a header say more than its status? A challenge comes with every 401 (RFC 9110) and 407, of the core or of anything on the way.
fn tells(name: &str, value: &str) -> bool {
    let is_challenge = [WWW_AUTHENTICATE, PROXY_AUTHENTICATE].iter().any(|own| name.eq_ignore_ascii_case(own.as_str()));
    !is_challenge || value.contains("error=")
}
