//! The model of a mesh, and every decision about it as a pure function.
//!
//! Sources (service-center, Istio, files) make [`Snapshot`]s of what they know; the proxy compiles
//! them into what a request needs. Nothing here waits, reads a clock or draws a random number:
//! time and randomness come in as arguments, so each decision is tested by a table or a property.

mod backlog;
pub mod balance;
mod breaker;
mod choice;
mod cluster;
mod destination;
mod egress;
mod eviction;
mod fault;
mod grpc;
mod instance;
mod rate;
mod resend;
mod retry;
pub mod route;
mod service;
mod service_key;
mod snapshot;
mod tally;
pub mod trace;
mod version;
pub mod virtual_host;

pub use backlog::{Backlog, BacklogTerms};
pub use breaker::{Breaker, BreakerScope, BreakerState, BreakerTerms, Permit};
pub use choice::{RoundRobin, choose};
pub use cluster::{Balance, Cluster, ClusterTerms, ConnectionLimits, Locality, Member, Security};
pub use destination::{Authority, BadAuthority, Passthrough, Unclaimed, ungoverned};
pub use egress::{BadEgressHost, Egress, EgressPort, EgressProtocol};
pub use eviction::Eviction;
pub use fault::{Fault, Injected};
pub use grpc::{GrpcStatus, GrpcStatuses, read_grpc_timeout, write_grpc_timeout};
pub use instance::{Endpoint, Instance, InstanceId, Protocol, Status};
pub use rate::{Bucket, Rate};
pub use resend::{Failure, Resend, resend};
pub use retry::{Backoff, Budget, BudgetTerms, Retries, Retry};
pub use service::{Port, Routing, Service, Tags};
pub use service_key::ServiceKey;
pub use snapshot::{Change, Snapshot};
pub use version::{Version, VersionRule};
