//! What can go wrong with service-center.

/// An error of a call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No address answered.
    #[error("service-center at {address}: {reason}; check registry.address and the network")]
    Unreachable {
        /// Who was asked last.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// It said no.
    #[error("service-center refused to {operation}: {code} {message}")]
    Refused {
        /// What was wanted, in words.
        operation: &'static str,
        /// Its code, as in 400012; the HTTP status where it gave none.
        code: String,
        /// What it said.
        message: String,
    },
    /// Its answer can't be read.
    #[error("service-center's answer to {operation} can't be read: {reason}")]
    Unreadable {
        /// What was wanted, in words.
        operation: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// The configured address is none.
    #[error("registry.address \"{address}\": {reason}; write http://host:port")]
    Address {
        /// As it was written.
        address: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Error {
    /// Service or instance is not known there (any more).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "400012" || code == "400017")
    }

    /// The service that was asked for does not exist, or the one that asked.
    pub fn is_no_such_service(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "400012")
    }
}
