//! Certificates for servers that look after themselves: a CA and its leaves, where they are kept,
//! when they are replaced, and how rustls serves the newest without dropping a connection.
//!
//! - [`Authority`] issues, [`Identity`] is served, [`Bundle`] is what clients trust, [`Names`] is
//!   what a leaf is called, [`Terms`] is how long things live. All of it is free of clocks and
//!   sockets: time comes in as an argument.
//! - [`self_issued::next`] decides what has to happen to stored [`self_issued::Material`].
//! - [`Serving`] runs it: [`Serving::of_files`] follows a folder that somebody else fills (a
//!   mounted Secret, cert-manager), [`Serving::of_store`] keeps CA and leaf itself in a
//!   `store::SecretStore` (feature `kubernetes`) or [`store::FolderStore`], [`Serving::of_shared_store`] does so as one
//!   of several replicas. Either way [`Serving::resolver`] goes into
//!   [`server_config`], and [`Serving::status`] tells expiry, bundle and trouble.
//!
//! ```
//! use std::time::SystemTime;
//! use certs::{Authority, Bundle, Names, Resolver, Terms};
//!
//! let (terms, now) = (Terms::default(), SystemTime::now());
//! let authority = Authority::generate("my CA", &terms, now)?;
//! let names = Names::of_service("web", "default")?;
//! let identity = authority.issue(&names, &terms, now)?;
//! Bundle::of(authority.certificate().clone()).verify(&identity, names.iter(), now)?;
//!
//! let resolver = Resolver::empty();
//! resolver.publish(&identity);
//! let config = certs::server_config(resolver);
//! # assert_eq!(config.alpn_protocols.len(), 2);
//! # Ok::<(), certs::Error>(())
//! ```

mod any_server;
mod authority;
mod backoff;
mod bundle;
mod certificate;
mod encrypted_key;
mod error;
mod files;
pub mod folder;
mod identity;
mod names;
mod opened_keys;
mod password;
mod private_key;
mod replica;
mod resolver;
pub mod self_issued;
mod serving;
pub mod store;
mod terms;

pub use any_server::AnyServer;
pub use authority::Authority;
pub use backoff::{Backoff, Pace};
pub use bundle::Bundle;
pub use certificate::Certificate;
pub use error::Error;
pub use files::Files;
pub use folder::Folder;
pub use identity::Identity;
pub use names::Names;
pub use opened_keys::OpenedKeys;
pub use private_key::PrivateKey;
pub use replica::Replica;
pub use resolver::{Resolver, server_config};
pub use self_issued::Trust;
pub use serving::{Serving, Status};
pub use terms::{Term, Terms};
