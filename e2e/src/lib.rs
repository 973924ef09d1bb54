//! Scenarios over the built binaries.
