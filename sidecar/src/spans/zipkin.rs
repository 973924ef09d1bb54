//! Spans as Zipkin takes them: JSON, version 2 (`POST /api/v2/spans`). The tags are those of the
//! original, and what they lacked.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::Span;
use crate::listener::Side;
use crate::plan::Address;
use crate::settings::{Export, Tracing};

/// The body of a call.
pub(super) fn encode(spans: &[Span], terms: &Tracing) -> Vec<u8> {
    let spans: Vec<Value> = spans.iter().map(|span| encoded(span, terms)).collect();
    serde_json::to_vec(&spans).unwrap_or_default()
}

fn encoded(span: &Span, terms: &Tracing) -> Value {
    let context = &span.context;
    let began = micros(span.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let mut object = json!({
        "traceId": context.trace.to_string(),
        "id": context.span.to_string(),
        "kind": if span.request.side == Side::Consumer { "CLIENT" } else { "SERVER" },
        "name": span.name(terms.names),
        "timestamp": began,
        // Zero would be none.
        "duration": micros(span.ended.took).max(1),
        "localEndpoint": local(span, &terms.export),
        "tags": tags(span),
    });
    if let Some(parent) = context.parent {
        object["parentId"] = parent.to_string().into();
    }
    if context.sampling == mesh::trace::Sampling::Debug {
        object["debug"] = true.into();
    }
    let remote = remote(span);
    if remote.as_object().is_some_and(|remote| !remote.is_empty()) {
        object["remoteEndpoint"] = remote;
    }
    if !span.resends.is_empty() {
        let annotations = span.resends.iter().map(|resend| {
            let value = format!("resend: {} at {}", resend.why, resend.endpoint.id.address);
            json!({"timestamp": began + micros(resend.after), "value": value})
        });
        object["annotations"] = annotations.collect();
    }
    object
}

fn tags(span: &Span) -> Map<String, Value> {
    let mut tags = Map::new();
    let mut put = |name: &str, value: String| tags.insert(name.to_owned(), Value::String(value));
    put("http.method", span.request.method.to_string());
    put("http.path", span.request.path.to_string());
    if let Some(status) = span.ended.status {
        put("http.status_code", status.as_u16().to_string());
    }
    let client = span.request.side == Side::Consumer;
    if let Some(host) = span.host().filter(|_| client) {
        put("http.host", host);
    }
    put("span.kind", if client { "client" } else { "server" }.to_owned());
    if let Some(status) = span.ended.call {
        put("grpc.status_code", status.code().to_string());
    }
    if !span.resends.is_empty() {
        put("resends", span.resends.len().to_string());
    }
    if let Some(word) = span.ended.refused {
        put("x-mesher-error", word.to_owned());
    }
    if let Some(error) = span.error() {
        put("error", error);
    }
    tags
}

/// Where we are.
fn local(span: &Span, export: &Export) -> Value {
    let listener = span.request.listener;
    let of_pod = export
        .address
        .filter(|_| span.request.side == Side::Consumer || listener.ip().is_unspecified());
    // What calls come from has no port that anybody could call.
    let port = (span.request.side == Side::Provider).then_some(listener.port());
    endpoint(Some(&export.service), Some(of_pod.unwrap_or(listener.ip())), port)
}

/// Where the other side is.
fn remote(span: &Span) -> Value {
    let (name, at) = match span.request.side {
        Side::Provider => (span.request.caller.as_deref(), Some(span.request.peer)),
        Side::Consumer => {
            let address = span.endpoint.as_ref().map(|endpoint| &endpoint.id.address);
            match address {
                Some(Address::Known(address)) => (span.callee(), Some(*address)),
                Some(Address::Name(_, port)) => {
                    return endpoint(span.callee(), None, Some(*port));
                }
                None => (span.callee(), None),
            }
        }
    };
    endpoint(name, at.map(|at: SocketAddr| at.ip()), at.map(|at| at.port()))
}

fn endpoint(name: Option<&str>, ip: Option<IpAddr>, port: Option<u16>) -> Value {
    let mut endpoint = Map::new();
    if let Some(name) = name {
        endpoint.insert("serviceName".to_owned(), name.into());
    }
    if let Some(ip) = ip.map(|ip| ip.to_canonical()) {
        let version = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
        endpoint.insert(version.to_owned(), ip.to_string().into());
    }
    if let Some(port) = port {
        endpoint.insert("port".to_owned(), port.into());
    }
    Value::Object(endpoint)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
