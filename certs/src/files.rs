//! A certificate that somebody else writes into a folder.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::bundle::{Bundle, EXPIRED};
use crate::error::Error;
use crate::folder::Folder;
use crate::identity::Identity;

/// A folder that somebody else keeps filled, for example a mounted Secret of cert-manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder.
    pub folder: Folder,
    /// File of the certificate chain, leaf first: usually `tls.crt`.
    pub certificate: String,
    /// File of its private key: usually `tls.key`.
    pub key: String,
    /// File of the CA certificates for `caBundle`, usually `ca.crt`; `None`: it is not managed.
    pub ca: Option<String>,
}

impl Files {
    /// `tls.crt` and `tls.key` of `folder`.
    pub fn of_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Folder::new(folder),
            certificate: "tls.crt".into(),
            key: "tls.key".into(),
            ca: None,
        }
    }

    /// Reads the pair, and the bundle if one is configured. That it can be served is not yet said:
    /// see [`Self::check`].
    pub fn load(&self) -> Result<(Identity, Option<Bundle>), Error> {
        let chain = self.folder.read(&self.certificate)?;
        let key = zeroize::Zeroizing::new(self.folder.read(&self.key)?);
        let place = self.folder.path().join(&self.certificate).display().to_string();
        let identity = Identity::from_pem(&chain, &key, &place)?;
        let Some(ca) = &self.ca else {
            return Ok((identity, None));
        };
        let place = self.folder.path().join(ca).display().to_string();
        Ok((identity, Some(Bundle::from_pem(&self.folder.read(ca)?, &place)?)))
    }

    /// What a client would object to at `now`: the dates, and where there is a bundle the chain.
    pub fn check(
        identity: &Identity,
        bundle: Option<&Bundle>,
        now: SystemTime,
    ) -> Result<(), Error> {
        let leaf = identity.leaf();
        match bundle {
            Some(bundle) => bundle.verify(identity, [], now),
            None if leaf.not_after() < now => Err(Error::Untrusted {
                subject: leaf.subject().to_owned(),
                problem: EXPIRED.to_owned(),
            }),
            None => Ok(()),
        }
    }
}
