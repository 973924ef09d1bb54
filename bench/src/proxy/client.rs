//! The load's side of a connection: one request at a time.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::http1::Reader;
use super::http2::{Event, Session};
use super::socket::Socket;
use super::{Call, Spoken, Wrong};

/// One connection to a proxy (or to a backend).
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: Socket,
    speaks: Speaks,
    /// When the request that is under way was due.
    due: Option<Instant>,
}

#[derive(Debug)]
enum Speaks {
    Http1(Reader),
    Http2(Box<Caller>),
}

/// The one call that is under way.
#[derive(Debug)]
struct Caller {
    session: Session,
    /// The number of its stream; 0: there is none.
    stream: u32,
    /// Twice as many as there were.
    last: u32,
    /// The response's head has come.
    head: bool,
    received: usize,
    /// The peer does not take the request yet.
    waits: bool,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) due: Instant,
    /// With 200, or `grpc-status: 0`, and the whole body.
    pub(super) well: bool,
}

impl Client {
    pub(super) fn connect(address: SocketAddr, spoken: Spoken) -> Result<Self, Wrong> {
        let speaks = match spoken {
            Spoken::Http1 => Speaks::Http1(Reader::default()),
            Spoken::Grpc => Speaks::Http2(Box::new(Caller {
                session: Session::client(),
                stream: 0,
                last: 0,
                head: false,
                received: 0,
                waits: false,
            })),
        };
        let socket = Socket::new(TcpStream::connect(address)?)?;
        Ok(Self { socket, speaks, due: None })
    }

    /// Sends the request that was due then.
    pub(super) fn begin(&mut self, call: &Call, due: Instant) -> Result<(), Wrong> {
        self.due = Some(due);
        match &mut self.speaks {
            Speaks::Http1(_) => self.socket.send(&call.request)?,
            Speaks::Http2(caller) => {
                caller.begin(call);
                self.socket.send(&caller.session.out)?;
                caller.session.out.clear();
            }
        }
        Ok(())
    }

    /// Reads once. The error ends the run.
    pub(super) fn turn(
        &mut self,
        buffer: &mut [u8],
        call: &Call,
    ) -> Result<Option<Answered>, Wrong> {
        self.socket.flush()?;
        let Some(count) = self.socket.read(buffer)? else { return Ok(None) };
        if count == 0 {
            return Err(Wrong::Closed);
        }
        let data = &buffer[..count];
        let well = match &mut self.speaks {
            Speaks::Http1(reader) => reader
                .feed(data)?
                .map(|head| &head.status == b"200" && head.length == call.scenario.response as u64),
            Speaks::Http2(caller) => {
                let ended = caller.read(data, call)?;
                self.socket.send(&caller.session.out)?;
                caller.session.out.clear();
                ended
            }
        };
        let Some(well) = well else { return Ok(None) };
        let due = self.due.take().ok_or(Wrong::TooMuch)?;
        Ok(Some(Answered { due, well }))
    }
}

impl Caller {
    fn begin(&mut self, call: &Call) {
        self.waits = !self.session.takes(call.request_body.len());
        if self.waits {
            return;
        }
        self.last += 2;
        self.stream = self.last - 1;
        (self.head, self.received) = (false, 0);
        self.session.send_head(self.stream, &call.request_head);
        let message = call.request_body.len().max(1);
        self.session.send_messages(self.stream, &call.request_body, message, true);
    }

    fn read(&mut self, data: &[u8], call: &Call) -> Result<Option<bool>, Wrong> {
        let own = self.stream;
        let (mut head, mut received, mut ended) = (self.head, self.received, None);
        let whole = call.response_body.len();
        self.session.feed(data, |event| match event {
            // What comes after the end, as that nothing more of the request is wanted, is no news.
            _ if ended.is_some() => {}
            Event::Headers { stream, end } if stream == own => {
                if end {
                    // A call that failed has nothing but trailers, and no message.
                    ended = Some(head && received == whole);
                }
                head = true;
            }
            Event::Data { stream, length, end } if stream == own => {
                received += length;
                if end {
                    // There are no trailers, so there is no status.
                    ended = Some(false);
                }
            }
            Event::Reset { stream } if stream == own => ended = Some(false),
            Event::Headers { .. } | Event::Data { .. } | Event::Reset { .. } => {}
        })?;
        (self.head, self.received) = (head, received);
        if ended.is_some() {
            // No stream has this number.
            self.stream = 0;
        }
        if self.waits {
            self.begin(call);
        }
        Ok(ended)
    }
}
