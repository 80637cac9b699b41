//! A token that is fetched by a declared request, kept while it lives, and renewed.
//!
//! It is fetched in a task of its own: while the former token lives nobody waits, and a caller that gives up ends no fetch.

mod kept;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::kept::{Kept, Now};
use super::call::Call;
use super::check_credentials::TokenPlan;
use super::config::{RenewRule, TransportLimits};
use super::credentials::{SecretHeader, sensitive};
use super::document::AnswerDocument;
use super::secret::{Secret, SecretFile};
use super::transport::{Answer, Exchange, Read, TlsClient, Transport};
use crate::findings::{FilePlan, Findings};
use crate::json::Json;
use crate::template::{Template, Values};

/// No token is waited for longer than this.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// A longer life is taken for this one: 30 days.
const LIFE_S_MAX: u64 = 30 * 86_400;

/// Where tokens come from, and the one that is kept.
pub(super) struct TokenSource {
    /// To where they are given, if not by the core.
    elsewhere: Option<Transport>,
    limits: TransportLimits,
    call: Call,
    secret: Option<SecretFile>,
    basic: Option<SecretHeader>,
    at: String,
    expires: Option<String>,
    name: HeaderName,
    value: Template,
    renew_on: Vec<RenewRule>,
    kept: Mutex<Kept>,
    /// Raised when a fetch has ended.
    ended: watch::Sender<u64>,
}

/// A fetch under way. However its task ends, it is over then.
struct Fetch {
    source: Arc<TokenSource>,
    asked: Instant,
    came: Result<Granted, String>,
}

/// A header with a token, and how long that lives.
type Granted = (HeaderValue, Option<Duration>);

impl TokenSource {
    /// Opens the files of its request; fetches nothing yet.
    pub(super) fn open(plan: TokenPlan, limits: &TransportLimits, found: &mut Findings) -> Option<Arc<Self>> {
        let TokenPlan { elsewhere, call, secret, basic, at, expires, name, value, renew_on } = plan;
        let secret = match secret {
            None => None,
            Some(FilePlan { at, path }) => Some(found.take(&at, SecretFile::open(&path))?.0),
        };
        let basic = match basic {
            None => None,
            Some(plan) => Some(SecretHeader::open(plan, found)?),
        };
        let elsewhere = match elsewhere {
            None => None,
            Some((base, tls)) => {
                let tls = tls.map(TlsClient::open).transpose();
                Some(Transport::new(base, limits.clone(), found.take("credentials.token.tls", tls)?))
            }
        };
        let limits = limits.clone();
        let (kept, ended) = (Mutex::default(), watch::Sender::new(0));
        let source = Self { elsewhere, limits, call, secret, basic, at, expires, name, value, renew_on, kept, ended };
        Some(Arc::new(source))
    }

    /// Answers of the core after which a token is not used any more.
    pub(super) fn renew_on(&self) -> &[RenewRule] {
        &self.renew_on
    }

    /// The header with a token that is good now, and the token's number. Where none is, one fetch is waited for by all, each until its
    /// deadline.
    pub(super) async fn header(
        self: &Arc<Self>,
        core: &Arc<Transport>,
        deadline: Instant,
    ) -> Result<(HeaderName, HeaderValue, u64), String> {
        loop {
            // Before the look, so that no end is missed after it.
            let mut ended = self.ended.subscribe();
            match self.look(core) {
                Now::Token(header, number) => return Ok((self.name.clone(), header, number)),
                Now::Nothing(reason) => return Err(reason),
                Now::Coming => {}
            }
            if timeout_at(deadline, ended.changed()).await.is_err() {
                return Err("no token for the core came in time".to_owned());
            }
        }
    }

    /// The core does not take the token of this number any more.
    pub(super) fn give_up(&self, number: u64) {
        self.kept().give_up(number, Instant::now());
    }

    fn look(self: &Arc<Self>, core: &Arc<Transport>) -> Now {
        let now = Instant::now();
        let begins = self.kept().begins(now);
        if begins {
            // Without the lock: while a runtime ends, a task is dropped as it is spawned, and then takes the lock itself.
            let came = Err("the task that fetches a token was lost".to_owned());
            tokio::spawn(Fetch { source: Arc::clone(self), asked: now, came }.run(Arc::clone(core)));
        }
        self.kept().now(now)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, core: &Transport, deadline: Instant) -> Result<Granted, String> {
        let secret = match &self.secret {
            Some(file) => Some(file.current().await),
            None => None,
        };
        let transport = self.elsewhere.as_ref().unwrap_or(core);
        let values = Values::Only(secret.as_deref().map_or("", Secret::reveal));
        let rendered = self.call.render(transport.base(), values);
        let mut request = rendered.map_err(|err| format!("the request for a token cannot be made: {err}"))?;
        request.headers_mut().values_mut().for_each(|value| value.set_sensitive(true));
        if let Some(basic) = &self.basic {
            basic.put(request.headers_mut()).await?;
        }
        let read = |answer: &Answer| match self.granted(&AnswerDocument::read(answer, &self.limits)) {
            Ok(granted) => Read::Understood(Ok(granted)),
            Err(reason) => Read::NotUnderstood(Err(format!("no token: {reason}"))),
        };
        match transport.exchange_beside(request, deadline, read).await {
            Exchange::Answered(granted) => granted,
            Exchange::NotSent(_, reason) | Exchange::Unknown(reason) => Err(format!("no token: {reason}")),
        }
    }

    /// The token of an answer and how long it lives. The error never shows what the answer held.
    fn granted(&self, answer: &AnswerDocument) -> Result<Granted, String> {
        let json = answer.json()?;
        let status = answer.status();
        if !(200..=299).contains(&status) {
            return Err(format!("status {status}"));
        }
        let text = |pointer: &str| {
            let found = json.at(pointer).and_then(Json::digits_or_text).filter(|text| !text.is_empty());
            found.ok_or_else(|| format!("status {status}: {pointer} is missing"))
        };
        let token = sensitive(self.value.plain(Values::Only(text(&self.at)?)).ok());
        let token = token.ok_or_else(|| format!("status {status}: {} cannot stand in a header", self.at))?;
        let Some(pointer) = &self.expires else { return Ok((token, None)) };
        match text(pointer)?.parse::<u64>() {
            Ok(0) => Err(format!("status {status}: by {pointer} the token lives for no time")),
            Ok(seconds) => Ok((token, Some(Duration::from_secs(seconds.min(LIFE_S_MAX))))),
            Err(_) => Err(format!("status {status}: {pointer} is no whole number")),
        }
    }
}

impl Fetch {
    async fn run(mut self, core: Arc<Transport>) {
        self.came = self.source.fetch(&core, self.asked + FETCH_MAX).await;
        if let Err(reason) = &self.came {
            tracing::warn!(reason, "no token for the core");
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let came = std::mem::replace(&mut self.came, Err(String::new()));
        self.source.kept().ends(came, self.asked, Instant::now());
        self.source.ended.send_modify(|ended| *ended += 1);
    }
}
