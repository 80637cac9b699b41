//! The shape of the workspace: who may depend on whom, and the few rules every source file follows.
#![allow(missing_docs)]

#[path = "structure/compose.rs"]
mod compose;

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A member may depend on every layer below its own, and on nothing beside or above it.
const LAYERS: &[&[&str]] = &[
    &["schemas"],
    &["sql", "failpoints", "edge"],
    &["read-model", "standin", "connectors"],
    &["ingest", "read-api", "gateway", "replayer"],
    &["server"],
];
/// Beside the layers: it is a stand-in for somebody else's system.
const CORE_SIM: &str = "core-sim";
/// Beside the layers: judges from outside; nothing depends on it.
const TESTS: &str = "tests";
/// Beside the layers: measures Locum as the tests see it, through what they offer.
const BENCHES: &str = "benches";
/// Beside the layers: plays the write side in a simulated world; nothing depends on it.
const SIM: &str = "sim";
/// Features that only the simulator switches on: a shipped binary has neither.
const FEATURES_OF_SIM: &[&str] = &["simulation", "flaws"];
/// All that the judge takes from the judged: an HTTP client, and the names of places to die at.
const TESTS_MAY_USE: &[&str] = &["edge", "failpoints"];
const SOURCE_LINES_MAX: usize = 500;

#[test]
fn every_member_has_its_place_in_the_layers() {
    let placed: BTreeSet<&str> =
        LAYERS.iter().copied().flatten().copied().chain([CORE_SIM, TESTS, BENCHES, SIM]).collect();
    let members = members();
    let found: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    assert_eq!(found, placed, "the workspace's members (left) and the layers of this test (right) differ");
}

