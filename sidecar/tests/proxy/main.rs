//! The proxy over real sockets: consumer side, provider side, and both together.

mod app;
mod bytes_on_the_wire;
mod consumer;
mod failures;
mod life;
mod mesh_of_two;
mod messages;
mod provider;
mod timeouts;
mod upgrade;
mod world;
