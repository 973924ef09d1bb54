//! What stands on the wire between the API server and the injector: rules R1 to R13, R25, R26,
//! R33 and R35 to R37, each against the built program.

mod answers;
mod attacks;
mod cluster;
mod data;
mod lifecycle;
mod reload;
mod requests;
mod rotation;
mod tls;
