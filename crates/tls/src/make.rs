//! New authorities and new certificates, as PEM texts. Writes no file.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use time::{Duration, OffsetDateTime};

use crate::view::Certified;
use crate::{said, suites};

/// Clocks differ: a certificate holds from this long before it was made.
const EARLIER: Duration = Duration::minutes(1);
/// A hundred years; what is meant for longer is a slip.
const MOST_DAYS: u32 = 36_525;

/// A certificate and its key, in PEM form.
#[derive(Clone, Debug)]
pub struct Made {
    pub certificate: String,
    pub key: String,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error("days has to be between 1 and {MOST_DAYS}")]
    Days,
    #[error("{0:?} is no DNS name that a certificate can hold")]
    Name(String),
    #[error("the CA's certificate can't be read: {0}")]
    Authority(String),
    #[error("the CA's certificate is not one of an authority")]
    NoAuthority,
    #[error("the CA's key can't be read: {0}")]
    Key(String),
    #[error("what was made is not taken by the CA itself: its certificate {0}")]
    NotTaken(String),
    #[error("making a certificate: {0}")]
    Making(#[from] rcgen::Error),
    #[error("making a certificate: {0}")]
    Checking(String),
}

/// The words of a name beside the common one; empty ones are left out.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub common_name: String,
    pub country: String,
    pub postal_code: String,
    pub province: String,
    pub locality: String,
    pub street_address: String,
    pub organization: String,
    pub organizational_unit: String,
}

impl Subject {
    fn distinguished(&self) -> DistinguishedName {
        const POSTAL_CODE: &[u64] = &[2, 5, 4, 17];
        const STREET: &[u64] = &[2, 5, 4, 9];
        let mut all = DistinguishedName::new();
        for (kind, text) in [
            (DnType::CountryName, &self.country),
            (DnType::CustomDnType(POSTAL_CODE.to_vec()), &self.postal_code),
            (DnType::StateOrProvinceName, &self.province),
            (DnType::LocalityName, &self.locality),
            (DnType::CustomDnType(STREET.to_vec()), &self.street_address),
            (DnType::OrganizationName, &self.organization),
            (DnType::OrganizationalUnitName, &self.organizational_unit),
            (DnType::CommonName, &self.common_name),
        ] {
            if !text.is_empty() {
                all.push(kind, text.as_str());
            }
        }
        all
    }
}

/// A new authority; without a common name it gets one with its serial number. `permitted`: below which names alone it may sign.
pub fn authority(subject: &Subject, days: u32, permitted: &[String]) -> Result<Made, MakeError> {
    let serial = serial();
    let mut subject = subject.clone();
    if subject.common_name.is_empty() {
        let hex: String = serial.to_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        subject.common_name = format!("Tarpan Agent CA {hex}");
    }
    let mut params = holding(days, serial)?;
    params.distinguished_name = subject.distinguished();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    if !permitted.is_empty() {
        for name in permitted {
            dns(name)?;
        }
        let permitted_subtrees = permitted.iter().cloned().map(GeneralSubtree::DnsName).collect();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Whom a certificate is for.
#[derive(Clone, Debug)]
pub struct Holder {
    pub common_name: String,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// It answers connections, too, and does not only open them.
    pub answers: bool,
}

/// A certificate that the authority of these PEM texts signs, and would take.
pub fn certificate(holder: &Holder, days: u32, ca: &str, ca_key: &str) -> Result<Made, MakeError> {
    let ca_der = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|e| MakeError::Authority(e.to_string()))?;
    if !Certified::of(&ca_der).map_err(MakeError::Authority)?.is_authority {
        return Err(MakeError::NoAuthority);
    }
    let signer = KeyPair::from_pem(ca_key).map_err(|e| MakeError::Key(e.to_string()))?;
    let issuer = Issuer::from_ca_cert_der(&ca_der, signer).map_err(|e| MakeError::Authority(e.to_string()))?;
    let mut params = holding(days, serial())?;
    let subject = Subject { common_name: holder.common_name.clone(), ..Subject::default() };
    params.distinguished_name = subject.distinguished();
    for name in &holder.dns_names {
        params.subject_alt_names.push(SanType::DnsName(dns(name)?));
    }
    params.subject_alt_names.extend(holder.addresses.iter().copied().map(SanType::IpAddress));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if holder.answers {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, &issuer)?;
    taken(certificate.der(), ca_der)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The key may be another authority's, the names beyond what it may sign, its own time over.
fn taken(made: &CertificateDer<'_>, ca: CertificateDer<'_>) -> Result<(), MakeError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.into_owned()).map_err(|e| MakeError::Authority(e.to_string()))?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(suites::provider()));
    let verifier = builder.build().map_err(|e| MakeError::Checking(e.to_string()))?;
    match verifier.verify_client_cert(made, &[], UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(error) => Err(MakeError::NotTaken(said::of_certificate(&error).unwrap_or_else(|| error.to_string()))),
    }
}

fn holding(days: u32, serial: SerialNumber) -> Result<CertificateParams, MakeError> {
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(MakeError::Days);
    }
    let now =
        OffsetDateTime::from_unix_timestamp(crate::view::now()).map_err(|e| MakeError::Checking(e.to_string()))?;
    let mut params = CertificateParams::default();
    params.not_before = now - EARLIER;
    params.not_after = now + Duration::days(days.into());
    params.serial_number = Some(serial);
    Ok(params)
}

/// Positive, and never given twice.
fn serial() -> SerialNumber {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn dns(name: &str) -> Result<Ia5String, MakeError> {
    let bad = || MakeError::Name(name.to_owned());
    // What rustls would not take as a name, no client would, either.
    let bare = name.strip_prefix("*.").unwrap_or(name);
    rustls::pki_types::DnsName::try_from(bare).map_err(|_| bad())?;
    Ia5String::try_from(name).map_err(|_| bad())
}
