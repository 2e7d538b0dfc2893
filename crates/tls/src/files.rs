//! Reading PEM files: bounded, and with the key of the configuration, the file and the reason in every error.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Larger than any bundle of authorities that people use.
const MOST_BYTES: u64 = 4 << 20;

/// Why a file is of no use. `key` says who named it, such as `tls.ca_file`.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{key}: {} can't be read: {source}", path.display())]
    Unreadable { key: String, path: PathBuf, source: std::io::Error },
    #[error("{key}: {} is no regular file", path.display())]
    NoFile { key: String, path: PathBuf },
    #[error("{key}: {} is larger than {MOST_BYTES} bytes: it can't be a file of certificates", path.display())]
    TooLarge { key: String, path: PathBuf },
    #[error("{key}: {} holds no certificate in PEM form (\"-----BEGIN CERTIFICATE-----\"){}", path.display(), why(reason))]
    NoCertificate { key: String, path: PathBuf, reason: String },
    #[error("{key}: {} holds no unencrypted private key in PEM form{}", path.display(), why(reason))]
    NoKey { key: String, path: PathBuf, reason: String },
    #[error("{key}: {} holds a certificate that can't be read: {reason}", path.display())]
    BadCertificate { key: String, path: PathBuf, reason: String },
}

fn why(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// The bytes of a file.
pub fn read(key: &str, path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable { key: key.to_owned(), path: path.to_owned(), source };
    // Asked before it is opened: a pipe would be waited for.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileError::NoFile { key: key.to_owned(), path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::TooLarge { key: key.to_owned(), path: path.to_owned() });
    }
    Ok(bytes)
}

/// The certificates of a file, one at least.
pub fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let bytes = read(key, path)?;
    let none = |reason: String| FileError::NoCertificate { key: key.to_owned(), path: path.to_owned(), reason };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|e| none(e.to_string()))?;
    if all.is_empty() { Err(none(String::new())) } else { Ok(all) }
}

/// The first private key of a file.
pub fn private_key(key: &str, path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let bytes = read(key, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let reason = match error {
            rustls::pki_types::pem::Error::NoItemsFound => String::new(),
            other => other.to_string(),
        };
        FileError::NoKey { key: key.to_owned(), path: path.to_owned(), reason }
    })
}
