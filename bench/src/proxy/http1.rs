//! As much of HTTP/1.1 as the load and the backends need: messages with a length, one at a time.

use memchr::{memchr, memmem};

use super::Wrong;

/// Reads messages, one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The beginning of a head whose end has not come.
    partial: Vec<u8>,
    /// In a body: what its head said.
    body: Option<Head>,
}

/// What matters of a head, and how much of its body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Of a response; what stands there in a request means nothing.
    pub(super) status: [u8; 3],
    /// Of the whole body.
    pub(super) length: u64,
    left: u64,
}

impl Reader {
    /// Takes what has come. `Some`: a message is whole, and nothing came after it.
    pub(super) fn feed(&mut self, data: &[u8]) -> Result<Option<Head>, Wrong> {
        if let Some(mut head) = self.body.take() {
            head.left = subtract(head.left, data.len())?;
            return Ok(self.unless_incomplete(head));
        }
        let (mut head, rest) = if self.partial.is_empty() {
            let Some((head, size)) = parse(data)? else {
                self.partial.extend_from_slice(data);
                return Ok(None);
            };
            (head, data.len() - size)
        } else {
            self.partial.extend_from_slice(data);
            let Some((head, size)) = parse(&self.partial)? else { return Ok(None) };
            let rest = self.partial.len() - size;
            self.partial.clear();
            (head, rest)
        };
        head.left = subtract(head.left, rest)?;
        Ok(self.unless_incomplete(head))
    }

    fn unless_incomplete(&mut self, head: Head) -> Option<Head> {
        if head.left > 0 {
            self.body = Some(head);
            return None;
        }
        Some(head)
    }
}

fn subtract(left: u64, came: usize) -> Result<u64, Wrong> {
    left.checked_sub(came as u64).ok_or(Wrong::TooMuch)
}

/// The head at the beginning of `bytes`, and its size.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Wrong> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let status = bytes.get(9..12).and_then(|text| text.try_into().ok()).ok_or(Wrong::Head)?;
    let mut length = 0;
    let mut lines = &bytes[..end + 2];
    while let Some(next) = memchr(b'\n', lines) {
        let line = &lines[..next.saturating_sub(1)];
        lines = &lines[next + 1..];
        if let Some(value) = value_of(b"content-length", line) {
            let text = std::str::from_utf8(value.trim_ascii()).map_err(|_| Wrong::Head)?;
            length = text.parse().map_err(|_| Wrong::Head)?;
        } else if value_of(b"transfer-encoding", line).is_some() {
            return Err(Wrong::Chunked);
        }
    }
    Ok(Some((Head { status, length, left: length }, end + 4)))
}

fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_any_pieces() {
        let whole = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 4\r\n\r\nokay";
        for at in 0..whole.len() {
            let mut reader = Reader::default();
            let first = reader.feed(&whole[..at]).expect("so far it is fine");
            assert_eq!(first, None, "{at}");
            let head = reader.feed(&whole[at..]).expect("it is fine").expect("it is whole");
            assert_eq!((&head.status, head.length), (b"200", 4), "{at}");
            assert!(reader.feed(b"HTTP/1.1 503 No\r\n\r\n").is_ok_and(|head| head.is_some()));
        }
    }

    #[test]
    fn what_was_not_announced_is_wrong() {
        let read = |text: &str| Reader::default().feed(text.as_bytes());
        assert_eq!(read("GET / HTTP/1.1\r\n\r\nGET"), Err(Wrong::TooMuch));
        assert_eq!(
            read("GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"),
            Err(Wrong::Chunked)
        );
        assert_eq!(read("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"), Err(Wrong::Head));
    }
}
