use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use mesh::trace::{Formats, Ratio, SpanNames};

use super::pass_on;
use crate::settings::{Export, SpanProtocol, Tracing};

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

fn terms(ratio: Ratio, b3_single: bool) -> Tracing {
    Tracing {
        consumer: true,
        provider: true,
        ratio,
        formats: Formats { b3_multi: !b3_single, b3_single, w3c: true },
        names: SpanNames::Path,
        export: Export {
            protocol: SpanProtocol::Zipkin,
            endpoint: "http://127.0.0.1:9411/api/v2/spans".parse().expect("an address"),
            headers: Vec::new(),
            service: String::new(),
            address: None,
            attributes: std::collections::BTreeMap::new(),
            batch_size: 1,
            batch_interval: Duration::from_secs(1),
            queue: 1,
            timeout: Duration::from_secs(1),
        },
    }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        (
            name.parse::<HeaderName>().expect("a name"),
            value.parse::<HeaderValue>().expect("a value"),
        )
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().map(line) {
        headers.append(name, value);
    }
    headers
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

#[test]
fn a_trace_that_begins_here_is_told_in_the_formats_of_the_settings() {
    let mut told = headers(&[("x-user", "jason")]);
    let ours = pass_on(&mut told, &terms(Ratio::ALL, false)).expect("a span");
    let (trace, span) = (ours.trace.to_string(), ours.span.to_string());
    assert_eq!(text(&told, "x-b3-traceid"), Some(&*trace));
    assert_eq!(text(&told, "x-b3-spanid"), Some(&*span));
    assert_eq!(text(&told, "x-b3-sampled"), Some("1"));
    assert_eq!(text(&told, "x-b3-parentspanid"), None);
    assert_eq!(text(&told, "b3"), None);
    assert_eq!(text(&told, "traceparent"), Some(&*format!("00-{trace}-{span}-01")));

    let mut told = headers(&[]);
    let ours = pass_on(&mut told, &terms(Ratio::ALL, true)).expect("a span");
    assert_eq!(text(&told, "b3"), Some(&*format!("{}-{}-1", ours.trace, ours.span)));
    assert_eq!(text(&told, "x-b3-traceid"), None);

    // Also one that is not collected has a name, by which log lines find each other.
    let mut told = headers(&[]);
    assert_eq!(pass_on(&mut told, &terms(Ratio::NONE, false)), None);
    assert_eq!(text(&told, "x-b3-sampled"), Some("0"));
    assert!(text(&told, "traceparent").is_some_and(|value| value.ends_with("-00")));
}

#[test]
fn a_trace_goes_on_in_the_format_it_came_in() {
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let mut told = headers(&[("traceparent", &traceparent), ("tracestate", "a=1,b=2")]);
    let ours = pass_on(&mut told, &terms(Ratio::NONE, false)).expect("a span");
    assert_eq!(ours.parent.map(|parent| parent.to_string()).as_deref(), Some(SPAN));
    assert_eq!(text(&told, "traceparent"), Some(&*format!("00-{TRACE}-{}-01", ours.span)));
    assert_eq!(text(&told, "tracestate"), Some("a=1,b=2"), "it is still the same trace");
    assert_eq!(told.len(), 2, "{told:?}");

    let mut told = headers(&[("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Flags", "1")]);
    let ours = pass_on(&mut told, &terms(Ratio::NONE, false)).expect("a span");
    assert_eq!(text(&told, "x-b3-traceid"), Some(TRACE));
    assert_eq!(text(&told, "x-b3-spanid"), Some(&*ours.span.to_string()));
    assert_eq!(text(&told, "x-b3-parentspanid"), Some(SPAN));
    assert_eq!(text(&told, "x-b3-flags"), Some("1"), "who debugs, debugs on");
    assert_eq!(text(&told, "x-b3-sampled"), None);
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn what_is_not_collected_goes_on_as_it_came() {
    let traceparent = format!("00-{TRACE}-{SPAN}-00");
    let single = format!("{}-{SPAN}-0", &TRACE[16..]);
    for lines in [
        vec![("traceparent", &*traceparent), ("tracestate", "a=1")],
        vec![("b3", &*single)],
        vec![("b3", "0")],
        vec![("x-b3-sampled", "0")],
        vec![("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")],
    ] {
        let mut told = headers(&lines);
        assert_eq!(pass_on(&mut told, &terms(Ratio::ALL, false)), None);
        assert_eq!(told, headers(&lines));
    }
}

#[test]
fn what_nobody_decided_is_decided_here() {
    let lines = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    let mut told = headers(&lines);
    assert!(pass_on(&mut told, &terms(Ratio::ALL, false)).is_some());
    assert_eq!(text(&told, "x-b3-sampled"), Some("1"));
    let mut told = headers(&lines);
    assert_eq!(pass_on(&mut told, &terms(Ratio::NONE, false)), None);
    assert_eq!(text(&told, "x-b3-sampled"), Some("0"));
    assert_eq!(text(&told, "x-b3-spanid"), Some(SPAN), "we are not there");
}

#[test]
fn what_cannot_be_read_is_replaced() {
    let good = format!("00-{TRACE}-{SPAN}-01");
    for lines in [
        vec![("traceparent", "00-broken"), ("tracestate", "a=1")],
        vec![("traceparent", &*good), ("traceparent", &*good), ("tracestate", "a=1")],
    ] {
        let mut told = headers(&lines);
        let ours = pass_on(&mut told, &terms(Ratio::ALL, false)).expect("a span");
        assert_eq!(ours.parent, None);
        assert_ne!(ours.trace.to_string(), TRACE);
        let values: Vec<_> = told.get_all("traceparent").iter().collect();
        assert_eq!(values, [&*format!("00-{}-{}-01", ours.trace, ours.span)]);
        assert_eq!(text(&told, "tracestate"), None, "it was another trace's");
        assert_eq!(text(&told, "x-b3-traceid"), None, "the caller does not speak B3");
    }
    // Of two that do not agree, one counts, and both say so from then on.
    let single = format!("{}-{SPAN}-0", TRACE.replace('8', "9"));
    let mut told = headers(&[("b3", &single), ("traceparent", &good), ("tracestate", "a=1")]);
    assert_eq!(pass_on(&mut told, &terms(Ratio::ALL, false)), None);
    assert_eq!(text(&told, "b3"), Some(&*single));
    assert_eq!(text(&told, "traceparent"), Some(&*format!("00-{}-{SPAN}-00", &single[..32])));
    assert_eq!(text(&told, "tracestate"), None);
}
