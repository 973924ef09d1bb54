//! Spans as OTLP has them, in protobuf or JSON, with the names of OpenTelemetry's semantic
//! conventions for HTTP and RPC where there are some.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire, Status};
use prost::Message;

use super::Span;
use crate::listener::Side;
use crate::plan::Address;
use crate::settings::{Export, SpanProtocol, Tracing};

/// Of a span's flags: those of `traceparent`.
const SAMPLED: u32 = 1;
/// Of a span's flags: it is known whether the parent is in another process, and it is.
const REMOTE_PARENT: u32 = 0x300;

/// The body of a call.
pub(super) fn encode(spans: &[Span], terms: &Tracing) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "mesher".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.iter().map(|span| encoded(span, terms)).collect();
    let spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let ours = ResourceSpans {
        resource: Some(resource(&terms.export)),
        scope_spans: vec![spans],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest { resource_spans: vec![ours] };
    match terms.export.protocol {
        SpanProtocol::OtlpJson => serde_json::to_vec(&request).unwrap_or_default(),
        _ => request.encode_to_vec(),
    }
}

/// How many spans the collector says that it does not want, of those that it took.
pub(super) fn rejected(body: &[u8], protocol: SpanProtocol) -> usize {
    let response = match protocol {
        SpanProtocol::OtlpJson => serde_json::from_slice(body).ok(),
        _ => ExportTraceServiceResponse::decode(body).ok(),
    };
    let partial =
        response.and_then(|response: ExportTraceServiceResponse| response.partial_success);
    partial.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0))
}

fn resource(export: &Export) -> Resource {
    let mut attributes = vec![text("service.name", &export.service)];
    attributes.extend(export.attributes.iter().map(|(name, value)| text(name, value)));
    Resource { attributes, ..Resource::default() }
}

fn encoded(span: &Span, terms: &Tracing) -> Wire {
    let context = &span.context;
    let began = nanos(span.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let event = |resend: &super::span::Resend| Event {
        time_unix_nano: began + nanos(resend.after),
        name: "resend".to_owned(),
        attributes: vec![
            text("error.type", resend.why),
            text("network.peer.address", &resend.endpoint.id.address.to_string()),
        ],
        ..Event::default()
    };
    let client = span.request.side == Side::Consumer;
    let error = span.error();
    Wire {
        trace_id: context.trace.to_bytes().to_vec(),
        span_id: context.span.to_bytes().to_vec(),
        parent_span_id: context.parent.map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
        flags: SAMPLED | REMOTE_PARENT,
        name: span.name(terms.names),
        kind: if client { SpanKind::Client } else { SpanKind::Server }.into(),
        start_time_unix_nano: began,
        end_time_unix_nano: began + nanos(span.ended.took),
        attributes: attributes(span, error.as_deref()),
        events: span.resends.iter().map(event).collect(),
        status: error.map(|_| Status { message: String::new(), code: StatusCode::Error.into() }),
        ..Wire::default()
    }
}

fn attributes(span: &Span, error: Option<&str>) -> Vec<KeyValue> {
    let request = &span.request;
    let mut all = vec![
        text("http.request.method", request.method.as_str()),
        text("url.path", &request.path),
        text("url.scheme", "http"),
    ];
    if let Some(status) = span.ended.status {
        all.push(number("http.response.status_code", status.as_u16()));
    }
    if request.side == Side::Consumer {
        if let Some(name) = span.callee() {
            all.push(text("server.address", name));
            all.push(text("peer.service", name));
        }
        match span.endpoint.as_ref().map(|endpoint| &endpoint.id.address) {
            Some(Address::Known(address)) => {
                all.push(text("network.peer.address", &address.ip().to_string()));
                all.push(number("network.peer.port", address.port()));
            }
            Some(Address::Name(_, port)) => all.push(number("server.port", *port)),
            None => {}
        }
    } else {
        all.push(text("client.address", &request.peer.ip().to_canonical().to_string()));
        all.push(number("client.port", request.peer.port()));
        if let Some(caller) = &request.caller {
            all.push(text("peer.service", caller));
        }
    }
    if let Some(status) = span.ended.call {
        all.push(text("rpc.system", "grpc"));
        all.push(number("rpc.grpc.status_code", status.code()));
    }
    if !span.resends.is_empty() {
        all.push(number(
            "http.request.resend_count",
            u32::try_from(span.resends.len()).unwrap_or(0),
        ));
    }
    if let Some(word) = span.ended.refused {
        all.push(text("mesher.error", word));
    }
    if let Some(error) = error {
        all.push(text("error.type", error));
    }
    all
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, any_value::Value::StringValue(value.to_owned()))
}

fn number(name: &str, value: impl Into<i64>) -> KeyValue {
    attribute(name, any_value::Value::IntValue(value.into()))
}

fn attribute(name: &str, value: any_value::Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
