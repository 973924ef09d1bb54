//! Files, environment and flags, and what becomes of them.

mod access_log;
mod command_line;
mod egress;
mod faults;
mod precedence;
mod reload;
mod shipped;
mod support;
mod tls;
mod tracing;
