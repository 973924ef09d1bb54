//! The built program: chains through several processes, proxies, echoes, and the client.

mod answers;
mod bounds;
mod callee;
mod chains;
mod echo;
mod ending;
mod example;
mod get;
mod grpc;
mod http;
mod mock;
mod protocols;
mod proxy;
mod town;
