//! The proxy over real sockets: consumer side, provider side, and both together.

mod access_log;
mod addresses;
mod admin;
mod app;
mod balancing;
mod bytes_on_the_wire;
mod connect;
mod consumer;
mod failures;
mod grpc;
mod h2_app;
mod h2_client;
mod http2;
mod life;
mod limits;
mod mesh_of_two;
mod messages;
mod metrics;
mod provider;
mod retries;
mod routes;
mod seen;
mod timeouts;
mod tls;
mod upgrade;
mod world;
