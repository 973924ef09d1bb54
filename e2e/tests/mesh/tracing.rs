//! Traces, from the first proxy to the last application, and on to a collector.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::mesh::{
    Application, Client, Collected, Collector, Mesh, PATIENCE, Raw, Setup, Sidecar, Upstream,
    chain, eventually, loopback,
};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use testbed::{free_ports, tools};

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

/// How spans go to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Zipkin,
    Protobuf,
    Json,
    Grpc,
}

/// Has a sidecar send its spans, as soon as there are some.
fn traced<'a>(setup: Setup<'a>, by: By, collector: &Collector) -> Setup<'a> {
    let (address, protocol) = match by {
        By::Zipkin => {
            // As people have it who come from the original.
            let uri = format!("http://{}/api/v1/spans", collector.zipkin);
            let settings =
                format!("{{URI: '{uri}', batchSize: 10000, batchInterval: 50ms, collector: http}}");
            let text =
                format!("servicecomb:\n  tracing:\n    tracer: zipkin\n    settings: {settings}\n");
            return setup.file("tracing.yaml", &text);
        }
        By::Protobuf => (collector.otlp, "http/protobuf"),
        By::Json => (collector.otlp, "http/json"),
        By::Grpc => (collector.grpc, "grpc"),
    };
    at_once(setup)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
}

