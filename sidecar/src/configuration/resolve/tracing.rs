//! tracing.yaml, and what OpenTelemetry's variables say: whether there are spans, and where they go.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use mesh::trace::{Formats, Ratio, SpanNames};
use percent_encoding::percent_decode_str;

use super::Reader;
use super::handlers::Chains;
use crate::configuration::keys::distance;
use crate::configuration::kind;
use crate::configuration::values::Entry;
use crate::settings::{Export, Identity, Listeners, SpanProtocol, Tls, Tracing};
use crate::tls::tags;

const URI: &str = "servicecomb.tracing.settings.URI";
const TARGET: &str = "servicecomb.tracing.collectorTarget";
const OTLP: &str = "mesher.tracing.otlp.endpoint";
const OTLP_TRACES: &str = "mesher.tracing.otlp.tracesEndpoint";
/// The key that says of a collector without an address which one it is.
const EXPORTER: &str = "mesher.tracing.exporter";

const ZIPKIN_PATH: &str = "/api/v2/spans";
const OLD_ZIPKIN_PATH: &str = "/api/v1/spans";
const OTLP_PATH: &str = "/v1/traces";
/// Where every server of OTLP over gRPC has it.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// `None`: nothing is traced.
pub(super) fn tracing(
    reader: &mut Reader<'_>,
    identity: &Identity,
    listeners: &Listeners,
    tls: &BTreeMap<String, Tls>,
    chains: &Chains<'_>,
) -> Option<Tracing> {
    let asked = reader.text(&[EXPORTER]).map(str::to_ascii_lowercase);
    let zipkin = zipkin(reader);
    let otlp = reader.entry(&[OTLP_TRACES, OTLP]);
    let rank = |entry: Option<&Entry>| entry.map(|entry| entry.rank);
    let (protocol, endpoint) = match asked.as_deref() {
        Some("none") => return None,
        Some("zipkin") => (SpanProtocol::Zipkin, zipkin),
        Some(_) => (otlp_protocol(reader), otlp),
        // Who says it with more weight; of two with the same, the newer key.
        None if otlp.is_some() && rank(otlp) >= rank(zipkin) => (otlp_protocol(reader), otlp),
        None => (SpanProtocol::Zipkin, Some(zipkin?)),
    };
    let endpoint = address(reader, protocol, endpoint)?;
    if endpoint.scheme_str() == Some("https") && !tags::is_said_of_collectors(tls) {
        let entry = reader.entry(&[OTLP_TRACES, OTLP, URI, TARGET, EXPORTER]);
        if let Some(entry) = entry {
            let message = "https:// needs ssl.tracing.Consumer.caFile in tls.yaml: whom to trust";
            reader.error(entry, message);
        }
        return None;
    }
    // The handlers are the original's way to say who is traced by the original's tracer.
    let by_chain = protocol == SpanProtocol::Zipkin && asked.is_none();
    let mut sides = [true, true];
    let untraced = chains.untraced.iter().zip(["tracing-consumer", "tracing-provider"]);
    for (side, (chain, word)) in sides.iter_mut().zip(untraced) {
        if let (true, Some(chain)) = (by_chain, chain) {
            *side = false;
            reader.warning(
                chain,
                format!("requests of this chain are not traced: add {word}, or say {EXPORTER}"),
            );
        }
    }
    let [consumer, provider] = sides;
    let export = Export {
        address: listeners.addresses.first().copied(),
        ..export(reader, protocol, endpoint, identity)
    };
    let terms = Tracing {
        consumer,
        provider,
        ratio: ratio(reader),
        formats: formats(reader),
        names: match reader.text(&["mesher.tracing.spanNames"]) {
            Some(text) if text.eq_ignore_ascii_case("template") => SpanNames::Template,
            Some(text) if text.eq_ignore_ascii_case("method") => SpanNames::Method,
            _ => SpanNames::Path,
        },
        export,
    };
    (consumer || provider).then_some(terms)
}

