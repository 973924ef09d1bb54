//! `mesher`: the proxy beside each application.

pub mod settings;
