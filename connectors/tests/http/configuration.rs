//! A core's configuration is judged whole, before anything runs.

use locum_connectors::http::{CORE_SIM, HttpCore, HttpCoreConfig};

use crate::peer::{config, without_enquiry};

fn errors(yaml: &str, url: &str) -> Vec<String> {
    match HttpCore::build(config(yaml, url)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn all_errors_are_told_in_one_run() {
    let yaml = r#"
name: ""
base-url: x
capabilities: {enquiry: true, request-lifetime-ms-max: 1}
reference: {alphabet: digits, length: 12, prefix: LC}
limits: {connections-max: 0}
headers: {Host: x, "b d": y}
probe: {request: {method: POST, path: health}, up: []}
operations:
  transfer:
    fields: {from: text, amount: money, fee: money, currency: text, unused: text}
    refusals: {NO: "Not Nice"}
    post:
      request:
        method: GET
        path: "/p/{nobody}"
        body: {a: {from: null}, b: 1.5, c: "{currency}", d: "{from.minor}", e: "{", f: "{fee}{amount}"}
      accepted: [{status: [], when: {}}, {status: [302], when: {status: [1]}}]
      posting:
        legs:
          - {account: nr, amount: {at: /a, unit: {currency: XXX}, direction: {coded: {pointer: /d, debit: D, credit: D}}}}
          - {account: /b}
"#;
    let expected = [
        "name: must be 1 to 32 characters",
        "reference: length: must be 16 to 64, not 12",
        "reference: prefix: must be at most 4 characters of the alphabet",
        "limits.connections-max: must be more than 0",
        "base-url: must be http://host:port or https://host:port",
        "probe.request.method: must be one of GET",
        "probe.request.path: must begin with / and be visible ASCII without #",
        "probe.request.headers.Host: is set by the transport",
        "probe.request.headers.b d: is not a header's name",
        "probe.up: declares no answer",
        "operations.transfer.enquiry: is missing, and capabilities say that the core can be asked",
        "operations.transfer.fields.currency: cannot be a field's name",
        "operations.transfer.post.accepted[0].status: needs statuses of 200..299 or 400..599",
        "operations.transfer.post.accepted[0].when: is empty; a bare status may come from a proxy",
        "operations.transfer.post.accepted[1].status: needs statuses of 200..299 or 400..599",
        "operations.transfer.post.accepted[1].when.status: is not a JSON pointer (RFC 6901)",
        "operations.transfer.post.accepted[1].when.status: must be a string, a whole number or a boolean",
        "operations.transfer.post.posting.legs[0].account: is not a JSON pointer (RFC 6901)",
        "operations.transfer.post.posting.legs[0].amount.unit: is not a currency we know",
        "operations.transfer.post.posting.legs[0].amount.direction.coded: debit and credit have the same code",
        "operations.transfer.post.posting.legs: some tell an amount and some do not",
        "operations.transfer.refusals.NO: a reason is lower-case words with hyphens",
        "operations.transfer.refusals: are declared, and no `refused` rule reads a code",
        "operations.transfer.post.request.method: must be one of POST, PUT, PATCH",
        "operations.transfer.post.request.path: unknown placeholder {nobody}",
        "operations.transfer.post.request.body.a: is an object; for the placeholder write \"{from}\" in quotes",
        "operations.transfer.post.request.body.b: is a float; write it as a string",
        "operations.transfer.post.request.body.c: {currency} needs exactly one money field; say {field.currency}",
        "operations.transfer.post.request.body.d: unknown placeholder {from.minor}",
        "operations.transfer.post.request.body.e: unpaired brace; a brace itself is written twice",
    ];
    let found = errors(yaml, "localhost:80");
    for line in expected {
        assert!(found.iter().any(|error| error.starts_with(line)), "{line} is not in {found:#?}");
    }
    let repeated = found.iter().filter(|error| error.contains("post.request.headers")).count();
    assert_eq!(found.len(), expected.len() + repeated, "{found:#?}");
}

#[test]
fn tls_without_https_is_told() {
    let found = errors(&format!("{CORE_SIM}\ntls: {{ca: ca.pem}}\n"), "http://core");
    assert_eq!(found, ["tls: is declared, and the address begins with http; write https, or leave it out"]);
}

#[test]
fn a_post_without_reference_and_a_field_never_sent_are_found() {
    let yaml = CORE_SIM.replace("reference: \"{core_ref}\"", "reference: fixed").replace("text: \"{remittance}\"", "");
    assert_eq!(
        errors(&yaml, "http://core"),
        [
            "operations.transfer.fields.remittance: is declared and never sent",
            "operations.transfer.post.request: does not carry {core_ref}, by which its posting is found again; where the core \
             stores nothing but a UUID, say `reference: {alphabet: uuid}`",
        ]
    );
}

#[test]
fn a_uuid_alone_and_a_type_without_a_body_are_told() {
    let sent = CORE_SIM.replace("reference: \"{core_ref}\"", "reference: \"{core_ref.uuid}\"");
    let found = errors(&sent, "http://core");
    assert!(found.len() == 1 && found[0].contains("does not carry {core_ref}"), "{found:?}");
    let asked = CORE_SIM.replace("/api/postings/{core_ref}", "/api/postings/{core_ref.uuid}");
    let found = errors(&asked, "http://core");
    assert_eq!(
        found,
        ["operations.transfer.enquiry.request: asks by {core_ref.uuid}, which the post request does not carry"]
    );
    let typed = |extra: &str| {
        CORE_SIM.replace("{method: GET, path: /health}", &format!("{{method: GET, path: /health, {extra}}}"))
    };
    for (extra, fault) in [
        ("accept: json", "accept: is not a media type"),
        ("accept: a/b/c", "accept: is not a media type"),
        ("accept: \"a/b\\r\\nX: y\"", "accept: is not a media type"),
        ("content-type: a/b", "content-type: is declared, and no `body`"),
    ] {
        let found = errors(&typed(extra), "http://core");
        assert!(found.len() == 1 && found[0].starts_with(&format!("probe.request.{fault}")), "{extra}: {found:?}");
    }
    assert!(errors(&typed("accept: text/x"), "http://core").is_empty());
}

#[test]
fn a_bare_404_cannot_be_declared_as_not_found() {
    let yaml = CORE_SIM.replace("{status: [404], when: {/code: NOT_FOUND}}", "{status: [404], when: {}}");
    let found = errors(&yaml, "http://core");
    assert!(found.len() == 1 && found[0].starts_with("operations.transfer.enquiry.not-found[0].when"), "{found:?}");
}

#[test]
fn conditions_that_say_nothing_or_cannot_hold_are_told() {
    let rule = "{status: [404], when: {/code: NOT_FOUND}}";
    let at = "operations.transfer.enquiry.not-found[0]";
    for (written, fault) in [
        ("{status: [404]}", "when: is empty; a bare status may come from a proxy, and so may a header"),
        ("{status: [404], when-header: {X-Core: mine}}", "when: is empty; a bare status"),
        ("{status: [404], exists: items}", "exists.items: is not a JSON pointer"),
        ("{status: [404], empty: [/a, b]}", "empty.b: is not a JSON pointer"),
        ("{status: [404], exists: /a, empty: /a}", "empty./a: is also in `exists` or `when`"),
        ("{status: [404], empty: /a, when-header: {a b: x}}", "when-header.a b: is not a header's name"),
        ("{status: [404], empty: /a, when-header: {X-A: true}}", "when-header.X-A: must be a text"),
    ] {
        let found = errors(&CORE_SIM.replace(rule, written), "http://core");
        assert!(found.len() == 1 && found[0].starts_with(&format!("{at}.{fault}")), "{written}: {found:?}");
    }
    let refused = "[{status: [422], code: /code}]";
    let at = "operations.transfer.post.refused[0].code";
    for (written, fault) in [
        ("[{status: [422], code: code}]", ": is not a JSON pointer"),
        ("[{status: [422], code: {at: m, until: \":\"}}]", ".at: is not a JSON pointer"),
        ("[{status: [422], code: {at: /m, until: \"\"}}]", ".until: is empty; write what stands behind the code"),
    ] {
        let found = errors(&CORE_SIM.replace(refused, written), "http://core");
        assert!(found.len() == 1 && found[0].starts_with(&format!("{at}{fault}")), "{written}: {found:?}");
    }
    for (from, to) in [
        (rule, "{status: [404], exists: {a: b}}"),
        (refused, "[{status: [422], code: {at: /m}}]"),
        (refused, "[{status: [422], code: {at: /m, until: \":\", since: x}}]"),
    ] {
        assert!(serde_saphyr::from_str::<HttpCoreConfig>(&CORE_SIM.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn a_core_of_another_kind_is_not_taken_for_one_that_speaks_http() {
    assert!(errors(&format!("kind: http\n{CORE_SIM}"), "http://core").is_empty());
    let found = errors(&format!("kind: sql\n{CORE_SIM}"), "http://core");
    assert!(found.len() == 1 && found[0].starts_with("kind: is sql"), "{found:?}");
}

#[test]
fn credentials_in_the_url_are_refused() {
    assert_eq!(errors(CORE_SIM, "http://u:p@core"), ["base-url: must not hold credentials or a query"]);
}

#[test]
fn unknown_and_repeated_keys_are_errors() {
    for (from, to) in [
        ("base-url:", "base_url:"),
        ("not-done:", "notdone:"),
        ("debit: D", "debit: D, soll: S"),
        ("id: /posting_id", "id: /posting_id\n        id: /x"),
    ] {
        let yaml = CORE_SIM.replace(from, to);
        assert_ne!(yaml, CORE_SIM);
        assert!(serde_saphyr::from_str::<HttpCoreConfig>(&yaml).is_err(), "{to}");
    }
}

#[test]
fn duplicate_means_posted_needs_a_duplicate_rule_and_a_core_that_cannot_be_asked() {
    let posted = CORE_SIM.replace("      duplicate:", "      duplicate-means: posted\n      duplicate:");
    let at = "operations.transfer.post.duplicate-means";
    let found = errors(&posted, "http://core");
    assert!(found.len() == 1 && found[0].starts_with(&format!("{at}: must not be `posted`")), "{found:?}");
    let alone = without_enquiry(&posted);
    assert!(errors(&alone, "http://core").is_empty());
    let rule = alone.lines().find(|line| line.starts_with("      duplicate:")).unwrap();
    let found = errors(&alone.replace(rule, ""), "http://core");
    assert_eq!(found, [format!("{at}: is declared, and no `duplicate` rule")]);
}

#[test]
fn what_is_booked_later_must_not_look_like_anything_else() {
    let pending =
        |rules: &str| CORE_SIM.replace("      duplicate:", &format!("      pending: {rules}\n      duplicate:"));
    let asked = |yaml: &str| {
        yaml.replace("      not-found:", "      pending: [{status: [200], when: {/status: NEW}}]\n      not-found:")
    };
    assert!(
        errors(&asked(&pending("[{status: [202]}, {status: [201], when: {/status: NEW}}]")), "http://core").is_empty()
    );
    let at = "operations.transfer";
    let accepted = "      accepted: [{status: [201, 200], when: {/status: BOOKED}}]\n";
    let later = asked(&pending("[{status: [202]}]")).replace(accepted, "");
    assert_eq!(errors(&later, "http://core"), [""; 0], "a core may book everything later");
    let found = errors(&CORE_SIM.replace(accepted, ""), "http://core");
    assert_eq!(found, [format!("{at}.post.accepted: declares no answer")]);
    let found = errors(&asked(&pending("[{status: [201, 202]}]")), "http://core");
    assert!(found.len() == 1 && found[0].starts_with(&format!("{at}.post.pending[0].when: is empty")), "{found:?}");
    let found = errors(&pending("[{status: [202]}]"), "http://core");
    assert!(found.len() == 1 && found[0].starts_with(&format!("{at}.enquiry.pending: is missing")), "{found:?}");
    let posted = without_enquiry(&pending("[{status: [202]}]"))
        .replace("      duplicate:", "      duplicate-means: posted\n      duplicate:");
    let found = errors(&posted, "http://core");
    assert!(found.len() == 1 && found[0].starts_with(&format!("{at}.post.duplicate-means: must not be")), "{found:?}");
}

#[test]
fn an_echo_is_at_a_json_pointer_or_in_a_header() {
    for (echo, fault) in
        [("{body: reference}", "body: is not a JSON pointer"), ("{header: a b}", "header: is not a header's name")]
    {
        let yaml = CORE_SIM.replace("      posting:\n", &format!("      echo: {echo}\n      posting:\n"));
        let found = errors(&yaml, "http://core");
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("operations.transfer.post.echo.{fault}")),
            "{found:?}"
        );
    }
}

#[test]
fn a_name_that_the_journal_cannot_keep_and_a_reference_that_the_core_cannot_are_told() {
    let build = |change: &str| {
        let config = format!("{change}\n{}", CORE_SIM.replace("name: core-sim\n", ""));
        let errors = HttpCore::build(serde_saphyr::from_str(&config).unwrap()).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(build(&format!("name: {}", "n".repeat(33))), ["name: must be 1 to 32 characters"]);
    assert_eq!(build(&format!("name: {}", "n".repeat(32))), [""; 0]);
    for good in ["{alphabet: uuid}", "{alphabet: digits, length: 16, prefix: \"77\"}", "{length: 20}", "{}"] {
        assert_eq!(build(&format!("name: n\nreference: {good}")), [""; 0], "{good}");
    }
    let told = build("name: n\nreference: {alphabet: uuid, length: 32}");
    assert_eq!(told, ["reference: a UUID has 36 characters and no prefix; leave `length` and `prefix` out"]);
}
