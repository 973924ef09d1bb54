//! A backend's side of a connection: every request is answered with the same.

use std::collections::VecDeque;
use std::net::TcpStream;

use super::http1::Reader;
use super::http2::{Event, Session};
use super::socket::Socket;
use super::{Call, Spoken, Wrong};

/// One connection from a proxy (or from the load itself).
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) socket: Socket,
    speaks: Speaks,
}

#[derive(Debug)]
enum Speaks {
    Http1(Reader),
    /// With the requests that wait until the peer takes more.
    Http2(Box<Session>, VecDeque<u32>),
}

impl Backend {
    pub(super) fn new(tcp: TcpStream, spoken: Spoken) -> Result<Self, Wrong> {
        let speaks = match spoken {
            Spoken::Http1 => Speaks::Http1(Reader::default()),
            Spoken::Grpc => Speaks::Http2(Box::new(Session::server()), VecDeque::new()),
        };
        Ok(Self { socket: Socket::new(tcp)?, speaks })
    }

    /// Reads once and answers what is whole. `false`: the peer has closed.
    pub(super) fn turn(&mut self, buffer: &mut [u8], call: &Call) -> Result<bool, Wrong> {
        self.socket.flush()?;
        let Some(count) = self.socket.read(buffer)? else { return Ok(true) };
        if count == 0 {
            return Ok(false);
        }
        let data = &buffer[..count];
        match &mut self.speaks {
            Speaks::Http1(reader) => {
                if reader.feed(data)?.is_some() {
                    self.socket.send(&call.response)?;
                }
            }
            Speaks::Http2(session, waiting) => {
                session.feed(data, |event| match event {
                    Event::Headers { stream, end: true }
                    | Event::Data { stream, end: true, .. } => {
                        waiting.push_back(stream);
                    }
                    Event::Headers { .. } | Event::Data { .. } | Event::Reset { .. } => {}
                })?;
                while let Some(stream) = waiting.front().copied()
                    && session.takes(call.response_body.len())
                {
                    waiting.pop_front();
                    session.send_head(stream, &call.response_head);
                    session.send_messages(stream, &call.response_body, call.message(), false);
                    session.send_trailers(stream, &call.trailers);
                }
                self.socket.send(&session.out)?;
                session.out.clear();
            }
        }
        Ok(true)
    }
}
