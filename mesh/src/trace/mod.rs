//! Distributed traces: which one a request belongs to, as the headers of B3 and of the W3C tell it,
//! and what the next in line is told.
//!
//! | headers | written by |
//! |---|---|
//! | `b3` | B3 in one header |
//! | `X-B3-TraceId`, `-SpanId`, `-ParentSpanId`, `-Sampled`, `-Flags` | B3 in many, as go-chassis and Zipkin have it |
//! | `traceparent`, `tracestate` | W3C Trace Context |
//!
//! Where several name a span, the first of this table counts, as in Envoy and in Zipkin's own
//! libraries. What cannot be read counts as absent. Bytes come in and bytes go out: names of
//! headers, random numbers and the clock are the caller's.

mod b3;
mod id;
mod name;
mod ratio;
mod w3c;
mod written;

pub use id::{SpanId, TraceId};
pub use name::{SpanNames, span_name};
pub use ratio::Ratio;
pub use written::Written;

/// Whether spans of a trace are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampling {
    /// Nobody has decided; who sees the trace first does.
    #[default]
    Undecided,
    /// No.
    No,
    /// Yes.
    Yes,
    /// Yes, whatever anybody else thinks of it (B3 only).
    Debug,
}

impl Sampling {
    /// Whether spans are collected.
    pub fn takes(self) -> bool {
        matches!(self, Self::Yes | Self::Debug)
    }
}

/// A span, as its children are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// Itself.
    pub span: SpanId,
    /// What it is a child of; only B3 tells.
    pub parent: Option<SpanId>,
    /// Whether it is collected.
    pub sampling: Sampling,
    /// The flag by which the W3C says that the trace's id is random. It is passed on and never set,
    /// as readers of the first version refuse ids with flags that they do not know.
    pub random: bool,
}

impl TraceContext {
    /// The first span of a trace, of three random numbers.
    pub fn new(random: [u64; 3], sampling: Sampling) -> Self {
        let [high, low, span] = random;
        let trace = TraceId::new(high, low).unwrap_or(TraceId::SMALLEST);
        let span = SpanId::new(span).unwrap_or(SpanId::SMALLEST);
        Self { trace, span, parent: None, sampling, random: false }
    }

    /// A span below this one, of a random number.
    #[must_use]
    pub fn child(&self, random: u64) -> Self {
        // Two of one number would be the same span.
        let span = [random, random ^ 1].into_iter().filter_map(SpanId::new);
        let span = span.into_iter().find(|id| *id != self.span).unwrap_or(SpanId::SMALLEST);
        Self { span, parent: Some(self.span), ..*self }
    }
}

/// Ways of telling the next in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats {
    /// `X-B3-TraceId` and its kin.
    pub b3_multi: bool,
    /// `b3`.
    pub b3_single: bool,
    /// `traceparent` and `tracestate`.
    pub w3c: bool,
}

impl Formats {
    /// None of them.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The headers of a request that tell of a trace, as they came. One that came more than once, and
/// may not, is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried<'a> {
    /// `b3`
    pub b3: Option<&'a [u8]>,
    /// `X-B3-TraceId`
    pub trace_id: Option<&'a [u8]>,
    /// `X-B3-SpanId`
    pub span_id: Option<&'a [u8]>,
    /// `X-B3-ParentSpanId`
    pub parent_span_id: Option<&'a [u8]>,
    /// `X-B3-Sampled`
    pub sampled: Option<&'a [u8]>,
    /// `X-B3-Flags`
    pub flags: Option<&'a [u8]>,
    /// `traceparent`
    pub traceparent: Option<&'a [u8]>,
}

/// What the headers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// The caller's span. `None`: the trace begins here.
    pub context: Option<TraceContext>,
    /// What was decided; B3 can tell that without naming a span.
    pub sampling: Sampling,
    /// How the caller told it, also where that could not be read.
    pub formats: Formats,
    /// Whether all that the caller told says the same, and so can go on as it is.
    pub consistent: bool,
    /// Whether `tracestate` belongs to this trace.
    pub keeps_state: bool,
}

/// What one way of telling told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    context: Option<TraceContext>,
    sampling: Sampling,
}

/// Reads the headers of a request.
///
/// ```
/// use mesh::trace::{Carried, Sampling, extract};
/// let b3 = Carried { b3: Some(b"463ac35c9f6413ad-a2fb4a1d1a96d312-1"), ..Carried::default() };
/// let context = extract(&b3).context.expect("a span");
/// assert_eq!(context.trace.to_string(), "463ac35c9f6413ad");
/// assert_eq!(context.sampling, Sampling::Yes);
/// ```
pub fn extract(carried: &Carried<'_>) -> Extracted {
    let multi = [carried.trace_id, carried.span_id, carried.sampled, carried.flags];
    let formats = Formats {
        b3_multi: multi.iter().any(Option::is_some),
        b3_single: carried.b3.is_some(),
        w3c: carried.traceparent.is_some(),
    };
    if formats.is_empty() {
        return Extracted::default();
    }
    let single = carried.b3.and_then(b3::read_single);
    let multi = formats.b3_multi.then(|| b3::read_multi(carried)).flatten();
    let w3c = carried.traceparent.and_then(w3c::read);
    let w3c = w3c.map(|context| Told { context: Some(context), sampling: context.sampling });
    let told = [single, multi, w3c];

    let named = told.iter().flatten().find(|told| told.context.is_some());
    let decided = told.iter().flatten().find(|told| told.sampling != Sampling::Undecided);
    let context = named.and_then(|told| told.context);
    let sampling = match named {
        Some(told) if told.sampling != Sampling::Undecided => told.sampling,
        _ => decided.map_or(Sampling::Undecided, |told| told.sampling),
    };
    let same = |told: &Option<Told>| {
        told.is_some_and(|told| {
            let ids = |context: TraceContext| (context.trace, context.span);
            told.context.map(ids) == context.map(ids) && told.sampling.takes() == sampling.takes()
        })
    };
    let came = [formats.b3_single, formats.b3_multi, formats.w3c];
    let consistent = came.iter().zip(&told).all(|(came, told)| !came || same(told));
    let trace_of = |told: Told| told.context.map(|context| context.trace);
    let keeps_state = w3c
        .and_then(trace_of)
        .is_some_and(|trace| context.is_some_and(|context| context.trace == trace));
    let random = keeps_state && w3c.and_then(|told| told.context).is_some_and(|it| it.random);
    let context = context.map(|context| TraceContext { sampling, random, ..context });
    Extracted { context, sampling, formats, consistent, keeps_state }
}

#[cfg(test)]
mod tests;
