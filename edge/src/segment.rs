//! The variable part of a path.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use crate::Problem;

/// The one `{…}` of a route's path, decoded; what cannot be decoded names nothing.
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(segment)| Self(segment)).map_err(|_| Problem::not_found())
    }
}
