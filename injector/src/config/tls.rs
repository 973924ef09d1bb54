//! The webhook's certificate: where it comes from, and how long it lives.

use std::path::PathBuf;
use std::time::Duration;

use certs::{Term, Terms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// Where the webhook's certificate comes from. A renewed one is served to the next connection,
/// without a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tls {
    /// `self`: the injector is its own certificate authority. `files`: somebody else writes
    /// certificate and key, for example cert-manager into a mounted Secret.
    pub mode: TlsMode,
    /// Mode `files`: the folder with certificate and key. Mode `self`: keep authority and
    /// certificate in this folder instead of a Secret, for one replica, and for trials without a
    /// cluster.
    pub folder: Option<PathBuf>,
    /// Mode `files`: file in the folder with the certificate chain in PEM, leaf first.
    pub certificate: String,
    /// Mode `files`: file in the folder with the private key in PEM.
    pub key: String,
    /// Mode `files`: file in the folder with the authority's certificates in PEM, for `caBundle`;
    /// absent: somebody else keeps `caBundle`.
    pub ca: Option<String>,
    /// Mode `self`: name of the Secret, in the injector's own namespace, that keeps authority and
    /// certificate.
    pub secret: String,
    /// Mode `self`: life of the authority. While it is replaced, the old one stands beside the new
    /// in `caBundle`.
    pub authority: Life,
    /// Mode `self`: life of the certificate. While one authority takes the other's place, it is not
    /// renewed.
    pub leaf: Life,
    /// Mode `self`: how long a new authority stands in `caBundle` before a certificate of it is
    /// served, and the old one after.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub settle: Duration,
}

impl Default for Tls {
    fn default() -> Self {
        let Terms { ca, leaf, settle, .. } = Terms::default();
        Self {
            mode: TlsMode::default(),
            folder: None,
            certificate: "tls.crt".into(),
            key: "tls.key".into(),
            ca: None,
            secret: "sidecar-injector-certificates".into(),
            authority: ca.into(),
            leaf: leaf.into(),
            settle,
        }
    }
}

/// Who issues the webhook's certificate.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// The injector itself
    #[default]
    #[serde(rename = "self")]
    #[value(name = "self")]
    SelfIssued,
    /// Somebody else, who writes files
    Files,
}

/// How long one kind of certificate lives. Both times are whole seconds or more, and count from its
/// issue. Where one of them is given, so has to be the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Life {
    /// When it ends.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub lifetime: Duration,
    /// When it is replaced.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub renew_after: Duration,
}

impl From<Term> for Life {
    fn from(Term { lifetime, renew_after }: Term) -> Self {
        Self { lifetime, renew_after }
    }
}

impl From<Life> for Term {
    fn from(Life { lifetime, renew_after }: Life) -> Self {
        Self { lifetime, renew_after }
    }
}

impl Tls {
    /// How long what the injector issues lives, and when it is replaced.
    pub fn terms(&self) -> Terms {
        Terms {
            ca: self.authority.into(),
            leaf: self.leaf.into(),
            settle: self.settle,
            ..Terms::default()
        }
    }
}
