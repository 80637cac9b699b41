//! Who hears a connection that is not encrypted.

/// Is this host the one that we run on? What is sent there without encryption is heard by nobody else.
pub(crate) fn is_here(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_here() {
        for here in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["core.internal", "10.0.0.1", "0.0.0.0", "localhost.evil", "127.0.0.1.evil", "::", ""] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
