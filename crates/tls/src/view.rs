//! What a certificate says: whom it is for, who signed it, and until when it holds.

use std::net::IpAddr;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The parts of a certificate that decide something, or that people are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// Decimal.
    pub serial: String,
    pub issuer: String,
    pub common_name: String,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// Of an authority: below which names it may sign. Empty: any.
    pub permitted_domains: Vec<String>,
    pub is_authority: bool,
}

impl Certified {
    /// Errors: why it can't be read.
    pub fn of(der: &CertificateDer<'_>) -> Result<Certified, String> {
        let (_, x509) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
        let (mut dns_names, mut addresses) = (Vec::new(), Vec::new());
        for name in x509.subject_alternative_name().ok().flatten().iter().flat_map(|all| &all.value.general_names) {
            match name {
                GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
        let constraints = x509.name_constraints().ok().flatten();
        let permitted = constraints.iter().filter_map(|c| c.value.permitted_subtrees.as_ref()).flatten();
        let permitted_domains = permitted.filter_map(|tree| match &tree.base {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let name = |of: &x509_parser::x509::X509Name<'_>| {
            of.iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default().to_owned()
        };
        Ok(Certified {
            serial: x509.tbs_certificate.serial.to_string(),
            issuer: name(x509.issuer()),
            common_name: name(x509.subject()),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            permitted_domains: permitted_domains.collect(),
            is_authority: x509.is_ca(),
            dns_names,
            addresses,
        })
    }

    /// The first one of a PEM text; `None`: there is none. Errors: why it can't be read.
    pub fn of_pem(pem: &[u8]) -> Option<Result<Certified, String>> {
        let first = CertificateDer::pem_slice_iter(pem).next()?;
        Some(first.map_err(|e| e.to_string()).and_then(|der| Certified::of(&der)))
    }

    /// It is for this DNS name, in these very words: a wildcard is nobody's role.
    pub fn is_for(&self, name: &str) -> bool {
        self.dns_names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// It is for the server of some region.
    pub fn is_for_a_server(&self) -> bool {
        self.dns_names.iter().any(|own| {
            let own = own.to_ascii_lowercase();
            let region = own.strip_prefix("server.").and_then(|rest| rest.strip_suffix(".nomad"));
            region.is_some_and(|region| !region.is_empty() && !region.contains('*'))
        })
    }

    /// Whom it is for, as a person reads it.
    pub fn names(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let all: Vec<String> = self.dns_names.iter().cloned().chain(addresses).collect();
        match (all.is_empty(), self.common_name.as_str()) {
            (true, "") => "nobody by name".to_owned(),
            (true, name) => name.to_owned(),
            (false, _) => all.join(", "),
        }
    }

    /// Seconds from now until it holds no more; negative when that was before.
    pub fn left(&self) -> i64 {
        self.not_after.saturating_sub(now())
    }

    /// Is its time still to come?
    pub fn is_early(&self) -> bool {
        self.not_before > now()
    }
}

/// The name that stands in the certificates of the servers of a region.
pub fn server_name(region: &str) -> String {
    format!("server.{region}.nomad")
}

/// The same of its clients.
pub fn client_name(region: &str) -> String {
    format!("client.{region}.nomad")
}

/// A time of day as Go prints it: `2030-01-31 10:20:30 +0000 UTC`.
pub fn time_text(unix_seconds: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(unix_seconds) {
        Ok(at) => {
            let (date, clock) = (at.date(), at.time());
            let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
            format!(
                "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} +0000 UTC",
                clock.hour(),
                clock.minute(),
                clock.second()
            )
        }
        Err(_) => format!("{unix_seconds} s after 1970"),
    }
}

/// The time of day, in seconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
