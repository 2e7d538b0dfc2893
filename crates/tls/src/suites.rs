//! Versions and cipher suites by the names that configurations write, which are Go's.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, SupportedProtocolVersion};

use crate::settings::SettingsError;

/// All that is spoken is spoken by this one: rustls' process-wide default may be missing, or another one's choice.
pub fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// All that are spoken.
pub static FROM_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// What may be spoken from `least` on; empty: from TLS 1.2.
pub fn versions(least: &str) -> Result<&'static [&'static SupportedProtocolVersion], SettingsError> {
    static FROM_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match least.to_ascii_lowercase().as_str() {
        "" | "tls12" => Ok(FROM_12),
        "tls13" => Ok(FROM_13),
        "tls10" | "tls11" => Err(SettingsError::OldVersion(least.to_owned())),
        _ => Err(SettingsError::UnknownVersion(least.to_owned())),
    }
}

/// Go's names of the suites that are spoken here.
const NAMES: [(&str, CipherSuite); 11] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    // Go's older spelling of the same two.
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The provider with the suites of a comma list; an empty one leaves all. As in Go, those of TLS 1.3 stay unless the list names some.
pub fn with_suites(list: &str) -> Result<CryptoProvider, SettingsError> {
    let mut provider = provider();
    let mut chosen = Vec::new();
    let (mut unknown, mut names_13) = (Vec::new(), false);
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, suite)) => chosen.push(*suite),
            None => unknown.push(name.to_owned()),
        }
        names_13 |= !name.contains("_WITH_");
    }
    if !unknown.is_empty() {
        return Err(SettingsError::UnknownSuites(unknown.join(", ")));
    }
    if !chosen.is_empty() {
        provider.cipher_suites.retain(|suite| {
            let of_13 = suite.tls13().is_some();
            chosen.contains(&suite.suite()) || (of_13 && !names_13)
        });
    }
    Ok(provider)
}
