//! Where services learn of each other, as `--backend` says.

use clap::ValueEnum;

/// What the demonstration is shown with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Backend {
    /// ServiceComb service-center
    #[value(name = "sc")]
    ServiceCenter,
    /// Istio, by a real istiod
    Pilot,
}

impl Backend {
    /// What pods say of it: `sidecar.mesher.io/discoveryType`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ServiceCenter => "sc",
            Self::Pilot => "pilot",
        }
    }

    /// A client and two replicas of a server that use it.
    pub(super) fn examples(self) -> String {
        format!("examples/with-service-ports/{}/", self.word())
    }
}
