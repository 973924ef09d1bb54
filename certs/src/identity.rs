//! What a server presents: a chain of certificates and the private key of its first.

use std::path::Path;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::error::Error;
use crate::folder::read;
use crate::opened_keys::OpenedKeys;
use crate::private_key::PrivateKey;

/// A leaf certificate with its chain and key, checked to belong together.
#[derive(Debug, Clone)]
pub struct Identity {
    chain: Vec<Certificate>,
    key: PrivateKey,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads a chain (leaf first) and its key. Refused: a key that does not match, and a CA
    /// certificate as the leaf.
    pub fn from_pem(chain: &[u8], key: &[u8], place: &str) -> Result<Self, Error> {
        let chain = Certificate::all_from_pem(chain, place)?;
        Self::new(chain, PrivateKey::from_pem(key, place)?, place)
    }

    /// Reads a chain and its key from two files, as [`Self::from_pem`] does. The key may be
    /// encrypted: see [`PrivateKey::from_file`].
    pub fn from_files(
        chain: &Path,
        key: &Path,
        password: Option<&Path>,
        opened: &mut OpenedKeys,
    ) -> Result<Self, Error> {
        // What is wrong with either is wrong with the pair, but most often with one of them.
        let certificates = Certificate::all_from_pem(&read(chain)?, &chain.display().to_string())?;
        let place = format!("{} and {}", chain.display(), key.display());
        Self::new(certificates, PrivateKey::from_file(key, password, opened)?, &place)
    }

    pub(crate) fn new(
        chain: Vec<Certificate>,
        key: PrivateKey,
        place: &str,
    ) -> Result<Self, Error> {
        let leaf = chain
            .first()
            .ok_or_else(|| Error::Missing { place: place.into(), wanted: "CERTIFICATE" })?;
        if leaf.is_ca() {
            return Err(Error::CaAsLeaf { place: place.into(), subject: leaf.subject().into() });
        }
        let ders = chain.iter().map(|c| c.der().clone()).collect();
        let certified = CertifiedKey::new(ders, key.signing(place)?);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(Error::Mismatch { place: place.into() });
            }
            Err(other) => {
                return Err(Error::Key { place: place.into(), problem: other.to_string() });
            }
        }
        Ok(Self { chain, key, certified: Arc::new(certified) })
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The leaf and what follows it.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The chain as PEM text, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::to_pem).collect()
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// What rustls serves.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}
