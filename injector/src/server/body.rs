//! Receiving a body: never more of it than allowed, and never for longer.

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use super::budget::{Hold, Ticket};
use super::refusal::Refusal;
use crate::admission::Scale;

/// What is still read of a body that is refused already, so that its sender gets to read the
/// answer instead of a broken connection.
const MOST_DISCARDED: usize = 16 << 20;
const LONGEST_DISCARD: Duration = Duration::from_secs(1);

/// The whole body, of at most `most` bytes, before `deadline`. What it and reading it will cost is
/// counted against the budget as it arrives, not as it is announced.
pub(super) async fn receive(
    body: &mut (impl Body<Data = Bytes> + Unpin),
    announced: Option<usize>,
    most: usize,
    deadline: Instant,
    ticket: &mut Ticket,
) -> Result<Vec<u8>, Refusal> {
    if announced.is_some_and(|length| length > most) {
        return Err(Refusal::TooLong(most));
    }
    let (mut received, mut scale) = (Vec::new(), Scale::default());
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| Refusal::BodyTimeout)?;
        let Some(frame) = frame else {
            return Ok(received);
        };
        let Ok(data) = frame.map_err(|_| Refusal::BodyBroken)?.into_data() else {
            continue;
        };
        if received.len() + data.len() > most {
            return Err(Refusal::TooLong(most));
        }
        scale.put(&data);
        match ticket.hold(scale.cost()) {
            Hold::Fits => received.extend_from_slice(&data),
            Hold::NotNow => return Err(Refusal::Overloaded),
            Hold::Never { budget } => return Err(Refusal::TooCostly { budget }),
        }
    }
}

/// Reads on for a moment without keeping anything.
pub(super) async fn discard(mut body: impl Body<Data = Bytes> + Unpin, announced: Option<usize>) {
    if announced.is_some_and(|length| length > MOST_DISCARDED) {
        return;
    }
    let deadline = Instant::now() + LONGEST_DISCARD;
    let mut left = MOST_DISCARDED;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
