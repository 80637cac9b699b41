//! The HTTP/JSON connector, attached by configuration alone.
//!
//! `config` says what a core looks like, `check` turns that into calls and rules or into a list of errors, `transport`
//! exchanges bytes and knows what left, `session` puts credentials on them, and `answer` says what an answer means.

mod answer;
mod call;
mod check;
mod check_credentials;
mod check_rules;
mod check_tls;
mod config;
mod credentials;
mod document;
mod heard;
mod pem;
mod secret;
mod session;
mod token;
mod transport;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use schemas::core::{Capabilities, Enquiry, Outcome, Unsent};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::call::Call;
use self::check::OperationPlan;
pub use self::config::{
    AmountConfig, BasicConfig, CallConfig, ClientCertificate, CodeAt, Conditions, CredentialsConfig, Direction,
    DuplicateMeans, Echo, EnquiryConfig, FieldKind, HttpCoreConfig, LegConfig, OperationConfig, Pointers, PostConfig,
    PostingConfig, PrefixCode, ProbeConfig, RefusalRule, RenewRule, Rule, SecretHeader, TlsConfig, TokenConfig,
    TransportLimits, Unit,
};
use self::credentials::Credentials;
use self::document::AnswerDocument;
use self::session::{Place, Session};
use self::transport::{Answer, Exchange, Read, TlsClient, Transport};
use crate::connector::{CoreConnector, Probe};
pub use crate::findings::ConfigError;
use crate::heard::Listener;
use crate::template::Values;
use schemas::post_request::PostRequest;

/// The configuration of our own simulated core, as YAML; its base URL is to be replaced.
pub const CORE_SIM: &str = include_str!("../../cores/core-sim.yaml");

/// No attempt lasts longer, whatever was asked for.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// A core that speaks HTTP and JSON.
pub struct HttpCore {
    config: HttpCoreConfig,
    probe: Call,
    operations: HashMap<String, Arc<OperationPlan>>,
    session: Arc<Session>,
    /// Is told every answer; for a person who tries the configuration.
    listener: Option<Listener>,
}

impl HttpCore {
    /// Checks the whole configuration and opens the files that it names; opens no connection.
    pub fn build(config: HttpCoreConfig) -> Result<Self, Vec<ConfigError>> {
        let plan = check::plan(&config, true)?;
        let credentials = Credentials::open(plan.credentials, &config.limits)?;
        let tls = plan.tls.map(TlsClient::open).transpose();
        let tls = tls.map_err(|what| vec![ConfigError { at: "tls".to_owned(), what }])?;
        let transport = Transport::new(plan.base, config.limits.clone(), tls);
        let session = Arc::new(Session::new(transport, credentials, config.limits.clone()));
        let operations = plan.operations.into_iter().map(|(name, plan)| (name, Arc::new(plan))).collect();
        Ok(Self { probe: plan.probe, operations, session, config, listener: None })
    }

    /// Everything wrong with a configuration but for the files that it names, which only a process that talks to the core needs.
    pub fn problems(config: &HttpCoreConfig) -> Vec<ConfigError> {
        check::plan(config, false).err().unwrap_or_default()
    }

    /// The same core, which tells every answer to this listener.
    pub fn heard_by(self, listener: Listener) -> Self {
        Self { listener: Some(listener), ..self }
    }

    /// How many connections lie idle and usable.
    pub fn idle_connections(&self) -> usize {
        self.session.idle_connections()
    }

    fn render(&self, request: &PostRequest) -> Result<(&Arc<OperationPlan>, Request<Full<Bytes>>), String> {
        let plan = self.operations.get(&request.operation);
        let plan = plan.ok_or_else(|| format!("the core does not offer {:?}", request.operation))?;
        let rendered = plan.post.render(self.session.base(), Values::Request(request));
        Ok((plan, rendered.map_err(|err| err.to_string())?))
    }

    /// Runs in a task of its own: a caller that goes away must not cut a request in half. The time-out is inside.
    async fn exchange<T: Send + 'static>(
        &self,
        what: String,
        request: Request<Full<Bytes>>,
        timeout: Duration,
        read: impl Fn(&Answer) -> Read<T> + Send + Sync + 'static,
    ) -> Exchange<T> {
        let deadline = deadline(timeout);
        let session = Arc::clone(&self.session);
        let (done, outcome) = oneshot::channel();
        tokio::spawn(async move {
            let exchange = session.exchange(request, deadline, Place::Counted, read).await;
            if let Err(exchange) = done.send(exchange) {
                tracing::warn!(%what, came_to = exchange.name(), "an exchange with the core ended after its caller");
            }
        });
        outcome.await.unwrap_or_else(|_| Exchange::Unknown("the attempt's task was lost".to_owned()))
    }
}

