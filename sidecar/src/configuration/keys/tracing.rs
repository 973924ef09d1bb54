//! tracing.yaml: the original's keys, and those of OpenTelemetry.

use super::File::Tracing;
use super::{Key, Kind, key};

/// Samplers by OpenTelemetry's names.
pub(in crate::configuration) const SAMPLERS: Kind = Kind::Choice(&[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]);

pub(super) static KEYS: &[Key] = &[
    key("servicecomb.tracing.tracer", Tracing, Kind::Choice(&["zipkin"]), "What is spoken with whom collects spans."),
    key(
        "servicecomb.tracing.settings.URI",
        Tracing,
        Kind::Text,
        "Where Zipkin takes spans, as in http://zipkin:9411/api/v2/spans. It switches tracing on.",
    )
    .live("")
    .variables(&["OTEL_EXPORTER_ZIPKIN_ENDPOINT"]),
    key("servicecomb.tracing.settings.batchSize", Tracing, Kind::Whole(1, 100_000), "As mesher.tracing.batchSize.").live(""),
    key("servicecomb.tracing.settings.batchInterval", Tracing, Kind::Duration, "As mesher.tracing.batchInterval.").live(""),
    key("servicecomb.tracing.settings.collector", Tracing, Kind::Choice(&["http", "namedPipe"]), "How spans travel: by HTTP; not through a named pipe.").live(""),
    key("servicecomb.tracing.settings.*", Tracing, Kind::Text, "Never had an effect."),
    key("servicecomb.tracing.enabled", Tracing, Kind::Flag, "false: the address of Zipkin counts for nothing.").live(""),
    key("servicecomb.tracing.collectorType", Tracing, Kind::Choice(&["zipkin", "namedPipe"]), "The same as settings.collector, as the first generation has it.").live(""),
    key("servicecomb.tracing.collectorTarget", Tracing, Kind::Text, "The same as settings.URI, as the first generation has it.").live(""),
    key("mesher.tracing.exporter", Tracing, Kind::Choice(&["zipkin", "otlp", "none"]), "Where spans go. Absent: where an address was given.")
        .live("")
        .variables(&["OTEL_TRACES_EXPORTER"]),
    key("mesher.tracing.sampler", Tracing, SAMPLERS, "Which of the traces that begin here are collected; what the caller decided always counts.")
        .live("parentbased_traceidratio")
        .variables(&["OTEL_TRACES_SAMPLER"]),
    key("mesher.tracing.ratio", Tracing, Kind::Share, "How many of the traces that begin here are collected.")
        .live("1")
        .variables(&["OTEL_TRACES_SAMPLER_ARG"]),
    key("mesher.tracing.propagation", Tracing, Kind::Words, "How the next in line is told of traces that begin here: b3multi, b3, tracecontext.")
        .live("b3multi,tracecontext")
        .variables(&["OTEL_PROPAGATORS"]),
    key("mesher.tracing.spanNames", Tracing, Kind::Choice(&["path", "template", "method"]), "GET /orders/12 (path), GET /orders/{} (template) or GET (method).")
        .live("path"),
    key("mesher.tracing.service", Tracing, Kind::Text, "What the collector knows us as. Absent: the service's name.")
        .live("")
        .variables(&["OTEL_SERVICE_NAME"]),
    key("mesher.tracing.attributes", Tracing, Kind::Text, "More to be told of us by OTLP: name=value, with commas between several.")
        .live("")
        .variables(&["OTEL_RESOURCE_ATTRIBUTES"]),
    key("mesher.tracing.batchSize", Tracing, Kind::Whole(1, 100_000), "As many spans go to the collector at once.")
        .live("512")
        .variables(&["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"]),
    key("mesher.tracing.batchInterval", Tracing, Kind::Duration, "A span waits at most so long for others to go with it.").live("5s"),
    key("mesher.tracing.queue", Tracing, Kind::Whole(1, 1 << 20), "As many spans may wait for the collector; more are dropped, and counted.")
        .live("4096")
        .variables(&["OTEL_BSP_MAX_QUEUE_SIZE"]),
    key("mesher.tracing.timeout", Tracing, Kind::Duration, "How long a call to the collector may take.").live("10s"),
    key("mesher.tracing.otlp.endpoint", Tracing, Kind::Text, "Where OTLP goes, as in http://collector:4318; /v1/traces is added. It switches tracing on.")
        .live("")
        .variables(&["OTEL_EXPORTER_OTLP_ENDPOINT"]),
    key("mesher.tracing.otlp.tracesEndpoint", Tracing, Kind::Text, "The same, with nothing added.")
        .live("")
        .variables(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]),
    key("mesher.tracing.otlp.protocol", Tracing, Kind::Choice(&["http/protobuf", "http/json", "grpc"]), "How OTLP is spoken.")
        .live("http/protobuf")
        .variables(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]),
    key("mesher.tracing.otlp.headers", Tracing, Kind::Secret, "Sent with every call, as for who asks: name=value, with commas between several.")
        .live("")
        .variables(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]),
];
