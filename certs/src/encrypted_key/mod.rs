//! A private key that only a password opens, in the two forms there are: PKCS#8 ([`pbes2`]), and
//! the older one whose headers say how it is encrypted ([`dek_info`]).

mod dek_info;
mod pbes2;
#[cfg(test)]
mod tests;

use pkcs8::{LineEnding, SecretDocument};
use zeroize::Zeroizing;

pub(crate) use self::pbes2::Limits;
use crate::error::Error;
use crate::password::Password;

const PKCS8: &str = "ENCRYPTED PRIVATE KEY";
const DEK_INFO: &str = "DEK-Info";

/// An encrypted key that the right password opens, within [`Limits`].
pub(crate) struct EncryptedKey {
    /// Of what is inside.
    label: &'static str,
    form: Form,
    data: Vec<u8>,
}

enum Form {
    Pbes2(pbes2::Scheme),
    DekInfo(dek_info::Scheme),
}

/// Why no password will open a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is encrypted with this, which is not known here.
    Cipher(String),
    /// Opening it would take this.
    Cost(String),
    /// It is not what its label says.
    Damaged(&'static str),
}

impl Refused {
    pub(crate) fn at(self, place: &str) -> Error {
        let place = place.to_owned();
        match self {
            Self::Cipher(cipher) => Error::KeyCipher { place, cipher },
            Self::Cost(cost) => Error::KeyCost { place, cost },
            Self::Damaged(problem) => Error::Pem { place, problem: problem.into() },
        }
    }
}

impl EncryptedKey {
    /// The first private key of `pem`, where it is an encrypted one.
    pub(crate) fn find(pem: &[u8], limits: &Limits) -> Result<Option<Self>, Refused> {
        // What holds none is not taken to pieces here: those would be copies of the key.
        if !mentioned(pem) {
            return Ok(None);
        }
        let blocks = pem::parse_many(pem)
            .map_err(|_| Refused::Damaged("the block of the encrypted private key is broken"))?;
        for block in blocks {
            let label = match block.tag() {
                PKCS8 => {
                    let (scheme, data) = pbes2::Scheme::read(block.contents(), limits)?;
                    let form = Form::Pbes2(scheme);
                    return Ok(Some(Self { label: "PRIVATE KEY", form, data }));
                }
                "PRIVATE KEY" => "PRIVATE KEY",
                "RSA PRIVATE KEY" => "RSA PRIVATE KEY",
                "EC PRIVATE KEY" => "EC PRIVATE KEY",
                _ => continue,
            };
            let Some(header) = block.headers().get(DEK_INFO) else { return Ok(None) };
            let form = Form::DekInfo(dek_info::Scheme::read(header)?);
            return Ok(Some(Self { label, form, data: block.into_contents() }));
        }
        Err(Refused::Damaged("the block of the encrypted private key is not whole"))
    }

    /// The key as PEM text; `None`: this is not its password, or the key is damaged.
    pub(crate) fn open(&self, password: &Password) -> Option<Zeroizing<String>> {
        let mut buffer = Zeroizing::new(self.data.clone());
        let opened = match &self.form {
            Form::Pbes2(scheme) => scheme.decrypt(password, &mut buffer),
            Form::DekInfo(scheme) => scheme.decrypt(password, &mut buffer),
        };
        // Once in 256 times, what a wrong password gives ends as if it were padded.
        let document = SecretDocument::try_from(opened?).ok()?;
        document.to_pem(self.label, LineEnding::LF).ok()
    }
}

/// Whether there is a sign of an encrypted key.
fn mentioned(pem: &[u8]) -> bool {
    let has = |text: &str| pem.windows(text.len()).any(|window| window == text.as_bytes());
    has(&format!("-----BEGIN {PKCS8}-----")) || has(&format!("\n{DEK_INFO}:"))
}
