//! The `tls` block as it is meant, and why one can't be meant.

use std::path::PathBuf;

use crate::files::FileError;

/// What the `tls` block of a configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What agents and servers tell each other, and servers among themselves.
    pub rpc: bool,
    /// What the HTTP port answers.
    pub http: bool,
    /// Who is called has to be a server of its region by its certificate, and who speaks raft, too.
    pub verify_server_hostname: bool,
    /// Who calls the HTTP port needs a certificate.
    pub verify_https_client: bool,
    /// Plain connections are taken as well, and made where the other side speaks no TLS yet.
    pub rpc_upgrade_mode: bool,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// A comma list of Go's names; empty: all that are safe.
    pub cipher_suites: String,
    /// `tls12` (also when empty) or `tls13`.
    pub min_version: String,
}

/// What this process is: its certificate has to say the same where names count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    pub region: String,
    pub server: bool,
}

/// Why no TLS comes of a configuration. Each is a sentence for whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("tls.{switch} = true needs tls.{file}")]
    Missing { switch: &'static str, file: &'static str },
    #[error("tls.{switch} = true does nothing without tls.{needs} = true")]
    Alone { switch: &'static str, needs: &'static str },
    #[error("tls.tls_min_version: {0} is broken and not spoken here: use \"tls12\" or \"tls13\"")]
    OldVersion(String),
    #[error("tls.tls_min_version: {0:?} is no version: use \"tls12\" or \"tls13\"")]
    UnknownVersion(String),
    #[error(
        "tls.tls_cipher_suites: {0} is not spoken here; known are those with ECDHE and AES GCM or ChaCha20, such as \
         TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    )]
    UnknownSuites(String),
    #[error("tls.cert_file: {} has expired on {on}", path.display())]
    Expired { path: PathBuf, on: String },
    #[error("tls.cert_file: {} holds only from {from} on", path.display())]
    Early { path: PathBuf, from: String },
    #[error("tls.key_file: {} is not the key of the certificate in {}", key.display(), certificate.display())]
    OtherKey { key: PathBuf, certificate: PathBuf },
    #[error("tls.key_file: {} can't be used: {reason}", path.display())]
    BadKey { path: PathBuf, reason: String },
    #[error("tls.ca_file: {} holds no certificate of an authority: {reason}", path.display())]
    NoAuthority { path: PathBuf, reason: String },
    #[error("tls.cert_file: {} is not taken by tls.ca_file {}: it {reason}", certificate.display(), authority.display())]
    NotOurs { certificate: PathBuf, authority: PathBuf, reason: String },
    #[error(
        "tls.cert_file: {} is for {names}, but tls.verify_server_hostname asks for {wanted}: others would refuse it", path.display()
    )]
    OtherName { path: PathBuf, names: String, wanted: String },
    #[error("tls.verify_server_hostname: no certificate can name servers of the region {0:?}")]
    Region(String),
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("tls.http and tls.rpc are changed by a restart, not while the agent runs")]
    NeedsRestart,
}

impl Settings {
    pub fn is_on(&self) -> bool {
        self.rpc || self.http
    }

    /// What can be judged without a file.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let alone = [
            (self.verify_server_hostname && !self.rpc, "verify_server_hostname", "rpc"),
            (self.rpc_upgrade_mode && !self.rpc, "rpc_upgrade_mode", "rpc"),
            (self.verify_https_client && !self.http, "verify_https_client", "http"),
        ];
        if let Some((_, switch, needs)) = alone.into_iter().find(|(wrong, ..)| *wrong) {
            return Err(SettingsError::Alone { switch, needs });
        }
        let missing = [
            (self.rpc, "rpc", "ca_file", &self.ca_file),
            (self.verify_https_client, "verify_https_client", "ca_file", &self.ca_file),
            (self.rpc, "rpc", "cert_file", &self.cert_file),
            (self.rpc, "rpc", "key_file", &self.key_file),
            (self.http, "http", "cert_file", &self.cert_file),
            (self.http, "http", "key_file", &self.key_file),
        ];
        match missing.into_iter().find(|(asked, _, _, file)| *asked && file.is_none()) {
            Some((_, switch, file, _)) => Err(SettingsError::Missing { switch, file }),
            None => Ok(()),
        }
    }
}
