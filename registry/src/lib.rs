//! A registry for services with the API of Apache ServiceComb service-center (v4), in one process:
//! for a laptop, for demonstrations and for tests.
//!
//! - [`store`] is the registry as a state machine, without sockets, files or clocks; [`model`]
//!   the records it keeps, as they look on the wire.
//! - [`api`] is the wire; [`live`] stands between it, the store, the watchers and the data file.
//! - [`server`] is the process around it, [`cli`] its command line.
//!
//! # What is the same as in a service-center
//! What clients can tell: paths, codes, defaults, validation and its words, ids of services,
//! leases, visibility, revisions, what watchers are told. It is pinned by exchanges recorded from
//! a real one (`tests/data`), which `tests/conformance.rs` replays, against a real one too.
//!
//! # Where it differs on purpose
//! - A change is visible, and told, at once; there it takes 0.3 s, and 2.3 s for a deletion.
//! - `PUT …/instances/status` that names no property or no status is refused (400001); there it
//!   takes the status from every instance of the tenant.
//! - Watchers are told when instances go with their service (`force`); there they are not. When
//!   the watcher's own service is deleted the watch ends with `service does not exist`; there it
//!   goes silent. On a stop, watches end with a close frame.
//! - Registering an instance that is registered counts as a heartbeat.
//! - After a restart every instance has its whole lease before it; there leases run on meanwhile.
//! - The `detail` of a body that is no JSON is in our own words, and `/version` tells our own.
//! - `HEAD` is answered where `GET` is. `/health` names this registry alone, which cannot be
//!   found as a service.
//! - Nothing is behind `/v4/token` and the other paths of access control, `/v1/…/gov`,
//!   `/govern/relations` and `/admin`: 404, as there without that feature.
//!
//! # What it costs
//! A release build's best of seven, on two busy cores (`benches/store.rs` repeats it with criterion):
//! with 10,000 instances of 1,000 services a heartbeat takes
//! 0.5 µs, a find of ten instances 1.7 µs and its JSON 2.4 µs; a find of 10,000 instances of one
//! service takes 3.3 ms and its JSON 14 ms. Registering all of them takes 0.13 s, and less
//! than 40 MB hold them. What is kept is bounded in number and bytes (`--max-services`, `--max-instances`,
//! `--max-bytes`), what is under way by `--max-connections` and `--max-body`.

pub mod api;
pub mod cli;
mod error;
mod journal;
pub mod live;
pub mod model;
pub mod server;
pub mod store;
mod watchers;

pub use error::Error;
pub use watchers::Watch;
