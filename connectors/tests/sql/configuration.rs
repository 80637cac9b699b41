//! A core's configuration is judged whole, before anything runs.

use locum_connectors::sql::{MARIADB_EXAMPLE, POSTGRESQL_EXAMPLE, SqlCore, SqlCoreConfig};

use crate::bank::{changed, config};

fn errors(yaml: &str) -> Vec<String> {
    match SqlCore::build(config(yaml)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The examples, without the password's file.
fn examples() -> [String; 2] {
    [MARIADB_EXAMPLE, POSTGRESQL_EXAMPLE].map(|yaml| changed(yaml, ", password-file: secrets/core-password", ""))
}

#[test]
fn the_examples_are_without_fault() {
    for yaml in examples() {
        assert_eq!(errors(&yaml), [""; 0]);
    }
}

#[test]
fn all_errors_are_told_in_one_run() {
    let yaml = r#"
kind: sql
name: ""
server: mariadb
url: mysql://user:secret@core/bank
credentials: {user: "", password-file: /nowhere/at/all}
tls: {ca: /nowhere/at/all}
capabilities: {enquiry: true, request-lifetime-ms-max: 1}
reference: {alphabet: digits, length: 12}
limits: {connections-max: 0, idle-ms-max: 1500, lock-wait-ms-max: 5000}
probe: {query: "DELETE FROM x", up: []}
operations:
  transfer:
    fields: {from: text, amount: money, currency: text, unused: text}
    refusals: {NO: "Not Nice"}
    post:
      call: "CALL p(?, '{from}')"
      parameters: ["{nobody}", "{amount.minor}", "{from.minor}"]
      transaction: procedure
      accepted: [{}, {when: {"a b": POSTED}, error: [1]}, {rows: none}, {when: {status: 1.5}}]
      refused: [{when: {status: REFUSED}}, {error: [31000]}]
      duplicate: [{error: [HY000, "1", 1062]}]
      not-done: [{error: [1969, 1317, 1927, 2013, 1062]}]
      posting:
        legs:
          - {account: "", amount: {column: a, unit: {currency: XXX}, direction: {coded: {column: d, debit: D, credit: D}}}}
          - {account: b}
"#;
    let expected = [
        "name: must be 1 to 32 characters",
        "reference: length: must be 16 to 64, not 12",
        "limits.idle-ms-max: must be a multiple of 1000: MariaDB counts it in seconds",
        "limits.lock-wait-ms-max: must be less than statement-ms-max",
        "limits.connections-max: must be 1 to 4096",
        "capabilities.request-lifetime-ms-max: is 1 ms, and a call may take effect for 11500 ms after its sender ended",
        "url: must not hold credentials or options",
        "credentials.user: must be 1 to 63 characters",
        "credentials.password-file: /nowhere/at/all cannot be read",
        "tls.ca: cannot read /nowhere/at/all",
        "probe.query: must begin with SELECT or WITH",
        "probe.up: declares no answer",
        "operations.transfer.enquiry: is missing, and capabilities say that the core can be asked",
        "operations.transfer.fields.currency: cannot be a field's name",
        "operations.transfer.post.accepted[0]: needs exactly one of",
        "operations.transfer.post.accepted[1]: needs exactly one of",
        "operations.transfer.post.accepted[1].when.a b: is not a column's name",
        "operations.transfer.post.accepted[1].error: cannot be declared here",
        "operations.transfer.post.accepted[2].rows: is for `not-found` of an enquiry only",
        "operations.transfer.post.accepted[3].when.status: must be a string, a whole number or a boolean",
        "operations.transfer.post.refused[0]: needs either `code` with a column, or `error` with codes",
        "operations.transfer.post.refused[1].error: 31000 is not among the operation's `refusals`",
        "operations.transfer.post.duplicate[0].error: HY000 is what most errors of MariaDB have",
        "operations.transfer.post.duplicate[0].error: 1 is not a SQLSTATE",
        "operations.transfer.post.not-done[0].error: 1969 interrupts a call that may have committed before",
        "operations.transfer.post.not-done[0].error: 1317 interrupts a call that may have committed before",
        "operations.transfer.post.not-done[0].error: 1927 says that the server or the connection ended",
        "operations.transfer.post.not-done[0].error: 2013 is a client's error",
        "operations.transfer.post.not-done: error 1062 stands under `duplicate`, too",
        "operations.transfer.post.posting.legs[0].account: is not a column's name",
        "operations.transfer.post.posting.legs[0].amount.unit: is not a currency we know",
        "operations.transfer.post.posting.legs[0].amount.direction.coded: debit and credit have the same code",
        "operations.transfer.post.posting.legs: some tell an amount and some do not",
        "operations.transfer.refusals.NO: a reason is lower-case words with hyphens",
        "operations.transfer.post.call: holds a brace; values are bound",
        "operations.transfer.post.call: holds a quoted text, a comment, a backslash or a semicolon",
        "operations.transfer.post.call: has 1 marks `?`, and 3 parameters are given",
        "operations.transfer.post.parameters[0]: unknown placeholder {nobody}",
        "operations.transfer.post.parameters[2]: unknown placeholder {from.minor}",
    ];
    let found = errors(yaml);
    for line in expected {
        assert!(found.iter().any(|error| error.starts_with(line)), "{line} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!found.iter().any(|error| error.contains("secret")), "{found:#?}");
}

#[test]
fn a_call_without_reference_and_a_field_never_bound_are_found() {
    for yaml in examples() {
        let yaml = changed(&yaml, "        - \"{core_ref}\"", "        - fixed");
        let yaml = changed(&yaml, "        - \"{remittance}\"", "        - \"\"");
        assert_eq!(
            errors(&yaml),
            [
                "operations.transfer.fields.remittance: is declared and never bound",
                "operations.transfer.post.parameters: do not carry {core_ref}",
            ]
        );
    }
}

#[test]
fn a_server_elsewhere_needs_an_encrypted_connection() {
    for yaml in examples() {
        let yaml = changed(&yaml, "127.0.0.1", "core.internal");
        let found = errors(&yaml);
        assert!(found.len() == 1 && found[0].starts_with("tls: is missing"), "{found:?}");
        let ca = std::env::temp_dir().join(format!("locum-sql-ca-{}.pem", std::process::id()));
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let with = |file: &std::path::Path| {
            changed(&yaml, "# tls: {ca: secrets/core-ca.pem}", &format!("tls: {{ca: '{}'}}", file.display()))
        };
        assert_eq!(errors(&with(&ca)), [""; 0]);
        std::fs::write(&ca, "no certificate").unwrap();
        let found = errors(&with(&ca));
        assert!(found.len() == 1 && found[0].contains("holds no CERTIFICATE in PEM form"), "{found:?}");
        std::fs::remove_file(&ca).unwrap();
    }
}

#[test]
fn a_statements_time_may_be_declared_only_where_nothing_can_have_been_committed() {
    let [mariadb, postgresql] = examples();
    let found = errors(&changed(&mariadb, "transaction: connector", "transaction: procedure"));
    assert!(found.len() == 1 && found[0].contains("1969 interrupts a call"), "{found:?}");
    let autocommit = changed(&postgresql, "transaction: connector", "transaction: procedure");
    assert_eq!(errors(&autocommit), [""; 0], "a function cannot commit");
}

#[test]
fn unknown_keys_and_words_are_errors() {
    let [yaml, _] = examples();
    for (from, to) in [
        ("server: mariadb", "server: oracle"),
        ("not-done:", "notdone:"),
        ("transaction: connector", "transaction: somebody"),
        ("      transaction: connector # the procedure neither commits nor begins\n", ""),
        ("rows: none", "rows: some"),
        ("direction: debit", "direction: sideways"),
    ] {
        let yaml = changed(&yaml, from, to);
        assert!(serde_saphyr::from_str::<SqlCoreConfig>(&yaml).is_err(), "{to}");
    }
}
