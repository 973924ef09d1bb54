//! `cargo xtask bench`: measurements.

mod injector;
mod istio;
mod proxy;
mod scale;

use anyhow::Result;
use clap::{Args, Subcommand};

use self::injector::Injector;
use self::istio::Istio;
use self::proxy::Proxy;
use self::scale::Scale;

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The sidecar injector
    Injector(Injector),
    /// mesher as a proxy of Istio with thousands of services, beside Envoy
    Istio(Istio),
    /// mesher's data path, beside nginx, haproxy and Envoy
    Proxy(Proxy),
    /// The sidecar injector in a cluster that creates 5,000 pods
    Scale(Scale),
}

impl Bench {
    /// Runs the measurements, which tell their progress and results themselves.
    pub(crate) fn run(&self) -> Result<()> {
        match &self.what {
            What::Injector(injector) => injector.run(),
            What::Istio(istio) => istio.run(),
            What::Proxy(proxy) => proxy.run(),
            What::Scale(scale) => scale.run(),
        }
    }
}
