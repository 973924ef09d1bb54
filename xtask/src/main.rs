//! Builds, tests, demo.
fn main() {}
