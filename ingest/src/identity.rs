//! The identity of a core's log as text in `sources.identity`: `SERVER:LOG`, server `-` while unknown.

use schemas::position::LogIdentity;

/// As stored and shown.
pub fn render(identity: &LogIdentity<'_>) -> String {
    match identity.server_id {
        Some(server) => format!("{server}:{}", identity.log),
        None => format!("-:{}", identity.log),
    }
}

/// The reverse of [`render`].
pub fn parse(text: &str) -> Option<LogIdentity<'static>> {
    let (server, log) = text.split_once(':')?;
    let server_id = if server == "-" { None } else { Some(server.parse().ok()?) };
    Some(LogIdentity { server_id, log: log.to_owned().into() })
}
