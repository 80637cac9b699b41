//! A request made from its template.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use serde_json::Value;

use crate::template::{Template, Unsendable, Values};

/// Where the core is.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authority: HeaderValue,
    /// In front of every path; no slash at its end.
    pub(super) prefix: String,
}

/// One kind of request, checked.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) body: Option<BodyTemplate>,
}

/// A JSON body with templates for strings.
pub(super) enum BodyTemplate {
    Text(Template),
    Fixed(Value),
    List(Vec<BodyTemplate>),
    Object(Vec<(String, BodyTemplate)>),
}

impl Call {
    /// The request as it goes out: origin form, `Host` first.
    pub(super) fn render(&self, base: &Base, values: Values<'_>) -> Result<Request<Full<Bytes>>, Unsendable> {
        let line = format!("{}{}", base.prefix, self.path.path(values)?);
        let uri = Uri::try_from(line).map_err(|_| Unsendable::Line)?;
        let body = self.body.as_ref().map(|body| body.render(values)).transpose()?;
        let mut request = Request::new(Full::new(body.as_ref().map_or(Bytes::new(), |b| b.to_string().into())));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, base.authority.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, template) in &self.headers {
            let value = template.plain(values)?.parse().map_err(|_| Unsendable::Header(name.to_string()))?;
            headers.insert(name, value);
        }
        Ok(request)
    }

    /// The fields it uses, and `core_ref` where it carries the reference.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.path.names(&mut names);
        self.headers.iter().for_each(|(_, template)| template.names(&mut names));
        if let Some(body) = &self.body {
            body.names(&mut names);
        }
        names
    }
}

impl BodyTemplate {
    fn render(&self, values: Values<'_>) -> Result<Value, Unsendable> {
        Ok(match self {
            Self::Text(template) => template.json(values)?,
            Self::Fixed(value) => value.clone(),
            Self::List(items) => items.iter().map(|item| item.render(values)).collect::<Result<_, _>>()?,
            Self::Object(members) => {
                let render = |(key, member): &(String, BodyTemplate)| Ok((key.clone(), member.render(values)?));
                Value::Object(members.iter().map(render).collect::<Result<_, _>>()?)
            }
        })
    }

    fn names(&self, into: &mut BTreeSet<String>) {
        match self {
            Self::Text(template) => template.names(into),
            Self::Fixed(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.names(into)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.names(into)),
        }
    }
}
