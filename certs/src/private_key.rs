//! A private key that never shows itself and leaves no trace in freed memory.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

use crate::encrypted_key::{EncryptedKey, Limits};
use crate::error::Error;
use crate::folder::read;
use crate::opened_keys::OpenedKeys;
use crate::password::Password;

/// A private key in PEM form (PKCS#8, SEC1 or PKCS#1). `Debug` says `PrivateKey(..)`; the memory
/// is overwritten when the last copy is dropped.
#[derive(Clone)]
pub struct PrivateKey {
    pem: Zeroizing<String>,
}

impl PrivateKey {
    /// Reads the first private key of `pem`, which must not be encrypted; `place` names the source
    /// in errors.
    pub fn from_pem(pem: &[u8], place: &str) -> Result<Self, Error> {
        match encrypted(pem, place)? {
            None => Self::from_plain(pem, place),
            Some(_) => Err(Error::NoPassword { place: place.into() }),
        }
    }

    /// Reads the first private key of a file. Where it is encrypted, `password` is the file that
    /// holds its password and nothing else; else that file is not read. What was opened before is
    /// taken from `opened`.
    pub fn from_file(
        key: &Path,
        password: Option<&Path>,
        opened: &mut OpenedKeys,
    ) -> Result<Self, Error> {
        let text = Zeroizing::new(read(key)?);
        let place = key.display().to_string();
        let Some(encrypted) = encrypted(&text, &place)? else {
            return Self::from_plain(&text, &place);
        };
        let Some(file) = password else { return Err(Error::NoPassword { place }) };
        let password = Password::from_file(file, &place)?;
        opened
            .open(&text, &encrypted, &password, &place)?
            .ok_or_else(|| Error::WrongPassword { place, password: file.to_owned() })
    }

    fn from_plain(pem: &[u8], place: &str) -> Result<Self, Error> {
        drop(Wiped(parse(pem, place)?));
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

    /// The key as rustls signs with it.
    pub(crate) fn signing(&self, place: &str) -> Result<Arc<dyn SigningKey>, Error> {
        let key = Wiped(parse(self.pem.as_bytes(), place)?);
        any_supported_type(&key.0)
            .map_err(|error| Error::Key { place: place.into(), problem: error.to_string() })
    }
}

fn encrypted(pem: &[u8], place: &str) -> Result<Option<EncryptedKey>, Error> {
    EncryptedKey::find(pem, &Limits::MOST).map_err(|refused| refused.at(place))
}

fn parse(pem: &[u8], place: &str) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| match e {
        PemError::NoItemsFound => Error::Missing { place: place.into(), wanted: "PRIVATE KEY" },
        // The parser's other messages may quote lines; a line may be key material.
        _ => Error::Pem { place: place.into(), problem: "broken private key block".into() },
    })
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
    fn no_key_is_said_so() {
        let error = PrivateKey::from_pem(b"", "tls.key").expect_err("empty");
        assert_eq!(
            error.to_string(),
            "tls.key: no PRIVATE KEY found; expected a PEM block `-----BEGIN PRIVATE KEY-----`"
        );
    }
}
