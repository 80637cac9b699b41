//! The real parts of `dev/stack`. Starting them is the caller's; a missing part fails the test with the command to run.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use mysql_async::prelude::Queryable;

/// Addresses of the parts that are up, and the exclusive right to disturb them.
pub struct Stack {
    env: BTreeMap<String, String>,
    _alone: File,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.unwrap_or_else(|| panic!("{} has no parent", env!("CARGO_MANIFEST_DIR"))).to_owned()
}

impl Stack {
    /// Waits until no other test holds the stack, then finds these parts up, or fails.
    pub async fn take(parts: &[&str]) -> Self {
        tokio::task::block_in_place(|| Self::take_now(parts))
    }

    fn take_now(parts: &[&str]) -> Self {
        let env = addresses();
        let missing: Vec<_> = parts.iter().filter(|part| !env.contains_key(variable(part))).copied().collect();
        assert!(missing.is_empty(), "these parts are not up; run: dev/stack up {}", missing.join(" "));
        let lock = Path::new(&env["STACK_DIR"]).join("e2e.lock");
        let alone = File::create(&lock).unwrap_or_else(|err| panic!("{}: {err}", lock.display()));
        let locked = rustix::fs::flock(&alone, rustix::fs::FlockOperation::LockExclusive);
        locked.unwrap_or_else(|err| panic!("{}: {err}", lock.display()));
        // Its earlier holder may have restarted parts.
        Self { env: addresses(), _alone: alone }
    }

    /// An address by the name `dev/stack env` gives it.
    pub fn address(&self, name: &str) -> &str {
        self.env.get(name).unwrap_or_else(|| panic!("dev/stack env has no {name}"))
    }

    /// Runs `dev/stack ARGUMENTS` and fails with its output unless it succeeds.
    pub async fn run(&self, environment: &[(&str, &str)], arguments: &[&str]) {
        tokio::task::block_in_place(|| stack(environment, arguments)).unwrap_or_else(|said| panic!("{said}"));
    }

    /// SIGKILL of a part; it is started again when the outage is dropped.
    pub async fn kill(&self, part: &'static str) -> Outage {
        self.run(&[], &["kill", part]).await;
        Outage { part, end: "start" }
    }

    /// Ends a part in good order, keeps a copy of its data, and starts it again.
    pub async fn save(&self, part: &str) {
        self.run(&[], &["save", part]).await;
    }

    /// Ends a part in good order and starts it with the data that were saved last.
    pub async fn restore(&self, part: &str) {
        self.run(&[], &["restore", part]).await;
    }

    /// SIGSTOP of a part, until the outage is dropped.
    pub async fn freeze(&self, part: &'static str) -> Outage {
        self.run(&[], &["stop", part]).await;
        Outage { part, end: "cont" }
    }
}

/// A part that is away because of this test.
pub struct Outage {
    part: &'static str,
    end: &'static str,
}

impl Outage {
    /// Ends it and waits until the part answers again.
    pub fn end(self) {}
}

impl Drop for Outage {
    fn drop(&mut self) {
        let ended = tokio::task::block_in_place(|| stack(&[], &[self.end, self.part]));
        if let Err(said) = ended {
            eprintln!("{said}");
        }
    }
}

/// A connection to a database that may be away.
pub async fn connect(url: &str) -> Result<mysql_async::Conn, mysql_async::Error> {
    let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(url)?);
    mysql_async::Conn::new(options.prefer_socket(false)).await
}

/// A database of its own, dropped at the end.
#[derive(Clone)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Creates it on a server such as `mysql://root@127.0.0.1:3306`.
    pub async fn create(server: &str, name: &str) -> Self {
        let this = Self { server: server.to_owned(), name: name.to_owned() };
        let sql = format!("CREATE DATABASE {name} DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        this.connect_to("").await.query_drop(sql).await.unwrap_or_else(|err| panic!("{name}: {err}"));
        this
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection of one's own.
    pub async fn connect(&self) -> mysql_async::Conn {
        self.connect_to(&self.name).await
    }

    async fn connect_to(&self, name: &str) -> mysql_async::Conn {
        let url = format!("{}/{name}", self.server);
        connect(&url).await.unwrap_or_else(|err| panic!("{url}: {err}"))
    }

    /// Removes it; what a failed test leaves goes with `dev/stack down --wipe`.
    pub async fn drop(self) {
        let sql = format!("DROP DATABASE {}", self.name);
        self.connect_to("").await.query_drop(sql).await.unwrap_or_else(|err| panic!("{}: {err}", self.name));
    }
}

fn variable<'a>(part: &&'a str) -> &'a str {
    match *part {
        "mariadb-core" => "CORE_DB_URL",
        "postgres-core" => "POSTGRES_URL",
        "mariadb" => "LOCUM_DB_URL",
        "oceanbase" => "OCEANBASE_URL",
        "redis" => "REDIS_URL",
        "kafka" => "KAFKA_BOOTSTRAP",
        "connect" => "CONNECT_URL",
        other => panic!("no part {other}"),
    }
}

/// What `dev/stack env` prints.
pub fn addresses() -> BTreeMap<String, String> {
    let text = stack(&[], &["env"]).unwrap_or_else(|said| panic!("{said}\nrun: dev/stack up"));
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn stack(environment: &[(&str, &str)], arguments: &[&str]) -> Result<String, String> {
    let program = root().join("dev/stack");
    let mut command = Command::new(&program);
    command.args(arguments).envs(environment.iter().copied()).current_dir(root());
    let output = command.output().map_err(|err| format!("{}: {err}", program.display()))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    let err = String::from_utf8_lossy(&output.stderr);
    Err(format!("dev/stack {} failed ({}): {out}{err}", arguments.join(" "), output.status))
}
