//! A service whose calls are written in its URL.
//!
//! `GET /@reviews/@ratings/` makes this service call `http://reviews:8080/@ratings/`, and that one
//! `http://ratings:8080/`; the answer holds what each of them said. With it a mesh can be tried
//! without writing an application: deploy it under several names, and draw the traffic you want to
//! see into the address.
//!
//! - [`chain`] is the grammar of such a URL, as pure functions.
//! - [`client`] makes calls the way an application does: through `http_proxy`, if there is one.
//! - [`server`] answers, carries chains out, echoes TCP and UDP, and ends as a program should.
//! - [`cli`] is the command line, with flags as Go's flag package reads them too.

pub mod chain;
pub mod cli;
pub mod client;
mod context;
mod error;
pub mod server;

pub use error::Error;
