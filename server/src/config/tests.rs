use std::path::PathBuf;

use super::*;
use crate::roles::Role;

fn faults(yaml: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match Config::parse(yaml, &folder(), environment) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
    }
}

/// A folder with a good tokens file and mapping.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("locum-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let tokens = "channels: [{token: 0123456789abcdef, principal: m, customers: ['*'], scopes: [read]}]\n\
                  operators: [{token: fedcba9876543210, principal: o}]";
    // Written aside and renamed: tests run side by side, and none may see half a file.
    let fresh = folder.join(format!("tokens-{:?}", std::thread::current().id()));
    fs::write(&fresh, tokens).unwrap();
    fs::rename(fresh, folder.join("tokens.yaml")).unwrap();
    folder
}

const READS: &str = "sql: {url: 'sqlite::memory:'}\ntokens: tokens.yaml\nroles: [read-api]\n";

fn has(faults: &[String], part: &str) {
    assert!(faults.iter().any(|fault| fault.contains(part)), "{part} not in {faults:#?}");
}

#[test]
fn reads_alone_need_a_store_and_tokens() {
    assert_eq!(faults(READS, &[]), [""; 0]);
}

#[test]
fn nothing_starts_without_authentication() {
    has(&faults("sql: {url: 'sqlite::memory:'}\nroles: [read-api]\n", &[]), "does not start without authentication");
}

#[test]
fn a_cursor_key_that_cannot_sign_is_a_fault_before_the_start() {
    for (name, bytes) in [("short.key", 31), ("good.key", 32)] {
        fs::write(folder().join(name), vec![7; bytes]).unwrap();
    }
    assert_eq!(faults(&format!("{READS}cursor_key: good.key\n"), &[]), [""; 0]);
    has(&faults(&format!("{READS}cursor_key: short.key\n"), &[]), "must hold 32 bytes");
    has(&faults(&format!("{READS}cursor_key: none.key\n"), &[]), "cursor_key: cannot read");
}

#[test]
fn an_allowance_of_nothing_is_a_fault() {
    assert_eq!(faults(&format!("{READS}principals: {{overrides: {{m: {{requests_per_s: 5}}}}}}\n"), &[]), [""; 0]);
    for (written, place) in [
        ("requests_per_s: 0", "principals.requests_per_s: "),
        ("overrides: {m: {concurrent_max: 0}}", "principals.overrides.m.concurrent_max: "),
        ("overrides: {m: {rps: 5}}", "principals.overrides.m.rps: unknown field"),
    ] {
        has(&faults(&format!("{READS}principals: {{{written}}}\n"), &[]), place);
    }
}

#[test]
fn every_fault_is_told_in_one_run() {
    let found = faults(
        "listen: {address: nowhere}\nsql: {uri: x}\nlimits: {currencies: {}, per_day_count: many}\nextra: 1\n\
         sources: [{name: a, mapping: missing.yaml, topic_prefix: ''}, {name: a}]\nwrite_deadline_ms: 1\n",
        &[("LOCUM__", "x")],
    );
    for part in [
        "listen.address: ",
        "sql.uri: unknown field",
        "limits.per_day_count: ",
        "extra: there is no such section",
        "sources[1]: missing field `mapping`",
        "write_deadline_ms: must be",
        "tokens: is missing",
        "sql.url: is missing",
        "kafka.bootstrap: is missing",
        "core: give exactly one",
        "LOCUM__: names no place",
    ] {
        has(&found, part);
    }
}

/// Everything that a gateway needs but limits.
fn gateway(rest: &str) -> String {
    let connector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/cores/core-sim.yaml");
    format!("{READS}core: {{connector: '{}'}}\n{rest}", connector.display()).replace("[read-api]", "[gateway]")
}

const LIMITS: &str = "limits: {currencies: {EUR: {per_transfer_minor: 1, per_day_minor: 2}}}\n";

