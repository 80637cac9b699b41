//! Where the server is and who logs in. Nothing here has a `Debug`.

use std::path::{Path, PathBuf};

use super::config::{Isolation, Server, SessionLimits};

/// Longest password.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// Everything that a connection needs, checked.
pub(super) struct Login {
    pub(super) place: Place,
    pub(super) user: String,
    /// Read anew for every connection, so that a changed password needs no restart.
    pub(super) password_file: Option<PathBuf>,
    /// PEM files: of the authority, and of our certificate and its key.
    pub(super) tls: Option<TlsFiles>,
    pub(super) isolation: Isolation,
    pub(super) limits: SessionLimits,
}

impl Login {
    /// What the password's file holds now; none where there is no such file.
    pub(super) fn password(&self) -> Result<Option<String>, String> {
        self.password_file.as_deref().map(password).transpose()
    }
}

/// PEM files.
pub(super) struct TlsFiles {
    pub(super) ca: PathBuf,
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
}

impl Place {
    /// Reads `SCHEME://host:port/database`.
    pub(super) fn read(url: &str, server: Server) -> Result<Self, String> {
        let (scheme, port) = match server {
            Server::Mariadb => ("mysql", 3306),
            Server::Postgresql => ("postgresql", 5432),
        };
        let form = || format!("must be {scheme}://host:port/database");
        let rest = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).ok_or_else(form)?;
        let (authority, database) = rest.split_once('/').ok_or_else(form)?;
        if authority.contains('@') || database.contains('?') {
            return Err(
                "must not hold credentials or options; `credentials` names the user and the password's file".into()
            );
        }
        // An IPv6 address stands in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, digits)) if !digits.ends_with(']') => (host, digits.parse().map_err(|_| form())?),
            _ => (authority, port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '$';
        if host.is_empty() || host.starts_with('/') || database.is_empty() || !database.chars().all(named) {
            return Err(form());
        }
        Ok(Self { host: host.to_owned(), port, database: database.to_owned() })
    }
}

/// The password that this file holds in its one line. The error names the file, never its content.
pub(super) fn password(file: &Path) -> Result<String, String> {
    let told = |what: &str| format!("{} {what}; it must hold the password in one line", file.display());
    let text = std::fs::read_to_string(file).map_err(|err| told(&format!("cannot be read: {err}")))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    match password.len() {
        0 => Err(told("is empty")),
        1..=PASSWORD_BYTES_MAX if !password.contains(['\n', '\r', '\0']) => Ok(password.to_owned()),
        _ => Err(told("is longer than one line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_a_url_without_credentials() {
        let place =
            |host: &str, port, database: &str| Ok(Place { host: host.to_owned(), port, database: database.to_owned() });
        assert_eq!(Place::read("mysql://core:3307/bank", Server::Mariadb), place("core", 3307, "bank"));
        assert_eq!(Place::read("postgresql://[::1]/bank", Server::Postgresql), place("::1", 5432, "bank"));
        for bad in ["mysql://core", "mysql://core/", "mysql:///bank", "postgresql://core/bank", "mysql://core:x/bank"] {
            assert_eq!(
                Place::read(bad, Server::Mariadb),
                Err("must be mysql://host:port/database".to_owned()),
                "{bad}"
            );
        }
        for bad in ["mysql://u:p@core/bank", "mysql://core/bank?password=p"] {
            let told = Place::read(bad, Server::Mariadb).unwrap_err();
            assert!(told.starts_with("must not hold credentials"), "{told}");
        }
    }

    #[test]
    fn a_password_is_one_line_of_a_file() {
        let file = std::env::temp_dir().join(format!("locum-password-{}", std::process::id()));
        for (text, expected) in [("s3cret\n", Some("s3cret")), ("s3cret", Some("s3cret")), ("", None), ("a\nb\n", None)]
        {
            std::fs::write(&file, text).unwrap();
            let read = password(&file);
            assert_eq!(read.as_deref().ok(), expected, "{read:?}");
            assert!(read.is_ok() || !read.unwrap_err().contains("a\nb"));
        }
        std::fs::remove_file(&file).unwrap();
        assert!(password(&file).unwrap_err().contains("cannot be read"));
    }
}
