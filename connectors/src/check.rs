//! What every kind of connector's configuration must satisfy. Each kind checks what is its own.

use std::collections::BTreeMap;

use schemas::core::ReferenceFormat;
use serde_json::Value;

use crate::findings::Findings;
use crate::http::DuplicateMeans;

/// Longest name of a core that the journal keeps with an entry.
const NAME_CHARS_MAX: usize = 32;

/// Who the core is, and that it offers something.
pub(crate) fn core(name: &str, reference: &ReferenceFormat, has_operations: bool, found: &mut Findings) {
    found.must((1..=NAME_CHARS_MAX).contains(&name.chars().count()), "name", "must be 1 to 32 characters");
    for problem in reference.problems() {
        found.add("reference", problem);
    }
    found.must(has_operations, "operations", "declares none");
}

/// Where the core can be asked, each operation says how.
pub(crate) fn can_be_asked(promised: bool, declared: bool, at: &str, found: &mut Findings) {
    found.must(
        declared || !promised,
        &format!("{at}.enquiry"),
        "is missing, and capabilities say that the core can be asked",
    );
}

/// What an answer about a known reference may be taken to say.
pub(crate) fn duplicate_means(means: DuplicateMeans, has_rule: bool, can_ask: bool, at: &str, found: &mut Findings) {
    let posted = means == DuplicateMeans::Posted;
    let at = format!("{at}.post.duplicate-means");
    found.must(!posted || has_rule, &at, "is declared, and no `duplicate` rule");
    found.must(
        !posted || !can_ask,
        &at,
        "must not be `posted` where the core can be asked: an enquiry also compares the legs",
    );
}

/// The declared codes of an operation with their reasons; `read`: a rule reads a code.
pub(crate) fn refusal_reasons(declared: &BTreeMap<String, String>, read: bool, at: &str, found: &mut Findings) {
    for (code, reason) in declared {
        let named =
            !reason.is_empty() && reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        found.must(named, &format!("{at}.refusals.{code}"), "a reason is lower-case words with hyphens");
    }
    found.must(
        declared.is_empty() || read,
        &format!("{at}.refusals"),
        "are declared, and no `refused` rule reads a code",
    );
}

/// A value that an answer is compared with.
pub(crate) fn scalar(expected: &Value, at: &str, found: &mut Findings) {
    let scalar = match expected {
        Value::String(_) | Value::Bool(_) => true,
        Value::Number(number) => !number.is_f64(),
        _ => false,
    };
    found.must(scalar, at, "must be a string, a whole number or a boolean");
}
