//! Scenarios over the built binaries and real servers.

pub mod audit;
pub mod browser;
pub mod injector;
pub mod installation;
pub mod kubectl;
pub mod load;
pub mod manifests;
pub mod mesh;
pub mod mount;
pub mod node;
pub mod nodes;
pub mod pod;
pub mod replicas;
pub mod service;
pub mod walkthrough;
pub mod wire;
