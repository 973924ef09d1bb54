//! As much of HTTP/2 as the load and the backends need (RFC 9113). A header block is made once and
//! sent as it is, so the compression's table is filled by the first of a connection, and all others
//! are a byte for each field, as those of a real client are. What headers the other side sends
//! nobody looks at: of a gRPC call that failed it shows in the frames.

use super::Wrong;

/// What a client begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame that everybody takes.
const FRAME: usize = 16_384;
/// The window of a connection in the beginning, and of a stream unless the peer says otherwise.
const WINDOW: i64 = 65_535;
/// The largest window there is.
const LARGEST: u32 = (1 << 31) - 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A header block for the first message on a connection, and for all that follow; and for a peer
/// that keeps no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    first: Vec<u8>,
    then: Vec<u8>,
    plain: Vec<u8>,
}

impl Block {
    /// `indexed`: fields of the static table. `fields` are entered into the dynamic one, into which
    /// `later` others are entered after these (RFC 7541 §6).
    pub(super) fn new(indexed: &[u8], fields: &[(&str, &str)], later: usize) -> Self {
        let mut first: Vec<u8> = indexed.iter().map(|index| 0x80 | index).collect();
        let (mut then, mut plain) = (first.clone(), first.clone());
        for (at, (name, value)) in fields.iter().enumerate() {
            for (block, kind) in [(&mut first, 0x40), (&mut plain, 0)] {
                block.push(kind);
                for text in [name, value] {
                    block.push(u8::try_from(text.len()).expect("a field of the load is short"));
                    block.extend_from_slice(text.as_bytes());
                }
            }
            let index = 62 + later + fields.len() - 1 - at;
            then.push(0x80 | u8::try_from(index).expect("there are few fields"));
        }
        Self { first, then, plain }
    }
}

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A head came, or trailers.
    Headers { stream: u32, end: bool },
    /// So much of a body.
    Data { stream: u32, length: usize, end: bool },
    /// The peer gave up.
    Reset { stream: u32 },
}

/// One connection: what both sides of it do.
#[derive(Debug)]
pub(super) struct Session {
    /// The preface that a client sends before anything else.
    awaited: &'static [u8],
    partial: Vec<u8>,
    /// What is to be sent.
    pub(super) out: Vec<u8>,
    /// What the peer takes, of all streams together.
    window: i64,
    /// What it takes of one.
    stream_window: i64,
    /// Bytes of bodies since the peer was last told to go on.
    unacknowledged: u32,
    heads: usize,
    trailers: usize,
    /// The peer keeps no table; `Some(false)`: it was not told yet that this is known.
    plain: Option<bool>,
}

impl Session {
    /// On which requests are sent.
    pub(super) fn client() -> Self {
        let mut session = Self::server();
        session.out.splice(0..0, PREFACE.iter().copied());
        session.awaited = b"";
        session
    }

    /// On which they are answered.
    pub(super) fn server() -> Self {
        let mut session = Self {
            awaited: PREFACE,
            partial: Vec::new(),
            out: Vec::new(),
            window: WINDOW,
            stream_window: WINDOW,
            unacknowledged: 0,
            heads: 0,
            trailers: 0,
            plain: None,
        };
        // INITIAL_WINDOW_SIZE; then that of the connection.
        let mut settings = vec![0, 4];
        settings.extend_from_slice(&LARGEST.to_be_bytes());
        session.frame(SETTINGS, 0, 0, &settings);
        session.frame(WINDOW_UPDATE, 0, 0, &(LARGEST - 65_535).to_be_bytes());
        session
    }

    /// Whether the peer takes a body of so many bytes now.
    pub(super) fn takes(&self, length: usize) -> bool {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        length <= self.window && length <= self.stream_window
    }

    pub(super) fn send_head(&mut self, stream: u32, block: &Block) {
        let first = self.heads == 0;
        self.heads += 1;
        self.send_block(stream, block, first, END_HEADERS);
    }

    pub(super) fn send_trailers(&mut self, stream: u32, block: &Block) {
        let first = self.trailers == 0;
        self.trailers += 1;
        self.send_block(stream, block, first, END_HEADERS | END_STREAM);
    }

    fn send_block(&mut self, stream: u32, block: &Block, first: bool, flags: u8) {
        match self.plain {
            None if first => self.frame(HEADERS, flags, stream, &block.first),
            None => self.frame(HEADERS, flags, stream, &block.then),
            Some(true) => self.frame(HEADERS, flags, stream, &block.plain),
            Some(false) => {
                // RFC 7541 §6.3: the table has no room from now on.
                self.plain = Some(true);
                self.frame(HEADERS, flags, stream, &[&[0x20], &block.plain[..]].concat());
            }
        }
    }

