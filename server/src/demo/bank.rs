//! The demo's core: this program again, as a process of its own that can be killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use edge::client::Http;
use serde_json::Value as Json;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};

use super::{PATIENCE, awaited};

/// Accounts of the demo's bank, and what is on each.
pub const ACCOUNTS: u64 = 200;
/// With two decimals, in euro.
pub const OPENING_BALANCE: &str = "1000.00";

/// The child's `main`: a core until its standard input closes, which it does when the demo ends in whatever way.
pub async fn be_the_core(options: core_sim::Options) -> anyhow::Result<()> {
    let parent_gone = async {
        let mut nothing = Vec::new();
        let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
    };
    core_sim::run(options, parent_gone).await
}

/// The core's process and where it answers; the addresses stay the same over restarts.
pub struct Bank {
    folder: PathBuf,
    child: Child,
    /// The child lives as long as this is open. It is not kept in the child's handle, because waiting for a child closes
    /// its input.
    _leash: Option<ChildStdin>,
    /// `host:port` of the bank's interface.
    pub address: String,
    /// `host:port` of the control interface: faults, ledger, change log.
    pub control: String,
}

impl Bank {
    /// Starts it on free ports with its books in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let free = "127.0.0.1:0".to_owned();
        let mut child = launch(folder, &free, &free)?;
        let _leash = child.stdin.take();
        let mut bank = Self { folder: folder.to_owned(), child, _leash, address: free.clone(), control: free };
        bank.ready().await?;
        Ok(bank)
    }

    /// Starts it again on its books, at the same addresses.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.child = launch(&self.folder, &self.address, &self.control)?;
        self._leash = self.child.stdin.take();
        self.ready().await
    }

    /// SIGKILL: nothing is flushed, finished or answered.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("the core could not be killed")
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Resolves when the process has ended.
    pub async fn ended(&mut self) {
        if self.child.wait().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Its own books: `accounts` and `postings`.
    pub async fn ledger(&self) -> anyhow::Result<Json> {
        let mut http = Http::new(&self.control, None, PATIENCE);
        let answer = http.get("/ledger").await.map_err(|why| anyhow::anyhow!("the core's ledger: {why}"))?;
        anyhow::ensure!(answer.status.is_success(), "the core's ledger: {}", answer.status);
        Ok(answer.body)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let file = ports_file(&self.folder);
        let (child, log) = (&mut self.child, log_file(&self.folder));
        let ports = awaited("the core is up", async || match child.try_wait() {
            Ok(None) => fs::read_to_string(&file).map_err(|err| err.to_string()),
            Ok(Some(status)) => Ok(format!("ENDED={status}")),
            Err(err) => Err(err.to_string()),
        })
        .await?;
        let port = |name: &str| ports.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if let Some(status) = port("ENDED=") {
            anyhow::bail!("the core ended at its start ({status}); its log: {}", log.display());
        }
        let (Some(address), Some(control)) = (port("BANK="), port("CONTROL=")) else {
            anyhow::bail!("the core's ports file is incomplete: {}", file.display());
        };
        (self.address, self.control) = (address, control);
        Ok(())
    }
}

fn launch(folder: &Path, address: &str, control: &str) -> anyhow::Result<Child> {
    let ports = ports_file(folder);
    if ports.exists() {
        fs::remove_file(&ports).with_context(|| ports.display().to_string())?;
    }
    let log = File::options().create(true).append(true).open(log_file(folder)).context("the core's log")?;
    let program = std::env::current_exe().context("this program's own path")?;
    let mut command = Command::new(program);
    command.args(["core-sim", "--listen", address, "--control", control]);
    command.arg("--database").arg(format!("sqlite:{}", folder.join("core.db").display()));
    command.arg("--ports-file").arg(&ports);
    command.args(["--accounts", &ACCOUNTS.to_string(), "--opening-balance", OPENING_BALANCE]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    // Ctrl-C in the terminal is for the demo; the core ends when the demo does.
    command.process_group(0);
    command.spawn().context("the core could not be started")
}

fn ports_file(folder: &Path) -> PathBuf {
    folder.join("core.ports")
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("core.log")
}
