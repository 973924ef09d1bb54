//! What requests and connections may take.

use std::time::Duration;

/// What one request or connection may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header fields of a message.
    pub header_fields: usize,
    /// Bytes of a request body; `None`: any.
    pub body_bytes: Option<u64>,
    /// To read a request head, from its first byte.
    pub header_timeout: Duration,
    /// A kept-alive connection without a request, on either side.
    pub idle_timeout: Duration,
    /// To connect to an instance.
    pub connect_timeout: Duration,
    /// To make a TLS session, on either side.
    pub handshake_timeout: Duration,
    /// From a request, or what came last of its body, to the end of its response's head. A gRPC call
    /// has instead what its client says in `grpc-timeout`, to its very end.
    pub request_timeout: Duration,
    /// A response on its way, without a byte in either direction.
    pub body_timeout: Duration,
    /// A tunnel (CONNECT, or a connection that was upgraded) without a byte in either direction.
    pub tunnel_timeout: Duration,
    /// From SIGTERM to the end of what is in flight.
    pub drain_timeout: Duration,
    /// Downstream connections at once.
    pub connections: usize,
    /// Idle upstream connections for each endpoint and worker.
    pub idle_upstream: usize,
    /// Requests under way at once on each side, of all services together; `None`: any number.
    pub in_flight: Option<usize>,
    /// Requests that wait for room at once, at each bound of what is under way.
    pub queue: usize,
    /// How long one waits.
    pub queue_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 << 10,
            header_fields: 100,
            body_bytes: None,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(5),
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_mins(5),
            tunnel_timeout: Duration::from_hours(1),
            drain_timeout: Duration::from_secs(30),
            connections: 16_384,
            idle_upstream: 512,
            in_flight: None,
            queue: 1024,
            queue_timeout: Duration::from_millis(100),
        }
    }
}
