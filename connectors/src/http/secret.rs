//! A secret in a file, read again when the file changes. Nothing here can be printed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Largest file of a secret.
const BYTES_MAX: u64 = 16 * 1024;
/// The file is looked at again at most this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A secret. It has neither `Debug` nor `Display`, so that no log can hold it.
#[derive(PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// The file of one secret.
pub(super) struct SecretFile {
    path: PathBuf,
    held: Mutex<Held>,
}

struct Held {
    secret: Arc<Secret>,
    looked: Instant,
    is_faulty: bool,
}

impl SecretFile {
    /// Reads the file for the first time. The error names the remedy, and never what the file holds.
    pub(super) fn open(path: &Path) -> Result<(Self, Arc<Secret>), String> {
        let secret = Arc::new(load(path)?);
        let held = Held { secret: Arc::clone(&secret), looked: Instant::now(), is_faulty: false };
        Ok((Self { path: path.to_owned(), held: Mutex::new(held) }, secret))
    }

    /// What it holds now, at most a second old. While the file is faulty, the secret of before stays in force.
    pub(super) async fn current(&self) -> Arc<Secret> {
        {
            let mut held = self.held();
            if held.looked.elapsed() < LOOK_EVERY {
                return Arc::clone(&held.secret);
            }
            held.looked = Instant::now();
        }
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&path)).await;
        self.take(loaded.unwrap_or_else(|_| Err("the task that reads it was lost".to_owned())))
    }

    fn take(&self, loaded: Result<Secret, String>) -> Arc<Secret> {
        let mut held = self.held();
        match loaded {
            Ok(secret) => {
                if secret != *held.secret {
                    tracing::info!(file = %self.path.display(), "a secret of the core's connector was read anew");
                    held.secret = Arc::new(secret);
                }
                held.is_faulty = false;
            }
            Err(reason) => {
                if !std::mem::replace(&mut held.is_faulty, true) {
                    tracing::warn!(reason, "a secret of the core's connector stays as it was");
                }
            }
        }
        Arc::clone(&held.secret)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(path: &Path) -> Result<Secret, String> {
    let bytes = read(path).map_err(|err| format!("cannot read {}: {err}", path.display()))?;
    secret(&bytes).map_err(|what| format!("{} {what}", path.display()))
}

/// At most one byte more than is allowed, however large the file is.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One line; the end of it does not count.
fn secret(bytes: &[u8]) -> Result<Secret, &'static str> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err("is too large for a secret; it must hold one line of at most 16 KiB");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8; write the secret as one line of text")?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err("is empty; write the secret into it, as one line");
    }
    if line.chars().any(char::is_control) {
        return Err("holds more than one line, or control characters; write the secret as one line");
    }
    if line.trim() != line {
        return Err("begins or ends with a blank, which a header cannot carry; write the secret alone");
    }
    Ok(Secret(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(bytes: &[u8]) -> Result<String, &'static str> {
        secret(bytes).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn one_line_is_a_secret_and_nothing_else() {
        for line in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(read_as(line.as_bytes()), Ok("s3cret".to_owned()));
        }
        assert_eq!(read_as("p\u{e4}ss w\u{f6}rd".as_bytes()), Ok("p\u{e4}ss w\u{f6}rd".to_owned()));
        for bytes in [&b""[..], b"\n", b"\r\n", b"a\nb", b"a\n\n", b"a\0b", b"\xff", b" a", b"a \n", b"a\rb"] {
            assert!(read_as(bytes).is_err(), "{bytes:?}");
        }
        assert!(read_as(&[b'x'; 16 * 1024]).is_ok() && read_as(&[b'x'; 16 * 1024 + 1]).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_read_within_a_second_and_a_faulty_one_changes_nothing() {
        let path = std::env::temp_dir().join(format!("locum-secret-{}", std::process::id()));
        let current = async |file: &SecretFile| file.current().await.reveal().to_owned();
        std::fs::write(&path, "first\n").unwrap();
        let Ok((file, _)) = SecretFile::open(&path) else { panic!("the file is good") };
        std::fs::write(&path, "second\n").unwrap();
        assert_eq!(current(&file).await, "first", "it is not asked for with each request");
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(current(&file).await, "second");
        for faulty in [Some("a\nb"), None] {
            match faulty {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            tokio::time::advance(LOOK_EVERY).await;
            assert_eq!(current(&file).await, "second");
        }
        std::fs::write(&path, "third").unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(current(&file).await, "third");
        std::fs::remove_file(&path).unwrap();
    }
}
