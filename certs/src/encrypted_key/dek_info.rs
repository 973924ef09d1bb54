//! PEM with the headers `Proc-Type: 4,ENCRYPTED` and `DEK-Info` (RFC 1421 §4.6.1): what OpenSSL
//! writes with `-traditional`, and what Go's `x509.DecryptPEMBlock` reads.
//!
//! Its key is one round of MD5, which a fast machine guesses its way through: it is read because
//! the original reads it.

use aes::{Aes128Dec, Aes192Dec, Aes256Dec};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::Refused;
use crate::password::Password;

const DAMAGED: Refused = Refused::Damaged(
    "the header DEK-Info of the private key is broken: it names a cipher, and after a comma its \
     initialization vector in hexadecimal digits",
);
/// How many bytes of the initialization vector salt the password.
const SALT: usize = 8;
/// Bytes of an MD5 digest.
const DIGEST: usize = 16;

/// How a key is encrypted.
pub(super) struct Scheme {
    cipher: Cipher,
    iv: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    DesEde3,
}

impl Cipher {
    /// By its name, with the bytes of a block.
    fn named(name: &str) -> Option<(Self, usize)> {
        match name.to_ascii_uppercase().as_str() {
            "AES-128-CBC" => Some((Self::Aes128, 16)),
            "AES-192-CBC" => Some((Self::Aes192, 16)),
            "AES-256-CBC" => Some((Self::Aes256, 16)),
            "DES-EDE3-CBC" => Some((Self::DesEde3, 8)),
            _ => None,
        }
    }
}

impl Scheme {
    /// Reads the value of `DEK-Info`.
    pub(super) fn read(header: &str) -> Result<Self, Refused> {
        let (name, iv) = header.split_once(',').ok_or(DAMAGED)?;
        let name = name.trim();
        let (cipher, block) = Cipher::named(name).ok_or_else(|| {
            let is_name = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_graphic());
            Refused::Cipher(if is_name { name.into() } else { "something without a name".into() })
        })?;
        let iv = hexadecimal(iv.trim()).filter(|iv| iv.len() == block).ok_or(DAMAGED)?;
        Ok(Self { cipher, iv })
    }

    /// Decrypts in place; `None`: it is not the password.
    pub(super) fn decrypt<'a>(
        &self,
        password: &Password,
        buffer: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let key = derive(password, &self.iv[..SALT]);
        match self.cipher {
            Cipher::Aes128 => decrypt::<Aes128Dec>(&key[..16], &self.iv, buffer),
            Cipher::Aes192 => decrypt::<Aes192Dec>(&key[..24], &self.iv, buffer),
            Cipher::Aes256 => decrypt::<Aes256Dec>(&key[..], &self.iv, buffer),
            Cipher::DesEde3 => decrypt::<TdesEde3>(&key[..24], &self.iv, buffer),
        }
    }
}

fn decrypt<'a, C>(key: &[u8], iv: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]>
where
    C: BlockCipherDecrypt + KeyInit,
{
    Decryptor::<C>::new_from_slices(key, iv).ok()?.decrypt_padded::<Pkcs7>(buffer).ok()
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round, as far as the longest key needs it.
fn derive(password: &Password, salt: &[u8]) -> Zeroizing<[u8; 2 * DIGEST]> {
    let mut key = Zeroizing::new([0; 2 * DIGEST]);
    let (first, second) = key.split_at_mut(DIGEST);
    let hash = Md5::new().chain_update(password.bytes()).chain_update(salt);
    first.copy_from_slice(&Zeroizing::new(<[u8; DIGEST]>::from(hash.finalize()))[..]);
    let hash = Md5::new().chain_update(&*first).chain_update(password.bytes()).chain_update(salt);
    second.copy_from_slice(&Zeroizing::new(<[u8; DIGEST]>::from(hash.finalize()))[..]);
    key
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = |pair: &[u8]| {
        let [high, low] = pair else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        u8::try_from(digit(high)? << 4 | digit(low)?).ok()
    };
    text.as_bytes().chunks(2).map(digits).collect()
}
