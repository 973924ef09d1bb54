//! Benchmarks: what is measured, and with what. `bench/README.md` has the results, and
//! `cargo xtask bench` makes them anew.

pub mod allocations;
pub mod load;
pub mod pods;
pub mod process;
pub mod report;
pub mod server;
pub mod undisturbed;
