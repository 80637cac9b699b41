//! Strings with placeholders: read once at start-up, rendered for every request.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemas::money::render_minor;
use serde_json::Value;

use crate::http::FieldKind;
use crate::uuid::uuid_of;
use schemas::post_request::{Field, PostRequest};

/// Names that a field may not take.
pub(super) const RESERVED: [&str; 4] = ["core_ref", "accepted_at", "value_date", "currency"];

/// The placeholder for the reference as a UUID.
pub(super) const CORE_UUID: &str = "core_ref.uuid";

/// Which placeholders a template may use.
#[derive(Clone, Copy)]
pub(super) enum Scope<'a> {
    /// Those of a request with these fields.
    Request(&'a BTreeMap<String, FieldKind>),
    /// `{core_ref}` and `{core_ref.uuid}` only.
    Reference,
    /// The one placeholder of this name.
    Only(&'static str),
    /// None.
    Fixed,
}

/// What the placeholders stand for now.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    Request(&'a PostRequest),
    Reference(&'a str),
    /// Of a template with one placeholder, or with none.
    Only(&'a str),
}

/// Why a request cannot be made. Names fields, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("field {0} is missing or of another kind")]
    Field(String),
    #[error("the value of {0} cannot stand in a path")]
    Path(String),
    #[error("the value of header {0} is not visible ASCII")]
    Header(String),
    #[error("the request line is not valid")]
    Line,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Only(&'static str),
    CoreRef,
    CoreUuid,
    AcceptedAt,
    ValueDate,
    Text(String),
    OptionalText(String),
    Decimal(String),
    Number(String),
    Minor(String),
    Currency(String),
    Precision(String),
    Exponent(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Slot { name: String, slot: Slot },
}

/// A string with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(super) fn read(text: &str, scope: Scope<'_>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
                return Err("unpaired brace; a brace itself is written twice".to_owned());
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Slot { name: name.to_owned(), slot: slot(name, scope)? });
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// The fields it uses, and `core_ref` where it carries the reference.
    pub(super) fn names(&self, into: &mut BTreeSet<String>) {
        into.extend(self.0.iter().filter_map(|part| match part {
            Part::Slot { slot, .. } => slot.name().map(str::to_owned),
            Part::Literal(_) => None,
        }));
    }

    /// As it is.
    pub(super) fn plain(&self, values: Values<'_>) -> Result<String, Unsendable> {
        self.0.iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Slot { slot, .. } => text.push_str(&slot.text(values)?),
            }
            Ok(text)
        })
    }

    /// Into a path: values are percent-encoded; an empty one and dot segments would name another resource.
    pub(super) fn path(&self, values: Values<'_>) -> Result<String, Unsendable> {
        self.0.iter().try_fold(String::new(), |mut path, part| {
            match part {
                Part::Literal(literal) => path.push_str(literal),
                Part::Slot { name, slot } => match slot.text(values)?.as_ref() {
                    "" | "." | ".." => return Err(Unsendable::Path(name.clone())),
                    value => percent_encode(value, &mut path),
                },
            }
            Ok(path)
        })
    }

    /// Into JSON: a text, but a placeholder for a number that is the whole string is a number.
    pub(super) fn json(&self, values: Values<'_>, into: &mut String) -> Result<(), Unsendable> {
        match self.0.as_slice() {
            [Part::Slot { slot, .. }] if slot.is_number() => into.push_str(&slot.text(values)?),
            _ => into.push_str(&Value::from(self.plain(values)?).to_string()),
        }
        Ok(())
    }
}

impl Slot {
    fn name(&self) -> Option<&str> {
        match self {
            Slot::Only(name) => Some(name),
            Slot::CoreRef => Some("core_ref"),
            Slot::CoreUuid => Some(CORE_UUID),
            Slot::AcceptedAt | Slot::ValueDate => None,
            Slot::Text(field) | Slot::OptionalText(field) => Some(field),
            Slot::Decimal(field) | Slot::Number(field) | Slot::Minor(field) | Slot::Currency(field) => Some(field),
            // They tell how an amount is counted, and not the amount.
            Slot::Precision(_) | Slot::Exponent(_) => None,
        }
    }

    /// Written without quotes where it is the whole string.
    fn is_number(&self) -> bool {
        matches!(self, Slot::Number(_) | Slot::Minor(_) | Slot::Precision(_) | Slot::Exponent(_))
    }

