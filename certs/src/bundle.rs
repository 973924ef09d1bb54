//! The CA certificates that clients are to trust.

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::certificate::{Certificate, pem_error};
use crate::error::Error;
use crate::folder::read;
use crate::identity::Identity;

pub(crate) const EXPIRED: &str = "it has expired; renew it";

/// One or more CA certificates, the one that signs now first: while a CA is replaced, the new and
/// the old stand side by side. Its PEM form is what `caBundle` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle(Vec<Certificate>);

impl Bundle {
    /// The bundle of one CA.
    pub fn of(certificate: Certificate) -> Self {
        Self(vec![certificate])
    }

    /// Parses PEM text that holds nothing but certificates, at least one. A private key in it is
    /// an error, because a bundle is published. Repetitions are dropped.
    pub fn from_pem(pem: &[u8], place: &str) -> Result<Self, Error> {
        let mut all: Vec<Certificate> = Vec::new();
        for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = block.map_err(|e| pem_error(place, &e))?;
            if kind != SectionKind::Certificate {
                return Err(Error::NotABundle { place: place.into(), found: label(kind) });
            }
            let certificate = Certificate::from_der(der.into(), place)?;
            if !all.contains(&certificate) {
                all.push(certificate);
            }
        }
        if all.is_empty() {
            return Err(Error::Missing { place: place.into(), wanted: "CERTIFICATE" });
        }
        Ok(Self(all))
    }

    /// Reads a file, as [`Self::from_pem`] does.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        Self::from_pem(&read(path)?, &path.display().to_string())
    }

    /// The PEM text: same certificates in the same order, same bytes.
    pub fn to_pem(&self) -> String {
        self.0.iter().map(Certificate::to_pem).collect()
    }

    /// The certificates, the one that signs now first.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// This bundle with `certificate` at its head.
    #[must_use]
    pub fn led_by(&self, certificate: Certificate) -> Self {
        let rest = self.0.iter().filter(|c| **c != certificate).cloned().collect::<Vec<_>>();
        Self(std::iter::once(certificate).chain(rest).collect())
    }

    /// Whether `certificate` is one of them.
    pub fn contains(&self, certificate: &Certificate) -> bool {
        self.0.contains(certificate)
    }

    /// The certificates as rustls takes them.
    pub fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.0 {
            roots.add(certificate.der().clone()).map_err(|e| Error::Certificate {
                place: certificate.subject().to_owned(),
                problem: e.to_string(),
            })?;
        }
        Ok(roots)
    }

    /// Verifies `identity` as a TLS client that trusts this bundle would at `now`: chain,
    /// validity, key usages, and each of `names`.
    pub fn verify<'n>(
        &self,
        identity: &Identity,
        names: impl IntoIterator<Item = &'n ServerName<'static>>,
        now: SystemTime,
    ) -> Result<(), Error> {
        self.verify_chain(identity.chain(), names, now)
    }

    /// As [`Self::verify`], of a chain (leaf first) whose key somebody else has.
    pub fn verify_chain<'n>(
        &self,
        chain: &[Certificate],
        names: impl IntoIterator<Item = &'n ServerName<'static>>,
        now: SystemTime,
    ) -> Result<(), Error> {
        let Some((leaf, between)) = chain.split_first() else {
            return Err(Error::Missing { place: "the chain".into(), wanted: "CERTIFICATE" });
        };
        let untrusted = |e: rustls::Error| Error::Untrusted {
            subject: leaf.subject().to_owned(),
            problem: objection(&e),
        };
        let parsed = ParsedCertificate::try_from(leaf.der()).map_err(untrusted)?;
        let between = between.iter().map(|c| c.der().clone()).collect::<Vec<_>>();
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots()?,
            &between,
            unix(now),
            aws_lc_rs::default_provider().signature_verification_algorithms.all,
        )
        .map_err(untrusted)?;
        for name in names {
            verify_server_name(&parsed, name).map_err(|_| Error::WrongName {
                wanted: name.to_str().into_owned(),
                names: leaf.names().join(", "),
            })?;
        }
        Ok(())
    }
}

/// What rustls objects to. Its own words hold the time of the check, and so differ each time.
fn objection(error: &rustls::Error) -> String {
    use CertificateError as Why;
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            Why::Expired | Why::ExpiredContext { .. } => EXPIRED.to_owned(),
            Why::NotValidYet | Why::NotValidYetContext { .. } => {
                "it is not valid yet; check the clocks".to_owned()
            }
            Why::UnknownIssuer | Why::BadSignature => {
                "no CA of the bundle signed it; put the CA's certificate into the bundle".to_owned()
            }
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn unix(now: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

fn label(kind: SectionKind) -> String {
    match kind {
        SectionKind::PrivateKey => "PRIVATE KEY".into(),
        SectionKind::RsaPrivateKey => "RSA PRIVATE KEY".into(),
        SectionKind::EcPrivateKey => "EC PRIVATE KEY".into(),
        SectionKind::PublicKey => "PUBLIC KEY".into(),
        other => format!("{other:?}"),
    }
}
