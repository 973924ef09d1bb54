//! B3, in many headers and in one (github.com/openzipkin/b3-propagation).

use super::{Carried, Sampling, SpanId, Told, TraceContext, TraceId};

/// `X-B3-TraceId` and its kin. `None`: there is nothing to be read in them.
///
/// Ids count only together, and with a parent that can be read or none; a decision also alone.
pub(super) fn read_multi(carried: &Carried<'_>) -> Option<Told> {
    let debug = carried.flags == Some(b"1");
    let sampling = match carried.sampled {
        _ if debug => Sampling::Debug,
        // Older tracers write words.
        Some(b"1" | b"true" | b"True") => Sampling::Yes,
        Some(b"0" | b"false" | b"False") => Sampling::No,
        _ => Sampling::Undecided,
    };
    let parent = carried.parent_span_id.filter(|text| !text.is_empty());
    let ids = carried.trace_id.and_then(TraceId::read).zip(carried.span_id.and_then(SpanId::read));
    let context = match (ids, parent.map(SpanId::read)) {
        (Some(ids), None) => Some(of(ids, None, sampling)),
        (Some(ids), Some(Some(parent))) => Some(of(ids, Some(parent), sampling)),
        (None, _) | (_, Some(None)) => None,
    };
    (context.is_some() || sampling != Sampling::Undecided).then_some(Told { context, sampling })
}

/// `b3`: `TRACE-SPAN`, `TRACE-SPAN-STATE`, `TRACE-SPAN-STATE-PARENT`, or the state alone.
pub(super) fn read_single(text: &[u8]) -> Option<Told> {
    if let Some(sampling) = state(text) {
        return Some(Told { context: None, sampling });
    }
    let mut parts = text.split(|byte| *byte == b'-');
    let trace = TraceId::read(parts.next()?)?;
    let span = SpanId::read(parts.next()?)?;
    let sampling = parts.next().map_or(Some(Sampling::Undecided), state)?;
    let parent = match parts.next() {
        Some(parent) => Some(SpanId::read(parent)?),
        None => None,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(Told { context: Some(of((trace, span), parent, sampling)), sampling })
}

fn state(text: &[u8]) -> Option<Sampling> {
    Some(match text {
        b"0" => Sampling::No,
        b"1" => Sampling::Yes,
        b"d" => Sampling::Debug,
        _ => return None,
    })
}

fn of(
    (trace, span): (TraceId, SpanId),
    parent: Option<SpanId>,
    sampling: Sampling,
) -> TraceContext {
    TraceContext { trace, span, parent, sampling, random: false }
}
