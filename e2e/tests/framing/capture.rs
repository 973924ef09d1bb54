//! A server that forgives nothing: it takes down what it was sent, and everything about it that
//! another server might read in another way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Peer, Upstream};

/// What a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) body: Vec<u8>,
    /// The values of `x-case`.
    pub(crate) case: Vec<String>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) raw: Vec<u8>,
    pub(crate) meaning: Meaning,
    /// What is not as every server reads it.
    pub(crate) faults: Vec<String>,
}

/// The server.
pub(crate) struct Capture {
    pub(crate) upstream: Upstream,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Capture {
    pub(crate) async fn start() -> Result<Self> {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let taken = Arc::clone(&seen);
        let upstream = Upstream::start(move |mut peer, _| {
            let seen = Arc::clone(&taken);
            async move {
                loop {
                    let request = read(&mut peer).await?;
                    let ok = request.faults.is_empty();
                    let body = if request.meaning.method == "HEAD" { "" } else { "ok" };
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                    peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}"))
                        .await?;
                    ensure!(ok, "who knows what comes next");
                }
            }
        })
        .await?;
        Ok(Self { upstream, seen })
    }

    /// What came since this was last asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads one request. What breaks off is an error, and never was one.
async fn read(peer: &mut Peer) -> Result<Seen> {
    let mut raw = peer.until(b"\r\n\r\n").await?;
    let mut faults = Vec::new();
    let head = raw[..raw.len() - 4].to_vec();
    let mut lines = split(&head);
    let line = lines.next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let plain = words.len() == 3
        && words[0].iter().copied().all(is_token)
        && !words[1].is_empty()
        // Letters that no URL may have; the judges read them as they are.
        && words[1].iter().all(|byte| byte.is_ascii_graphic() || !byte.is_ascii())
        && words[2] == b"HTTP/1.1";
    if !plain {
        faults.push(format!("the request line {:?}", text(line)));
    }
    let mut fields = BTreeMap::<String, Vec<String>>::new();
    for line in lines {
        let (name, value) = field(line, &mut faults);
        fields.entry(name).or_default().push(value);
    }
    let body = body(peer, &fields, &mut raw, &mut faults).await?;
    let mut one = |name: &str| match &fields.get(name).map(Vec::as_slice) {
        Some([value]) => value.clone(),
        other => {
            faults.push(format!("{name}: {other:?}"));
            String::new()
        }
    };
    let meaning = Meaning {
        method: words.first().map(|word| text(word)).unwrap_or_default(),
        target: words.get(1).map(|word| text(word)).unwrap_or_default(),
        host: one("host"),
        body,
        case: fields.get("x-case").cloned().unwrap_or_default(),
    };
    let words = |name: &str| fields.get(name).map(|values| values.join(",")).unwrap_or_default();
    let (upgrade, connection) = (words("upgrade"), words("connection"));
    // Behind an upgrade to HTTP/2 would be requests that the proxy has not looked at.
    let proper = connection.contains("upgrade") && !upgrade.to_lowercase().contains("h2c");
    if !upgrade.is_empty() && !proper {
        faults.push(format!("an upgrade to {upgrade} on {connection:?}"));
    }
    Ok(Seen { raw, meaning, faults })
}

fn split(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(head);
    std::iter::from_fn(move || {
        let here = rest?;
        let end = here.windows(2).position(|two| two == b"\r\n");
        rest = end.map(|end| &here[end + 2..]);
        Some(end.map_or(here, |end| &here[..end]))
    })
}

/// A header line: its name in lower case, and its value.
fn field(line: &[u8], faults: &mut Vec<String>) -> (String, String) {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    let value = value.strip_prefix(b":").unwrap_or(value);
    let plain = !name.is_empty()
        && name.iter().copied().all(is_token)
        && value.iter().all(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f);
    if !plain {
        faults.push(format!("the line {:?}", text(line)));
    }
    (text(name).to_lowercase(), text(value.trim_ascii()))
}

async fn body(
    peer: &mut Peer,
    fields: &BTreeMap<String, Vec<String>>,
    raw: &mut Vec<u8>,
    faults: &mut Vec<String>,
) -> Result<Vec<u8>> {
    let of = |name: &str| fields.get(name).map(Vec::as_slice);
    let mut body = Vec::new();
    match (of("content-length"), of("transfer-encoding")) {
        (None, None) => {}
        (Some([length]), None) => {
            let plain = length.bytes().all(|byte| byte.is_ascii_digit());
            ensure!(plain, "the length {length:?}");
            body = peer.exactly(length.parse().context("a length")?).await?;
            raw.extend(&body);
        }
        (None, Some([coding])) if coding == "chunked" => loop {
            let line = peer.until(b"\r\n").await?;
            raw.extend(&line);
            let digits = text(&line[..line.len() - 2]);
            if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                faults.push(format!("the chunk's size {digits:?}"));
            }
            let size = usize::from_str_radix(&digits, 16).context("a size")?;
            if size == 0 {
                trailers(peer, raw, faults).await?;
                break;
            }
            let chunk = peer.exactly(size).await?;
            let end = peer.exactly(2).await?;
            raw.extend(chunk.iter().chain(&end));
            ensure!(end == b"\r\n", "a chunk ends with {end:?}");
            body.extend(chunk);
        },
        other => faults.push(format!("a body of {other:?}")),
    }
    Ok(body)
}

async fn trailers(peer: &mut Peer, raw: &mut Vec<u8>, faults: &mut Vec<String>) -> Result<()> {
    loop {
        let line = peer.until(b"\r\n").await?;
        raw.extend(&line);
        if line == b"\r\n" {
            return Ok(());
        }
        let (name, _) = field(&line[..line.len() - 2], faults);
        if ["content-length", "transfer-encoding", "host", "trailer"].contains(&name.as_str()) {
            faults.push(format!("{name} in a trailer"));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
