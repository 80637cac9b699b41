//! From declared TLS to what a connection needs.

use std::path::PathBuf;

use super::call::Base;
use super::config::TlsConfig;
use super::pem::{self, PemFiles};
use crate::findings::{FilePlan, Findings};

/// The checked form of TLS to one place.
pub(super) struct TlsPlan {
    pub(super) ca: FilePlan,
    pub(super) server_name: String,
    /// Certificate and key of ours.
    pub(super) client: Option<(FilePlan, FilePlan)>,
}

/// Checks what is declared for the address `base`, and with `files` whether each file that it names is good.
pub(super) fn tls(
    config: Option<&TlsConfig>,
    base: &Base,
    at: &str,
    files: bool,
    found: &mut Findings,
) -> Option<TlsPlan> {
    let config = match (config, base.is_tls) {
        (Some(config), true) => config,
        (None, false) => return None,
        (Some(_), false) => {
            found.add(at, "is declared, and the address begins with http; write https, or leave it out");
            return None;
        }
        (None, true) => {
            found.add(
                at,
                "is missing; https needs the authority that signs the core's certificate: `tls: {ca: FILE.pem}`",
            );
            return None;
        }
    };
    let server_name = config.server_name.clone().unwrap_or_else(|| base.host.clone());
    found.must(is_name(&server_name), &format!("{at}.server-name"), "is neither a host's name nor an IP address");
    let file = |name: &str, path: &PathBuf| FilePlan { at: format!("{at}.{name}"), path: path.clone() };
    let client = config.client.as_ref();
    let client =
        client.map(|client| (file("client.certificate", &client.certificate), file("client.key", &client.key)));
    let plan = TlsPlan { ca: file("ca", &config.ca), server_name, client };
    if files {
        pem::check(&plan, found);
    }
    Some(plan)
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    name.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(is_label))
}

impl TlsPlan {
    /// What its files hold now.
    pub(super) fn read(&self) -> Result<PemFiles, String> {
        PemFiles::read(self).map_err(|(_, what)| what)
    }
}
