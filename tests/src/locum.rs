//! One `locum` process of a world.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::client::{Http, http};
use crate::process::{Process, binary};
use crate::wait::{PATIENCE, wait_for};

/// Operates.
pub const OPERATOR: &str = "operator-of-the-tests";
/// Operates, too, and is somebody else.
pub const SECOND_OPERATOR: &str = "second-operator-of-the-tests";

/// One `locum` process, with its addresses; they stay the same over restarts.
pub struct Locum {
    /// Its place among the world's instances.
    pub index: usize,
    pub(crate) folder: PathBuf,
    listen: u16,
    pub(crate) admin: u16,
    process: Option<Process>,
}

impl Locum {
    /// One that does not run yet; `ports` of channels and operators.
    pub(crate) fn new(index: usize, folder: PathBuf, (listen, admin): (u16, u16)) -> Self {
        Self { index, folder, listen, admin, process: None }
    }

    /// Starts it; it must not run. `orders` = where it looks for an order to die.
    pub(crate) fn start(&mut self, orders: &Path) {
        let mut command = Command::new(binary("locum", "LOCUM_BIN"));
        command.args(["serve", "--config"]).arg(self.folder.join("locum.yaml"));
        command.env("LOCUM_LOG", "info,access=warn").env("LOCUM_FAILPOINTS", orders);
        let log = self.folder.join("log");
        self.process = Some(Process::start(&format!("locum {}", self.index), command, &log));
    }

    /// Waits until `/health/ready` says so.
    pub(crate) async fn ready(&mut self) {
        let mut http = self.admin();
        wait_for(&format!("locum {} is ready", self.index), PATIENCE, async || {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                panic!("it ended ({status}): {}", self.last_words());
            }
            match http.get("/health/ready").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(err) => Err(err),
            }
        })
        .await;
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.process.iter().for_each(Process::terminate);
    }

    /// Waits until its process ends by itself; answers how.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let process = &mut self.process;
        wait_for(&format!("locum {} ends by itself", self.index), PATIENCE, async || {
            process.as_mut().and_then(Process::ended).ok_or("still running")
        })
        .await
    }

    /// `host:port` of the channels' listener.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.listen)
    }

    /// A connection to the channels' listener.
    pub fn channel(&self, token: &str) -> Http {
        http(self.address(), Some(token))
    }

    /// A connection to the operators' listener.
    pub fn admin(&self) -> Http {
        http(format!("127.0.0.1:{}", self.admin), Some(OPERATOR))
    }

    /// Its disk is lost: who it was, and with that the lock by which a successor would know that it has ended.
    pub fn lose_state(&self) {
        let folder = self.folder.join("state");
        fs::remove_dir_all(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.process.iter().for_each(Process::freeze);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.iter().for_each(Process::thaw);
    }

    /// Its process id; it must run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map(Process::pid).unwrap_or_else(|| panic!("locum {} does not run", self.index))
    }

    /// The end of its log.
    pub fn last_words(&mut self) -> String {
        self.process.as_mut().map(Process::last_words).unwrap_or_default()
    }

    /// Whether its process has ended by itself or by a signal.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.ended().is_some())
    }
}
