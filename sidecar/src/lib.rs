//! `mesher`: the proxy beside each application.
//!
//! [`Proxy::start`] brings it up; [`traffic`] is the way of a request.

mod access_log;
mod admin;
mod backend;
mod center;
pub mod cli;
mod clock;
pub mod configuration;
mod error;
mod lifecycle;
mod listener;
mod metrics;
mod peers;
mod pilot;
mod plan;
mod profiling;
mod proxy;
pub mod registration;
pub mod settings;
mod shared;
mod signals;
mod slots;
mod spans;
pub mod tls;
mod traffic;
mod worker;

pub use error::Error;
pub use lifecycle::{Lifecycle, Phase};
pub use listener::Addresses;
pub use proxy::Proxy;