    fn text<'a>(&self, values: Values<'a>) -> Result<Cow<'a, str>, Unsendable> {
        let request = match (self, values) {
            (Slot::CoreRef, Values::Reference(core_ref)) => return Ok(core_ref.into()),
            (Slot::CoreUuid, Values::Reference(core_ref)) => return Ok(uuid_of(core_ref).into()),
            (Slot::Only(_), Values::Only(value)) => return Ok(value.into()),
            (_, Values::Request(request)) => request,
            (_, Values::Reference(_) | Values::Only(_)) => return Err(Unsendable::Line),
        };
        Ok(match self {
            Slot::Only(_) => return Err(Unsendable::Line),
            Slot::CoreRef => request.core_ref.as_str().into(),
            Slot::CoreUuid => uuid_of(&request.core_ref).into(),
            Slot::AcceptedAt => request.accepted_at.to_string().into(),
            Slot::ValueDate => request.value_date.to_string().into(),
            Slot::Text(name) | Slot::OptionalText(name) => match (request.field(name), self) {
                (Some(Field::Text(text)), _) => text.as_str().into(),
                (None, Slot::OptionalText(_)) => "".into(),
                _ => return Err(Unsendable::Field(name.clone())),
            },
            Slot::Decimal(name) | Slot::Number(name) => {
                money(values, name).map(|(minor, currency)| render_minor(minor, currency))?.into()
            }
            Slot::Minor(name) => money(values, name)?.0.to_string().into(),
            Slot::Currency(name) => money(values, name)?.1.code().to_owned().into(),
            Slot::Precision(name) => 10_u64.pow(money(values, name)?.1.exponent()).to_string().into(),
            Slot::Exponent(name) => money(values, name)?.1.exponent().to_string().into(),
        })
    }
}

fn money(values: Values<'_>, name: &str) -> Result<(i64, schemas::money::Currency), Unsendable> {
    match values {
        Values::Request(request) => match request.field(name) {
            Some(Field::Money { minor, currency }) => Ok((*minor, *currency)),
            _ => Err(Unsendable::Field(name.to_owned())),
        },
        Values::Reference(_) | Values::Only(_) => Err(Unsendable::Line),
    }
}

fn slot(name: &str, scope: Scope<'_>) -> Result<Slot, String> {
    let unknown = || Err(format!("unknown placeholder {{{name}}}"));
    let fields = match (scope, name) {
        (Scope::Request(_) | Scope::Reference, "core_ref") => return Ok(Slot::CoreRef),
        (Scope::Only(only), _) if only == name => return Ok(Slot::Only(only)),
        (Scope::Request(_) | Scope::Reference, CORE_UUID) => return Ok(Slot::CoreUuid),
        (Scope::Request(fields), _) => fields,
        _ => return unknown(),
    };
    let (field, part) = name.split_once('.').map_or((name, None), |(field, part)| (field, Some(part)));
    let owned = field.to_owned();
    Ok(match (name, fields.get(field), part) {
        ("accepted_at", ..) => Slot::AcceptedAt,
        ("value_date", ..) => Slot::ValueDate,
        ("currency", ..) => {
            let mut amounts = fields.iter().filter(|(_, kind)| **kind == FieldKind::Money);
            match (amounts.next(), amounts.next()) {
                (Some((only, _)), None) => Slot::Currency(only.clone()),
                _ => return Err("{currency} needs exactly one money field; say {field.currency}".to_owned()),
            }
        }
        (_, Some(FieldKind::Text), None) => Slot::Text(owned),
        (_, Some(FieldKind::OptionalText), None) => Slot::OptionalText(owned),
        (_, Some(FieldKind::Money), None) => Slot::Decimal(owned),
        (_, Some(FieldKind::Money), Some("number")) => Slot::Number(owned),
        (_, Some(FieldKind::Money), Some("minor")) => Slot::Minor(owned),
        (_, Some(FieldKind::Money), Some("precision")) => Slot::Precision(owned),
        (_, Some(FieldKind::Money), Some("exponent")) => Slot::Exponent(owned),
        (_, Some(FieldKind::Money), Some("currency")) => Slot::Currency(owned),
        _ => return unknown(),
    })
}

/// All but unreserved characters (RFC 3986).
pub(super) fn percent_encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}
