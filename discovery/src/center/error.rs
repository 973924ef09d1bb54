//! What can go wrong with a configuration center.

/// An error of a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No address answered.
    #[error("{address}: {reason}; check config.client.serverUri and the network")]
    Unreachable {
        /// Who was asked last.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// It said no.
    #[error("{address} answered {status}: {message}; {remedy}")]
    Refused {
        /// Who said so.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Its answer can't be read.
    #[error("{address}: {reason}; check config.client.type: another kind of server may be there")]
    Unreadable {
        /// Who answered.
        address: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The configured address is none.
    #[error("config.client.serverUri \"{address}\": {reason}; write http://host:port")]
    Address {
        /// As it was written.
        address: String,
        /// What is wrong.
        reason: &'static str,
    },
}
