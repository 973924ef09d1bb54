//! Benchmarks: what is measured, and with what. `bench/README.md` has the results, and
//! `cargo xtask bench` makes them anew.

pub mod allocations;
#[cfg(feature = "injector")]
pub mod creation;
pub mod goal;
#[cfg(feature = "injector")]
pub mod histogram;
pub mod latencies;
#[cfg(feature = "injector")]
pub mod load;
#[cfg(feature = "injector")]
pub mod pods;
pub mod process;
pub mod processors;
pub mod proxy;
#[cfg(feature = "injector")]
pub mod replicas;
pub mod report;
#[cfg(feature = "injector")]
pub mod server;
pub mod undisturbed;
