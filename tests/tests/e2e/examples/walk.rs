//! The walk-throughs of `examples/`, run to the letter: every block of commands in one shell, and what each must print.
//!
//! A page marks its blocks: `sh` is run, `sh background` is what a second terminal runs, and a block without a word behind
//! either is printed by it. Each of its lines must come, in order; `…` stands for anything, and blanks do not count.

use std::fs;
use std::process::Command;

use locum_tests::process::binary;
use locum_tests::stack::{Stack, root};

/// What a whole page may take.
const PAGE_S_MAX: u32 = 600;
/// Between what two steps print.
const MARK: &str = "== step ";

/// A block of commands.
#[derive(Debug, Default)]
struct Step {
    commands: String,
    background: bool,
    printed: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "walked by hand; it has not been walked since the example got its words"]
async fn the_page_of_fineract_is_right_to_the_letter() {
    walk("fineract", &["mariadb-core", "mariadb", "redis", "kafka", "connect"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "walked by hand; it has not been walked since the example got its words"]
async fn the_page_of_blnk_is_right_to_the_letter() {
    walk("blnk", &["postgres-core", "mariadb", "redis", "kafka", "connect"]).await;
}

async fn walk(core: &str, parts: &[&str]) {
    let stack = Stack::take(parts).await;
    let page = root().join("examples").join(core).join("README.md");
    let page = fs::read_to_string(&page).unwrap_or_else(|err| panic!("{}: {err}", page.display()));
    let steps = steps(&page);
    // Kafka keeps the topics of former runs, and a prefix belongs to one log.
    let name = format!("{core}_{}", &uuid::Uuid::now_v7().simple().to_string()[22..]);
    let folder = std::env::temp_dir().join("locum-e2e").join(&name);
    fs::create_dir_all(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    let script = folder.join("page.sh");
    let text = before(&stack, core, &name) + &here(&script_of(&steps, &folder.display().to_string()), core, &name);
    fs::write(&script, text).unwrap_or_else(|err| panic!("{}: {err}", script.display()));
    println!("the page of {core} as {name}, in {}", folder.display());
    let run = move || {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", &PAGE_S_MAX.to_string(), "bash"]).arg(&script).current_dir(root()).output()
    };
    let output = tokio::task::block_in_place(run).unwrap_or_else(|err| panic!("bash: {err}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    let told: Vec<&str> = said.split(MARK).skip(1).collect();
    assert_eq!(told.len(), steps.len(), "{said}");
    for (step, told) in steps.iter().zip(told) {
        let mut lines = told.lines();
        // The parts were up before, and the connector has another name.
        for wanted in step.printed.iter().filter(|line| !line.contains(" is ready on ")) {
            let wanted = wanted.replace(&format!("stack: {core} is"), "stack: … is");
            let came = lines.any(|line| fits(line, &wanted));
            assert!(came, "{}should print, in its place:\n{wanted}\nbut printed:\n{told}", step.commands);
        }
    }
}

/// The blocks of a page.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut word = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), word) {
            (Some(_), Some(_)) => word = None,
            (Some(opened), None) => {
                word = Some(opened);
                if opened.starts_with("sh") {
                    steps.push(Step { background: opened == "sh background", ..Step::default() });
                }
            }
            (None, Some(word)) => {
                let step = steps.last_mut().unwrap_or_else(|| panic!("printed before any command: {line}"));
                if word.starts_with("sh") {
                    step.commands.push_str(line);
                    step.commands.push('\n');
                } else {
                    step.printed.push(line.to_owned());
                }
            }
            (None, None) => {}
        }
    }
    steps
}

/// One shell that runs them all. What runs in the background is waited for by what it prints, and ends where the page says.
fn script_of(steps: &[Step], folder: &str) -> String {
    let mut script = "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n".to_owned();
    for (index, step) in steps.iter().enumerate() {
        script.push_str(&format!("echo '{MARK}{index}'\n"));
        let commands = &step.commands;
        if step.background {
            let log = format!("{folder}/{index}.log");
            script.push_str(&format!("{} >{log} 2>&1 &\n", commands.trim_end()));
            for line in &step.printed {
                script.push_str(&format!("until grep -F '{line}' {log}; do sleep 0.2; done\n"));
            }
        } else {
            if commands.contains("unregister") {
                script.push_str("kill $(jobs -p) 2>/dev/null; wait\n");
            }
            script.push_str(commands);
        }
    }
    script
}

/// What a former run may have left goes, and names are this run's own.
fn before(stack: &Stack, core: &str, name: &str) -> String {
    let mariadb = |variable: &str, database: &str| {
        let port = stack.address(variable).rsplit(':').next().unwrap_or_default();
        let drop = format!("--execute='DROP DATABASE IF EXISTS {database}'");
        format!("mariadb --no-defaults --host=127.0.0.1 --port={port} --user=root {drop}\n")
    };
    let core_database = match core {
        "fineract" => mariadb("CORE_DB_URL", "fineract_default"),
        _ => {
            let server = stack.address("POSTGRES_URL");
            format!("psql --no-psqlrc '{server}/postgres' --command='DROP DATABASE IF EXISTS blnk WITH (FORCE)'\n")
        }
    };
    let journal = mariadb("LOCUM_DB_URL", &format!("{core}_locum"));
    format!(
        "shopt -s expand_aliases\nexec 2>&1 </dev/null\n{core_database}{journal}rm -rf examples/{core}/state\n\
         export LOCUM__SOURCES__0__TOPIC_PREFIX={name} LOCUM__REDIS__PREFIX={name}\n"
    )
}

/// The page's commands with what is already built, under this run's name, and without an end of the shared parts.
fn here(script: &str, core: &str, name: &str) -> String {
    let locum = binary("locum", "LOCUM_BIN").display().to_string();
    let own = std::env::current_exe().unwrap_or_else(|err| panic!("where is this test? {err}")).display().to_string();
    let stand_in = format!("env STAND_IN={core} {own} --ignored --exact examples::stand_in --nocapture");
    let lines = script.lines().filter(|line| !line.starts_with("cargo build") && !line.starts_with("./dev/stack down"));
    let text: Vec<&str> = lines.collect();
    let text = text.join("\n") + "\n";
    let text = text.replace("target/release/locum", &locum).replace(&format!("./examples/stand-in {core}"), &stand_in);
    let text = text.replace(&format!("register {core} "), &format!("register {name} "));
    let text = text.replace(&format!("consume {core}."), &format!("consume {name}."));
    text.replace(&format!("'locum_{core}'"), &format!("'locum_{name}'"))
}

/// True for a line that is as the page says it.
fn fits(line: &str, wanted: &str) -> bool {
    let is_rule = |text: &str| !text.is_empty() && text.chars().all(|c| "+-|".contains(c));
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, wanted) = (plain(line), plain(wanted));
    if is_rule(&wanted) {
        return is_rule(&line);
    }
    let mut parts = wanted.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn a_line_fits_with_anything_in_place_of_the_dots() {
    for (line, wanted) in [
        ("stack: kafka is ready on 127.0.0.1:20004 after 3.2 s", "stack: kafka is ready on 127.0.0.1:… after … s"),
        ("ID    STATE", "ID  STATE"),
        ("+------------+-----+", "+----+"),
        ("| LC01 rent   |", "| LC… rent |"),
        ("", ""),
    ] {
        assert!(fits(line, wanted), "{line}: {wanted}");
    }
    for (line, wanted) in [("3 more", "3"), ("stack: kafka", "stack: … s"), ("| 2 |", "+---+"), ("x", "")] {
        assert!(!fits(line, wanted), "{line}: {wanted}");
    }
}

#[test]
fn every_page_has_commands_and_tells_what_they_print() {
    for core in ["fineract", "blnk"] {
        let page = root().join("examples").join(core).join("README.md");
        let page = fs::read_to_string(&page).unwrap_or_else(|err| panic!("{}: {err}", page.display()));
        let steps = steps(&page);
        assert!(steps.iter().filter(|step| step.background).count() == 3, "{core}: {steps:?}");
        assert!(steps.iter().filter(|step| !step.printed.is_empty()).count() > 6, "{core}: {steps:?}");
    }
}
