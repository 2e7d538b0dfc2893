//! What rustls takes: made from the files once, checked, and used until the next [`Material::load`].

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::files;
use crate::said::Files;
use crate::settings::{Roles, Settings, SettingsError};
use crate::suites;
use crate::verify::ByAuthority;
use crate::view::{Certified, client_name, server_name, time_text};

/// From here on it is said that a certificate is about to expire.
const SOON: i64 = 30 * 24 * 3600;

/// Everything that one reading of the files gave.
#[derive(Debug)]
pub struct Material {
    pub settings: Settings,
    pub files: Files,
    /// How connections to the RPC port are taken; `None`: plainly.
    pub rpc_in: Option<Arc<ServerConfig>>,
    pub rpc_out: Option<Arc<ClientConfig>>,
    pub http_in: Option<Arc<ServerConfig>>,
    /// What is to be known though it works.
    pub warnings: Vec<String>,
}

/// Our own certificate with its key, and who takes part in the making.
struct Own {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Material {
    pub fn load(settings: &Settings, roles: &Roles) -> Result<Material, SettingsError> {
        settings.check()?;
        let mut material = Material {
            settings: settings.clone(),
            files: Files::of(settings),
            rpc_in: None,
            rpc_out: None,
            http_in: None,
            warnings: Vec::new(),
        };
        let provider = Arc::new(suites::with_suites(&settings.cipher_suites)?);
        let versions = suites::versions(&settings.min_version)?;
        let (Some(cert_file), Some(key_file), true) = (&settings.cert_file, &settings.key_file, settings.is_on())
        else {
            return Ok(material);
        };
        let chain = files::certificates("tls.cert_file", cert_file)?;
        let key = files::private_key("tls.key_file", key_file)?;
        let own = Own { provider, versions, chain, key };
        let certified = own.check(settings)?;
        if certified.left() < SOON {
            let (path, on) = (cert_file.display(), time_text(certified.not_after));
            material.warnings.push(format!("tls.cert_file: {path} expires on {on}"));
        }
        let roots = authorities(settings)?;
        if settings.rpc {
            own.is_ours(settings, &roots)?;
            names(settings, roles, &certified)?;
            material.rpc_in = Some(own.server(Some(&roots), b"h2")?);
            material.rpc_out = Some(own.client(&roots, settings.verify_server_hostname)?);
        }
        if settings.http {
            material.http_in = Some(own.server(settings.verify_https_client.then_some(&roots), b"http/1.1")?);
        }
        Ok(material)
    }
}

/// The authorities of `ca_file`; none without one.
fn authorities(settings: &Settings) -> Result<Arc<RootCertStore>, SettingsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        let bad = |reason: String| SettingsError::NoAuthority { path: path.clone(), reason };
        for der in files::certificates("tls.ca_file", path)? {
            roots.add(der).map_err(|e| bad(e.to_string()))?;
        }
    }
    Ok(Arc::new(roots))
}

/// Where names count, our own has to be the one that others ask for.
fn names(settings: &Settings, roles: &Roles, own: &Certified) -> Result<(), SettingsError> {
    let (server, client) = (server_name(&roles.region), client_name(&roles.region));
    if !settings.verify_server_hostname {
        return Ok(());
    }
    if ServerName::try_from(server.clone()).is_err() {
        return Err(SettingsError::Region(roles.region.clone()));
    }
    if own.is_for(&server) || (!roles.server && own.is_for(&client)) {
        return Ok(());
    }
    let wanted = if roles.server { server } else { format!("{client} or {server}") };
    let path = settings.cert_file.clone().unwrap_or_default();
    Err(SettingsError::OtherName { path, names: own.names(), wanted })
}

impl Own {
    /// Dates, and whether certificate and key are a pair.
    fn check(&self, settings: &Settings) -> Result<Certified, SettingsError> {
        let path = || settings.cert_file.clone().unwrap_or_default();
        let key = || settings.key_file.clone().unwrap_or_default();
        let bad = |reason| files::FileError::BadCertificate { key: "tls.cert_file".to_owned(), path: path(), reason };
        let certified = Certified::of(&self.chain[0]).map_err(bad)?;
        if certified.left() < 0 {
            return Err(SettingsError::Expired { path: path(), on: time_text(certified.not_after) });
        }
        if certified.is_early() {
            return Err(SettingsError::Early { path: path(), from: time_text(certified.not_before) });
        }
        match CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &self.provider) {
            Ok(_) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => Err(SettingsError::OtherKey { key: key(), certificate: path() }),
            Err(error) => Err(SettingsError::BadKey { path: key(), reason: error.to_string() }),
        }
    }

    /// Others will ask the same: whether an authority that all share has signed it.
    fn is_ours(&self, settings: &Settings, roots: &Arc<RootCertStore>) -> Result<(), SettingsError> {
        let asked = self.verifier(roots)?.verify_client_cert(&self.chain[0], &self.chain[1..], UnixTime::now());
        let reason = match asked {
            Ok(_) => return Ok(()),
            Err(error) => crate::said::of_certificate(&error).unwrap_or_else(|| error.to_string()),
        };
        let (certificate, authority) = (settings.cert_file.clone(), settings.ca_file.clone());
        let (certificate, authority) = (certificate.unwrap_or_default(), authority.unwrap_or_default());
        Err(SettingsError::NotOurs { certificate, authority, reason })
    }

    fn verifier(&self, roots: &Arc<RootCertStore>) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
        let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), self.provider.clone());
        builder.build().map_err(|e| rustls::Error::General(e.to_string()))
    }

    /// `callers`: who calls needs a certificate of theirs.
    fn server(&self, callers: Option<&Arc<RootCertStore>>, speaks: &[u8]) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder =
            ServerConfig::builder_with_provider(self.provider.clone()).with_protocol_versions(self.versions)?;
        let builder = match callers {
            Some(roots) => builder.with_client_cert_verifier(self.verifier(roots)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![speaks.to_vec()];
        if callers.is_some() {
            // Who comes again shows again who it is: a certificate may have expired, an authority may be gone.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }

    fn client(&self, roots: &Arc<RootCertStore>, by_name: bool) -> Result<Arc<ClientConfig>, rustls::Error> {
        let verifier = ByAuthority::new(roots.clone(), &self.provider, by_name);
        let builder =
            ClientConfig::builder_with_provider(self.provider.clone()).with_protocol_versions(self.versions)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}