/// The address of Zipkin, by either generation of keys, unless it counts for nothing.
fn zipkin<'a>(reader: &mut Reader<'a>) -> Option<&'a Entry> {
    let keys = ["servicecomb.tracing.settings.collector", "servicecomb.tracing.collectorType"];
    for key in keys {
        let entry = reader.entry(&[key]);
        if let Some(entry) = entry.filter(|entry| is(entry, "namedPipe")) {
            reader.warning(
                entry,
                "has no effect: spans are not written to named pipes, write http and the URI of a \
                 collector",
            );
            return None;
        }
    }
    if reader.flag(&["servicecomb.tracing.enabled"]) == Some(false) {
        return None;
    }
    reader.entry(&[URI, TARGET])
}

fn is(entry: &Entry, word: &str) -> bool {
    entry.text().is_some_and(|text| text.eq_ignore_ascii_case(word))
}

fn otlp_protocol(reader: &Reader<'_>) -> SpanProtocol {
    match reader.text(&["mesher.tracing.otlp.protocol"]).map(str::to_ascii_lowercase).as_deref() {
        Some("grpc") => SpanProtocol::OtlpGrpc,
        Some("http/json") => SpanProtocol::OtlpJson,
        _ => SpanProtocol::OtlpProtobuf,
    }
}

/// The whole address. `None`: it is none, which was said.
fn address(reader: &mut Reader<'_>, protocol: SpanProtocol, entry: Option<&Entry>) -> Option<Uri> {
    let (text, whole) = match entry {
        Some(entry) => {
            let whole = reader.entry(&[OTLP_TRACES]).is_some_and(|it| std::ptr::eq(it, entry));
            (entry.text().unwrap_or_default(), whole)
        }
        // On this host, where each has its usual port.
        None => match protocol {
            SpanProtocol::Zipkin => ("http://127.0.0.1:9411", false),
            SpanProtocol::OtlpGrpc => ("http://127.0.0.1:4317", false),
            SpanProtocol::OtlpProtobuf | SpanProtocol::OtlpJson => ("http://127.0.0.1:4318", false),
        },
    };
    let mut refuse = |why: &str| {
        if let Some(entry) = entry {
            let text = kind::short(text);
            let message = format!("\"{text}\" {why}: write http://host:port or https://host:port");
            reader.error(entry, message);
        }
    };
    let Ok(uri) = text.parse::<Uri>() else {
        refuse("is no address");
        return None;
    };
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        refuse("is no address of a collector");
        return None;
    };
    if authority.as_str().contains('@') {
        refuse("has credentials in it, which belong into mesher.tracing.otlp.headers");
        return None;
    }
    let path = uri.path().trim_end_matches('/');
    let path = match protocol {
        SpanProtocol::OtlpGrpc => GRPC_PATH.to_owned(),
        SpanProtocol::OtlpProtobuf | SpanProtocol::OtlpJson if whole => uri.path().to_owned(),
        SpanProtocol::OtlpProtobuf | SpanProtocol::OtlpJson => format!("{path}{OTLP_PATH}"),
        SpanProtocol::Zipkin if path.is_empty() => ZIPKIN_PATH.to_owned(),
        SpanProtocol::Zipkin => match path.strip_suffix(OLD_ZIPKIN_PATH) {
            Some(before) => {
                if let Some(entry) = entry {
                    let message = format!(
                        "spans go to {ZIPKIN_PATH} there: {OLD_ZIPKIN_PATH} took what Zipkin does \
                         not take any more"
                    );
                    reader.warning(entry, message);
                }
                format!("{before}{ZIPKIN_PATH}")
            }
            None => uri.path().to_owned(),
        },
    };
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut parts = uri.into_parts();
    parts.path_and_query = format!("{path}{query}").parse().ok();
    Uri::from_parts(parts).ok()
}

fn ratio(reader: &Reader<'_>) -> Ratio {
    let sampler = reader.text(&["mesher.tracing.sampler"]).map(str::to_ascii_lowercase);
    match sampler.as_deref() {
        Some("always_on" | "parentbased_always_on") => Ratio::ALL,
        Some("always_off" | "parentbased_always_off") => Ratio::NONE,
        _ => reader.get(&["mesher.tracing.ratio"], |text| text.parse().ok()).unwrap_or_default(),
    }
}

