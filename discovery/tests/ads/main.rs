//! The client of xDS against a control plane in this process, which says what a script says; and
//! against bytes that make no sense.

mod arbitrary;
mod control_plane;
mod streams;
