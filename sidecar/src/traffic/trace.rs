//! Which trace a request belongs to: read from its headers, and told to the next in line.
//!
//! Where spans are collected, the next in line becomes a child of ours. Where they are not, we are
//! not there: it is told what we were told, or that a trace begins here which nobody collects.

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request};
use mesh::trace::{Carried, Extracted, Formats, Sampling, TraceContext, Written, extract};

use super::Here;
use super::context;
use crate::listener::Side;
use crate::settings::Tracing;
use crate::spans::{self, Span};

const B3: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const YES: HeaderValue = HeaderValue::from_static("1");
const NO: HeaderValue = HeaderValue::from_static("0");

/// Begins the span of a request, and has its headers tell of it. `None`: there is none, as nothing
/// is traced, or not this; then nothing, or next to nothing, was done.
pub(crate) fn begin<B>(here: &Here<'_>, request: &mut Request<B>) -> Option<Box<Span>> {
    let spans = &here.worker.shared.spans;
    if !spans.trace(here.port.side) {
        return None;
    }
    let terms = spans.terms();
    // A CONNECT is followed by requests that have headers of their own.
    let terms = terms.as_ref().filter(|_| request.method() != Method::CONNECT)?;
    let context = pass_on(request.headers_mut(), terms)?;
    let caller = match here.port.side {
        Side::Consumer => None,
        Side::Provider => {
            context::source(request.headers()).map(|source| source.into_owned().into())
        }
    };
    let request = spans::Request {
        side: here.port.side,
        method: request.method().clone(),
        path: spans::Request::path(request.uri().path()),
        listener: here.port.address,
        peer: here.connection.client,
        caller,
    };
    Some(Box::new(Span::new(context, request)))
}

/// Has the headers tell of our span, and returns it. `None`: none is collected.
fn pass_on(headers: &mut HeaderMap, terms: &Tracing) -> Option<TraceContext> {
    let told = extract(&carried(headers));
    let began = told.context.unwrap_or_else(|| {
        TraceContext::new([fastrand::u64(..), fastrand::u64(..), fastrand::u64(..)], told.sampling)
    });
    let sampling = match told.sampling {
        Sampling::Undecided if terms.ratio.takes(began.trace.low()) => Sampling::Yes,
        Sampling::Undecided => Sampling::No,
        decided => decided,
    };
    let began = TraceContext { sampling, ..began };
    if !sampling.takes() {
        let goes_on_as_it_came = told.consistent && told.sampling == Sampling::No;
        if !goes_on_as_it_came {
            write(headers, &began, &told, terms.formats);
        }
        return None;
    }
    let ours = if told.context.is_some() { began.child(fastrand::u64(..)) } else { began };
    write(headers, &ours, &told, terms.formats);
    Some(ours)
}

fn carried(headers: &HeaderMap) -> Carried<'_> {
    let one = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        // Of two, nobody knows which one counts.
        Some(if values.next().is_none() { first.as_bytes() } else { &[] })
    };
    Carried {
        b3: one(&B3),
        trace_id: one(&TRACE_ID),
        span_id: one(&SPAN_ID),
        parent_span_id: one(&PARENT_SPAN_ID),
        sampled: one(&SAMPLED),
        flags: one(&FLAGS),
        traceparent: one(&TRACEPARENT),
    }
}

/// Tells of `context` as the caller told of his, or in `formats` if he told nothing.
fn write(headers: &mut HeaderMap, context: &TraceContext, told: &Extracted, formats: Formats) {
    let formats = if told.formats.is_empty() { formats } else { told.formats };
    let written = Written::of(context, formats);
    let text = Bytes::from(written.text);
    let mut set = |name: HeaderName, range: Option<std::ops::Range<usize>>| {
        let value = range.map(|range| HeaderValue::from_maybe_shared(text.slice(range)));
        match value {
            Some(Ok(value)) => drop(headers.insert(name, value)),
            Some(Err(_)) | None => drop(headers.remove(name)),
        }
    };
    if formats.b3_single {
        set(B3, written.b3);
    }
    if formats.w3c {
        set(TRACEPARENT, Some(written.traceparent));
    }
    if formats.b3_multi {
        set(TRACE_ID, Some(written.trace_id));
        set(SPAN_ID, Some(written.span_id));
        set(PARENT_SPAN_ID, written.parent_span_id);
        // Who debugs says that, and not the other.
        let (sampled, flags) = match context.sampling {
            Sampling::Debug => (None, Some(YES)),
            Sampling::Yes => (Some(YES), None),
            Sampling::No => (Some(NO), None),
            Sampling::Undecided => (None, None),
        };
        for (name, value) in [(SAMPLED, sampled), (FLAGS, flags)] {
            match value {
                Some(value) => drop(headers.insert(name, value)),
                None => drop(headers.remove(name)),
            }
        }
    }
    if formats.w3c && !told.keeps_state {
        // What others have noted is of another trace.
        headers.remove(TRACESTATE);
    }
}

#[cfg(test)]
mod tests;
