//! The password of a private key, and the file that holds it.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;

/// OpenSSL takes no longer ones.
const LONGEST: usize = 1024;

/// A password. `Debug` says `Password(..)`; the memory is overwritten when it is dropped.
pub(crate) struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Reads it from a file that holds nothing else: one line of plain text. White space around it
    /// does not count, so neither does the end of the line. `key` is what it is to open.
    pub(crate) fn from_file(file: &Path, key: &str) -> Result<Self, Error> {
        let refused = |problem: String| Error::Password {
            path: file.to_owned(),
            key: key.to_owned(),
            problem,
        };
        let unreadable = |error| refused(format!("{error}; check that it is mounted and readable"));
        if !fs::metadata(file).map_err(unreadable)?.is_file() {
            return Err(refused("it is no file; name the file itself".into()));
        }
        // Room for all of it from the beginning: growing would leave copies behind. One byte more
        // tells a file that goes on.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * LONGEST + 1));
        let limit = text.capacity() as u64;
        File::open(file)
            .and_then(|file| file.take(limit).read_to_end(&mut text))
            .map_err(unreadable)?;
        let password = text.trim_ascii();
        let problem = if password.is_empty() {
            "it is empty; write the password into it"
        } else if password.len() > LONGEST {
            "it holds more than 1024 bytes; it is to hold the password and nothing else"
        } else if password.contains(&b'\n') {
            "it holds more than one line; it is to hold the password and nothing else"
        } else {
            return Ok(Self(Zeroizing::new(password.to_vec())));
        };
        Err(refused(problem.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
impl From<&[u8]> for Password {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}
