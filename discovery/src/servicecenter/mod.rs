//! ServiceComb service-center.

mod naming;

pub use naming::{Accepted, ENVIRONMENTS, Given, acceptable};
