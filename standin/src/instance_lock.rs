//! An instance has a name in the state directory and a lock on it that the operating system drops with the process.
//!
//! Only the next holder of this lock may declare its predecessor's attempts ended. The descriptor is close-on-exec: a
//! child process never keeps the identity alive.
//!
//! The lock is one kernel's. On another machine it proves nothing of the former holder, so a state directory that moved there begins a
//! new identity, and what the former one left open waits for a person.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use crate::machine::Machine;

/// A held identity. Dropping it lets the next holder in, so it lives as long as the process.
#[derive(Debug)]
pub struct InstanceLock {
    id: String,
    former: Option<String>,
    _lock: File,
}

/// Why the identity could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum InstanceLockError {
    /// Somebody else holds it.
    #[error("another process holds {path}; give each instance a state_dir of its own, or stop the other one")]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// The state directory cannot be used.
    #[error("state directory {path}: {source}; it must exist or be creatable, and be writable")]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} does not hold an instance id; remove it only if no earlier instance can still be running")]
    Foreign {
        /// The identity file.
        path: PathBuf,
    },
}

impl InstanceLock {
    /// Takes the identity of `state_dir`, creating both at the first start. Never waits.
    pub fn take(state_dir: &Path) -> Result<Self, InstanceLockError> {
        Self::take_on(state_dir, &Machine::this())
    }

    /// The same on this machine.
    fn take_on(state_dir: &Path, machine: &Machine) -> Result<Self, InstanceLockError> {
        fs::create_dir_all(state_dir).map_err(unusable(state_dir))?;
        let path = state_dir.join("instance.lock");
        // The standard library opens with O_CLOEXEC.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path);
        let lock = lock.map_err(unusable(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(InstanceLockError::Held { path }),
            Err(err) => return Err(unusable(&path)(err.into())),
        }
        let (id_file, machine_file) = (state_dir.join("instance.id"), state_dir.join("instance.machine"));
        let found = read_id(&id_file)?;
        let moved = read(&machine_file)?.is_some_and(|kept| !machine.is_that_of(&Machine::from_text(&kept)));
        let (id, former) = match (found, moved) {
            (Some(id), false) => (id, None),
            (former, _) => (create_id(&id_file)?, former),
        };
        // Last: should this not happen, the next start finds that the directory has moved, and nobody used the identity made now.
        write(&machine_file, &machine.to_text())?;
        Ok(Self { id, former, _lock: lock })
    }

    /// The name, stable over restarts on one machine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The identity that this directory had on another machine, where its process may still run.
    pub fn former(&self) -> Option<&str> {
        self.former.as_deref()
    }
}

fn unusable(path: &Path) -> impl Fn(io::Error) -> InstanceLockError {
    move |source| InstanceLockError::Unusable { path: path.to_owned(), source }
}

/// The file's content; `None`: there is no such file.
fn read(path: &Path) -> Result<Option<String>, InstanceLockError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(unusable(path)(err)),
    }
}

fn read_id(path: &Path) -> Result<Option<String>, InstanceLockError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let parsed = Uuid::try_parse(text.trim()).map_err(|_| InstanceLockError::Foreign { path: path.to_owned() })?;
    Ok(Some(parsed.simple().to_string()))
}

fn create_id(path: &Path) -> Result<String, InstanceLockError> {
    let id = Uuid::now_v7().simple().to_string();
    write(path, &id)?;
    Ok(id)
}

/// Writes the file whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), InstanceLockError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let mut file = File::create(&temporary).map_err(unusable(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(unusable(path))?;
    fs::rename(&temporary, path).map_err(unusable(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh_dir() -> PathBuf {
        std::env::temp_dir().join(format!("locum-instance-lock-{}", Uuid::now_v7().simple()))
    }

    #[test]
    fn one_holder_at_a_time_and_the_same_name_for_the_next() {
        let dir = fresh_dir();
        let first = InstanceLock::take(&dir).unwrap();
        assert!(matches!(InstanceLock::take(&dir), Err(InstanceLockError::Held { .. })));
        let id = first.id().to_owned();
        drop(first);
        assert_eq!(InstanceLock::take(&dir).unwrap().id(), id);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let dir = fresh_dir();
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("instance.id"), "not an id").unwrap();
        assert!(matches!(InstanceLock::take(&dir), Err(InstanceLockError::Foreign { .. })));
        fs::remove_dir_all(dir).unwrap();
    }
    fn machine(machine_id: &str, boot_id: &str) -> Machine {
        Machine { machine_id: Some(machine_id.into()), boot_id: Some(boot_id.into()) }
    }

    #[test]
    fn a_directory_that_moved_to_another_machine_begins_a_new_identity_and_names_the_former_one() {
        let dir = fresh_dir();
        let take = |machine| {
            let lock = InstanceLock::take_on(&dir, &machine).unwrap();
            (lock.id().to_owned(), lock.former().map(str::to_owned))
        };
        let (first, none) = take(machine("one", "1"));
        assert_eq!(none, None);
        assert_eq!(take(machine("one", "2")), (first.clone(), None), "restarted, all that ran before is gone");
        let (second, former) = take(machine("other", "3"));
        assert_ne!(second, first);
        assert_eq!(former, Some(first));
        assert_eq!(take(machine("other", "3")), (second.clone(), None));
        // As an earlier version left it: it was here.
        fs::remove_file(dir.join("instance.machine")).unwrap();
        assert_eq!(take(machine("other", "4")), (second, None));
        fs::remove_dir_all(dir).unwrap();
    }
}
