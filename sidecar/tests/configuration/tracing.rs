//! `tracing.yaml`, and the variables of OpenTelemetry.

use std::time::Duration;

use mesh::trace::{Formats, Ratio, SpanNames};
use sidecar::settings::{SpanProtocol, Tracing};

use crate::support::World;

fn tracing(world: &World) -> Option<Tracing> {
    world.settings().tracing
}

/// Where spans go, and how.
fn goes(world: &World) -> Option<(SpanProtocol, String)> {
    tracing(world).map(|it| (it.export.protocol, it.export.endpoint.to_string()))
}

#[test]
fn nothing_is_traced_unless_somebody_says_so() {
    assert_eq!(tracing(&World::new()), None);
    let disabled = World::new().file(
        "conf/monitoring.yaml",
        "tracing: {enabled: false, collectorType: zipkin, collectorTarget: 'http://z:9411/api/v2/spans'}\n",
    );
    assert_eq!(tracing(&disabled), None);
    let none = World::new()
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    assert_eq!(tracing(&none), None);
}

#[test]
fn the_second_generation_of_the_original() {
    let world = World::new().file(
        "conf/tracing.yaml",
        "servicecomb:\n  tracing:\n    tracer: zipkin\n    settings: {URI: 'http://127.0.0.1:9411/api/v1/spans', \
         batchSize: 10000, batchInterval: 10s, collector: http}\n",
    );
    let found = tracing(&world).expect("it is on");
    assert!(found.consumer && found.provider);
    assert_eq!(found.ratio, Ratio::ALL);
    assert_eq!(found.formats, Formats { b3_multi: true, b3_single: false, w3c: true });
    let export = found.export;
    assert_eq!(export.protocol, SpanProtocol::Zipkin);
    assert_eq!(export.endpoint, "http://127.0.0.1:9411/api/v2/spans");
    assert_eq!((export.batch_size, export.batch_interval), (10_000, Duration::from_secs(10)));
    assert!(export.queue >= 10_000, "a batch has to fit");
    let problems = world.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("settings.URI: spans go to /api/v2/spans there"), "{problems:?}");
}

#[test]
fn the_first_generation_of_the_original() {
    for prefix in ["", "cse.", "servicecomb."] {
        let world = World::new().file(
            "conf/monitoring.yaml",
            &format!(
                "{prefix}tracing.enabled: true\n{prefix}tracing.collectorType: zipkin\n\
                 {prefix}tracing.collectorTarget: http://zipkin:9411\n"
            ),
        );
        let zipkin = (SpanProtocol::Zipkin, "http://zipkin:9411/api/v2/spans".to_owned());
        assert_eq!(goes(&world), Some(zipkin), "{prefix}");
        assert_eq!(world.problems(), [""; 0], "{prefix}");
    }
}

#[test]
fn a_chain_without_the_handler_is_not_traced_by_the_originals_tracer() {
    let zipkin = "servicecomb.tracing.settings.URI: http://z:9411\n";
    let chain = "servicecomb.handler.chain.Consumer.outgoing: router,loadbalance,transport\n";
    let world = World::new().file("conf/tracing.yaml", zipkin).file("conf/chassis.yaml", chain);
    let found = tracing(&world).expect("the other side is traced");
    assert!(!found.consumer && found.provider);
    let problems = world.problems();
    assert!(problems[0].contains("add tracing-consumer"), "{problems:?}");

    let with = chain.replace("transport", "tracing-consumer,transport");
    let world = World::new().file("conf/tracing.yaml", zipkin).file("conf/chassis.yaml", &with);
    assert!(tracing(&world).is_some_and(|found| found.consumer && found.provider));
    // Who names an exporter means it.
    let world = World::new()
        .file("conf/tracing.yaml", "mesher.tracing.exporter: otlp\n")
        .file("conf/chassis.yaml", chain);
    assert!(tracing(&world).is_some_and(|found| found.consumer && found.provider));
}

