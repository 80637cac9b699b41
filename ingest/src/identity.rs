//! The identity of a core's log as text in `sources.identity`: the base name of its files.

use schemas::position::LogIdentity;

/// As stored and shown.
pub fn render(identity: &LogIdentity<'_>) -> String {
    identity.log.clone().into_owned()
}

/// The reverse of [`render`]. Earlier versions wrote `SERVER:LOG`; the server is left out, since it names a writer only.
pub fn parse(text: &str) -> LogIdentity<'static> {
    let server = |text: &str| text == "-" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let log = match text.split_once(':') {
        Some((before, log)) if server(before) => log,
        _ => text,
    };
    LogIdentity { log: log.to_owned().into() }
}

/// Takes note of the log that an event is of; another one than before is an error.
pub(crate) fn identify(known: &mut Option<LogIdentity<'static>>, seen: &LogIdentity<'_>) -> Result<(), String> {
    match known {
        Some(known) if known.log != seen.log => {
            let (was, is) = (render(known), render(seen));
            Err(format!("the core's log changed its identity from {was} to {is}"))
        }
        Some(_) => Ok(()),
        none => {
            *none = Some(seen.clone().into_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_written_with_its_server_is_the_same_log() {
        for text in ["1:mariadb-bin", "-:mariadb-bin", "mariadb-bin"] {
            assert_eq!(render(&parse(text)), "mariadb-bin");
        }
        assert_eq!(parse("-:").log, "");
    }
}
