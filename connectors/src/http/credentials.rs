//! Credentials in use: what is put on each request, and which answers say that a token is not good any more.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use http_body_util::Full;
use tokio::time::Instant;

use super::check_credentials::{CredentialsPlan, HeaderPlan, Shown};
use super::config::{RenewRule, TransportLimits};
use super::document::AnswerDocument;
use super::secret::SecretFile;
use super::token::TokenSource;
use super::transport::Transport;
use crate::findings::{ConfigError, FilePlan, Findings};
use crate::template::Values;

/// The credentials of one core.
pub(super) struct Credentials {
    headers: Vec<SecretHeader>,
    token: Option<Arc<TokenSource>>,
}

/// A header made of what a file holds.
pub(super) struct SecretHeader {
    name: HeaderName,
    shown: Shown,
    file: SecretFile,
}

/// What an answer says of the token that its request carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Nothing.
    No,
    /// It is not good any more. What became of the request is told by the other rules.
    Wanted,
    /// It is not good any more, and the core did nothing with the request.
    NothingDone,
}

impl Credentials {
    /// Opens every file that the configuration names; all faults at once.
    pub(super) fn open(plan: CredentialsPlan, limits: &TransportLimits) -> Result<Self, Vec<ConfigError>> {
        let mut found = Findings::default();
        let headers = plan.headers.into_iter().filter_map(|plan| SecretHeader::open(plan, &mut found)).collect();
        let token = plan.token.and_then(|plan| TokenSource::open(plan, limits, &mut found));
        if found.is_empty() { Ok(Self { headers, token }) } else { Err(found.all()) }
    }

    /// Puts them on a request, and returns the number of the token that it carries. On an error nothing of the request may be sent.
    pub(super) async fn sign(
        &self,
        request: &mut Request<Full<Bytes>>,
        core: &Arc<Transport>,
        deadline: Instant,
    ) -> Result<Option<u64>, String> {
        for header in &self.headers {
            header.put(request.headers_mut()).await?;
        }
        let Some(token) = &self.token else { return Ok(None) };
        let (name, value, number) = token.header(core, deadline).await?;
        request.headers_mut().insert(name, value);
        Ok(Some(number))
    }

    /// What an answer says of the token.
    pub(super) fn renewal(&self, answer: &AnswerDocument) -> Renewal {
        self.token.as_ref().map_or(Renewal::No, |token| renewal(answer, token.renew_on()))
    }

    /// Can an answer say anything of a token?
    pub(super) fn may_renew(&self) -> bool {
        self.token.as_ref().is_some_and(|token| !token.renew_on().is_empty())
    }

    /// The token of this number is not used any more.
    pub(super) fn give_up(&self, number: u64) {
        if let Some(token) = &self.token {
            token.give_up(number);
        }
    }
}

impl SecretHeader {
    /// Opens its file and sees whether what it holds can stand in the header.
    pub(super) fn open(plan: HeaderPlan, found: &mut Findings) -> Option<Self> {
        let HeaderPlan { file: FilePlan { at, path }, name, shown } = plan;
        let (file, secret) = found.take(&at, SecretFile::open(&path))?;
        found.take(&at, value(&shown, secret.reveal()))?;
        Some(Self { name, shown, file })
    }

    /// Puts it among these headers.
    pub(super) async fn put(&self, headers: &mut HeaderMap) -> Result<(), String> {
        let secret = self.file.current().await;
        headers.insert(self.name.clone(), value(&self.shown, secret.reveal())?);
        Ok(())
    }
}

/// The value of a header, marked so that no `Debug` of it shows anything.
fn value(shown: &Shown, secret: &str) -> Result<HeaderValue, String> {
    let text = match shown {
        Shown::Basic { user } => Some(format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))),
        Shown::Within(template) => template.plain(Values::Only(secret)).ok(),
    };
    sensitive(text).ok_or_else(|| "holds a secret that no header can carry: it is not visible ASCII".to_owned())
}

/// A header's value that is never shown.
pub(super) fn sensitive(text: Option<String>) -> Option<HeaderValue> {
    // Octets beyond ASCII mean nothing that both sides would agree on.
    let text = text.filter(|text| text.is_ascii())?;
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where fitting rules disagree on whether the core did anything, that is not proven.
fn renewal(answer: &AnswerDocument, rules: &[RenewRule]) -> Renewal {
    let fits = |rule: &&RenewRule| {
        answer.fits(&rule.status, rule.conditions()) && rule.exists_header.iter().all(|name| answer.has_header(name))
    };
    let fitting: Vec<&RenewRule> = rules.iter().filter(fits).collect();
    match fitting.as_slice() {
        [] => Renewal::No,
        fitting if fitting.iter().all(|rule| rule.nothing_done) => Renewal::NothingDone,
        _ => Renewal::Wanted,
    }
}
