//! The requests, and what has to become of each.
//!
//! They are written for the consumer side; for a provider side the target loses `http://b`.

use Step::{Closes, Declined, Forwarded, Refused};

/// What becomes of the next request on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It goes on, and means: method, target, body.
    Forwarded(&'static str, &'static str, &'static str),
    /// It is answered by the proxy, which then closes.
    Refused(u16),
    /// It is answered by the proxy, which has understood it and goes on.
    Declined(u16),
    /// The connection ends after what was answered: nobody knows where the next request begins.
    Closes,
}

/// On which side a case makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Both,
    Consumer,
}

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) on: On,
    bytes: Vec<u8>,
    pub(crate) steps: Vec<Step>,
}

impl Case {
    /// What a client of that side sends.
    pub(crate) fn bytes(&self, consumer: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = &self.bytes[..];
        while let Some(at) = rest.windows(2).position(|two| two == b"@@") {
            bytes.extend(&rest[..at]);
            bytes.extend(if consumer { &b"http://b"[..] } else { b"" });
            rest = &rest[at + 2..];
        }
        bytes.extend(rest);
        bytes
    }
}

/// POST with these header lines and this body.
fn post(name: &str, lines: &str, body: &str, step: Step) -> Case {
    let bytes = format!("POST @@/x HTTP/1.1\r\nhost: b\r\n{lines}\r\n{body}");
    request(name, bytes, &[step])
}

/// A body in chunks.
fn chunked(name: &str, body: &str, step: Step) -> Case {
    post(name, "transfer-encoding: chunked\r\n", body, step)
}

/// GET with these header lines.
fn get(name: &str, lines: impl AsRef<[u8]>, step: Step) -> Case {
    let head = b"GET @@/x HTTP/1.1\r\nhost: b\r\n";
    request(name, [head, lines.as_ref(), b"\r\n"].concat(), &[step])
}

fn request(name: &str, bytes: impl AsRef<[u8]>, steps: &[Step]) -> Case {
    let (name, bytes) = (name.to_owned(), bytes.as_ref().to_vec());
    Case { name, on: On::Both, bytes, steps: steps.to_vec() }
}

/// As [`request`], for a client of the consumer side.
fn to_a_proxy(name: &str, bytes: impl AsRef<[u8]>, steps: &[Step]) -> Case {
    Case { on: On::Consumer, ..request(name, bytes, steps) }
}

const ABC: Step = Forwarded("POST", "/x", "abc");
const GET: Step = Forwarded("GET", "/x", "");
const CHUNKS: &str = "3\r\nabc\r\n0\r\n\r\n";

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    [lengths(), codings(), chunks(), trailers(), lines(), hosts(), targets(), others()].concat()
}

fn lengths() -> Vec<Case> {
    let one = |name: &str, value: &str, step| {
        post(name, &format!("content-length: {value}\r\n"), "abc", step)
    };
    vec![
        one("a length", "3", ABC),
        one("a length with blanks around it", " 3\t ", ABC),
        one("a length with leading zeros", "0003", ABC),
        one("a length with a sign", "+3", Refused(400)),
        one("a negative length", "-3", Refused(400)),
        one("a hexadecimal length", "0x3", Refused(400)),
        one("a length with a fraction", "3.0", Refused(400)),
        one("a length with a blank in it", "3 3", Refused(400)),
        one("an empty length", "", Refused(400)),
        one("a list of lengths", "3, 3", Refused(400)),
        one("a length of 2^64", "18446744073709551616", Refused(400)),
        one("a length of 2^64 + 3", "18446744073709551619", Refused(400)),
        one("a length of other digits", "\u{0663}", Refused(400)),
        post("two equal lengths", "content-length: 3\r\nContent-Length: 3\r\n", "abc", ABC),
        post(
            "two different lengths",
            "content-length: 3\r\ncontent-length: 0\r\n",
            "abc",
            Refused(400),
        ),
        post(
            "a length that Connection names",
            "connection: content-length\r\ncontent-length: 3\r\n",
            "abc",
            ABC,
        ),
        post("a length by another name", "content_length: 1\r\ncontent-length: 3\r\n", "abc", ABC),
        request(
            "more than the length says",
            "POST @@/x HTTP/1.1\r\nhost: b\r\ncontent-length: 3\r\n\r\nabcdef\r\n\r\n",
            &[ABC, Refused(400)],
        ),
        request(
            "a body of GET",
            "GET @@/x HTTP/1.1\r\nhost: b\r\ncontent-length: 3\r\n\r\nabc",
            &[Forwarded("GET", "/x", "abc")],
        ),
        request(
            "a body of DELETE in chunks",
            format!(
                "DELETE @@/x HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n{CHUNKS}"
            ),
            &[Forwarded("DELETE", "/x", "abc")],
        ),
        request(
            "a body of GET in chunks",
            format!("GET @@/x HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n{CHUNKS}"),
            &[Forwarded("GET", "/x", "abc")],
        ),
        request(
            "a body of HEAD",
            "HEAD @@/x HTTP/1.1\r\nhost: b\r\ncontent-length: 3\r\n\r\nabc",
            &[Forwarded("HEAD", "/x", "abc")],
        ),
        request(
            "POST without a length",
            "POST @@/x HTTP/1.1\r\nhost: b\r\n\r\n",
            &[Forwarded("POST", "/x", "")],
        ),
    ]
}

