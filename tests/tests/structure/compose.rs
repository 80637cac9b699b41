//! docker-compose.yml and dev/stack start the same parts with the same files. Nothing is started here: both are read.

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Every file that compose mounts; the file through which the native stack comes to it, and the words there that do it.
const SHARED: &[(&str, &str, &str)] = &[
    ("connectors/cores/core-sim.yaml", "dev/config/locum.yaml", "connector: ../../connectors/cores/core-sim.yaml"),
    ("connectors/debezium/mariadb.json", "dev/lib/core.sh", r#""$ROOT/connectors/debezium/mariadb.json""#),
    ("dev/config/connect.properties", "dev/lib/connect.sh", r#"cat "$CONFIG_DIR/connect.properties""#),
    ("dev/config/kafka.properties", "dev/lib/kafka.sh", r#"cat "$CONFIG_DIR/kafka.properties""#),
    ("dev/config/locum.yaml", "dev/lib/locum.sh", r#""$CONFIG_DIR/locum.yaml""#),
    ("dev/config/mariadb-core.cnf", "dev/lib/mariadb.sh", r#"mariadbd --defaults-file="$CONFIG_DIR/$part.cnf""#),
    ("dev/config/operator.token", "dev/lib/locum.sh", "for file in tokens.yaml operator.token;"),
    ("dev/config/redis.conf", "dev/lib/redis.sh", r#"redis-server "$CONFIG_DIR/redis.conf""#),
    ("dev/config/tokens.yaml", "dev/lib/locum.sh", "for file in tokens.yaml operator.token;"),
    ("dev/lib/places.sh", "dev/lib/connector.sh", r#"filled "$2""#),
    ("dev/lib/watch-connectors", "dev/lib/connect.sh", r#""$LIB/watch-connectors""#),
    ("schemas/mappings/core-sim.yaml", "dev/config/locum.yaml", "mapping: ../../schemas/mappings/core-sim.yaml"),
];
/// What the simulated core is told that is an address, and so differs.
const ADDRESSES_OF_CORE: &[&str] = &["--listen", "--control", "--database"];

#[test]
fn compose_mounts_only_files_that_dev_stack_uses() {
    let compose = compose();
    let mounted: BTreeSet<_> = mounts(&compose).into_iter().map(|(source, _)| source).collect();
    let shared: BTreeSet<_> = SHARED.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(mounted, shared, "what docker-compose.yml mounts (left) and what this test knows (right) differ");
    for (path, user, words) in SHARED {
        assert!(root().join(path).is_file(), "{path} is mounted and does not exist");
        assert!(read(user).contains(words), "{user} does not say {words:?} any more: does dev/stack still use {path}?");
    }
}

#[test]
fn files_lie_in_our_containers_as_in_this_repository() {
    let compose = compose();
    let ours: Vec<_> = mounts(&compose).into_iter().filter(|(_, target)| target.starts_with("/locum/")).collect();
    assert!(!ours.is_empty(), "no file is mounted under /locum");
    for (source, target) in ours {
        assert_eq!(target, format!("/locum/{source}"));
    }
}

#[test]
fn versions_are_those_that_dev_stack_fetches() {
    let compose = compose();
    let kafka = constant("dev/lib/kafka.sh", "KAFKA_VERSION");
    let debezium = constant("dev/lib/connect.sh", "DEBEZIUM_VERSION");
    let services = &compose["services"];
    assert_eq!(services["kafka"]["image"], format!("apache/kafka:{kafka}"));
    let built_with = &services["connect"]["build"]["args"];
    assert_eq!(built_with["KAFKA_VERSION"], kafka);
    assert_eq!(built_with["DEBEZIUM_VERSION"], debezium);
    assert_eq!(constant("Dockerfile", "ARG KAFKA_VERSION"), kafka);
    assert_eq!(constant("Dockerfile", "ARG DEBEZIUM_VERSION"), debezium);
    let tag = |name: &str| text(&services[name]["image"]).rsplit(':').next().map(str::to_owned);
    assert!(tag("pd") == tag("tidb") && tag("tikv") == tag("tidb"), "pd, tikv and tidb are of one version");
}

#[test]
fn kafka_is_told_the_same_but_for_addresses() {
    let service = &compose()["services"]["kafka"];
    let environment = service["environment"].as_object().unwrap();
    let settings = environment.keys().filter(|name| *name != "KAFKA_HEAP_OPTS");
    let here: BTreeSet<_> =
        settings.map(|name| name.trim_start_matches("KAFKA_").to_lowercase().replace('_', ".")).collect();
    let native = read("dev/lib/kafka.sh");
    only_addresses_differ("dev/config/kafka.properties", &here, &keys(heredoc(&native)));
    assert_eq!(environment["KAFKA_HEAP_OPTS"], memory(&native, "kafka.Kafka"));
}

#[test]
fn connect_is_told_the_same_but_for_addresses() {
    let service = &compose()["services"]["connect"];
    let command = list(&service["command"]).join("\n");
    let native = read("dev/lib/connect.sh");
    only_addresses_differ("dev/config/connect.properties", &keys(heredoc(&command)), &keys(heredoc(&native)));
    let class = "org.apache.kafka.connect.cli.ConnectDistributed";
    assert_eq!(service["environment"]["KAFKA_HEAP_OPTS"], memory(&native, class));
}

#[test]
fn mariadb_and_redis_are_told_nothing_beside_their_files_but_addresses() {
    let services = &compose()["services"];
    assert!(services["mariadb-core"]["command"].is_null(), "settings of mariadb-core belong into its file");
    let options = options(between(&read("dev/lib/mariadb.sh"), r#"spawn "$part" mariadbd"#, "\n}"));
    disjoint("dev/config/mariadb-core.cnf", &options);

    let command = list(&services["redis"]["command"]);
    assert_eq!(command, ["redis-server", "/usr/local/etc/redis/redis.conf"], "settings of redis belong into its file");
    let options = self::options(between(&read("dev/lib/redis.sh"), "spawn redis", "\n}"));
    disjoint("dev/config/redis.conf", &options);
}

#[test]
fn the_simulated_core_is_the_same_bank() {
    let compose = compose();
    let here = list(&compose["services"]["core"]["command"]).into_iter().skip(1);
    let here: BTreeMap<_, _> = here.filter_map(|word| word.split_once('=')).filter(of_the_bank).collect();
    let native = read("dev/lib/core.sh");
    let words: Vec<_> = between(&native, "core_launch() {", "\n}").split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[0].starts_with("--"));
    let native: BTreeMap<_, _> = pairs.map(|pair| (pair[0], pair[1].trim_matches('"'))).filter(of_the_bank).collect();
    assert_eq!(here, native, "docker-compose.yml (left) and dev/lib/core.sh (right) differ");
    assert!(!here.is_empty());
}

#[test]
fn the_connector_has_every_place_filled_and_the_prefix_that_locum_reads() {
    let compose = compose();
    let given = compose["services"]["connector"]["environment"].as_object().unwrap();
    let template = read("connectors/debezium/mariadb.json");
    for place in template.split("${").skip(1).filter_map(|rest| rest.split('}').next()) {
        assert!(given.contains_key(place), "connectors/debezium/mariadb.json needs {place}");
    }
    assert_eq!(given["TOPIC_PREFIX"], locum()["sources"][0]["topic_prefix"]);
}

#[test]
fn locum_reaches_services_of_the_stack() {
    let (compose, locum) = (compose(), locum());
    let addresses =
        [&locum["sql"]["url"], &locum["redis"]["url"], &locum["kafka"]["bootstrap"], &locum["core"]["base_url"]];
    for address in addresses {
        let address = text(address);
        let host = address.rsplit(['@', '/']).find(|part| part.contains(':')).unwrap_or(address);
        let host = host.split(':').next().unwrap_or(host);
        assert!(!compose["services"][host].is_null(), "{address} names no service of docker-compose.yml");
    }
    let operators = yaml("dev/config/tokens.yaml")["operators"].clone();
    assert_eq!(operators[0]["token"], read("dev/config/operator.token").trim());
}

#[test]
fn only_locum_is_published_and_on_loopback_alone() {
    for (name, service) in compose()["services"].as_object().unwrap() {
        assert!(service["network_mode"].is_null(), "{name} leaves the network of the stack");
        let ports = list(&service["ports"]);
        assert!(ports.is_empty() || name == "locum", "{name} is published: {ports:?}");
        for port in ports {
            assert!(port.starts_with("127.0.0.1:"), "{name} is published beyond this machine: {port}");
        }
    }
}

#[test]
fn images_are_built_as_they_are_shipped() {
    let dockerfile = read("Dockerfile");
    let build = between(&dockerfile, "cargo build", "\\\n");
    assert!(build.contains("--release") && build.contains("--locked"), "cargo build{build}");
    assert!(!build.contains("feature"), "failpoints and their like are for tests: cargo build{build}");
    let user = dockerfile.lines().rev().find_map(|line| line.strip_prefix("USER "));
    assert!(user.is_some_and(|user| !["0", "root"].contains(&user)), "the image runs as {user:?}");
}

/// The same keys in both, and none that the shared file states: it would be told two things.
fn only_addresses_differ(shared: &str, here: &BTreeSet<String>, native: &BTreeSet<String>) {
    assert_eq!(here, native, "beside {shared}, docker-compose.yml (left) and dev/stack (right) state other settings");
    disjoint(shared, here);
}

fn disjoint(shared: &str, stated: &BTreeSet<String>) {
    let in_file = keys(&read(shared));
    assert!(!in_file.is_empty() && !stated.is_empty(), "{shared} or what stands beside it is not found");
    let twice: Vec<_> = in_file.intersection(stated).collect();
    assert!(twice.is_empty(), "{twice:?} stand in {shared} and beside it");
}

fn of_the_bank((flag, _): &(&str, &str)) -> bool {
    !ADDRESSES_OF_CORE.contains(flag)
}

/// The one file of the host that a container sees.
const MACHINE_ID: &str = "/etc/machine-id";

/// Source, as a path in this repository, and target of every mounted file.
fn mounts(compose: &Json) -> Vec<(String, String)> {
    let volumes = compose["services"].as_object().unwrap().values().flat_map(|service| list(&service["volumes"]));
    let mut found = Vec::new();
    for volume in volumes {
        let mut parts = volume.split(':');
        let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match source.strip_prefix("./") {
            Some(path) => found.push((path.to_owned(), target.to_owned())),
            None if source == MACHINE_ID => assert_eq!(volume, format!("{MACHINE_ID}:{MACHINE_ID}:ro")),
            None => assert!(!source.contains('/'), "{volume}: only files of this repository are mounted"),
        }
    }
    found
}

/// The names of settings in a file of `name=value` or `name value` lines.
fn keys(settings: &str) -> BTreeSet<String> {
    let lines = settings.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    lines.filter_map(|line| line.split(['=', ' ']).next()).map(str::to_owned).collect()
}

/// The names of the options in a command line.
fn options(command: &str) -> BTreeSet<String> {
    let words = command.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    words.filter_map(|word| word.split('=').next()).map(str::to_owned).collect()
}

fn heredoc(script: &str) -> &str {
    between(script, "<<SETTINGS\n", "\nSETTINGS")
}

/// The heap that dev/stack gives to a Java program, as Kafka's scripts take it.
fn memory(script: &str, class: &str) -> String {
    let words: Vec<_> = script.split_whitespace().collect();
    let at = words.iter().position(|word| *word == class).unwrap_or_else(|| panic!("{class} is not started any more"));
    format!("-Xmx{}", words[at - 1])
}

/// `NAME=value` in a script.
fn constant(path: &str, name: &str) -> String {
    let text = read(path);
    between(&text, &format!("{name}="), "\n").split_whitespace().next().unwrap_or_default().to_owned()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from:?} is not there any more"));
    rest.split_once(to).map_or(rest, |(found, _)| found)
}

fn compose() -> Json {
    yaml("docker-compose.yml")
}

fn locum() -> Json {
    yaml("dev/config/locum.yaml")
}

fn yaml(path: &str) -> Json {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

/// Nothing, or a list of texts.
fn list(value: &Json) -> Vec<&str> {
    if value.is_null() {
        return Vec::new();
    }
    let items = value.as_array().unwrap_or_else(|| panic!("{value}: write it as a list"));
    items.iter().map(text).collect()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}: write it as a text"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
