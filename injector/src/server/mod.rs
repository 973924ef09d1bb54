//! The webhook server: a TLS port that the API server calls, and a plain port for operators.
//!
//! A review's way is in [`review`], top to bottom. Around it: [`accept`] takes connections,
//! [`workers`] carry them and [`connections`] bounds them, [`budget`] bounds what is under way, [`operations`] answers
//! probes, [`reload`] follows the configuration, [`lifecycle`] stops it all in order.

mod accept;
mod body;
mod budget;
mod certificate;
mod cluster;
mod connections;
mod error;
mod handshake;
mod healing;
mod lifecycle;
mod live;
mod logging;
mod metrics;
mod operations;
mod readiness;
mod refusal;
mod reload;
mod review;
mod routes;
mod run;
mod workers;

pub use error::ServerError;
pub use logging::{Writer as LogWriter, start as start_logging};
pub use run::run;
