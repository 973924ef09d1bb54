//! A certificate authority: makes itself, and signs leaves. Time comes in as an argument.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls::crypto::aws_lc_rs;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::Certificate;
use crate::error::Error;
use crate::identity::Identity;
use crate::names::Names;
use crate::private_key::PrivateKey;
use crate::terms::Terms;

/// A CA certificate with its private key.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    key: PrivateKey,
}

impl Authority {
    /// Makes a self-signed CA (ECDSA P-256, keyCertSign, path length 0), valid from
    /// `now - terms.clock_skew` to `now + terms.ca.lifetime`.
    pub fn generate(common_name: &str, terms: &Terms, now: SystemTime) -> Result<Self, Error> {
        let mut params = params(common_name, now - terms.clock_skew, now + terms.ca.lifetime);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pair = Wiped(KeyPair::generate()?);
        let der = params.self_signed(&pair.0)?.der().clone();
        Ok(Self {
            certificate: Certificate::from_der(der, "memory")?,
            key: PrivateKey::of(&pair.0),
        })
    }

    /// Reads a CA: the first certificate of `bundle` whose key is `key`, so that a bundle of
    /// several CAs may stand in a store beside the key of one.
    pub fn from_pem(bundle: &[u8], key: &[u8], place: &str) -> Result<Self, Error> {
        let candidates = Certificate::all_from_pem(bundle, place)?;
        let key = PrivateKey::from_pem(key, place)?;
        let spki = pair_of(&key, place)?.0.subject_public_key_info();
        let certificate = candidates
            .into_iter()
            .find(|c| public_key_of(c).is_some_and(|found| found == spki))
            .ok_or_else(|| Error::Mismatch { place: place.into() })?;
        if !certificate.is_ca() {
            let subject = certificate.subject().to_owned();
            return Err(Error::NotACa { place: place.into(), subject });
        }
        Ok(Self { certificate, key })
    }

    /// Signs a new leaf with a new key (ECDSA P-256, CA:FALSE, serverAuth, SAN from `names`),
    /// valid from `now - terms.clock_skew` to `now + terms.leaf.lifetime`, though never longer
    /// than the CA itself.
    pub fn issue(&self, names: &Names, terms: &Terms, now: SystemTime) -> Result<Identity, Error> {
        let end = (now + terms.leaf.lifetime).min(self.certificate.not_after());
        let start = (now - terms.clock_skew).max(self.certificate.not_before());
        let texts = names.to_vec();
        // The common name is for people (clients read only SAN); X.520 allows 64 characters.
        let common_name = texts.iter().rfind(|n| n.len() <= 64).map_or("server", String::as_str);
        let mut params = params(common_name, start, end);
        params.subject_alt_names = names.to_san()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = pair_of(&self.key, "memory")?;
        let issuer = Issuer::from_ca_cert_der(self.certificate.der(), &own.0)?;
        let pair = Wiped(KeyPair::generate()?);
        let der = params.signed_by(&pair.0, &issuer)?.der().clone();
        let key = PrivateKey::of(&pair.0);
        Identity::new(vec![Certificate::from_der(der, "memory")?], key, "memory")
    }

    /// Whether this CA's key signed `certificate`.
    pub fn signed(&self, certificate: &Certificate) -> bool {
        let ca = X509Certificate::from_der(self.certificate.der());
        let leaf = X509Certificate::from_der(certificate.der());
        match (ca, leaf) {
            (Ok((_, ca)), Ok((_, leaf))) => leaf.verify_signature(Some(ca.public_key())).is_ok(),
            _ => false,
        }
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CA's private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }
}

fn params(common_name: &str, start: SystemTime, end: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, "mesher");
    // A certificate holds whole seconds: these are rounded down.
    params.not_before = OffsetDateTime::from(start);
    params.not_after = OffsetDateTime::from(end);
    params.serial_number = Some(serial());
    params.use_authority_key_identifier_extension = true;
    params
}

/// 127 random bits, positive: RFC 5280 §4.1.2.2 allows up to 20 octets.
fn serial() -> SerialNumber {
    let mut bytes = [0; 16];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the system's random source answers");
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn public_key_of(certificate: &Certificate) -> Option<Vec<u8>> {
    let (_, x509) = X509Certificate::from_der(certificate.der()).ok()?;
    Some(x509.public_key().raw.to_vec())
}

/// A key pair whose encoded key is overwritten when it goes out of scope.
struct Wiped(KeyPair);

impl Drop for Wiped {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

fn pair_of(key: &PrivateKey, place: &str) -> Result<Wiped, Error> {
    KeyPair::from_pem(key.expose_pem())
        .map(Wiped)
        .map_err(|e| Error::Key { place: place.into(), problem: e.to_string() })
}
