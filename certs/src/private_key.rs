//! A private key that never shows itself and leaves no trace in freed memory.

use std::fmt;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use zeroize::Zeroizing;

use crate::error::Error;

/// A private key in PEM form (PKCS#8, SEC1 or PKCS#1). `Debug` says `PrivateKey(..)`; the memory
/// is overwritten when the last copy is dropped.
#[derive(Clone)]
pub struct PrivateKey {
    pem: Zeroizing<String>,
}

impl PrivateKey {
    /// Reads the first private key of `pem`; `place` names the source in errors.
    pub fn from_pem(pem: &[u8], place: &str) -> Result<Self, Error> {
        let key = parse(pem, place)?;
        drop(Wiped(key));
        let text = std::str::from_utf8(pem)
            .map_err(|e| Error::Pem { place: place.into(), problem: e.to_string() })?;
        Ok(Self { pem: Zeroizing::new(text.to_owned()) })
    }

    /// The key of a pair that was generated here.
    pub(crate) fn of(pair: &rcgen::KeyPair) -> Self {
        Self { pem: Zeroizing::new(pair.serialize_pem()) }
    }

    /// The PEM text, to be written to a store and nowhere else.
    pub fn expose_pem(&self) -> &str {
        &self.pem
    }

    /// The key in DER, for rustls, which takes it over.
    pub(crate) fn der(&self, place: &str) -> Result<PrivateKeyDer<'static>, Error> {
        parse(self.pem.as_bytes(), place)
    }
}

fn parse(pem: &[u8], place: &str) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| match e {
        PemError::NoItemsFound if is_encrypted(pem) => Error::Key {
            place: place.into(),
            problem: "it is encrypted; take its password off with `openssl pkey`".into(),
        },
        PemError::NoItemsFound => Error::Missing { place: place.into(), wanted: "PRIVATE KEY" },
        // The parser's other messages may quote lines; a line may be key material.
        _ => Error::Pem { place: place.into(), problem: "broken private key block".into() },
    })
}

/// Whether there is a key that only a password opens.
fn is_encrypted(pem: &[u8]) -> bool {
    const LABEL: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(LABEL.len()).any(|window| window == LABEL)
}

/// Overwrites a parsed key when it goes out of scope.
struct Wiped(PrivateKeyDer<'static>);

impl Drop for Wiped {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_key() {
        let key = PrivateKey::of(&rcgen::KeyPair::generate().expect("a key"));
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
        let body = key.expose_pem().lines().nth(1).expect("a body");
        let broken =
            format!("-----BEGIN PRIVATE KEY-----\n{body}\n%%%\n-----END PRIVATE KEY-----\n");
        let error = PrivateKey::from_pem(broken.as_bytes(), "tls.key").expect_err("broken");
        assert!(!format!("{error} {error:?}").contains(body), "{error:?}");
    }

    #[test]
    fn a_key_with_a_password_is_said_so() {
        let label = "ENCRYPTED PRIVATE KEY";
        let text = format!("-----BEGIN {label}-----\nMAAA\n-----END {label}-----\n");
        let error = PrivateKey::from_pem(text.as_bytes(), "tls.key").expect_err("encrypted");
        assert!(error.to_string().contains("tls.key: the private key cannot be used: it is encr"));
    }

    #[test]
    fn no_key_is_said_so() {
        let error = PrivateKey::from_pem(b"", "tls.key").expect_err("empty");
        assert_eq!(
            error.to_string(),
            "tls.key: no PRIVATE KEY found; expected a PEM block `-----BEGIN PRIVATE KEY-----`"
        );
    }
}