#[test]
fn otlp_and_its_variables() {
    let world = World::new()
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base/")
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s%20cret, x-a = b")
        .variable("OTEL_SERVICE_NAME", "shop")
        .variable("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb,service.version=7")
        .variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .variable("OTEL_TRACES_SAMPLER_ARG", "0.25")
        .variable("OTEL_PROPAGATORS", "tracecontext,baggage,b3");
    assert_eq!(world.problems(), [""; 0]);
    let found = tracing(&world).expect("it is on");
    assert_eq!(Some(found.ratio), Ratio::new(0.25));
    assert_eq!(found.formats, Formats { b3_multi: false, b3_single: true, w3c: true });
    let export = found.export;
    assert_eq!(export.protocol, SpanProtocol::OtlpProtobuf);
    assert_eq!(export.endpoint, "http://collector:4318/base/v1/traces");
    assert_eq!(export.service, "shop");
    assert_eq!(export.attributes["team"], "a,b");
    assert_eq!(export.attributes["service.version"], "7");
    assert_eq!(export.attributes["service.namespace"], "default");
    let headers: Vec<_> = export.headers.iter().map(|(k, v)| (k.as_str(), v.as_bytes())).collect();
    assert_eq!(headers, [("api-key", &b"s cret"[..]), ("x-a", b"b")]);
    assert!(!format!("{:?}", export.headers).contains("cret"), "{:?}", export.headers);
    let dumped = world.read().to_yaml();
    assert!(!dumped.contains("s cret") && !dumped.contains("s%20cret"), "{dumped}");

    for (traces, protocol, expected) in [
        ("http://c/all/of/it", "http/json", (SpanProtocol::OtlpJson, "http://c/all/of/it")),
        (
            "http://c:4317",
            "grpc",
            (
                SpanProtocol::OtlpGrpc,
                "http://c:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            ),
        ),
    ] {
        let world = World::new()
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4318")
            .variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces)
            .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        assert_eq!(goes(&world), Some((expected.0, expected.1.to_owned())));
    }
    let world = World::new().flag("mesher.tracing.exporter", "otlp");
    let local = (SpanProtocol::OtlpProtobuf, "http://127.0.0.1:4318/v1/traces".to_owned());
    assert_eq!(goes(&world), Some(local));
}

#[test]
fn who_says_it_with_more_weight_wins() {
    let zipkin = || World::new().file("conf/tracing.yaml", "tracing.settings.URI: http://z:9411\n");
    let protocol = |world: &World| goes(world).map(|(protocol, _)| protocol);
    assert_eq!(protocol(&zipkin()), Some(SpanProtocol::Zipkin));
    let both = zipkin().variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    assert_eq!(protocol(&both), Some(SpanProtocol::OtlpProtobuf));
    let weak = zipkin().variable("MESHER_DEFAULT_OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    assert_eq!(protocol(&weak), Some(SpanProtocol::Zipkin));
    let said = both.flag("mesher.tracing.exporter", "zipkin");
    assert_eq!(protocol(&said), Some(SpanProtocol::Zipkin));
}

#[test]
fn samplers_and_names() {
    for (sampler, ratio) in [
        ("always_on", Some(Ratio::ALL)),
        ("parentbased_always_off", Some(Ratio::NONE)),
        ("traceidratio", Ratio::new(0.5)),
    ] {
        let world = World::new()
            .flag("mesher.tracing.exporter", "otlp")
            .flag("mesher.tracing.sampler", sampler)
            .flag("mesher.tracing.ratio", "0.5")
            .flag("mesher.tracing.spanNames", "template");
        let found = tracing(&world).expect("it is on");
        assert_eq!(Some(found.ratio), ratio, "{sampler}");
        assert_eq!(found.names, SpanNames::Template);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (key, value, wanted) in [
        ("mesher.tracing.ratio", "2", "error: flag --mesher.tracing.ratio"),
        ("mesher.tracing.otlp.endpoint", "collector:4318", "is no address of a collector"),
        ("mesher.tracing.otlp.endpoint", "http://u:p@c", "mesher.tracing.otlp.headers"),
        ("mesher.tracing.otlp.endpoint", "https://c:4318", "ssl.tracing.Consumer.caFile"),
        ("mesher.tracing.otlp.headers", "a=b,secret", "number 2 of the headers is none"),
        ("mesher.tracing.attributes", "a", "\"a\" is no attribute: write name=value"),
        ("mesher.tracing.propagation", "b3mutli", "did you mean \"b3multi\"?"),
        ("mesher.tracing.exporter", "jaeger", "zipkin, otlp, none"),
        ("servicecomb.tracing.settings.collector", "namedPipe", "not written to named pipes"),
        ("servicecomb.tracing.collectorType", "namedPipe", "not written to named pipes"),
        ("servicecomb.apm.tracing.enable", "true", "SkyWalking is not part of mesher"),
        ("mesher.tracing.spanName", "path", "did you mean \"spanNames\""),
    ] {
        let mut world = World::new().file("conf/tracing.yaml", &format!("{key}: '{value}'\n"));
        if key != "mesher.tracing.exporter" {
            world = world.flag("mesher.tracing.exporter", "otlp");
        }
        if wanted.contains("flag") {
            world = world.flag(key, value);
        }
        let problems = world.problems();
        assert!(problems.iter().any(|it| it.contains(wanted)), "{wanted} is not in {problems:?}");
        assert!(!problems.join(" ").contains("secret"), "{problems:?}");
    }
    let piped = World::new()
        .file("conf/tracing.yaml", "tracing.settings: {URI: /var/pipe, collector: namedPipe}\n");
    assert_eq!(tracing(&piped), None, "it goes on without");
}