fn codings() -> Vec<Case> {
    let one = |name: &str, value: &str, step| {
        post(name, &format!("transfer-encoding: {value}\r\n"), CHUNKS, step)
    };
    let both = |name: &str, lines: &str| {
        let bytes = format!("POST @@/x HTTP/1.1\r\nhost: b\r\n{lines}\r\n{CHUNKS}");
        request(name, bytes, &[ABC, Closes])
    };
    vec![
        one("chunked", "chunked", ABC),
        one("chunked in capitals", "CHUNKED", ABC),
        one("chunked with blanks around it", "\t chunked\t ", ABC),
        one("chunked twice in a list", "chunked, chunked", Refused(501)),
        one("gzip, chunked", "gzip, chunked", Refused(501)),
        one("chunked, gzip", "chunked, gzip", Refused(400)),
        one("identity", "identity", Refused(400)),
        one("chunked, identity", "chunked, identity", Refused(400)),
        one("an empty coding", "", Refused(400)),
        one("a list with an empty member", ",chunked", Refused(501)),
        one("xchunked", "xchunked", Refused(400)),
        one("chunked in quotes", "\"chunked\"", Refused(400)),
        one("chunked with a parameter", "chunked;q=1", Refused(400)),
        one("chunked after a vertical tab", "\u{b}chunked", Refused(400)),
        one("chunked before a NUL", "chunked\0", Refused(400)),
        post(
            "two codings in two lines",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            CHUNKS,
            Refused(501),
        ),
        post(
            "identity and then chunked",
            "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
            CHUNKS,
            Refused(501),
        ),
        post(
            "chunked and then identity",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            CHUNKS,
            Refused(400),
        ),
        // RFC 9112 §6.1: whoever forwards it has to close afterwards.
        both("a length and then chunked", "content-length: 6\r\ntransfer-encoding: chunked\r\n"),
        both("chunked and then a length", "transfer-encoding: chunked\r\ncontent-length: 6\r\n"),
        post(
            "a blank before the colon",
            "content-length: 3\r\ntransfer-encoding : chunked\r\n",
            "abc",
            Refused(400),
        ),
        post(
            "a coding in a folded line",
            "content-length: 3\r\ntransfer-encoding:\r\n chunked\r\n",
            "abc",
            Refused(400),
        ),
        post(
            "a coding after a bare CR",
            "content-length: 3\r\nx-case: a\rtransfer-encoding: chunked\r\n",
            "abc",
            Refused(400),
        ),
        request(
            "a coding after a bare LF",
            format!(
                "POST @@/x HTTP/1.1\r\nhost: b\r\nx-case: a\ntransfer-encoding: chunked\r\n\r\n{CHUNKS}"
            ),
            &[ABC],
        ),
        post(
            "a coding by another name",
            "content-length: 3\r\ntransfer_encoding: chunked\r\n",
            "abc",
            ABC,
        ),
        post(
            "a coding that Connection names",
            "connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n",
            CHUNKS,
            ABC,
        ),
        request(
            "a coding in HTTP/1.0",
            format!(
                "POST @@/x HTTP/1.0\r\nhost: b\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n{CHUNKS}"
            ),
            &[Refused(400)],
        ),
    ]
}

