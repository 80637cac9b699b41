//! The files of TLS: read whole, bounded, and looked at before anything is made of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::check_tls::TlsPlan;
use crate::findings::{FilePlan, Findings};

/// Largest file of certificates or of a key.
const BYTES_MAX: u64 = 1 << 20;

/// What the files hold. It has no `Debug`: one of them is a private key.
#[derive(PartialEq, Eq)]
pub(super) struct PemFiles {
    pub(super) ca: Vec<u8>,
    /// Certificate and key of ours.
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl PemFiles {
    /// Reads all of them. The error says which file, by its place in the configuration, and what is wrong; never what it holds.
    pub(super) fn read(plan: &TlsPlan) -> Result<Self, (String, String)> {
        let ca = read(&plan.ca, Kind::Certificate)?;
        let client = match &plan.client {
            None => None,
            Some((certificate, key)) => Some((read(certificate, Kind::Certificate)?, read(key, Kind::Key)?)),
        };
        Ok(Self { ca, client })
    }
}

/// Finds every faulty file of a plan.
pub(super) fn check(plan: &TlsPlan, found: &mut Findings) {
    let certificates = [Some(&plan.ca), plan.client.as_ref().map(|(certificate, _)| certificate)];
    let files = certificates.into_iter().flatten().map(|file| (file, Kind::Certificate));
    for (file, kind) in files.chain(plan.client.as_ref().map(|(_, key)| (key, Kind::Key))) {
        if let Err((at, what)) = read(file, kind) {
            found.add(&at, what);
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Certificate,
    Key,
}

fn read(file: &FilePlan, kind: Kind) -> Result<Vec<u8>, (String, String)> {
    let FilePlan { at, path } = file;
    let fault = |what: String| (at.clone(), what);
    let bytes = bounded(path).map_err(|err| fault(format!("cannot read {}: {err}", path.display())))?;
    looks_like(&bytes, kind).map_err(|what| fault(format!("{} {what}", path.display())))?;
    Ok(bytes)
}

fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn looks_like(bytes: &[u8], kind: Kind) -> Result<(), &'static str> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err("is larger than a mebibyte; name the PEM file");
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| "is not PEM; convert it, such as with `openssl x509 -inform der`")?;
    let begins = |what: &str| text.lines().any(|line| line.trim_end() == format!("-----BEGIN {what}-----"));
    match kind {
        Kind::Certificate if !begins("CERTIFICATE") => Err("holds no certificate (-----BEGIN CERTIFICATE-----)"),
        Kind::Key if begins("ENCRYPTED PRIVATE KEY") => {
            Err("holds an encrypted key; store it decrypted, readable by Locum alone")
        }
        Kind::Key if !["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"].into_iter().any(begins) => {
            Err("holds no private key (-----BEGIN PRIVATE KEY-----)")
        }
        Kind::Certificate | Kind::Key => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_and_no_key_is_told() {
        let (certificate, key) = ("-----BEGIN CERTIFICATE-----\nMA==\n", "-----BEGIN PRIVATE KEY-----\r\nMA==\r\n");
        assert!(looks_like(certificate.as_bytes(), Kind::Certificate).is_ok());
        assert!(looks_like(key.as_bytes(), Kind::Key).is_ok());
        assert!(looks_like(format!("{certificate}{key}").as_bytes(), Kind::Key).is_ok(), "both in one file");
        for (bytes, kind, told) in [
            (key.as_bytes(), Kind::Certificate, "no certificate"),
            (certificate.as_bytes(), Kind::Key, "no private key"),
            (&b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"[..], Kind::Key, "encrypted"),
            (&b""[..], Kind::Certificate, "no certificate"),
            (&b"\x30\x82\xff"[..], Kind::Certificate, "not PEM"),
        ] {
            assert!(looks_like(bytes, kind).is_err_and(|what| what.contains(told)), "{told}");
        }
        assert!(looks_like(&vec![b'x'; (1 << 20) + 1], Kind::Key).is_err_and(|what| what.contains("larger")));
    }
}
