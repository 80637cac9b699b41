//! Exchanges with a core that wants to know who asks.
//!
//! A request is sent a second time in one case only: a declared answer says that the core did nothing with the first, because of its token.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use schemas::core::Unsent;
use tokio::time::Instant;

use super::call::Base;
use super::config::TransportLimits;
use super::credentials::{Credentials, Renewal};
use super::document::AnswerDocument;
use super::transport::{Answer, Exchange, Read, Transport};

/// The connections to one core, and the credentials for it.
pub(super) struct Session {
    transport: Arc<Transport>,
    credentials: Credentials,
    limits: TransportLimits,
}

/// Whether an exchange counts among the connections that work may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits for one of them.
    Counted,
    /// A probe must not wait for the very work whose success it foretells.
    Beside,
}

/// What was made of an answer.
struct Judged<T> {
    status: u16,
    renewal: Renewal,
    meaning: Meaning<T>,
}

enum Meaning<T> {
    Said(T),
    /// The core did nothing: the token was not good.
    NothingDone,
    /// It says that the core did nothing, and it is another declared answer, too.
    TwoKinds,
}

impl Session {
    pub(super) fn new(transport: Transport, credentials: Credentials, limits: TransportLimits) -> Self {
        Self { transport: Arc::new(transport), credentials, limits }
    }

    pub(super) fn base(&self) -> &Base {
        self.transport.base()
    }

    pub(super) fn idle_connections(&self) -> usize {
        self.transport.idle_connections()
    }

    /// Sends with credentials. Without them nothing is sent; after an answer that declares that nothing was done, once more with a new token.
    pub(super) async fn exchange<T>(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        place: Place,
        read: impl Fn(&Answer) -> Read<T>,
    ) -> Exchange<T> {
        let judge = |answer: &Answer| judged(answer.status.as_u16(), self.renewal(answer), read(answer));
        let mut is_first = true;
        loop {
            let mut signed = request.clone();
            let token = match self.credentials.sign(&mut signed, &self.transport, deadline).await {
                Ok(token) => token,
                Err(reason) => return Exchange::NotSent(Unsent::NotTried, reason),
            };
            let exchange = match place {
                Place::Counted => self.transport.exchange(signed, deadline, &judge).await,
                Place::Beside => self.transport.exchange_beside(signed, deadline, &judge).await,
            };
            let Judged { status, renewal, meaning } = match exchange {
                Exchange::Answered(judged) => judged,
                Exchange::NotSent(why, reason) => return Exchange::NotSent(why, reason),
                Exchange::Unknown(reason) => return Exchange::Unknown(reason),
            };
            if let (Renewal::Wanted | Renewal::NothingDone, Some(number)) = (renewal, token) {
                tracing::info!(status, "the core does not take a token any more");
                self.credentials.give_up(number);
            }
            match meaning {
                Meaning::Said(said) => return Exchange::Answered(said),
                Meaning::TwoKinds => {
                    return Exchange::Unknown(format!("status {status} fits declared answers of two kinds"));
                }
                Meaning::NothingDone if is_first => is_first = false,
                Meaning::NothingDone => {
                    let reason =
                        format!("the core declared with status {status} that it did nothing, with a new token, too");
                    return Exchange::NotSent(Unsent::NotDone, reason);
                }
            }
        }
    }

    fn renewal(&self, answer: &Answer) -> Renewal {
        match self.credentials.may_renew() {
            true => self.credentials.renewal(&AnswerDocument::read(answer, &self.limits)),
            false => Renewal::No,
        }
    }
}

/// An answer that does not repeat our reference, where every answer does, is about another request: it proves nothing about ours.
fn judged<T>(status: u16, renewal: Renewal, read: Read<T>) -> Read<Judged<T>> {
    let judged = |meaning| Judged { status, renewal, meaning };
    match (renewal, read) {
        (Renewal::NothingDone, Read::NotUnderstood(_)) => Read::NotUnderstood(judged(Meaning::NothingDone)),
        (Renewal::NothingDone, Read::Understood(_) | Read::Unusable(_)) => {
            Read::NotUnderstood(judged(Meaning::TwoKinds))
        }
        (_, Read::Understood(said)) => Read::Understood(judged(Meaning::Said(said))),
        (_, Read::Unusable(said) | Read::NotUnderstood(said) | Read::NotOurs(said)) => {
            Read::NotUnderstood(judged(Meaning::Said(said)))
        }
    }
}