fn at_once(setup: Setup<'_>) -> Setup<'_> {
    setup.key("mesher.tracing.batchInterval", "50ms")
}

/// A service, and its proxy, through which it also calls others.
struct Service {
    name: &'static str,
    application: Application,
    sidecar: Sidecar,
}

impl Service {
    fn start(mesh: &Mesh, name: &'static str, by: By, collector: &Collector) -> Result<Self> {
        let [http] = free_ports()?;
        let application = mesh.mockserver_behind(name, loopback(http))?;
        let sidecar = mesh.sidecar(name).serving(name, application.port);
        let sidecar = traced(sidecar, by, collector).start_at(http)?;
        Ok(Self { name, application, sidecar })
    }

    /// It, as a call names it.
    fn place(&self) -> String {
        format!("{}:{}", self.name, self.application.port)
    }
}

/// Calls each service through the one before, and returns the headers of tracing that each got.
async fn call(
    caller: &Sidecar,
    services: &[&Service],
    headers: &[(&str, &str)],
) -> Result<Vec<BTreeMap<String, String>>> {
    let places: Vec<String> = services.iter().map(|service| service.place()).collect();
    let url = format!("http://{}/hello", places.join("/@"));
    let reply = Client::new(caller.consumer).get(&url, headers).await?;
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let mut answer = reply.json()?;
    let mut found = vec![traced_by(&answer)];
    while let Some(next) = answer.pointer("/ParallelForwards/0/SequentialForwards/0/Response") {
        answer = next.clone();
        found.push(traced_by(&answer));
    }
    ensure!(found.len() == services.len(), "{}", reply.text());
    Ok(found)
}

/// The headers of an answer's request that tell of a trace.
fn traced_by(answer: &Value) -> BTreeMap<String, String> {
    let lines = answer["RequestInfo"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    fields.filter(|(name, _)| name.contains("b3") || name.starts_with("trace")).collect()
}

/// That each service was told of the span of its own proxy.
fn assert_told(told: &[BTreeMap<String, String>], servers: &[&Collected]) {
    assert_eq!(told.len(), servers.len());
    for (headers, span) in told.iter().zip(servers) {
        if let Some(id) = headers.get("x-b3-spanid") {
            assert_eq!((id, &headers["x-b3-sampled"]), (&span.id, &"1".to_owned()), "{headers:?}");
            // B3 has a form for ids of 64 bits.
            assert!(span.trace.ends_with(&headers["x-b3-traceid"]), "{headers:?}");
        }
        if let Some(parent) = headers.get("traceparent") {
            assert_eq!(*parent, format!("00-{}-{}-01", span.trace, span.id));
        }
        assert!(!headers.is_empty());
    }
}

/// Three services, one behind the other, and who calls the first.
async fn three(mesh: &Mesh, by: By, collector: &Collector) -> Result<(Sidecar, [Service; 3])> {
    let services = [
        Service::start(mesh, "front", by, collector)?,
        Service::start(mesh, "middle", by, collector)?,
        Service::start(mesh, "back", by, collector)?,
    ];
    let caller = mesh.sidecar("caller").variable("SERVICE_NAME", "caller");
    let caller = traced(caller, by, collector).start()?;
    for service in &services {
        mesh.registry.wait_for(service.name, &["UP"]).await?;
    }
    Ok((caller, services))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_services_is_one_trace() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    for format in [By::Zipkin, By::Protobuf, By::Json, By::Grpc] {
        let mesh = Mesh::start()?;
        let (caller, [front, middle, back]) = three(&mesh, format, &collector).await?;
        let told = call(&caller, &[&front, &middle, &back], &[]).await?;
        // Both ways of telling, as nobody had told anything.
        assert_eq!(told[0].len(), 5, "{format:?}: {told:?}");
        let trace = told[0]["traceparent"][3..35].to_owned();
        let spans = collector.wait_for(6, |span| span.trace == trace).await?;
        let spans = chain(&spans).with_context(|| format!("{format:?}"))?;
        let found: Vec<_> = spans.iter().map(|span| (span.service.as_str(), span.kind)).collect();
        let expected = [
            ("caller", "client"),
            ("front", "server"),
            ("front", "client"),
            ("middle", "server"),
            ("middle", "client"),
            ("back", "server"),
        ];
        assert_eq!(found, expected, "{format:?}");
        assert_told(&told, &[&spans[1], &spans[3], &spans[5]]);
        let last = &spans[4];
        assert_eq!((&*last.name, last.failed), ("GET /hello", false), "{format:?}");
        let (host, status, peer) = if format == By::Zipkin {
            // The names that the collector gives to what Zipkin's format has places for.
            (last.tag("http.host"), last.tag("http.status_code"), last.tag("service.peer.name"))
        } else {
            let address = last.tag("network.peer.address").map(str::to_owned);
            let port = last.tag("network.peer.port").map(str::to_owned);
            let provider = back.sidecar.provider()?;
            assert_eq!(address, Some(provider.ip().to_string()));
            assert_eq!(port, Some(provider.port().to_string()));
            assert_eq!(last.tag("http.request.method"), Some("GET"));
            assert_eq!(last.tag("url.path"), Some("/hello"));
            let status = last.tag("http.response.status_code");
            (None, status, last.tag("peer.service"))
        };
        if let Some(host) = host {
            assert_eq!(host, back.sidecar.provider()?.to_string());
            assert_eq!(last.tag("http.method"), Some("GET"));
            assert_eq!(last.tag("http.path"), Some("/hello"));
        }
        assert_eq!((status, peer), (Some("200"), Some("back")), "{format:?}: {last:?}");
        let caller = spans[5].tag("peer.service").or(spans[5].tag("service.peer.name"));
        assert_eq!(caller, Some("middle"), "{format:?}: {:?}", spans[5]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_as_it_came() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    let (caller, [front, back, _]) = three(&mesh, By::Protobuf, &collector).await?;
    let services = [&front, &back];
    let served = |spans: &[Collected]| -> Vec<Collected> {
        spans.iter().filter(|span| span.kind == "server").cloned().collect()
    };

    // As OpenTelemetry's libraries have it.
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let told = [("traceparent", parent.as_str()), ("tracestate", "vendor=x")];
    let told = call(&caller, &services, &told).await?;
    let spans = chain(&collector.wait_for(4, |span| span.trace == TRACE).await?)?;
    assert_eq!(spans[0].parent, SPAN);
    assert_told(&told, &served(&spans).iter().collect::<Vec<_>>());
    for told in &told {
        assert_eq!(told["tracestate"], "vendor=x");
        assert_eq!(told.len(), 2, "nobody here speaks B3: {told:?}");
    }

    // As Zipkin's have it, with an id of 64 bits.
    let short = &TRACE[16..];
    let told = [("X-B3-TraceId", short), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", "1")];
    let told = call(&caller, &services, &told).await?;
    let long = format!("{}{short}", "0".repeat(16));
    let spans = chain(&collector.wait_for(4, |span| span.trace == long).await?)?;
    assert_eq!(spans[0].parent, SPAN);
    assert_told(&told, &served(&spans).iter().collect::<Vec<_>>());
    assert!(told.iter().all(|told| told["x-b3-traceid"] == short && told.len() == 4), "{told:?}");

    // In one header, by somebody who debugs.
    let trace = TRACE.replace('8', "9");
    let told = call(&caller, &services, &[("b3", &format!("{trace}-{SPAN}-d"))]).await?;
    let spans = chain(&collector.wait_for(4, |span| span.trace == trace).await?)?;
    let last = &spans[3];
    assert_eq!(told[1]["b3"], format!("{trace}-{}-d-{}", last.id, last.parent));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_sampled_is_collected() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    let back = Service::start(&mesh, "back", By::Protobuf, &collector)?;
    let caller = |name: &str, ratio: &str| {
        let setup = traced(mesh.sidecar(name), By::Protobuf, &collector);
        setup.key("mesher.tracing.ratio", ratio).start()
    };
    let (none, some, all) = (caller("none", "0")?, caller("some", "0.25")?, caller("all", "1")?);
    mesh.registry.wait_for("back", &["UP"]).await?;
    let sampled = |told: &BTreeMap<String, String>| told["x-b3-sampled"] == "1";

    // Who begins a trace decides for all that follow.
    let told = call(&none, &[&back], &[]).await?;
    assert!(!sampled(&told[0]) && told[0]["traceparent"].ends_with("-00"), "{told:?}");
    let mut traces = Vec::new();
    for _ in 0..200 {
        let told = call(&some, &[&back], &[]).await?.remove(0);
        assert_eq!(sampled(&told), told["traceparent"].ends_with("-01"));
        if sampled(&told) {
            traces.push(told["x-b3-traceid"].clone());
        }
    }
    // One in a million runs would have fewer or more.
    assert!((20..=85).contains(&traces.len()), "{} of 200", traces.len());

    // What the caller has decided counts.
    let not = [("b3", format!("{TRACE}-{SPAN}-0"))];
    let told = call(&all, &[&back], &not.each_ref().map(|(k, v)| (*k, v.as_str()))).await?;
    assert_eq!(told[0]["b3"], not[0].1, "it went through as it came");
    let yes = format!("00-{TRACE}-{SPAN}-01");
    call(&none, &[&back], &[("traceparent", &yes)]).await?;

    let spans = collector.wait_for(2 * (traces.len() + 1), |_| true).await?;
    assert_eq!(spans.len(), 2 * (traces.len() + 1));
    let known = |span: &Collected| span.trace == TRACE || traces.contains(&span.trace);
    assert!(spans.iter().all(known), "{spans:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    let caller = traced(mesh.sidecar("caller"), By::Zipkin, &collector);
    let caller = caller.variable("LOG_LEVEL", "debug").start()?;
    let [gone] = free_ports()?;
    mesh.registry.register("gone", loopback(gone)).await?;
    let failing = mesh.mockserver("failing", &["-status", "503"])?;
    mesh.registry.register("failing", loopback(failing.port)).await?;

    assert_eq!(caller.get("http://gone/a?secret=1").await?.status, 502);
    assert_eq!(caller.get("http://failing/b").await?.status, 503);
    let spans = collector.wait_for(2, |_| true).await?;
    let named = |name: &str| spans.iter().find(|span| span.name == name);
    let refused = named("GET /a").with_context(|| format!("{spans:?}"))?;
    assert_eq!(refused.tag("x-mesher-error"), Some("connect_refused"));
    assert_eq!(refused.tag("error"), Some("connect_refused"));
    assert_eq!(refused.tag("http.status_code"), Some("502"));
    assert_eq!(refused.tag("http.host"), Some(&*loopback(gone).to_string()));
    assert!(!format!("{spans:?}").contains("secret"), "a query is nobody's business: {spans:?}");
    let answered = named("GET /b").with_context(|| format!("{spans:?}"))?;
    assert_eq!((answered.tag("error"), answered.tag("x-mesher-error")), (Some("503"), None));
    // The log's line about it names the trace.
    let line = eventually("logged", async || {
        let log = caller.server.log();
        let line = log.lines().find(|line| line.contains("request refused")).map(str::to_owned);
        Ok(line.ok_or(log))
    });
    let line = line.await?;
    assert!(line.contains(&refused.trace), "{line}");

    // One instance of two is not there: some requests are sent once more, in one span.
    let back = mesh.mockserver("back", &[])?;
    mesh.registry.register("back", loopback(back.port)).await?;
    mesh.registry.register("back", loopback(gone)).await?;
    let resent = eventually("sent again", async || {
        assert_eq!(caller.get("http://back/c").await?.status, 200);
        let spans = collector.spans()?;
        Ok(spans.into_iter().find(|span| !span.events.is_empty()).ok_or(String::new()))
    });
    let resent = resent.await?;
    assert_eq!((&*resent.name, resent.failed), ("GET /c", false), "{resent:?}");
    assert_eq!(resent.tag("resends"), Some("1"));
    assert_eq!(resent.tag("http.host"), Some(&*loopback(back.port).to_string()));
    assert_eq!(resent.events, [format!("resend: connect at {}", loopback(gone))]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_lasts_to_the_end_of_its_response() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    let caller = traced(mesh.sidecar("caller"), By::Zipkin, &collector).start()?;
    // It begins a response, and then does what its path says.
    let half = Upstream::start(|mut peer, _| async move {
        let head = peer.head().await?;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await?;
        if head.starts_with("GET /waits") {
            peer.rest().await?;
        }
        Ok(())
    })
    .await?;
    mesh.registry.register("half", half.address).await?;
    for path in ["/breaks", "/waits"] {
        let mut client = Raw::connect(caller.consumer).await?;
        client.send(format!("GET http://half{path} HTTP/1.1\r\nhost: half\r\n\r\n")).await?;
        if path == "/breaks" {
            // The proxy breaks off too, and may do so before this is read.
            let _ = client.rest().await;
        } else {
            client.until(b"half").await?;
            assert!(!collector.spans()?.iter().any(|span| span.name == "GET /waits"), "not over");
        }
        drop(client);
    }
    let spans = collector.wait_for(2, |_| true).await?;
    for (name, error) in [("GET /breaks", "broken_off"), ("GET /waits", "given_up")] {
        let span = spans.iter().find(|span| span.name == name);
        let span = span.with_context(|| format!("no {name} in {spans:?}"))?;
        assert_eq!((span.tag("error"), span.failed), (Some(error), true), "{span:?}");
        assert_eq!(span.tag("http.status_code"), Some("200"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_harms_nobody() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    let caller = traced(mesh.sidecar("caller"), By::Protobuf, &collector);
    let caller = caller.key("mesher.tracing.batchSize", "10");
    let caller = caller.key("mesher.tracing.queue", "50").start()?;
    let back = mesh.mockserver("back", &[])?;
    mesh.registry.register("back", loopback(back.port)).await?;
    let count = async |result: &str| -> Result<u64> {
        let metrics = Client::once(caller.admin, "GET", "/metrics", "").await?.text();
        let name = format!("mesher_spans_total{{result=\"{result}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(line.with_context(|| format!("no {name} in {metrics}"))?.parse()?)
    };
    let mut client = Client::new(caller.consumer);
    let mut calls = async |count: u64| -> Result<()> {
        for _ in 0..count {
            let reply = client.get("http://back/", &[]).await?;
            ensure!(reply.status == 200, "{}", reply.text());
        }
        Ok(())
    };
    calls(5).await?;
    let delivered = eventually("five delivered", async || {
        let exported = count("exported").await?;
        Ok(if exported == 5 { Ok(()) } else { Err(exported.to_string()) })
    });
    delivered.await?;

    collector.kill()?;
    // More than what may wait: ten are on their way, fifty behind them, the rest is dropped.
    calls(200).await?;
    let dropped = eventually("dropped", async || {
        let dropped = count("dropped").await?;
        Ok(if dropped > 0 { Ok(dropped) } else { Err("none".to_owned()) })
    });
    dropped.await?;
    collector.start_again(mesh.guard())?;
    // What waited comes, and what is new.
    let all = eventually("all accounted for", async || {
        let [exported, dropped, failed] =
            [count("exported").await?, count("dropped").await?, count("failed").await?];
        let found = format!("{exported} exported, {dropped} dropped, {failed} failed");
        Ok(if exported + dropped + failed == 205 { Ok(exported) } else { Err(found) })
    });
    let exported = all.await?;
    assert!(exported > 5, "those that waited have come");
    let spans = collector.wait_for(usize::try_from(exported)?, |_| true).await?;
    assert_eq!(u64::try_from(spans.len())?, exported, "none came twice");
    let log = caller.server.log();
    for line in ["spans can't be delivered", "spans are delivered again"] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_collector_is_taken_over_and_the_last_spans_come_at_the_end() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    let back = mesh.mockserver("back", &[])?;
    mesh.registry.register("back", loopback(back.port)).await?;
    let caller = mesh.sidecar("caller").file("tracing.yaml", "# nothing yet\n").start()?;
    // Off, whatever comes passes as it is.
    let url = format!("http://back:{}/", back.port);
    let odd = [("traceparent", "00-odd"), ("tracestate", "a=1"), ("x-b3-sampled", "perhaps")];
    let reply = Client::new(caller.consumer).get(&url, &odd).await?;
    let told = traced_by(&reply.json()?);
    let odd = odd.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(told, BTreeMap::from(odd));

    let settings = format!("mesher.tracing.otlp.endpoint: http://{}\n", collector.otlp);
    let settings = format!("{settings}mesher.tracing.batchInterval: 1h\n");
    fs::write(mesh.guard().folder().join("conf-caller/tracing.yaml"), settings)?;
    let trace = eventually("traced", async || {
        let told = traced_by(&caller.get(&url).await?.json()?);
        Ok(told.get("x-b3-traceid").cloned().ok_or_else(|| format!("{told:?}")))
    });
    let trace = trace.await?;
    assert!(collector.spans()?.is_empty(), "it waits for an hour");
    caller.server.signal(Signal::SIGTERM)?;
    let ended = caller.server.wait_for_exit(PATIENCE)?;
    ensure!(ended.success(), "{ended}: {}", caller.server.log());
    let spans = collector.wait_for(1, |_| true).await?;
    assert_eq!(spans[0].trace, trace);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_grpc_have_spans_with_their_status() -> Result<()> {
    let mesh = Mesh::start()?;
    let collector = Collector::start(&mesh, None)?;
    let [port] = free_ports()?;
    let mut server = Command::new(tools::program("grpc-interop-server")?);
    server.env_clear().arg(format!("-port={port}"));
    let server = mesh.guard().spawn("grpc-interop-server", &mut server)?;
    let accepts = || std::net::TcpStream::connect(loopback(port)).is_ok();
    server.wait_until("accepting", PATIENCE, accepts)?;
    let service =
        traced(mesh.sidecar("interop"), By::Grpc, &collector).in_a_pod("interop").with_grpc();
    let _service = service.variable("SERVICE_PORTS", &format!("grpc:{port}")).start()?;
    let caller = traced(mesh.sidecar("caller"), By::Grpc, &collector).with_grpc().start()?;
    mesh.registry.wait_for("interop", &["UP"]).await?;
    let proxy = caller.consumer_grpc.context("it has gRPC")?;
    // grpc-go asks for its connection by CONNECT.
    for case in ["empty_unary", "unimplemented_method", "ping_pong"] {
        let mut client = Command::new(tools::program("grpc-interop-client")?);
        client.env_clear().env("HTTPS_PROXY", format!("http://{proxy}"));
        client.args(["-server_host=interop", &format!("-server_port={port}")]);
        let output = client.arg(format!("-test_case={case}")).output().context("the client")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let spans = collector.wait_for(6, |_| true).await?;
    for (path, status, failed) in [
        ("/grpc.testing.TestService/EmptyCall", "0", false),
        ("/grpc.testing.TestService/UnimplementedCall", "12", true),
        ("/grpc.testing.TestService/FullDuplexCall", "0", false),
    ] {
        let of_path = spans.iter().filter(|span| span.tag("url.path") == Some(path)).cloned();
        let of_path = chain(&of_path.collect::<Vec<_>>())?;
        let kinds: Vec<_> = of_path.iter().map(|span| span.kind).collect();
        assert_eq!(kinds, ["client", "server"], "{path}: {spans:?}");
        for span in &of_path {
            assert_eq!(span.tag("rpc.grpc.status_code"), Some(status), "{span:?}");
            assert_eq!(span.failed, failed, "{span:?}");
        }
    }
    Ok(())
}

/// A CA, and a chain and key of it for 127.0.0.1, in `folder`.
fn issue(folder: &Path, name: &str) -> Result<[PathBuf; 3]> {
    let paths = ["ca", "chain", "key"].map(|what| folder.join(format!("{name}-{what}.pem")));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    fs::write(&paths[0], params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&leaf_key, &issuer)?;
    fs::write(&paths[1], leaf.pem())?;
    fs::write(&paths[2], leaf_key.serialize_pem())?;
    Ok(paths)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_behind_tls_has_to_prove_who_it_is() -> Result<()> {
    let mesh = Mesh::start()?;
    let folder = mesh.guard().folder().to_owned();
    let [other, _, _] = issue(&folder, "other")?;
    let [ca, chain, key] = issue(&folder, "collector")?;
    let collector = Collector::start(&mesh, Some((&chain, &key)))?;
    let trusted = folder.join("trusted.pem");
    fs::copy(other, &trusted)?;
    let back = mesh.mockserver("back", &[])?;
    mesh.registry.register("back", loopback(back.port)).await?;
    let tls = format!("ssl:\n  tracing.Consumer.caFile: {}\n", trusted.display());
    let endpoint = format!("https://{}", collector.otlp);
    let caller = at_once(mesh.sidecar("caller")).file("tls.yaml", &tls);
    let caller = caller.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).start()?;
    assert_eq!(caller.get("http://back/").await?.status, 200);
    let refused = eventually("refused", async || {
        let log = caller.server.log();
        let line = log.lines().find(|line| line.contains("spans can't be delivered"));
        Ok(line.map(str::to_owned).ok_or(log.clone()))
    });
    let refused = refused.await?;
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    assert!(collector.spans()?.is_empty());
    // Trusted from now on, it gets what has waited.
    fs::copy(&ca, &trusted)?;
    let spans = collector.wait_for(1, |_| true).await?;
    assert_eq!(spans[0].name, "GET /");
    Ok(())
}
