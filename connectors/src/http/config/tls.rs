//! TLS to the core. Nothing of it may be left to chance: the authority is named, never the host's own list of authorities.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// How a core behind https proves who it is, and how we do.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the certificates that sign the core's, one or more.
    pub ca: PathBuf,
    /// The name in the core's certificate. Default: the host of the address.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Our own certificate, where the core asks for one.
    #[serde(default)]
    pub client: Option<ClientCertificate>,
}

/// A certificate of ours and its key.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientCertificate {
    /// PEM file of the certificate, ours first, then those between it and the authority.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

impl TlsConfig {
    /// Makes the paths of all files absolute to `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        let mut paths = vec![&mut self.ca];
        paths.extend(self.client.iter_mut().flat_map(|client| [&mut client.certificate, &mut client.key]));
        for path in paths {
            *path = folder.join(&*path);
        }
    }
}
