//! What stands in for TLS in a build without it: it cannot be opened, so nothing ever uses it.

use tokio::io::DuplexStream;

use super::meter::MeteredSocket;
use crate::http::check_tls::TlsPlan;

/// There is none.
pub(in crate::http) enum TlsClient {}

impl TlsClient {
    /// Never.
    pub(in crate::http) fn open(_: TlsPlan) -> Result<Self, String> {
        Err("TLS is not built into this program".to_owned())
    }

    /// Never called.
    pub(super) async fn shake_hands(&self, _: MeteredSocket) -> Result<DuplexStream, String> {
        match *self {}
    }
}