fn chunks() -> Vec<Case> {
    let long = "a".repeat(20 << 10);
    vec![
        chunked("chunks", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", ABC),
        chunked("an extension", "3;name=value\r\nabc\r\n0;last\r\n\r\n", ABC),
        chunked("an extension in quotes", "3;name=\"a;b\"\r\nabc\r\n0\r\n\r\n", ABC),
        chunked("an extension with a bare LF", "3;a\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("an extension with a bare CR", "3;a\rb\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a long extension", &format!("3;{long}\r\nabc\r\n0\r\n\r\n"), Refused(400)),
        chunked("a blank after the size", "3 \r\nabc\r\n0\r\n\r\n", ABC),
        chunked("a blank before the size", " 3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a size with leading zeros", "0003\r\nabc\r\n000\r\n\r\n", ABC),
        chunked("a size with a prefix", "0x3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a size with a sign", "+3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a negative size", "-3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a size with an underscore", "0_3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("no size", "\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("no number", "xyz\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a size of 2^64", "10000000000000000\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a size of 2^64 + 3", "10000000000000003\r\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a bare LF after the size", "3\nabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a bare CR after the size", "3\rabc\r\n0\r\n\r\n", Refused(400)),
        chunked("a bare LF after the data", "3\r\nabc\n0\r\n\r\n", Refused(400)),
        chunked("more data than the size says", "3\r\nabcd\r\n0\r\n\r\n", Refused(400)),
        chunked("less data than the size says", "4\r\nabc\r\n0\r\n\r\n", Refused(400)),
    ]
}

fn trailers() -> Vec<Case> {
    let one = |name: &str, trailer: &str, step| {
        chunked(name, &format!("3\r\nabc\r\n0\r\n{trailer}\r\n"), step)
    };
    let announced = |name: &str, field: &str, trailer: &str| {
        let lines = format!("transfer-encoding: chunked\r\ntrailer: {field}\r\n");
        post(name, &lines, &format!("3\r\nabc\r\n0\r\n{trailer}\r\n"), ABC)
    };
    vec![
        one("a trailer", "x-sum: 1\r\n", ABC),
        one("a length in the trailers", "content-length: 9\r\n", ABC),
        one("a coding in the trailers", "transfer-encoding: chunked\r\n", ABC),
        one("a host in the trailers", "host: c\r\n", ABC),
        announced("a trailer that was announced", "x-sum", "x-sum: 1\r\n"),
        announced("a length that was announced", "content-length", "content-length: 9\r\n"),
        announced(
            "a coding that was announced",
            "transfer-encoding",
            "transfer-encoding: gzip\r\n",
        ),
        one("a folded trailer", "x-sum: 1\r\n 2\r\n", Refused(400)),
        one("a blank before a trailer's colon", "content-length : 9\r\n", Refused(400)),
        one("a trailer that is none", "no colon\r\n", Refused(400)),
        chunked(
            "a request in the trailers",
            "3\r\nabc\r\n0\r\nGET @@/y HTTP/1.1\r\nhost: b\r\n\r\n",
            Refused(400),
        ),
    ]
}

fn lines() -> Vec<Case> {
    let many = "x-case: a\r\n".repeat(101);
    vec![
        get("a header", "x-case: a\r\n", GET),
        get("values of other letters", b"x-case: \xff\xfe\r\n", GET),
        get("a header without a value", "x-case:\r\n", GET),
        get("a header twice", "x-case: a\r\nx-case: b\r\n", GET),
        get("a folded header", "x-case: a\r\n b\r\n", Refused(400)),
        get("a header folded with a tab", "x-case: a\r\n\tb\r\n", Refused(400)),
        request(
            "a blank before the first header",
            "GET @@/x HTTP/1.1\r\n host: b\r\n\r\n",
            &[Refused(400)],
        ),
        get("a blank before a header", " x-case: a\r\n", Refused(400)),
        get("a blank before the colon", "x-case : a\r\n", Refused(400)),
        get("a blank in the name", "x case: a\r\n", Refused(400)),
        get("no colon", "x-case\r\n", Refused(400)),
        get("no name", ": a\r\n", Refused(400)),
        get("a bracket in the name", "x(case: a\r\n", Refused(400)),
        get("a NUL in the name", "x-c\0ase: a\r\n", Refused(400)),
        get("a NUL in the value", "x-case: a\0b\r\n", Refused(400)),
        get("a NUL line", "\0\r\n", Refused(400)),
        get("a control character in the value", "x-case: a\u{1}b\r\n", Refused(400)),
        get("a DEL in the value", "x-case: a\u{7f}b\r\n", Refused(400)),
        get("a bare CR in the value", "x-case: a\rb\r\n", Refused(400)),
        get("a bare CR at the end of the value", "x-case: a\r\r\n", Refused(400)),
        get("too many headers", &many, Refused(431)),
        get("too long a header", format!("x-case: {}\r\n", "a".repeat(70_000)), Refused(431)),
        request("bare LFs", "POST @@/x HTTP/1.1\nhost: b\ncontent-length: 3\n\nabc", &[ABC]),
        request("bare CRs", "GET @@/x HTTP/1.1\rhost: b\r\r", &[Refused(400)]),
    ]
}

fn hosts() -> Vec<Case> {
    let origin = |name: &str, lines: &str, step| {
        to_a_proxy(name, format!("GET /x HTTP/1.1\r\n{lines}\r\n"), &[step])
    };
    let absolute = |name: &str, authority: &str, lines: &str, step| {
        to_a_proxy(name, format!("GET http://{authority}/x HTTP/1.1\r\n{lines}\r\n"), &[step])
    };
    vec![
        origin("the host of an origin-form", "host: b\r\n", GET),
        absolute("another host than the URL's", "b", "host: c\r\n", GET),
        absolute("an empty host beside the URL's", "b", "host:\r\n", GET),
        absolute("the host in another case", "b", "HOST: B\r\n", GET),
        absolute("no host", "b", "", Refused(400)),
        origin("no host in an origin-form", "", Refused(400)),
        origin("an empty host", "host:\r\n", Declined(400)),
        get("two equal hosts", "host: b\r\n", Refused(400)),
        get("two different hosts", "host: c\r\n", Refused(400)),
        get("a second host that is empty", "host:\r\n", Refused(400)),
        origin("a list of hosts", "host: b, c\r\n", Declined(400)),
        origin("a blank in the host", "host: b c\r\n", Declined(400)),
        origin("a path in the host", "host: b/c\r\n", Declined(400)),
        origin("a user in the host", "host: c@b\r\n", Declined(400)),
        origin("too large a port", "host: b:99999\r\n", Declined(400)),
        origin("a port with a sign", "host: b:+80\r\n", Declined(400)),
        origin("two ports", "host: b:80:80\r\n", Declined(400)),
        origin("half an address", "host: [::1\r\n", Declined(400)),
        absolute("a user in the URL", "c@b", "host: b\r\n", Declined(400)),
        absolute("a port of the URL that is none", "b:", "host: b\r\n", GET),
        to_a_proxy(
            "a host that Connection names",
            "GET @@/x HTTP/1.1\r\nhost: b\r\nconnection: host\r\n\r\n",
            &[GET],
        ),
    ]
}

fn targets() -> Vec<Case> {
    let line = |name: &str, line: &[u8], steps: &[Step]| {
        request(name, [line, b"\r\nhost: b\r\n\r\n"].concat(), steps)
    };
    let with = |name: &str, target: &str, meant: &'static str| {
        let line = format!("GET @@{target} HTTP/1.1\r\nhost: b\r\n\r\n");
        request(name, line, &[Forwarded("GET", meant, "")])
    };
    vec![
        with("a path", "/a/b?c=d", "/a/b?c=d"),
        with("steps back in a path", "/a/../b/./c", "/a/../b/./c"),
        with("doubled slashes", "//a//b", "//a//b"),
        with("escapes in a path", "/c/%2e%2e/a%2Fb%0d%0a", "/c/%2e%2e/a%2Fb%0d%0a"),
        with("an escaped NUL", "/%00", "/%00"),
        with("an escape that is none", "/%zz", "/%zz"),
        with("letters that no URL may have", "/\u{e9}?\u{e9}", "/\u{e9}?\u{e9}"),
        with("a backslash", "/a\\b", "/a\\b"),
        with("a fragment", "/x#y", "/x"),
        to_a_proxy(
            "no path",
            "GET http://b HTTP/1.1\r\nhost: b\r\n\r\n",
            &[Forwarded("GET", "/", "")],
        ),
        to_a_proxy(
            "no path but a query",
            "GET http://b?c HTTP/1.1\r\nhost: b\r\n\r\n",
            &[Forwarded("GET", "/?c", "")],
        ),
        line("two blanks after the method", b"GET  @@/x HTTP/1.1", &[Refused(400)]),
        line("two blanks after the target", b"GET @@/x  HTTP/1.1", &[Refused(400)]),
        line("a tab after the method", b"GET\t@@/x HTTP/1.1", &[Refused(400)]),
        line("a blank before the method", b" GET @@/x HTTP/1.1", &[Refused(400)]),
        line("a blank in the target", b"GET @@/x y HTTP/1.1", &[Refused(400)]),
        line("a NUL in the target", b"GET @@/x\0 HTTP/1.1", &[Refused(400)]),
        line("a bare CR in the target", b"GET @@/x\ry HTTP/1.1", &[Refused(400)]),
        line("a blank at the end of the line", b"GET @@/x HTTP/1.1 ", &[Refused(400)]),
        line("no target", b"GET HTTP/1.1", &[Refused(400)]),
        line("no version", b"GET @@/x", &[Refused(400)]),
        line("version 0.9", b"GET @@/x HTTP/0.9", &[Refused(400)]),
        line("version 1.2", b"GET @@/x HTTP/1.2", &[Refused(400)]),
        line("version 2.0", b"GET @@/x HTTP/2.0", &[Refused(400)]),
        line("a version of more digits", b"GET @@/x HTTP/1.10", &[Refused(400)]),
        line("a version in small letters", b"GET @@/x http/1.1", &[Refused(400)]),
        line("a strange letter in the method", b"G(T @@/x HTTP/1.1", &[Refused(400)]),
        line("a method in small letters", b"get @@/x HTTP/1.1", &[Forwarded("get", "/x", "")]),
        line("an empty line before", b"\r\nGET @@/x HTTP/1.1", &[GET]),
        request("HTTP/0.9", "GET @@/x\r\n\r\n", &[Refused(400)]),
        to_a_proxy("another scheme", "GET ftp://b/x HTTP/1.1\r\nhost: b\r\n\r\n", &[Declined(400)]),
        to_a_proxy("a host for a target", "GET b HTTP/1.1\r\nhost: b\r\n\r\n", &[Declined(400)]),
    ]
}

fn others() -> Vec<Case> {
    vec![
        request("HTTP/1.0", "GET @@/x HTTP/1.0\r\nhost: b\r\n\r\n", &[GET, Closes]),
        request(
            "HTTP/1.0 that is kept",
            "GET @@/x HTTP/1.0\r\nhost: b\r\nconnection: keep-alive\r\n\r\n",
            &[GET],
        ),
        request(
            "HTTP/1.0 with a length",
            "POST @@/x HTTP/1.0\r\nhost: b\r\ncontent-length: 3\r\n\r\nabc",
            &[ABC, Closes],
        ),
        request(
            "two requests at once",
            "POST @@/x HTTP/1.1\r\nhost: b\r\ncontent-length: 3\r\n\r\nabc\
             GET @@/x HTTP/1.1\r\nhost: b\r\n\r\n",
            &[ABC, GET],
        ),
        request(
            "a request after a refused one",
            "GET @@/x HTTP/1.1\r\nhost: b\r\nx y: z\r\n\r\n\
             GET @@/x HTTP/1.1\r\nhost: b\r\n\r\n",
            &[Refused(400)],
        ),
        request(
            "a request after a body that is refused",
            "POST @@/x HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n\
             GET @@/x HTTP/1.1\r\nhost: b\r\n\r\n",
            &[Refused(400)],
        ),
        request(
            "a request in the body of another",
            "POST @@/x HTTP/1.1\r\nhost: b\r\ncontent-length: 30\r\n\r\n\
             GET /y HTTP/1.1\r\nhost: b\r\n\r\n  \
             GET @@/x HTTP/1.1\r\nhost: b\r\n\r\n",
            &[Forwarded("POST", "/x", "GET /y HTTP/1.1\r\nhost: b\r\n\r\n  "), GET],
        ),
        request(
            "a request behind a length and a coding",
            "POST @@/x HTTP/1.1\r\nhost: b\r\ncontent-length: 33\r\ntransfer-encoding: chunked\r\n\r\n\
             0\r\n\r\nGET @@/y HTTP/1.1\r\nhost: b\r\n\r\n",
            &[Forwarded("POST", "/x", ""), Closes],
        ),
        post("an expectation", "expect: 100-continue\r\ncontent-length: 3\r\n", "abc", ABC),
        post("a strange expectation", "expect: 200-ok\r\ncontent-length: 3\r\n", "abc", ABC),
        get("an expectation without a body", "expect: 100-continue\r\n", GET),
        get(
            "an upgrade to h2c",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
            GET,
        ),
        get("an upgrade that Connection does not name", "upgrade: websocket\r\n", GET),
    ]
}
