//! How this side shows the core who it is. Secrets are in files; the configuration names the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{CallConfig, Conditions, Pointers, TlsConfig};

/// Credentials of every request to the core. What is given goes together; no header may be set twice.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CredentialsConfig {
    /// `Authorization: Basic`, of a user and a password.
    pub basic: Option<BasicConfig>,
    /// Headers whose value comes from a file.
    pub header: BTreeMap<String, SecretHeader>,
    /// A token that is fetched, kept and renewed.
    pub token: Option<TokenConfig>,
}

/// A user and the file of its password.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BasicConfig {
    /// The user.
    pub user: String,
    /// File of the password, one line.
    pub password_file: PathBuf,
}

/// A header from a file.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretHeader {
    /// File of the secret, one line.
    pub file: PathBuf,
    /// The header's value around `{secret}`. Default `{secret}` alone.
    #[serde(default = "secret_alone")]
    pub value: String,
}

/// How a token is fetched, and what is done with it.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenConfig {
    /// Where tokens are given; as `base-url` where absent. The connector's own `headers` go only to the latter.
    #[serde(default)]
    pub url: Option<String>,
    /// TLS to `url`, if that begins with https.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// What to send, with `{secret}` for what `secret-file` holds.
    pub request: CallConfig,
    /// File of the secret of the request, one line.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// `Authorization: Basic` of the token's own request.
    #[serde(default)]
    pub basic: Option<BasicConfig>,
    /// Pointer to the token in an answer with a status of 200 to 299.
    pub at: String,
    /// Pointer to the seconds that it lives; absent = until an answer of `renew-on`.
    #[serde(default)]
    pub expires: Option<String>,
    /// The one header that carries it, around `{token}`. Default `Authorization: Bearer {token}`.
    #[serde(default = "bearer")]
    pub header: BTreeMap<String, String>,
    /// Answers of the core after which a new token is fetched.
    #[serde(default)]
    pub renew_on: Vec<RenewRule>,
}

/// An answer after which the token is not used any more.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RenewRule {
    /// Statuses, of 400 to 499.
    pub status: Vec<u16>,
    /// As in [`Rule`](super::Rule).
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
    /// As in [`Rule`](super::Rule).
    #[serde(default)]
    pub exists: Pointers,
    /// As in [`Rule`](super::Rule).
    #[serde(default)]
    pub empty: Pointers,
    /// As in [`Rule`](super::Rule).
    #[serde(default)]
    pub when_header: BTreeMap<String, Value>,
    /// Headers that must be there, whatever their value.
    #[serde(default)]
    pub exists_header: Vec<String>,
    /// The core declares by such an answer that it did nothing with the request. Only then is the request sent once more with a new token;
    /// otherwise this answer means what the other rules say, which may be *outcome unknown*. Default false.
    #[serde(default)]
    pub nothing_done: bool,
}

impl RenewRule {
    /// What it asks for beside the status and `exists-header`.
    pub fn conditions(&self) -> Conditions<'_> {
        let Self { when, exists, empty, when_header, .. } = self;
        Conditions { when, exists, empty, when_header }
    }
}

impl CredentialsConfig {
    /// Makes the paths of all files absolute to `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        let mut paths: Vec<&mut PathBuf> = Vec::new();
        paths.extend(self.basic.iter_mut().map(|basic| &mut basic.password_file));
        paths.extend(self.header.values_mut().map(|header| &mut header.file));
        if let Some(token) = &mut self.token {
            if let Some(tls) = &mut token.tls {
                tls.resolve(folder);
            }
            paths.extend(&mut token.secret_file);
            paths.extend(token.basic.iter_mut().map(|basic| &mut basic.password_file));
        }
        for path in paths {
            *path = folder.join(&*path);
        }
    }
}

fn secret_alone() -> String {
    "{secret}".to_owned()
}

fn bearer() -> BTreeMap<String, String> {
    BTreeMap::from([("Authorization".to_owned(), "Bearer {token}".to_owned())])
}
