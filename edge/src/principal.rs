//! Who calls, and what the caller may do.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use schemas::grant::Grant;

use crate::allowance::Share;
use crate::problem::Problem;
use crate::request;
use crate::turns::{Turn, Work};

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
    pub(crate) fn anonymous(audience: Audience) -> Self {
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

/// The authenticated caller of a request; an extractor that answers 401 where no [`Authenticate`](crate::Authenticate) ran.
#[derive(Clone)]
pub struct Caller {
    principal: Arc<Principal>,
    /// What it has used of its allowance; none = not bounded.
    share: Option<Arc<Share>>,
}

impl Caller {
    /// A caller without bounds.
    pub fn new(principal: Arc<Principal>) -> Self {
        Self { principal, share: None }
    }

    /// The same within its allowance.
    pub(crate) fn within(self, share: Arc<Share>) -> Self {
        Self { share: Some(share), ..self }
    }

    /// A turn at the store; hold it while the store is asked. 429 or 503.
    pub async fn turn(&self, work: Work) -> Result<Turn, Problem> {
        match &self.share {
            Some(share) => share.turn(work).await,
            None => Ok(Turn::default()),
        }
    }

    /// Counts one more request of it, until all of the request's tasks have ended. 429.
    pub(crate) fn begin(&self) -> Result<(), Problem> {
        let Some(share) = &self.share else { return Ok(()) };
        let place = share.request()?;
        request::note(|context| drop(context.place.set(place)));
        Ok(())
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.principal.fmt(f)
    }
}

impl std::ops::Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::unauthenticated)
    }
}
