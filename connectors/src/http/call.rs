//! A request made from its template.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use serde_json::Value;

use crate::template::{Template, Unsendable, Values, percent_encode};

/// Where the core is.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) is_tls: bool,
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
    pub(super) accept: HeaderValue,
    pub(super) content_type: HeaderValue,
    pub(super) body: Option<BodyTemplate>,
}

/// A body with templates for strings: JSON, or a form.
pub(super) enum BodyTemplate {
    Form(Vec<(String, Template)>),
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
        let body = self.body.as_ref().map(|body| body.render(values)).transpose()?.map(Bytes::from);
        let has_body = body.is_some();
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, base.authority.clone());
        headers.insert(ACCEPT, self.accept.clone());
        if has_body {
            headers.insert(CONTENT_TYPE, self.content_type.clone());
        }
        for (name, template) in &self.headers {
            let value = template.plain(values)?.parse().map_err(|_| Unsendable::Header(name.to_string()))?;
            headers.insert(name, value);
        }
        Ok(request)
    }

    /// The fields it uses, and `core_ref` or `core_ref.uuid` where it carries the reference.
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
    /// As text, because a JSON number that went through a float would lose digits.
    fn render(&self, values: Values<'_>) -> Result<String, Unsendable> {
        let mut text = String::new();
        self.write(values, &mut text)?;
        Ok(text)
    }

    fn write(&self, values: Values<'_>, into: &mut String) -> Result<(), Unsendable> {
        match self {
            Self::Form(members) => {
                for (i, (key, template)) in members.iter().enumerate() {
                    into.push_str(if i > 0 { "&" } else { "" });
                    percent_encode(key, into);
                    into.push('=');
                    percent_encode(&template.plain(values)?, into);
                }
            }
            Self::Text(template) => template.json(values, into)?,
            Self::Fixed(value) => into.push_str(&value.to_string()),
            Self::List(items) => {
                into.push('[');
                for (i, item) in items.iter().enumerate() {
                    into.push_str(if i > 0 { "," } else { "" });
                    item.write(values, into)?;
                }
                into.push(']');
            }
            Self::Object(members) => {
                into.push('{');
                for (i, (key, member)) in members.iter().enumerate() {
                    into.push_str(if i > 0 { "," } else { "" });
                    into.push_str(&Value::from(key.as_str()).to_string());
                    into.push(':');
                    member.write(values, into)?;
                }
                into.push('}');
            }
        }
        Ok(())
    }

    fn names(&self, into: &mut BTreeSet<String>) {
        match self {
            Self::Form(members) => members.iter().for_each(|(_, template)| template.names(into)),
            Self::Text(template) => template.names(into),
            Self::Fixed(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.names(into)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.names(into)),
        }
    }
}
