//! A real node: pods run, are reached and looked into, and nothing of it stays behind.

mod command;
mod pods;
mod traces;
