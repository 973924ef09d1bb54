//! HTTP/2: many requests at once on one connection.
//!
//! Within the proxy a request always has the form that it has in HTTP/1.1, `Host` and all, so
//! that no step in between has to know what is spoken on either side. [`server`] makes it so, and
//! [`mod@exchange`] gives what leaves by HTTP/2 the form of HTTP/2 last.

mod client;
mod download;
mod exchange;
mod gathered;
mod pool;
mod server;
mod upload;

use hyper::rt::Executor;

pub(crate) use self::download::Download;
pub(crate) use self::exchange::exchange;
pub(crate) use self::gathered::Gathered;
pub(crate) use self::pool::Pool;
pub(crate) use self::server::{normalize, serve};

/// The most of a stream that is in our hands, and not yet with the other side. Either side's
/// speed limits the other's through it.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same of all streams of a connection together.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Runs what belongs to a connection on the connection's own thread.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
