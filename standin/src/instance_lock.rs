//! An instance has a name in the state directory and a lock on it that the operating system drops with the process.
//!
//! Only the next holder of this lock may declare its predecessor's attempts ended. The descriptor is close-on-exec: a
//! child process never keeps the identity alive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

/// A held identity. Dropping it lets the next holder in, so it lives as long as the process.
#[derive(Debug)]
pub struct InstanceLock {
    id: String,
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
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| InstanceLockError::Unusable { path, source }
        };
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
        let id = read_or_create(&state_dir.join("instance.id"))?;
        Ok(Self { id, _lock: lock })
    }

    /// The name, stable over restarts.
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn read_or_create(path: &Path) -> Result<String, InstanceLockError> {
    let unusable = |source| InstanceLockError::Unusable { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => {
            let id = text.trim();
            let parsed = Uuid::try_parse(id).map_err(|_| InstanceLockError::Foreign { path: path.to_owned() })?;
            Ok(parsed.simple().to_string())
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::now_v7().simple().to_string();
            let temporary = path.with_extension("new");
            let mut file = File::create(&temporary).map_err(unusable)?;
            file.write_all(id.as_bytes()).and_then(|()| file.sync_all()).map_err(unusable)?;
            fs::rename(&temporary, path).map_err(unusable)?;
            Ok(id)
        }
        Err(err) => Err(unusable(err)),
    }
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
}
