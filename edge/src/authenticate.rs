//! Who calls one listener. Deny by default: only [`Authenticate`] puts a [`Caller`] into a request.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tower::{Layer, Service};

use crate::allowance::Allowances;
use crate::principal::{Audience, Caller, Principal};
use crate::problem::Problem;
use crate::request;
use crate::tokens::Tokens;

/// An open listener was asked for on an address that others can reach.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address; configure tokens, or listen on 127.0.0.1")]
pub struct NotLoopback(pub SocketAddr);

/// Decides who calls one listener.
#[derive(Clone)]
pub struct Authenticator {
    source: Credentials,
    allowances: Option<Arc<Allowances>>,
}

#[derive(Clone)]
enum Credentials {
    Tokens(Arc<Tokens>, Audience),
    Open(Arc<Principal>),
}

impl Authenticator {
    /// Bearer tokens of one audience.
    pub fn tokens(tokens: Arc<Tokens>, audience: Audience) -> Self {
        Self { source: Credentials::Tokens(tokens, audience), allowances: None }
    }

    /// Everyone, as `anonymous`: for the embedded demo, on loopback only. Says so in the log.
    pub fn open(address: SocketAddr, audience: Audience) -> Result<Self, NotLoopback> {
        if !address.ip().is_loopback() {
            return Err(NotLoopback(address));
        }
        tracing::warn!(%address, "this listener is open: no authentication, loopback only");
        Ok(Self { source: Credentials::Open(Arc::new(Principal::anonymous(audience))), allowances: None })
    }

    /// Keeps each principal within its allowance; without this nothing is bounded.
    pub fn within(self, allowances: Arc<Allowances>) -> Self {
        Self { allowances: Some(allowances), ..self }
    }

    /// The caller these headers prove, or 401.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let principal = match &self.source {
            Credentials::Open(principal) => principal.clone(),
            Credentials::Tokens(tokens, audience) => {
                let token = bearer(headers).ok_or_else(Problem::unauthenticated)?;
                tokens.find(*audience, token).ok_or_else(Problem::unauthenticated)?
            }
        };
        let share = self.allowances.as_ref().map(|allowances| allowances.share_of(&principal.id));
        let caller = Caller::new(principal);
        Ok(match share {
            Some(share) => caller.within(share),
            None => caller,
        })
    }
}

/// The one bearer token of a request; two `Authorization` headers are none.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().map(HeaderValue::as_bytes)?;
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let sane = values.next().is_none() && scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty();
    sane.then_some(token)
}

/// The layer that lets only authenticated requests through, each principal within its allowance; it also covers unknown routes.
#[derive(Clone)]
pub struct Authenticate(pub Authenticator);

impl<S> Layer<S> for Authenticate {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { authenticator: self.0.clone(), inner }
    }
}

/// What [`Authenticate`] makes of a service.
#[derive(Clone)]
pub struct Authenticated<S> {
    authenticator: Authenticator,
    inner: S,
}

impl<S> Service<Request> for Authenticated<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let begun = self.authenticator.authenticate(request.headers()).and_then(|caller| {
            request::note(|context| drop(context.principal.set(caller.id.clone())));
            caller.begin().map(|()| caller)
        });
        match begun {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Either::Right(self.inner.call(request))
            }
            Err(problem) => Either::Left(ready(Ok(problem.into_response()))),
        }
    }
}