#[test]
fn limits_without_currencies_are_told_how_to_change() {
    for outdated in ["per_transfer_minor: 1000000", "per_day_minor: 1, per_day_count: 5"] {
        let found = faults(&gateway(&format!("limits: {{{outdated}}}\n")), &[]);
        has(&found, "limits: limits are per currency, in its own minor units: write `currencies: {EUR:");
    }
    has(&faults(&gateway(""), &[]), "limits: currencies: is empty, so nothing could be accepted");
    assert_eq!(faults(&gateway(LIMITS), &[]), [""; 0]);
    assert_eq!(faults(&gateway(&LIMITS.replace("}}}", "}}, supersede_version: 7}")), &[]), [""; 0]);
}

#[test]
fn what_limits_and_rules_do_not_know_is_told_though_stored_ones_may_hold_it() {
    has(
        &faults(
            &gateway("limits: {currencies: {EUR: {per_transfer_minor: 1, per_day_minor: 2, per_month: 3}}}\n"),
            &[],
        ),
        "limits.currencies.EUR.per_month: unknown field",
    );
    has(
        &faults(&gateway("limits: {currencies: {XYZ: {per_transfer_minor: 1, per_day_minor: 2}}}\n"), &[]),
        "limits.currencies",
    );
    for (rules, told) in [
        ("{transfer: {stand-in: {}}}", "rules.transfer.stand-in: unknown field"),
        ("{payment: {}}", "rules: payment: there is no such operation; known are transfer"),
        (
            "{transfer: {stand_in: {debit: [active], credit: [frozen]}}}",
            "rules: transfer.stand_in.credit: must name `active`",
        ),
        ("{transfer: {stand_in: {debit: [asleep], credit: [active]}}}", "rules.transfer.stand_in.debit[0]: "),
        ("{transfer: {payee_reasons: all}}", "rules.transfer.payee_reasons: "),
    ] {
        has(&faults(&gateway(&format!("{LIMITS}rules: {rules}\n")), &[]), told);
    }
}

