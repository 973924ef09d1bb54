//! Private keys that a password has opened.

use std::collections::HashMap;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::encrypted_key::EncryptedKey;
use crate::error::Error;
use crate::password::Password;
use crate::private_key::PrivateKey;

/// What was opened, or could not be, with the password that was tried. Opening a key is made to be
/// slow; files that are followed are read every few seconds, and several may hold the same key.
#[derive(Default)]
pub struct OpenedKeys {
    /// By the digest of key and password. `None`: the password does not open the key.
    known: HashMap<[u8; 32], Tried>,
}

struct Tried {
    key: Option<PrivateKey>,
    /// Since [`OpenedKeys::forget_unused`] was called.
    used: bool,
}

impl OpenedKeys {
    /// Nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets what nobody asked for since the last time.
    pub fn forget_unused(&mut self) {
        self.known.retain(|_, tried| std::mem::take(&mut tried.used));
    }

    /// The key of `text`, which is `encrypted`; `None`: this is not its password.
    pub(crate) fn open(
        &mut self,
        text: &[u8],
        encrypted: &EncryptedKey,
        password: &Password,
        place: &str,
    ) -> Result<Option<PrivateKey>, Error> {
        let digest = Sha256::new().chain_update(text.len().to_ne_bytes());
        let digest = digest.chain_update(text).chain_update(password.bytes()).finalize();
        let digest = <[u8; 32]>::from(digest);
        if let Some(tried) = self.known.get_mut(&digest) {
            tried.used = true;
            return Ok(tried.key.clone());
        }
        let opened = encrypted.open(password);
        let key = opened.map(|pem| PrivateKey::from_pem(pem.as_bytes(), place)).transpose()?;
        self.known.insert(digest, Tried { key: key.clone(), used: true });
        Ok(key)
    }
}

impl fmt::Debug for OpenedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenedKeys({})", self.known.len())
    }
}
