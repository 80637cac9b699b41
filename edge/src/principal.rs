//! Who calls. Deny by default: only [`Authenticate`] puts a [`Caller`] into a request.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use schemas::grant::Grant;
use tower::{Layer, Service};

use crate::problem::Problem;
use crate::request;
use crate::tokens::Tokens;

/// What a principal may do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    /// Read its customers' data.
    pub read: bool,
    /// Send writes for its customers' accounts.
    pub write: bool,
    /// Use the operators' API.
    pub operate: bool,
}

/// One of the three scopes, for asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `read`
    Read,
    /// `write`
    Write,
    /// `operate`
    Operate,
}

impl Scope {
    /// The word in the tokens file.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Operate => "operate",
        }
    }
}

impl Scopes {
    /// Is `scope` among them?
    pub fn has(&self, scope: Scope) -> bool {
        match scope {
            Scope::Read => self.read,
            Scope::Write => self.write,
            Scope::Operate => self.operate,
        }
    }
}

/// An authenticated caller. Keys, cursors and grants are bound to `id`.
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    /// Stable name, never a token.
    pub id: String,
    /// Whose accounts it may see and debit.
    pub grant: Grant,
    /// What it may do.
    pub scopes: Scopes,
}

impl Principal {
    /// 403 `insufficient-scope` unless it has `scope`.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.has(scope) { Ok(()) } else { Err(Problem::insufficient_scope(scope.as_str())) }
    }

    /// The caller of a listener without authentication: everything, under a name that says so.
    fn anonymous(audience: Audience) -> Self {
        let operate = audience == Audience::Operators;
        let scopes = Scopes { read: true, write: !operate, operate };
        Self { id: "anonymous".into(), grant: Grant::Any, scopes }
    }
}

impl fmt::Debug for Principal {
    /// Leaves the customers out: they are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("id", &self.id).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// Whose credentials a listener takes. A channel's token is worthless on the operators' listener and the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Mobile, web, third parties.
    Channels,
    /// People and tools that run Locum.
    Operators,
}

/// An open listener was asked for on an address that others can reach.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address; configure tokens, or listen on 127.0.0.1")]
pub struct NotLoopback(pub SocketAddr);

/// Decides who calls one listener.
#[derive(Clone)]
pub struct Authenticator(Source);

#[derive(Clone)]
enum Source {
    Tokens(Arc<Tokens>, Audience),
    Open(Arc<Principal>),
}

impl Authenticator {
    /// Bearer tokens of one audience.
    pub fn tokens(tokens: Arc<Tokens>, audience: Audience) -> Self {
        Self(Source::Tokens(tokens, audience))
    }

    /// Everyone, as `anonymous`: for the embedded demo, on loopback only. Says so in the log.
    pub fn open(address: SocketAddr, audience: Audience) -> Result<Self, NotLoopback> {
        if !address.ip().is_loopback() {
            return Err(NotLoopback(address));
        }
        tracing::warn!(%address, "this listener is open: no authentication, loopback only");
        Ok(Self(Source::Open(Arc::new(Principal::anonymous(audience)))))
    }

    /// The caller these headers prove, or 401.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match &self.0 {
            Source::Open(principal) => Ok(Caller(principal.clone())),
            Source::Tokens(tokens, audience) => {
                let token = bearer(headers).ok_or_else(Problem::unauthenticated)?;
                tokens.find(*audience, token).map(Caller).ok_or_else(Problem::unauthenticated)
            }
        }
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

/// The authenticated caller of a request; an extractor that answers 401 where no [`Authenticate`] ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub Arc<Principal>);

impl std::ops::Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::unauthenticated)
    }
}

/// The layer that lets only authenticated requests through; it also covers unknown routes.
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
        match self.authenticator.authenticate(request.headers()) {
            Ok(caller) => {
                request::note(|identity| drop(identity.principal.set(caller.0.clone())));
                request.extensions_mut().insert(caller);
                Either::Right(self.inner.call(request))
            }
            Err(problem) => Either::Left(ready(Ok(problem.into_response()))),
        }
    }
}
