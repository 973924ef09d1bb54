//! A body in fewer frames than it came in.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

/// The most that is gathered: what a frame may have unless the peer allows more.
const MOST: usize = 16 << 10;
/// What has so many bytes goes on as it came: copying it would cost more than a frame does.
const LARGE: usize = 4 << 10;

/// Passes on in one frame what has come in many: each costs its sender a write, its receiver a
/// wake, and both the bookkeeping of windows. Nothing is waited for, so nothing is late.
#[derive(Debug)]
pub(crate) struct Gathered<B: Body> {
    body: B,
    /// What came behind the frame that was passed on last, if anything did.
    next: Poll<Option<Result<Frame<Bytes>, B::Error>>>,
}

impl<B: Body<Data = Bytes> + Unpin> Gathered<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, next: Poll::Pending }
    }

    /// Adds to `first` what else is there.
    fn gather(&mut self, first: Bytes, cx: &mut Context<'_>) -> Bytes {
        let mut gathered = BytesMut::new();
        let mut length = first.len();
        while length < MOST && !self.body.is_end_stream() {
            let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx) else { break };
            match next.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.len() < LARGE && length + data.len() <= MOST => {
                    if gathered.is_empty() {
                        gathered.extend_from_slice(&first);
                    }
                    gathered.extend_from_slice(&data);
                    length += data.len();
                    continue;
                }
                Some(Ok(Ok(data))) => self.next = Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Ok(Err(trailers))) => self.next = Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => self.next = Poll::Ready(Some(Err(error))),
                None => self.next = Poll::Ready(None),
            }
            break;
        }
        if gathered.is_empty() { first } else { gathered.freeze() }
    }
}

impl<B> Body for Gathered<B>
where
    B: Body<Data = Bytes, Error: Unpin> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = Pin::into_inner(self);
        let first = match mem::replace(&mut this.next, Poll::Pending) {
            Poll::Ready(next) => next,
            Poll::Pending => ready!(Pin::new(&mut this.body).poll_frame(cx)),
        };
        let Some(Ok(frame)) = first else { return Poll::Ready(first) };
        let frame = match frame.into_data() {
            Ok(data) if data.len() < LARGE => Frame::data(this.gather(data, cx)),
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.next {
            Poll::Ready(next) => next.is_none(),
            Poll::Pending => self.body.is_end_stream(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use hyper::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    /// What a body does when it is asked.
    #[derive(Debug, Clone)]
    enum Move {
        Data(usize),
        Wait,
        Trailers,
        Fail,
    }

    struct Script {
        moves: VecDeque<Move>,
        /// Whether it says so when nothing more comes.
        foresees: bool,
        byte: u8,
    }

    impl Body for Script {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            let frame = match self.moves.pop_front() {
                Some(Move::Wait) => return Poll::Pending,
                Some(Move::Data(length)) => {
                    self.byte = self.byte.wrapping_add(1);
                    Some(Ok(Frame::data(Bytes::from(vec![self.byte; length]))))
                }
                Some(Move::Trailers) => Some(Ok(Frame::trailers(HeaderMap::new()))),
                Some(Move::Fail) => Some(Err("broke off")),
                None => None,
            };
            Poll::Ready(frame)
        }

        fn is_end_stream(&self) -> bool {
            self.foresees && self.moves.is_empty()
        }
    }

    /// Everything that comes out: the bytes, then how it ended, and in how many frames of data.
    fn drain(
        mut body: impl Body<Data = Bytes, Error = &'static str> + Unpin,
    ) -> (Vec<u8>, String, usize) {
        let mut bytes = Vec::new();
        let mut end = String::new();
        let mut frames = 0;
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..1_000 {
            if body.is_end_stream() {
                return (bytes, end + "end", frames);
            }
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Pending => {}
                Poll::Ready(None) => return (bytes, end + "end", frames),
                Poll::Ready(Some(Err(error))) => return (bytes, end + error, frames),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        assert!(end.is_empty(), "data behind the trailers");
                        bytes.extend_from_slice(&data);
                        frames += 1;
                    }
                    Err(_) => end.push_str("trailers, "),
                },
            }
        }
        panic!("no end");
    }

    fn gathered(moves: &[Move]) -> (Vec<u8>, String, usize) {
        drain(Gathered::new(script(moves, false)))
    }

    fn script(moves: &[Move], foresees: bool) -> Script {
        Script { moves: moves.iter().cloned().collect(), foresees, byte: 0 }
    }

    #[test]
    fn what_is_there_goes_together_up_to_a_frame() {
        let (bytes, end, frames) = gathered(&vec![Move::Data(1_005); 64]);
        assert_eq!((bytes.len(), &*end, frames), (64 * 1_005, "end", 4));
    }

    #[test]
    fn nothing_is_waited_for() {
        let (_, _, frames) = gathered(&[Move::Data(1), Move::Wait, Move::Data(1), Move::Data(1)]);
        assert_eq!(frames, 2);
    }

    #[test]
    fn what_is_large_is_not_copied() {
        let (_, _, frames) = gathered(&[Move::Data(10), Move::Data(LARGE), Move::Data(10)]);
        assert_eq!(frames, 3);
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let move_ = prop_oneof![
            4 => (0..2 * LARGE).prop_map(Move::Data),
            4 => (0..200_usize).prop_map(Move::Data),
            2 => Just(Move::Wait),
        ];
        let end = prop_oneof![Just(vec![]), Just(vec![Move::Trailers]), Just(vec![Move::Fail])];
        (prop::collection::vec(move_, 0..80), end).prop_map(|(moves, end)| [moves, end].concat())
    }

    proptest! {
        #[test]
        fn the_body_is_the_same(moves in moves(), foresees: bool) {
            let (bytes, end, frames) = drain(script(&moves, foresees));
            let all = drain(Gathered::new(script(&moves, foresees)));
            prop_assert!(all.2 <= frames);
            prop_assert_eq!((all.0, all.1), (bytes, end));
        }
    }
}
