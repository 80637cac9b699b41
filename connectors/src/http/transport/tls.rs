//! TLS above the metered socket, so that its bytes are counted and its deadlines kept like all others.
//!
//! Ciphertext is counted, so that it says "not sent" only where none of the request left. Early data is off: it could be replayed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::meter::MeteredSocket;
use crate::http::check_tls::TlsPlan;
use crate::http::pem::PemFiles;

/// The files are looked at again at most this often, when a connection is opened.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// TLS to one place.
pub(in crate::http) struct TlsClient {
    plan: Arc<TlsPlan>,
    name: ServerName<'static>,
    held: Mutex<Held>,
}

struct Held {
    files: PemFiles,
    config: Arc<ClientConfig>,
    looked: Instant,
    is_faulty: bool,
}

impl TlsClient {
    /// Reads the files. The error says what is wrong, and never what they hold.
    pub(in crate::http) fn open(plan: TlsPlan) -> Result<Self, String> {
        let name = ServerName::try_from(plan.server_name.clone());
        let name = name.map_err(|_| "the server's name is neither a host's name nor an IP address".to_owned())?;
        let files = plan.read()?;
        let held = Held { config: configured(&files)?, files, looked: Instant::now(), is_faulty: false };
        Ok(Self { plan: Arc::new(plan), name, held: Mutex::new(held) })
    }

    /// Proves to each other who both sides are. Not a byte of a request is written.
    pub(super) async fn shake_hands(&self, socket: MeteredSocket) -> Result<TlsStream<MeteredSocket>, String> {
        let connector = TlsConnector::from(self.current().await);
        let shaken = connector.connect(self.name.clone(), socket).await;
        shaken.map_err(|err| format!("no TLS with the core: {err}"))
    }

    /// By what the files hold now. While they are faulty, what they held before stays in force.
    async fn current(&self) -> Arc<ClientConfig> {
        {
            let mut held = self.held();
            if held.looked.elapsed() < LOOK_EVERY {
                return Arc::clone(&held.config);
            }
            held.looked = Instant::now();
        }
        let plan = Arc::clone(&self.plan);
        let read = tokio::task::spawn_blocking(move || plan.read()).await;
        self.take(read.unwrap_or_else(|_| Err("the task that reads the files of TLS was lost".to_owned())))
    }

    fn take(&self, read: Result<PemFiles, String>) -> Arc<ClientConfig> {
        let mut held = self.held();
        let changed = match read {
            Ok(files) if files == held.files => None,
            Ok(files) => Some(configured(&files).map(|config| (files, config))),
            Err(reason) => Some(Err(reason)),
        };
        match changed {
            None => held.is_faulty = false,
            Some(Ok((files, config))) => {
                tracing::info!("certificates for the core were read anew");
                (held.files, held.config, held.is_faulty) = (files, config, false);
            }
            Some(Err(reason)) => {
                if !std::mem::replace(&mut held.is_faulty, true) {
                    tracing::warn!(reason, "certificates for the core stay as they were");
                }
            }
        }
        Arc::clone(&held.config)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only the named authority is trusted, and what certificates say is always checked.
fn configured(files: &PemFiles) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|err| format!("the authority's certificate is not usable: {err}"))?;
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let builder = builder.map_err(|err| format!("TLS cannot be set up: {err}"))?.with_root_certificates(roots);
    let mut config = match &files.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            // The reason is left out: it may quote the key.
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "our private key is not usable".to_owned())?;
            let with_ours = builder.with_client_auth_cert(certificates(certificate)?, key);
            with_ours.map_err(|err| format!("our certificate and its key are not usable: {err}"))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err("a file of certificates is not usable PEM".to_owned()),
    }
}
