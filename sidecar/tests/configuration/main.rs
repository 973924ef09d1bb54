//! Files, environment and flags, and what becomes of them.

mod access_log;
mod center;
mod command_line;
mod egress;
mod faults;
mod live;
mod precedence;
mod reload;
mod routes;
mod shipped;
mod support;
mod terms;
mod tls;
mod tracing;
