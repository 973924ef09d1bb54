//! Files, environment and flags, and what becomes of them.

mod command_line;
mod faults;
mod precedence;
mod reload;
mod shipped;
mod support;
mod tls;
