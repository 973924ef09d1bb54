//! The mesh as its users have it: registry, proxies and services as processes of their own.

mod admin;
mod balancing;
mod bodies;
mod center;
mod connections;
mod governance;
mod grpc;
mod half_dead;
mod hot_reload;
mod http2;
mod istio;
mod metrics;
mod namespaces;
mod origination;
mod passthrough;
mod profiles;
mod protection;
mod quick_start;
mod refusals;
mod registration;
mod registry_outage;
mod replacement;
mod routes;
mod timeouts;
mod tracing;
mod tunnels;
