//! The smallest posting that an operation's fields allow.

use std::collections::BTreeMap;

use connectors::http::FieldKind;
use connectors::{Field, PostRequest};
use schemas::money::Currency;

use crate::cli::TryConnector;
use crate::commands::Failure;

/// What stands in texts that may be left out.
const TEXT: &str = "locum connector try";

/// A request with this reference, made now.
pub fn smallest(
    what: &TryConnector,
    fields: &BTreeMap<String, FieldKind>,
    core_ref: &str,
    now: jiff::Timestamp,
) -> Result<PostRequest, Failure> {
    let given = |name: &str| what.field.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    if let Some((unknown, _)) = what.field.iter().find(|(name, _)| !fields.contains_key(name)) {
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        let known = known.join(", ");
        return Err(Failure::Usage(format!("--field {unknown}: the operation has no such field; it has {known}")));
    }
    let code = what.currency.as_deref().unwrap_or_default();
    let currency = Currency::parse(code)
        .map_err(|_| Failure::Usage(format!("--currency {code}: expected an ISO 4217 code such as EUR")))?;
    let mut of_request = Vec::with_capacity(fields.len());
    for (name, kind) in fields {
        let own = match name.as_str() {
            "from_account" => what.from_account.clone(),
            "to_account" => what.to_account.clone(),
            _ => None,
        };
        let field = match (kind, given(name).or(own)) {
            (FieldKind::Money, _) => Field::Money { minor: what.amount_minor, currency },
            (_, Some(text)) => Field::Text(text),
            (FieldKind::OptionalText, None) => Field::Text(TEXT.to_owned()),
            (FieldKind::Text, None) => {
                return Err(Failure::Usage(format!("the operation needs {name}; give it as --field {name}=VALUE")));
            }
        };
        of_request.push((name.clone(), field));
    }
    Ok(PostRequest {
        operation: what.operation.clone(),
        core_ref: core_ref.to_owned(),
        accepted_at: now,
        value_date: now.to_zoned(jiff::tz::TimeZone::UTC).date(),
        fields: of_request,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(field: &[(&str, &str)]) -> TryConnector {
        TryConnector {
            config: "c.yaml".into(),
            operation: "transfer".into(),
            base_url: None,
            timeout_ms: 1,
            yes: true,
            from_account: Some("A".into()),
            to_account: Some("B".into()),
            currency: Some("EUR".into()),
            amount_minor: 1,
            field: field.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn every_field_is_filled_or_asked_for() {
        let kinds = [
            ("from_account", FieldKind::Text),
            ("to_account", FieldKind::Text),
            ("amount", FieldKind::Money),
            ("remittance", FieldKind::OptionalText),
            ("office", FieldKind::Text),
        ];
        let fields: BTreeMap<String, FieldKind> =
            kinds.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
        let made = |given: &[(&str, &str)]| smallest(&what(given), &fields, "LC1", jiff::Timestamp::UNIX_EPOCH);
        let request = made(&[("office", "7")]).unwrap();
        assert_eq!(request.field("office"), Some(&Field::Text("7".into())));
        assert_eq!(request.field("to_account"), Some(&Field::Text("B".into())));
        assert!(matches!(request.field("amount"), Some(Field::Money { minor: 1, .. })));
        assert_eq!(request.fields.len(), 5);
        for (given, told) in [(&[][..], "--field office=VALUE"), (&[("office", "7"), ("branch", "1")][..], "branch")] {
            match made(given) {
                Err(Failure::Usage(text)) => assert!(text.contains(told), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
