//! `traceparent` (W3C Trace Context §3.2): `VERSION-TRACE-SPAN-FLAGS`, in small digits.

use super::{Sampling, SpanId, TraceContext, TraceId};

/// Of the flags: spans are collected.
const SAMPLED: u8 = 0b01;
/// Of the flags: the id of the trace is random (level 2).
const RANDOM: u8 = 0b10;
/// The length of version 00; later ones begin the same.
pub(super) const LENGTH: usize = 55;

/// `None`: it names no span.
pub(super) fn read(text: &[u8]) -> Option<TraceContext> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let version = small(&known[..2])?;
    let more = match version {
        // It has no more, and will never have.
        0 => !rest.is_empty(),
        0xff => true,
        _ => !rest.is_empty() && rest[0] != b'-',
    };
    let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let is_small = |byte: &u8| !byte.is_ascii_uppercase();
    if more || !dashes || !known.iter().all(is_small) {
        return None;
    }
    let flags = small(&known[53..])?;
    let sampling = if flags & SAMPLED == 0 { Sampling::No } else { Sampling::Yes };
    Some(TraceContext {
        trace: TraceId::read(&known[3..35])?,
        span: SpanId::read(&known[36..52])?,
        parent: None,
        sampling,
        random: flags & RANDOM != 0,
    })
}

/// The flags, as two digits.
pub(super) fn flags(context: &TraceContext) -> [u8; 2] {
    let sampled = if context.sampling.takes() { SAMPLED } else { 0 };
    let random = if context.random { RANDOM } else { 0 };
    [b'0', b'0' + (sampled | random)]
}

/// Two digits.
fn small(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let [high, low] = text else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}
