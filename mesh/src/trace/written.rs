//! A span as headers tell of it.

use std::ops::Range;

use super::{Formats, Sampling, TraceContext, w3c};

/// The values of all headers, one behind the other in one piece of memory: what B3 has in two
/// headers is part of what the W3C has in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// All of it.
    pub text: Vec<u8>,
    /// Of it, `traceparent`.
    pub traceparent: Range<usize>,
    /// `X-B3-TraceId`.
    pub trace_id: Range<usize>,
    /// `X-B3-SpanId`.
    pub span_id: Range<usize>,
    /// `X-B3-ParentSpanId`.
    pub parent_span_id: Option<Range<usize>>,
    /// `b3`, where that was asked for.
    pub b3: Option<Range<usize>>,
}

impl Written {
    /// What the next in line is told of `context`.
    ///
    /// ```
    /// use mesh::trace::{Formats, Sampling, TraceContext, Written};
    /// let context = TraceContext::new([0, 0xa, 0xb], Sampling::Yes);
    /// let written = Written::of(&context, Formats { w3c: true, ..Formats::default() });
    /// let traceparent = &written.text[written.traceparent];
    /// assert_eq!(traceparent, b"00-0000000000000000000000000000000a-000000000000000b-01");
    /// ```
    pub fn of(context: &TraceContext, formats: Formats) -> Self {
        let short = context.trace.is_short();
        let parent = context.parent.filter(|_| formats.b3_multi || formats.b3_single);
        let mut text = Vec::with_capacity(if formats.b3_single { 128 } else { 72 });
        let mut push = |parts: &[&[u8]]| {
            let start = text.len();
            for part in parts {
                text.extend_from_slice(part);
            }
            start..text.len()
        };
        let (trace, span) = (context.trace.digits(), context.span.digits());
        let traceparent = push(&[b"00-", &trace, b"-", &span, b"-", &w3c::flags(context)]);
        let parent = parent.map(super::SpanId::digits);
        let parent_span_id = parent.as_ref().map(|parent| push(&[parent]));
        let b3 = formats.b3_single.then(|| {
            let state: &[u8] = match context.sampling {
                Sampling::Undecided => b"",
                Sampling::No => b"-0",
                Sampling::Yes => b"-1",
                Sampling::Debug => b"-d",
            };
            let trace = if short { &trace[16..] } else { &trace[..] };
            match &parent {
                Some(parent) if !state.is_empty() => {
                    push(&[trace, b"-", &span, state, b"-", parent])
                }
                _ => push(&[trace, b"-", &span, state]),
            }
        });
        let trace_id = if short { 19..35 } else { 3..35 };
        Self { text, traceparent, trace_id, span_id: 36..52, parent_span_id, b3 }
    }
}
