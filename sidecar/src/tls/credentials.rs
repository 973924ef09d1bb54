//! What the files of one tag hold.

use certs::{Bundle, Certificate, Identity, OpenedKeys};

use crate::settings::Tls;

/// The files' content, read and found to be what it should be.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// What is shown.
    pub(crate) identity: Option<Identity>,
    /// Whom to trust.
    pub(crate) trust: Option<Bundle>,
}

impl Credentials {
    /// Reads the files. A key that is not the certificate's, one that the password does not open, a
    /// half-written file and a CA where a leaf should be are errors. An encrypted key that is not
    /// among those `opened` takes its time.
    pub(crate) fn load(terms: &Tls, opened: &mut OpenedKeys) -> Result<Self, certs::Error> {
        let identity = match (&terms.certificate, &terms.key) {
            (Some(chain), Some(key)) => {
                Some(Identity::from_files(chain, key, terms.password.as_deref(), opened)?)
            }
            _ => None,
        };
        let trust = terms.ca.as_deref().map(Bundle::from_file).transpose()?;
        Ok(Self { identity, trust })
    }

    /// The certificate that peers see.
    pub(crate) fn leaf(&self) -> Option<&Certificate> {
        self.identity.as_ref().map(Identity::leaf)
    }
}

impl PartialEq for Credentials {
    /// A certificate has one key, so the key need not be looked at.
    fn eq(&self, other: &Self) -> bool {
        let chain = |it: &Self| it.identity.as_ref().map(|identity| identity.chain().to_vec());
        chain(self) == chain(other) && self.trust == other.trust
    }
}
