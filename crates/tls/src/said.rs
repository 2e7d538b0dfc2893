//! What is said of a connection that came to nothing: the other side, our file and the reason, once each.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CertificateError, Error};

use crate::settings::Settings;

/// The same of the same is said again after this long.
const AGAIN: Duration = Duration::from_secs(600);
/// Different things that are remembered as said. More in so short a time are somebody who tries, and nobody reads them.
const MOST: usize = 256;

/// The files that a sentence may have to name.
#[derive(Clone, Debug, Default)]
pub struct Files {
    authority: String,
    certificate: String,
}

impl Files {
    pub fn of(settings: &Settings) -> Files {
        let text = |path: Option<&Path>| path.map(|p| p.display().to_string()).unwrap_or_default();
        Files { authority: text(settings.ca_file.as_deref()), certificate: text(settings.cert_file.as_deref()) }
    }

    /// Of a caller: what it trusts, and what it shows.
    pub fn named(authority: String, certificate: String) -> Files {
        Files { authority, certificate }
    }
}

/// Why, as the end of a sentence about the other side.
pub fn reason(error: &io::Error, files: &Files) -> String {
    match of_io(error) {
        Some(error) => of_rustls(error, files),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "it closed the connection instead of agreeing on TLS".to_owned()
            }
            _ => error.to_string(),
        },
    }
}

/// What rustls says within an error of a connection.
pub fn of_io(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
}

/// The other side does not speak TLS.
pub fn speaks_plainly(error: &io::Error) -> bool {
    matches!(of_io(error), Some(Error::InvalidMessage(_)))
}

pub fn of_rustls(error: &Error, files: &Files) -> String {
    let Files { authority, certificate } = files;
    match error {
        Error::NoCertificatesPresented => format!("it shows no certificate; one that {authority} takes is needed"),
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("its certificate is signed by no authority of {authority}")
        }
        Error::InvalidCertificate(_) => {
            of_certificate(error).map_or(error.to_string(), |why| format!("its certificate {why}"))
        }
        Error::AlertReceived(alert) => match refusal(*alert) {
            Some(why) if certificate.is_empty() => why.to_owned(),
            Some(why) => format!("it refuses our certificate {certificate}: {why}"),
            None => match alert {
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity => NOTHING_IN_COMMON.to_owned(),
                AlertDescription::CertificateRequired => "it wants a certificate, and got none".to_owned(),
                other => format!("it ends the connection: {other:?}"),
            },
        },
        Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        Error::PeerIncompatible(_) => NOTHING_IN_COMMON.to_owned(),
        other => other.to_string(),
    }
}

const NOTHING_IN_COMMON: &str = "both sides have no TLS version and cipher suite in common";

/// What is wrong with a certificate, behind "its certificate"; `None`: the error is of something else.
pub fn of_certificate(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(error) = error else { return None };
    Some(match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is signed by none of its authorities".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "holds only from a later time on; do the clocks agree?".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "nobody by name".to_owned() } else { names.join(", ") };
            format!("is for {names}, not for {}", expected.to_str())
        }
        CertificateError::NotValidForName => "is for another name".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "may not be used for this (its extended key usage)".to_owned()
        }
        other => format!("can't be taken: {other}"),
    })
}

/// `DnsName("a.b")` and `IpAddress(10.0.0.1)` as webpki writes them, without their sort.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"'))
}

/// What the other side has against our certificate.
fn refusal(alert: AlertDescription) -> Option<&'static str> {
    match alert {
        AlertDescription::UnknownCA => Some("it does not know the authority that signed it"),
        AlertDescription::CertificateExpired => Some("it has expired, by its clock"),
        AlertDescription::BadCertificate => Some("it is for another name than the one that is expected"),
        AlertDescription::CertificateUnknown => Some("it is not taken there"),
        AlertDescription::UnsupportedCertificate => Some("it may not be used for this (its extended key usage)"),
        AlertDescription::CertificateRevoked => Some("it was revoked"),
        AlertDescription::DecryptError => Some("its signature is wrong"),
        _ => None,
    }
}

/// Says each thing of each side once in a while.
#[derive(Debug, Default)]
pub struct Once(Mutex<HashMap<(String, String), Instant>>);

impl Once {
    /// Logs `what` about `who`, unless that was said just before. Gives whether it was.
    pub fn say(&self, who: &str, what: &str) -> bool {
        let fresh = self.is_news(who, what);
        if fresh {
            tracing::warn!("{who}: {what}");
        } else {
            tracing::debug!("{who}: {what}");
        }
        fresh
    }

    fn is_news(&self, who: &str, what: &str) -> bool {
        let mut said = self.0.lock().expect("no panic while held");
        said.retain(|_, at| at.elapsed() < AGAIN);
        let key = (who.to_owned(), what.to_owned());
        if said.contains_key(&key) || said.len() >= MOST {
            return false;
        }
        said.insert(key, Instant::now());
        true
    }

    /// With other files everything is news.
    pub fn forget(&self) {
        self.0.lock().expect("no panic while held").clear();
    }

    /// All that was said, in order of the texts.
    #[cfg(test)]
    pub fn said(&self) -> Vec<String> {
        let said = self.0.lock().expect("no panic while held");
        let mut all: Vec<String> = said.keys().map(|(who, what)| format!("{who}: {what}")).collect();
        all.sort();
        all
    }
}