#[async_trait]
impl CoreConnector for HttpCore {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        self.config.capabilities
    }

    fn offers(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    fn refusal_reason(&self, operation: &str, code: &str) -> Option<&str> {
        self.operations.get(operation)?.config.refusals.get(code).map(String::as_str)
    }

    fn check(&self, request: &PostRequest) -> Result<(), String> {
        self.render(request).map(drop)
    }

    async fn post(&self, request: &PostRequest, timeout: Duration) -> Outcome {
        let (plan, rendered) = match self.render(request) {
            Ok(rendered) => rendered,
            Err(reason) => return Outcome::NotSent { why: Unsent::NotTried, reason },
        };
        let (limits, plan, request) = (self.config.limits.clone(), Arc::clone(plan), request.clone());
        let what = format!("post {}", request.core_ref);
        let tell = self.listener.clone().map(|listener| (listener, self.config.headers.clone()));
        let read = move |answer: &Answer| {
            let document = AnswerDocument::read(answer, &limits);
            if let Some((listener, headers)) = &tell {
                listener(heard::post(&document, &plan.config.post, &plan.config.refusals, headers));
            }
            let (post, refusals) = (&plan.config.post, &plan.config.refusals);
            match answer::outcome(&document, post, refusals, &request) {
                outcome if document.echoes(post.echo.as_ref(), &request.core_ref).is_err() => Read::NotOurs(outcome),
                outcome @ Outcome::Unknown { .. } if answer::is_declared_of_post(&document, post, refusals) => {
                    Read::Unusable(outcome)
                }
                outcome @ Outcome::Unknown { .. } => Read::NotUnderstood(outcome),
                outcome => Read::Understood(outcome),
            }
        };
        match self.exchange(what, rendered, timeout, read).await {
            Exchange::NotSent(why, reason) => Outcome::NotSent { why, reason },
            Exchange::Unknown(reason) => Outcome::Unknown { reason },
            Exchange::Answered(outcome) => outcome,
        }
    }

    async fn enquire(&self, operation: &str, core_ref: &str, timeout: Duration) -> Enquiry {
        let plan = self.operations.get(operation);
        let Some((plan, asking)) = plan.and_then(|plan| Some((Arc::clone(plan), Arc::clone(plan.enquiry.as_ref()?))))
        else {
            return Enquiry::NotUnderstood { reason: format!("no enquiry is declared for {operation:?}") };
        };
        let request = match asking.0.render(self.session.base(), Values::Reference(core_ref)) {
            Ok(request) => request,
            Err(err) => return Enquiry::NotUnderstood { reason: err.to_string() },
        };
        let (limits, asked) = (self.config.limits.clone(), core_ref.to_owned());
        let tell = self.listener.clone().map(|listener| (listener, self.config.headers.clone()));
        let read = move |answer: &Answer| {
            let document = AnswerDocument::read(answer, &limits);
            if let Some((listener, headers)) = &tell {
                listener(heard::enquiry(&document, &asking.1, &plan.config.refusals, headers));
            }
            let (post, refusals) = (&plan.config.post, &plan.config.refusals);
            match answer::enquiry(&document, &asking.1, post, refusals, &asked) {
                found if document.echoes(asking.1.echo.as_ref(), &asked).is_err() => Read::NotOurs(found),
                found @ Enquiry::NotUnderstood { .. } => Read::NotUnderstood(found),
                found => Read::Understood(found),
            }
        };
        match self.exchange(format!("enquiry {core_ref}"), request, timeout, read).await {
            Exchange::NotSent(_, reason) | Exchange::Unknown(reason) => Enquiry::Unavailable { reason },
            Exchange::Answered(found) => found,
        }
    }

    async fn probe(&self, timeout: Duration) -> Probe {
        let request = match self.probe.render(self.session.base(), Values::Reference("")) {
            Ok(request) => request,
            Err(err) => return Probe::Down { reason: err.to_string() },
        };
        let read = |answer: &Answer| {
            let document = AnswerDocument::read(answer, &self.config.limits);
            if let Some(listener) = &self.listener {
                listener(heard::probe(&document, &self.config.probe, &self.config.headers));
            }
            match answer::probe(&document, &self.config.probe) {
                probe @ Probe::Down { .. } => Read::NotUnderstood(probe),
                probe => Read::Understood(probe),
            }
        };
        match self.session.exchange(request, deadline(timeout), Place::Beside, read).await {
            Exchange::NotSent(_, reason) | Exchange::Unknown(reason) => Probe::Down { reason },
            Exchange::Answered(probe) => probe,
        }
    }
}

fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(TIMEOUT_MAX)
}
