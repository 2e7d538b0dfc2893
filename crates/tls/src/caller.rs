//! The TLS of somebody who calls the HTTP port: a command line with its flags.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::files::{self, FileError};
use crate::said::{self, Files};
use crate::stream::Stream;
use crate::suites;
use crate::verify::{Anybody, ByAuthority, ForName};

/// How long an address may take to answer, and then to agree.
const PATIENCE: Duration = Duration::from_secs(10);
/// Files that a folder of authorities may hold.
const MOST_AUTHORITIES: usize = 1000;

/// What the flags, or the environment, ask for.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub ca_cert: Option<PathBuf>,
    /// A folder; read when there is no `ca_cert`.
    pub ca_path: Option<PathBuf>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// The name that the server's certificate has to be for, instead of the address's.
    pub server_name: Option<String>,
    pub skip_verify: bool,
}

/// Why nobody can be called like this.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("ca-path: {} can't be read: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("ca-path: {} holds no file, or more than {MOST_AUTHORITIES}", path.display())]
    Files { path: PathBuf },
    #[error("{key}: {} holds no certificate of an authority: {reason}", path.display())]
    NoAuthority { key: &'static str, path: PathBuf, reason: String },
    #[error("{given} needs {missing}, too")]
    Half { given: &'static str, missing: &'static str },
    #[error("client-key: {} is not the key of the certificate in {}", key.display(), certificate.display())]
    OtherKey { key: PathBuf, certificate: PathBuf },
    #[error("tls-server-name: {0:?} is no name that a certificate may be for")]
    Name(String),
    #[error("the authorities of this machine can't be used: {0}")]
    Platform(rustls::Error),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

impl Caller {
    pub fn config(&self) -> Result<ClientConfig, CallerError> {
        let provider = Arc::new(suites::provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(suites::FROM_12)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(self.verifier()?);
        let (certificate, key) = match (&self.client_cert, &self.client_key) {
            (None, None) => return Ok(builder.with_no_client_auth()),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(CallerError::Half { given: "client-cert", missing: "client-key" }),
            (None, Some(_)) => return Err(CallerError::Half { given: "client-key", missing: "client-cert" }),
        };
        let chain = files::certificates("client-cert", certificate)?;
        let secret = files::private_key("client-key", key)?;
        builder.with_client_auth_cert(chain, secret).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                CallerError::OtherKey { key: key.clone(), certificate: certificate.clone() }
            }
            other => other.into(),
        })
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, CallerError> {
        let provider = suites::provider();
        if self.skip_verify {
            return Ok(Arc::new(Anybody(provider.signature_verification_algorithms)));
        }
        let roots = self.authorities()?;
        let verifier: Arc<dyn ServerCertVerifier> = match roots {
            Some(roots) => Arc::new(ByAuthority::new(Arc::new(roots), &provider, true)),
            None => {
                Arc::new(rustls_platform_verifier::Verifier::new(Arc::new(provider)).map_err(CallerError::Platform)?)
            }
        };
        let Some(name) = &self.server_name else { return Ok(verifier) };
        let wanted = ServerName::try_from(name.clone()).map_err(|_| CallerError::Name(name.clone()))?;
        Ok(Arc::new(ForName { inner: verifier, name: wanted }))
    }

    /// `None`: those of the machine.
    fn authorities(&self) -> Result<Option<RootCertStore>, CallerError> {
        let (key, all) = match (&self.ca_cert, &self.ca_path) {
            (Some(file), _) => ("ca-cert", vec![file.clone()]),
            (None, Some(folder)) => ("ca-path", in_folder(folder)?),
            (None, None) => return Ok(None),
        };
        let mut roots = RootCertStore::empty();
        for path in all {
            for der in files::certificates(key, &path)? {
                let bad =
                    |e: rustls::Error| CallerError::NoAuthority { key, path: path.clone(), reason: e.to_string() };
                roots.add(der).map_err(bad)?;
            }
        }
        Ok(Some(roots))
    }

    /// The same as options of curl, with a blank before each.
    pub fn as_curl(&self) -> String {
        let file = |option: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| format!(" {option} {:?}", path.display().to_string())).unwrap_or_default()
        };
        let files = [
            ("--cacert", &self.ca_cert),
            ("--capath", &self.ca_path),
            ("--cert", &self.client_cert),
            ("--key", &self.client_key),
        ];
        let mut all: String = files.into_iter().map(|(option, path)| file(option, path)).collect();
        if self.skip_verify {
            all.push_str(" --insecure");
        }
        all
    }

    /// A connection to the host of an `http://` or `https://` address. Errors are sentences.
    pub async fn connect(&self, to: &Uri) -> Result<Stream, String> {
        let secure = to.scheme() == Some(&Scheme::HTTPS);
        let host = to.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = to.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await;
        let tcp = tcp.map_err(|_| format!("{host}:{port} does not answer"))?.map_err(|e| e.to_string())?;
        if !secure {
            return Ok(Stream::plain(tcp));
        }
        let config = self.config().map_err(|e| e.to_string())?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no host name"))?;
        let agreed = tokio::time::timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await;
        let agreed = agreed.map_err(|_| format!("{host}:{port} does not answer"))?;
        let agreed = agreed.map_err(|e| self.why(&e).unwrap_or_else(|| e.to_string()))?;
        Ok(Stream::tls(agreed.into(), None))
    }

    /// Why a call came to nothing, where TLS was the reason: words that name our files.
    pub fn why(&self, error: &(dyn StdError + 'static)) -> Option<String> {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string());
        let authority = text(&self.ca_cert).or_else(|| text(&self.ca_path));
        let authority = authority.unwrap_or_else(|| "this machine (-ca-cert names others)".to_owned());
        let files = Files::named(authority, text(&self.client_cert).unwrap_or_default());
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(said::of_rustls(error, &files));
            }
            // An error of IO does not count what it holds among its sources.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        None
    }
}

/// The files of a folder, in order.
fn in_folder(folder: &PathBuf) -> Result<Vec<PathBuf>, CallerError> {
    let failed = |source| CallerError::Folder { path: folder.clone(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).take(MOST_AUTHORITIES + 1).collect();
    files.sort();
    match files.len() {
        1..=MOST_AUTHORITIES => Ok(files),
        _ => Err(CallerError::Files { path: folder.clone() }),
    }
}
