//! What leaves a proxy is one plain message, whatever came in: requests and responses by the byte,
//! the same ones changed at random, and other servers as judges.

mod capture;
mod corpus;
mod differential;
mod mutations;
mod peers;
mod requests;
mod responses;
