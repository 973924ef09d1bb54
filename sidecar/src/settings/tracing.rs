//! Which requests are traced, and where the spans go.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use mesh::trace::{Formats, Ratio, SpanNames};

/// Tracing, where it is on. Off, headers that tell of traces go on as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// Whether requests of the application are traced.
    pub consumer: bool,
    /// Whether requests to the application are traced.
    pub provider: bool,
    /// How many of the traces that begin here are collected. Of the others, the caller decided.
    pub ratio: Ratio,
    /// How a trace that begins here is told of. Others are told of as they came.
    pub formats: Formats,
    /// What spans are called.
    pub names: SpanNames,
    /// Where spans go.
    pub export: Export,
}

/// Where spans go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// What the collector takes.
    pub protocol: SpanProtocol,
    /// The whole address, with its path.
    pub endpoint: Uri,
    /// Sent with every call. The values are sensitive: `Debug` does not show them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What the collector knows us as.
    pub service: String,
    /// Where others reach us, as far as known.
    pub address: Option<IpAddr>,
    /// What else there is to say of us; only OTLP has a place for it.
    pub attributes: BTreeMap<String, String>,
    /// As many spans go at once.
    pub batch_size: usize,
    /// A span waits at most so long for others to go with it.
    pub batch_interval: Duration,
    /// As many spans may wait; more are dropped.
    pub queue: usize,
    /// How long a call may take.
    pub timeout: Duration,
}

/// What a collector takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanProtocol {
    /// Zipkin's JSON, version 2.
    Zipkin,
    /// OTLP, in protobuf over HTTP.
    OtlpProtobuf,
    /// OTLP, in JSON over HTTP.
    OtlpJson,
    /// OTLP, over gRPC.
    OtlpGrpc,
}
