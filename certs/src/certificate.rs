//! A certificate and what it says about itself.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::Error;

/// One parsed X.509 certificate; cheap enough to clone where a status is published.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject: String,
    issuer: String,
    serial: String,
    not_before: SystemTime,
    not_after: SystemTime,
    names: Vec<String>,
    is_ca: bool,
    server_auth: bool,
}

impl Certificate {
    /// Parses DER; `place` names the source in errors.
    pub fn from_der(der: CertificateDer<'static>, place: &str) -> Result<Self, Error> {
        let (_, x509) = X509Certificate::from_der(&der)
            .map_err(|e| Error::Certificate { place: place.into(), problem: e.to_string() })?;
        let names = x509.subject_alternative_name().ok().flatten().map_or_else(Vec::new, |san| {
            san.value.general_names.iter().filter_map(name_of).collect()
        });
        let signs = x509.key_usage().ok().flatten().is_none_or(|u| u.value.key_cert_sign());
        let eku = x509.extended_key_usage().ok().flatten();
        let parsed = Self {
            subject: x509.subject().to_string(),
            issuer: x509.issuer().to_string(),
            serial: x509.raw_serial_as_string(),
            not_before: at(x509.validity().not_before.timestamp()),
            not_after: at(x509.validity().not_after.timestamp()),
            names,
            is_ca: x509.is_ca() && signs,
            server_auth: eku.is_none_or(|e| e.value.server_auth || e.value.any),
            der: CertificateDer::from(Vec::new()),
        };
        Ok(Self { der, ..parsed })
    }

    /// Parses all certificates of PEM text, in order; at least one.
    pub fn all_from_pem(pem: &[u8], place: &str) -> Result<Vec<Self>, Error> {
        let mut all = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            let der = der.map_err(|e| pem_error(place, &e))?;
            all.push(Self::from_der(der, place)?);
        }
        if all.is_empty() {
            return Err(Error::Missing { place: place.into(), wanted: "CERTIFICATE" });
        }
        Ok(all)
    }

    /// The PEM block, with `\n` line ends and a final one.
    pub fn to_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("CERTIFICATE", self.der.as_ref()), config)
    }

    /// The DER bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The subject, for example `CN=sidecar-injector.mesher-system.svc`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The issuer's subject.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The serial number in hex with colons.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Start of validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// DNS names and IP addresses of `subjectAltName`, as text.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it may sign others: CA:TRUE, and keyCertSign where key usages are given.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether a server may present it: extended key usage `serverAuth`, or none given at all.
    pub fn is_for_servers(&self) -> bool {
        self.server_auth
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

pub(crate) fn pem_error(place: &str, error: &PemError) -> Error {
    Error::Pem { place: place.into(), problem: error.to_string() }
}

/// X.509 counts seconds since 1970 and knows times before it.
fn at(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from);
            let ip = v4.or_else(|| <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from))?;
            Some(ip.to_string())
        }
        _ => None,
    }
}