    /// Sends a body that the peer takes, `message` by `message`.
    pub(super) fn send_messages(&mut self, stream: u32, body: &[u8], message: usize, end: bool) {
        let last = body.chunks(message.min(FRAME)).count();
        for (at, chunk) in body.chunks(message.min(FRAME)).enumerate() {
            let flags = if end && at + 1 == last { END_STREAM } else { 0 };
            self.frame(DATA, flags, stream, chunk);
        }
        self.window -= i64::try_from(body.len()).unwrap_or(i64::MAX);
    }

    /// Takes what has come, and tells what it was.
    pub(super) fn feed(&mut self, data: &[u8], mut tell: impl FnMut(Event)) -> Result<(), Wrong> {
        let joined;
        let mut data = data;
        if !self.awaited.is_empty() {
            let count = self.awaited.len().min(data.len());
            if self.awaited[..count] != data[..count] {
                return Err(Wrong::Preface);
            }
            self.awaited = &self.awaited[count..];
            data = &data[count..];
        }
        if !self.partial.is_empty() {
            let mut all = std::mem::take(&mut self.partial);
            all.extend_from_slice(data);
            joined = all;
            data = &joined;
        }
        while let Some((head, rest)) = data.split_at_checked(9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some((payload, rest)) = rest.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            if let Some(event) = self.take(head[3], head[4], stream, payload)? {
                tell(event);
            }
            data = rest;
        }
        self.partial.extend_from_slice(data);
        Ok(())
    }

    fn take(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> Result<Option<Event>, Wrong> {
        let end = flags & END_STREAM != 0;
        let number = |at: usize| -> Result<u32, Wrong> {
            let bytes = payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes).ok_or(Wrong::Frame)
        };
        match kind {
            HEADERS => return Ok(Some(Event::Headers { stream, end })),
            DATA => {
                self.unacknowledged += u32::try_from(payload.len()).unwrap_or(u32::MAX);
                if self.unacknowledged > LARGEST / 2 {
                    let more = std::mem::take(&mut self.unacknowledged);
                    self.frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
                }
                return Ok(Some(Event::Data { stream, length: payload.len(), end }));
            }
            RST_STREAM => return Ok(Some(Event::Reset { stream })),
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    let (name, value) = setting.split_at(2);
                    let value = u32::from_be_bytes(value.try_into().map_err(|_| Wrong::Frame)?);
                    match name {
                        // HEADER_TABLE_SIZE; what is not used at all fits into any other.
                        [0, 1] if value < 4096 => self.plain = Some(false),
                        // INITIAL_WINDOW_SIZE
                        [0, 4] => self.stream_window = i64::from(value),
                        _ => {}
                    }
                }
                self.frame(SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, payload),
            GOAWAY => return Err(Wrong::GoAway(number(4)?)),
            WINDOW_UPDATE if stream == 0 => self.window += i64::from(number(0)?),
            _ => {}
        }
        Ok(None)
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
        self.out.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one side has sent is what the other side sees, in whatever pieces it comes.
    #[test]
    fn both_sides_understand_each_other() {
        let block = Block::new(&[3, 6], &[(":path", "/a"), ("te", "trailers")], 0);
        assert_eq!(block.then, [0x83, 0x86, 0xbf, 0xbe]);
        let mut client = Session::client();
        client.send_head(1, &block);
        client.send_messages(1, &vec![7; 20_000], FRAME, true);
        let sent = std::mem::take(&mut client.out);
        for size in [1, 7, 1000, sent.len()] {
            let mut server = Session::server();
            let mut events = Vec::new();
            for piece in sent.chunks(size) {
                server.feed(piece, |event| events.push(event)).expect("it is HTTP/2");
            }
            let data = |length, end| Event::Data { stream: 1, length, end };
            let head = Event::Headers { stream: 1, end: false };
            assert_eq!(events, [head, data(FRAME, false), data(20_000 - FRAME, true)]);
        }
    }

    #[test]
    fn a_window_is_used_up_and_opened_again() {
        let (mut client, mut server) = (Session::client(), Session::server());
        assert!(server.takes(65_535) && !server.takes(65_536));
        server.send_messages(1, &vec![0; 60_000], FRAME, true);
        assert!(!server.takes(6_000));
        let settings = std::mem::take(&mut client.out);
        server.feed(&settings, |_| {}).expect("it is HTTP/2");
        assert!(server.takes(6_000), "the client has a large window");
        assert_eq!(
            server.feed(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b", |_| {}),
            Err(Wrong::GoAway(11))
        );
    }
}