fn formats(reader: &mut Reader<'_>) -> Formats {
    const KNOWN: [&str; 5] = ["b3multi", "b3", "tracecontext", "baggage", "none"];
    let built_in = Formats { b3_multi: true, b3_single: false, w3c: true };
    let Some(entry) = reader.entry(&["mesher.tracing.propagation"]) else { return built_in };
    let mut formats = Formats::default();
    for word in entry.words() {
        match word.to_ascii_lowercase().as_str() {
            "b3multi" => formats.b3_multi = true,
            "b3" => formats.b3_single = true,
            "tracecontext" => formats.w3c = true,
            // Baggage is the application's: it always goes on as it came.
            "baggage" | "none" => {}
            _ => {
                let meant = KNOWN.iter().min_by_key(|known| distance(known, word));
                let meant = meant.filter(|known| distance(known, word) <= 3);
                let hint = meant.map_or_else(
                    || format!("there are {}", KNOWN.join(", ")),
                    |known| format!("did you mean \"{known}\"?"),
                );
                let word = kind::short(word);
                reader.warning(entry, format!("\"{word}\" is no way to tell of a trace: {hint}"));
            }
        }
    }
    formats
}

fn export(
    reader: &mut Reader<'_>,
    protocol: SpanProtocol,
    endpoint: Uri,
    identity: &Identity,
) -> Export {
    let number = |reader: &Reader<'_>, keys: &[&str], built_in: usize| {
        reader.get(keys, |text| text.parse().ok()).unwrap_or(built_in)
    };
    let time = |reader: &Reader<'_>, keys: &[&str], seconds| {
        reader.get(keys, kind::duration).unwrap_or(Duration::from_secs(seconds))
    };
    let sizes = ["mesher.tracing.batchSize", "servicecomb.tracing.settings.batchSize"];
    let intervals = ["mesher.tracing.batchInterval", "servicecomb.tracing.settings.batchInterval"];
    let batch_size = number(reader, &sizes, 512);
    Export {
        protocol,
        endpoint,
        headers: headers(reader, protocol),
        service: reader.text(&["mesher.tracing.service"]).unwrap_or(&identity.service).to_owned(),
        address: None,
        attributes: attributes(reader, identity),
        batch_size,
        batch_interval: time(reader, &intervals, 5),
        // A batch has to fit.
        queue: number(reader, &["mesher.tracing.queue"], 4096).max(batch_size),
        timeout: time(reader, &["mesher.tracing.timeout"], 10),
    }
}

/// What every call carries. Values are secrets: no message shows one.
fn headers(reader: &mut Reader<'_>, protocol: SpanProtocol) -> Vec<(HeaderName, HeaderValue)> {
    let entry = reader.entry(&["mesher.tracing.otlp.headers"]);
    let Some(entry) = entry.filter(|_| protocol != SpanProtocol::Zipkin) else { return Vec::new() };
    let mut headers = Vec::new();
    for (at, pair) in kind::words(entry.text().unwrap_or_default()).enumerate() {
        if let Some(header) = header(pair) {
            headers.push(header);
        } else {
            let which = at + 1;
            let message = format!(
                "number {which} of the headers is none: write name=value, with %2C for a comma"
            );
            reader.error(entry, message);
        }
    }
    headers
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value: Vec<u8> = percent_decode_str(value.trim()).collect();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
}

/// What a collector is told of us, by OpenTelemetry's names.
fn attributes(reader: &mut Reader<'_>, identity: &Identity) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            attributes.insert(name.to_owned(), value.to_owned());
        }
    };
    put("service.namespace", &identity.app);
    put("service.version", &identity.version);
    put("deployment.environment.name", &identity.environment);
    put("host.name", &identity.host);
    if let Some(pod) = &identity.pod {
        put("service.instance.id", &pod.uid);
        put("k8s.pod.name", &pod.name);
        put("k8s.namespace.name", &pod.namespace);
        put("k8s.pod.uid", &pod.uid);
        put("k8s.node.name", &pod.node);
    }
    let Some(entry) = reader.entry(&["mesher.tracing.attributes"]) else { return attributes };
    for pair in kind::words(entry.text().unwrap_or_default()) {
        match pair.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                let value = percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
                attributes.insert(name.trim().to_owned(), value);
            }
            _ => {
                let pair = kind::short(pair);
                let message = format!("\"{pair}\" is no attribute: write name=value");
                reader.error(entry, message);
            }
        }
    }
    attributes
}
