//! Child processes of a test: real binaries that can be killed, frozen and started again, and never outlive the test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};

use rustix::process::{Pid, Signal, kill_process_group};

/// Lines of a log that a failure shows.
const LOG_LINES_SHOWN: usize = 30;

/// A running (or ended) child with its output in a file.
pub struct Process {
    name: String,
    child: std::process::Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, output to `log` (appended).
    ///
    /// The kernel kills it when the test process ends, however that ends.
    pub fn start(name: &str, command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|err| panic!("{}: {err}", log.display()));
        let mut command = leashed(command);
        command.process_group(0).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap_or_else(|err| panic!("{}: {err}", log.display()))).stderr(file);
        let child = nursery(command).unwrap_or_else(|err| panic!("{name} cannot be started: {err}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGSTOP: it hangs, its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM; the caller waits for the end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What a failure should show: name, whether it lives, the last lines it wrote.
    pub fn last_words(&mut self) -> String {
        let state = self.ended().map_or("running".to_owned(), |status| status.to_string());
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  ");
        format!("{} ({state}), {}:\n  {shown}", self.name, self.log.display())
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // An error says that it is gone already.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        // A reaped pid may belong to somebody else by now.
        if self.ended().is_none() {
            self.kill();
        }
    }
}

/// Wrapped so that the child dies with the thread that started it.
fn leashed(command: Command) -> Command {
    let mut leashed = Command::new("setpriv");
    leashed.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leashed.env(name, value),
            None => leashed.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        leashed.current_dir(folder);
    }
    leashed
}

type Order = (Command, mpsc::Sender<std::io::Result<std::process::Child>>);

/// Starts children from a thread that lives as long as the test process: the death signal follows the thread.
fn nursery(command: Command) -> std::io::Result<std::process::Child> {
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in taken {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, started) = mpsc::channel();
    let sent = orders.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer));
    sent.map_err(|err| std::io::Error::other(err.to_string()))?;
    started.recv().map_err(std::io::Error::other)?
}

/// The binary `name`: from the environment variable, otherwise beside the folder of the test executable.
pub fn binary(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let test = std::env::current_exe().unwrap_or_else(|err| panic!("where is this test? {err}"));
    let folder = test.ancestors().nth(2).unwrap_or_else(|| panic!("{} has no target folder", test.display()));
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing; run: cargo build --release --bin {name}, or set {variable}",
        path.display()
    );
    path
}

/// A port of 127.0.0.1 that is free now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|err| panic!("no free port: {err}")).port()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(pid: &str) -> bool {
        Path::new(&format!("/proc/{pid}/exe")).exists() && fs::read_link(format!("/proc/{pid}/exe")).is_ok()
    }

    #[test]
    fn a_dropped_child_takes_its_own_children_with_it() {
        let log = std::env::temp_dir().join(format!("locum-process-{}.log", std::process::id()));
        let mut command = Command::new("bash");
        command.args(["-c", "tail -f /dev/null & echo $!; echo ready; wait"]);
        let mut process = Process::start("nest", command, &log);
        let text = loop {
            let text = fs::read_to_string(&log).unwrap();
            if text.contains("ready") {
                break text;
            }
            std::thread::yield_now();
        };
        let grandchild = text.lines().next().unwrap().to_owned();
        assert!(alive(&grandchild) && process.ended().is_none());
        assert!(process.last_words().contains("nest (running)"));
        drop(process);
        while alive(&grandchild) {
            std::thread::yield_now();
        }
        fs::remove_file(&log).unwrap();
    }
}
