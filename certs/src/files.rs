//! A certificate that somebody else writes into a folder.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::bundle::{Bundle, EXPIRED};
use crate::error::Error;
use crate::folder::Folder;
use crate::identity::Identity;
use crate::opened_keys::OpenedKeys;

/// A folder that somebody else keeps filled, for example a mounted Secret of cert-manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder.
    pub folder: Folder,
    /// File of the certificate chain, leaf first: usually `tls.crt`.
    pub certificate: String,
    /// File of its private key: usually `tls.key`.
    pub key: String,
    /// File of the key's password, where it has one.
    pub password: Option<String>,
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
            password: None,
            ca: None,
        }
    }

    /// Reads the pair, and the bundle if one is configured. That it can be served is not yet said:
    /// see [`Self::check`]. An encrypted key that is not among those `opened` takes its time.
    pub fn load(&self, opened: &mut OpenedKeys) -> Result<(Identity, Option<Bundle>), Error> {
        let path = |name: &String| self.folder.path().join(name);
        let password = self.password.as_ref().map(path);
        let (chain, key) = (path(&self.certificate), path(&self.key));
        let identity = Identity::from_files(&chain, &key, password.as_deref(), opened)?;
        let bundle = self.ca.as_ref().map(|ca| Bundle::from_file(&path(ca))).transpose()?;
        Ok((identity, bundle))
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