#[test]
fn a_password_in_the_wrong_place_is_not_repeated() {
    for yaml in [
        "sql: 'mysql://u:hunter2@h/d'\n",
        "sql: {url: ['mysql://u:hunter2@h/d']}\n",
        "sql: {url: 'mysql://u:hunter2@h/d\n",
    ] {
        let found = faults(yaml, &[]);
        assert!(!found.is_empty() && !found.join(" ").contains("hunter2"), "{found:?}");
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let overrides = [
        ("LOCUM__LISTEN__ADDRESS", "127.0.0.1:0"),
        ("LOCUM__LISTEN__CONNECTIONS_MAX", "7"),
        ("LOCUM__ROLES", "[read-api]"),
        ("HOME", "/"),
    ];
    let environment = overrides.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::parse(READS, &folder(), environment).unwrap();
    assert_eq!((config.listen.address.port(), config.listen.connections_max), (0, 7));
    assert_eq!(config.tokens, Some(folder().join("tokens.yaml")));
}

#[test]
fn a_bound_that_lets_nothing_through_is_told() {
    for key in ["listen.connections_max", "sql.connections_max", "sql.processes_max"] {
        let variable = format!("LOCUM__{}", key.to_uppercase().replace('.', "__"));
        has(&faults(READS, &[(&variable, "0")]), &format!("{key}: must be more than 0"));
    }
}

#[test]
fn the_address_of_a_core_can_be_given_apart_from_its_connector() {
    let connector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/cores/core-sim.yaml");
    let yaml = format!("{READS}core: {{connector: '{}', base_url: 'http://core:7001'}}\n", connector.display());
    let address = |yaml: &str| Config::parse(yaml, &folder(), []).unwrap().core.config().unwrap().address().to_owned();
    assert_eq!(address(&yaml), "http://core:7001");
    assert_eq!(address(&yaml.replace(", base_url: 'http://core:7001'", "")), "http://127.0.0.1:7001");
    let everything = yaml.replace("roles: [read-api]", "roles: [gateway]").replace("http://core", "core");
    has(&faults(&everything, &[]), "core.base-url: ");
}

#[test]
fn secrets_of_a_core_are_beside_its_connector_and_only_who_talks_to_it_needs_them() {
    let connectors = folder().join("secret-core");
    fs::create_dir_all(&connectors).unwrap();
    let core_sim = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/cores/core-sim.yaml");
    let credentials = "credentials: {header: {X-Key: {file: core.key}}}";
    let connector = format!("{}\n{credentials}\n", fs::read_to_string(core_sim).unwrap());
    fs::write(connectors.join("core.yaml"), connector).unwrap();
    let _ = fs::remove_file(connectors.join("core.key"));
    let yaml =
        format!("{READS}core: {{connector: secret-core/core.yaml}}\n{LIMITS}").replace("[read-api]", "[gateway]");
    has(&faults(&yaml, &[]), "core.credentials.header.X-Key.file: cannot read");
    let ingest = faults(&yaml.replace("[gateway]", "[ingest]"), &[]);
    assert!(!ingest.iter().any(|fault| fault.contains("credentials")), "{ingest:?}");
    fs::write(connectors.join("core.key"), "k").unwrap();
    assert_eq!(faults(&yaml, &[]), [""; 0]);
}

#[test]
fn a_core_of_sql_procedures_is_checked_whole_with_the_files_that_it_names() {
    let cores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/cores");
    let place = folder().join("sql-core");
    fs::create_dir_all(place.join("secrets")).unwrap();
    let of = |example: &str, url: &str| {
        fs::copy(cores.join(example), place.join(example)).unwrap();
        let connector = place.join(example);
        let yaml = format!("{READS}core: {{connector: '{}', base_url: '{url}'}}\n{LIMITS}", connector.display());
        let gateway = faults(&yaml.replace("[read-api]", "[gateway]"), &[]);
        // Who only ingests talks to no core, and needs none of its secrets.
        let ingest = faults(&yaml.replace("[read-api]", "[ingest]"), &[]);
        assert!(!ingest.iter().any(|fault| fault.contains("credentials")), "{ingest:#?}");
        gateway
    };
    let examples = [("sql-mariadb.yaml", "mysql"), ("sql-postgresql.yaml", "postgresql")];
    let _ = fs::remove_file(place.join("secrets/core-password"));
    for (example, scheme) in examples {
        let found = of(example, &format!("{scheme}://core.internal/bank"));
        assert_eq!(found.len(), 2, "{found:#?}");
        has(&found, "core.credentials.password-file: ");
        has(&found, "core.tls: is missing, and the server is not on this host");
    }
    fs::write(place.join("secrets/core-password"), "s3cret\n").unwrap();
    for (example, scheme) in examples {
        assert_eq!(of(example, &format!("{scheme}://localhost/bank")), [""; 0]);
        has(&of(example, "http://localhost"), &format!("core.url: must be {scheme}://host:port/database"));
    }
}

#[test]
fn a_core_that_forgets_before_anything_could_be_sent_again_is_told() {
    let yaml = gateway(LIMITS);
    assert_eq!(faults(&yaml, &[]), [""; 0]);
    has(
        &faults(&yaml, &[("LOCUM__REPLAY__MEMORY_MARGIN_MS", "86400000")]),
        "replay.memory_margin_ms: the core remembers",
    );
}

#[test]
fn times_that_contradict_each_other_are_told_with_their_values_and_the_remedy() {
    let yaml = gateway(LIMITS);
    for (name, value, told) in [
        (
            "WRITE_DEADLINE_MS",
            "15000",
            "replay.abandoned_after_ms: is 30000 ms, and half of it must be more than write_deadline_ms, which is 15000",
        ),
        (
            "REPLAY__CORE_TIMEOUT_MS",
            "15000",
            "replay.abandoned_after_ms: is 30000 ms, and half of it must be more than replay.core_timeout_ms",
        ),
        ("REPLAY__CORE_TIMEOUT_MS", "10000", "replay.core_timeout_ms: is 10000 ms, and must be less than the 10000 ms"),
        (
            "REPLAY__PARK_AFTER_MS",
            "10000",
            "replay.park_after_ms: is 10000 ms, and must be more than the 10000 ms that another replayer",
        ),
        (
            "REPLAY__PARK_AFTER_MS",
            "15000",
            "replay.park_after_ms: is 15000 ms, and must be more than the 15000 ms that a proof of absence",
        ),
        (
            "REPLAY__MEMORY_MARGIN_MS",
            "86388000",
            "replay.memory_margin_ms: the core remembers references for 86400000 ms",
        ),
    ] {
        has(&faults(&yaml, &[(&format!("LOCUM__{name}"), value)]), told);
    }
    for (name, value) in [
        ("WRITE_DEADLINE_MS", "14999"),
        ("REPLAY__CORE_TIMEOUT_MS", "9999"),
        ("REPLAY__PARK_AFTER_MS", "15001"),
        ("REPLAY__MEMORY_MARGIN_MS", "86387999"),
    ] {
        assert_eq!(faults(&yaml, &[(&format!("LOCUM__{name}"), value)]), [""; 0], "{name}");
    }
}

#[test]
fn what_the_command_line_runs_is_what_is_checked() {
    let roles = [Role::ReadApi, Role::Ingest];
    let from_command_line: Vec<_> = overrides(&roles).into_iter().filter(|(name, _)| name == "LOCUM__ROLES").collect();
    let Err(Faults(found)) = Config::parse(READS, &folder(), from_command_line) else { panic!("nothing is told") };
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    for part in ["sources: is empty", "core: give exactly one"] {
        has(&found, part);
    }
}

#[test]
fn a_replay_that_takes_all_connections_is_told() {
    let connector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/cores/core-sim.yaml");
    let yaml = format!("{READS}core: {{connector: '{}'}}\n", connector.display()).replace("[read-api]", "[replayer]");
    for (wanted, told) in
        [("31", None), ("32", Some("replay.concurrency_max: must be 1 to 31")), ("0", Some("must be 1"))]
    {
        let found = faults(&format!("{yaml}{LIMITS}"), &[("LOCUM__REPLAY__CONCURRENCY_MAX", wanted)]);
        match told {
            Some(told) => has(&found, told),
            None => assert_eq!(found, [""; 0]),
        }
    }
}

#[test]
fn instances_that_share_too_few_connections_to_the_core_are_told() {
    let yaml = gateway(LIMITS);
    assert_eq!(faults(&yaml, &[("LOCUM__INSTANCES_MAX", "16")]), [""; 0]);
    let found = faults(&yaml, &[("LOCUM__INSTANCES_MAX", "20")]);
    has(
        &found,
        "core.limits.connections-max: 64 connections to the core over instances_max 20 are 3 for each instance",
    );
    has(&faults(&yaml, &[("LOCUM__INSTANCES_MAX", "0")]), "instances_max: must be 1 to 1024");
    // A process that only reads has no share, and knows no core.
    assert_eq!(faults(READS, &[("LOCUM__INSTANCES_MAX", "20")]), [""; 0]);
}

#[test]
fn the_replay_takes_sixteen_or_half_of_its_instances_share_unless_told_otherwise() {
    let of = |instances: &str, rest: &str| {
        let environment = [("LOCUM__INSTANCES_MAX".to_owned(), instances.to_owned())];
        let config = Config::parse(&gateway(&format!("{LIMITS}{rest}")), &folder(), environment).unwrap();
        config.replay.options(config.core_share().unwrap()).concurrency_max
    };
    assert_eq!([of("1", ""), of("4", ""), of("16", "")], [16, 7, 1]);
    assert_eq!([of("1", "replay: {concurrency_max: 31}\n"), of("4", "replay: {concurrency_max: 2}\n")], [31, 2]);
}

#[test]
fn the_example_names_sections_that_exist() {
    let text = include_str!("../../locum.example.yaml");
    let found = faults(text, &[]);
    let files_only = found.iter().all(|fault| fault.contains("cannot read"));
    assert!(files_only, "{found:#?}");
}

#[test]
fn four_eyes_are_of_orders_that_exist() {
    let good =
        format!("{READS}operators: {{four_eyes: [force, write-off, adopt, free, link, declare-gone, clear-lane]}}\n");
    assert_eq!(faults(&good, &[]), [""; 0]);
    let found =
        faults(&format!("{READS}operators: {{four_eyes: [send-twice], approval_expires_after_s: 86400}}\n"), &[]);
    has(&found, "operators.four_eyes[0]: unknown variant `send-twice`, expected one of `cancel`, `retry`, `force`");
    has(&faults(&format!("{READS}operators: {{approval_expires_after_s: 5}}\n"), &[]), "must be 60 to 2592000");
}

#[test]
fn a_mapping_that_looks_for_other_references_than_the_connector_writes_is_a_fault() {
    let ingests = |name: &str, format: &str, core_ref: &str| {
        let mapping = format!(
            "source: bank\nconnector: mysql\n{format}tables:\n  postings:\n    key: [id]\n    transaction:\n      transaction_id: id\n      \
             account_id: account\n      amount: {{column: amount, type: minor_units}}\n      currency: currency\n      \
             booked_at: {{column: at, type: timestamp_ms}}\n      core_ref: {core_ref}\n"
        );
        fs::write(folder().join(name), mapping).unwrap();
        let sources = format!("sources: [{{name: bank, mapping: {name}, topic_prefix: bank}}]\n");
        let config = gateway(&format!("{sources}kafka: {{bootstrap: 'kafka:9092'}}\n"));
        faults(&config.replace("[gateway]", "[ingest]"), &[])
    };
    let found = "{column: text, find: start}";
    assert_eq!(ingests("same.yaml", "", found), [""; 0]);
    has(&ingests("prefix.yaml", "reference: {prefix: LOC}\n", found), "make `reference` the same in both");
    has(&ingests("short.yaml", "reference: {length: 20}\n", found), "looks for references of 20 characters");
    assert_eq!(ingests("alone.yaml", "reference: {length: 20}\n", "text"), [""; 0], "nothing is looked for");
}

#[test]
fn writes_over_mappings_that_confirm_nothing_are_warned_of_with_the_remedy() {
    let confirming = include_str!("../../../schemas/mappings/core-sim.yaml");
    let reading = confirming.replace("    confirms:\n      operations: [transfer]\n", "");
    assert_ne!(confirming, reading);
    for (name, text) in [("confirming", confirming), ("reading", reading.as_str())] {
        fs::write(folder().join(format!("{name}-mapping.yaml")), text).unwrap();
    }
    let warnings = |head: &str, mappings: &[&str]| {
        let source = |name: &&str| format!("{{name: {name}, mapping: {name}-mapping.yaml, topic_prefix: core}}");
        let sources = mappings.iter().map(source).collect::<Vec<_>>().join(", ");
        Config::parse(&format!("{head}sources: [{sources}]\n"), &folder(), []).unwrap().warnings().to_string()
    };
    let gateway = gateway(LIMITS);
    let warned = warnings(&gateway, &["reading"]);
    for part in
        ["sources: ", "each hold would count for ever", "`confirms: {operations: [transfer]}`", "leave `gateway`"]
    {
        assert!(warned.contains(part), "{part} not in {warned}");
    }
    // One that confirms is enough, a process that only reads is not asked, and one that knows no source cannot tell.
    let silent: [(&str, &[&str]); 4] =
        [(&gateway, &["reading", "confirming"]), (READS, &["reading"]), (&gateway, &[]), (&gateway, &["missing"])];
    for (head, mappings) in silent {
        assert_eq!(warnings(head, mappings), "", "{mappings:?}");
    }
}