#[test]
fn dependencies_point_down_and_siblings_never_import_each_other() {
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let mut wrong = Vec::new();
    for (name, dependencies) in &members() {
        let Some(own) = layer(name) else { continue };
        for dependency in dependencies.iter().filter(|other| *other != CORE_SIM) {
            if layer(dependency).is_none_or(|other| other >= own) {
                wrong.push(format!("{name} → {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not allowed: {wrong:?}");
}

#[test]
fn the_simulated_core_knows_nothing_of_locum_and_only_demo_and_tests_know_it() {
    let members = members();
    // Of `schemas` it takes how an amount is written, so that both sides of a test read the same cents.
    let foreign: Vec<_> =
        members[CORE_SIM].iter().filter(|name| !["sql", "schemas"].contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{CORE_SIM} depends on {foreign:?}");
    for (path, text) in sources(|path| path.starts_with(CORE_SIM)) {
        for (number, line) in text.lines().enumerate() {
            let rest = line.replace("schemas::money::", "");
            assert!(!rest.contains("schemas::"), "{path}:{} takes more of schemas than money: {line}", number + 1);
        }
    }
    let users: Vec<_> = members
        .iter()
        .filter(|(name, uses)| uses.contains(CORE_SIM) && !["server", TESTS].contains(&name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(users.is_empty(), "only server and tests may use {CORE_SIM}, not {users:?}");
}

#[test]
fn the_tests_of_the_whole_know_nothing_of_its_inside() {
    let used = members().remove(TESTS).unwrap();
    assert_eq!(used, TESTS_MAY_USE.iter().copied().map(str::to_owned).collect(), "Locum's crates in tests/Cargo.toml");
    for (path, text) in sources(|path| path.starts_with("tests/") && path != "tests/tests/structure.rs") {
        for (number, line) in text.lines().enumerate() {
            let more = line.contains("edge::") && !line.contains("edge::client::");
            assert!(!more, "{path}:{} takes more of edge than its client: {line}", number + 1);
        }
    }
}

#[test]
fn only_the_simulator_switches_on_what_a_shipped_binary_must_not_have() {
    let members = members();
    let users: Vec<_> = members.iter().filter(|(_, uses)| uses.contains(SIM)).map(|(name, _)| name).collect();
    assert!(users.is_empty(), "nothing may depend on {SIM}, and {users:?} do");
    for name in members.keys().filter(|name| *name != SIM) {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        // A feature is declared with nothing behind it; any other mention would switch it on.
        let mentions = |line: &&str| FEATURES_OF_SIM.iter().any(|feature| line.contains(&format!("{feature}\"")));
        let switched: Vec<_> = manifest.lines().filter(mentions).collect();
        assert!(switched.is_empty(), "{name}/Cargo.toml: {switched:?}");
    }
}

#[test]
fn the_benches_see_locum_as_the_tests_do() {
    let used = members().remove(BENCHES).unwrap();
    assert_eq!(used, [TESTS.to_owned()].into(), "Locum's crates in benches/Cargo.toml");
}

#[test]
fn the_tests_of_the_whole_name_every_crate_they_depend_on() {
    let manifest = read(&root().join(TESTS).join("Cargo.toml"));
    let code: String = sources(|path| path.starts_with("tests/")).into_iter().map(|(_, text)| text).collect();
    let dependencies = section(&manifest, "[dependencies]").unwrap();
    let names = dependencies.iter().filter_map(|line| line.split(['.', '=', ' ']).next());
    let unused: Vec<_> = names.filter(|name| !code.contains(&format!("{}::", name.replace('-', "_")))).collect();
    assert!(unused.is_empty(), "tests/Cargo.toml lists crates that nothing in {TESTS} names: {unused:?}");
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for name in members().keys() {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let lints = section(&manifest, "[lints]").unwrap_or_else(|| panic!("{name}/Cargo.toml has no [lints]"));
        assert!(lints.contains(&"workspace = true"), "{name}/Cargo.toml: [lints] must say workspace = true");
    }
}

#[test]
fn unsafe_code_is_forbidden_and_absent() {
    let manifest = read(&root().join("Cargo.toml"));
    let lints = section(&manifest, "[workspace.lints.rust]").unwrap();
    assert!(lints.contains(&r#"unsafe_code = "forbid""#), "Cargo.toml must forbid it");
    let keyword = "unsafe";
    for (path, text) in sources(|_| true) {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '"');
            assert!(!words.any(|word| word == keyword), "{path}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn source_files_stay_short() {
    let is_test = |path: &str| Path::new(path).iter().any(|part| part == "tests" || part == "tests.rs");
    let long: Vec<_> = sources(|path| !is_test(path))
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > SOURCE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "more than {SOURCE_LINES_MAX} lines: {long:?}");
}

#[test]
fn nothing_is_left_to_be_done_later() {
    // Put together here, or this file would name itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let mut found = Vec::new();
    for path in tracked_files() {
        // Files that are deleted but not yet committed, and fixtures that are no text, hold no mark.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| holds_word(line, mark)) {
                found.push(format!("{path}:{}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "do it or drop it: {found:?}");
}

#[test]
fn the_map_of_the_code_names_every_member() {
    let map = read(&root().join("ARCHITECTURE.md"));
    let missing: Vec<_> = members().into_keys().filter(|name| !map.contains(&format!("`{name}/`"))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name `FOLDER/` of {missing:?}");
}

#[test]
fn every_fault_names_tests_that_exist() {
    let text = read(&root().join("docs/faults.md"));
    // What is known and not tested names no test.
    let (tested, _) = text.split_once("\n## Known, and not tested").expect("docs/faults.md says what is not tested");
    let mut wrong = Vec::new();
    for (number, line) in tested.lines().enumerate() {
        let Some(cell) = last_cell(line).filter(|cell| *cell != "test" && !cell.starts_with("---")) else { continue };
        wrong.extend(cell.split("; ").filter_map(|group| Some(format!("{}: {}", number + 1, not_found(group)?))));
    }
    assert!(wrong.is_empty(), "docs/faults.md, by line:\n{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Folder of each member → folders of the members it depends on, whatever for (build, run, test).
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = output(&cargo, &["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata: Json = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let folder = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
    let own = |dependency: &Json| dependency["path"].as_str().map(folder);
    packages
        .iter()
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            let dependencies = package["dependencies"].as_array().unwrap().iter().filter_map(own).collect();
            (folder(manifest.parent().unwrap().to_str().unwrap()), dependencies)
        })
        .collect()
}

/// Path from the root and text of each Rust file in git that `wanted` accepts by its path.
fn sources(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let paths = tracked_files().into_iter().filter(|path| path.ends_with(".rs") && wanted(path));
    let files: Vec<_> = paths.filter(|path| root().join(path).exists()).collect();
    assert!(!files.is_empty(), "no source file found: the test looks at the wrong place");
    files.into_iter().map(|path| (path.clone(), read(&root().join(path)))).collect()
}

/// What git tracks, and what it would after `git add`.
fn tracked_files() -> Vec<String> {
    let paths = output("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    paths.split_terminator('\0').map(str::to_owned).collect()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program).args(arguments).current_dir(root()).output();
    let run = run.unwrap_or_else(|err| panic!("{program} does not start: {err}"));
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{program} {arguments:?}: {}: {errors}", run.status);
    String::from_utf8(run.stdout).unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// The lines of a TOML table, without comments.
fn section<'a>(manifest: &'a str, header: &str) -> Option<Vec<&'a str>> {
    let lines = manifest.lines().map(|line| line.split('#').next().unwrap().trim());
    let mut from = lines.skip_while(|line| *line != header);
    from.next()?;
    Some(from.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()).collect())
}

fn holds_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric()).any(|part| part == word)
}

/// The text of the last column of a row of a table; `None` for a line that is no row.
fn last_cell(line: &str) -> Option<&str> {
    Some(line.strip_prefix('|')?.strip_suffix('|')?.rsplit('|').next()?.trim())
}

/// Why `group` is not a file in code quotes and tests of it in code quotes: `` `path/file.rs` `first`, `second` ``.
fn not_found(group: &str) -> Option<String> {
    let quoted = |text: &str| Some(text.strip_prefix('`')?.strip_suffix('`')?.to_owned()).filter(|t| !t.contains('`'));
    let parts = group
        .split_once(' ')
        .and_then(|(path, tests)| Some((quoted(path)?, tests.split(", ").map(quoted).collect::<Option<Vec<_>>>()?)));
    let Some((path, tests)) = parts else {
        return Some(format!("write {group} as `path/file.rs` `test`, `test`; and a semicolon between files"));
    };
    let Ok(source) = std::fs::read_to_string(root().join(&path)) else { return Some(format!("{path} is no file")) };
    let missing: Vec<_> = tests.iter().filter(|test| !declares(&source, test)).collect();
    (!missing.is_empty()).then(|| format!("{path} has no test {missing:?}"))
}

/// Is `test` a function of `source`, or a line `test => module` of one that runs on every store?
fn declares(source: &str, test: &str) -> bool {
    let (function, on_every_store) = (format!("fn {test}("), format!("{test} => "));
    source.lines().map(str::trim_start).any(|line| line.contains(&function) || line.starts_with(&on_every_store))
}
