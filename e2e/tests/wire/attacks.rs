//! R36: what a hostile caller may try.
