//! What is sent and what comes back.

use super::http2::Block;

/// The service that is called; `mesher` finds it in the registry.
pub(super) const SERVICE: &str = "ServiceB";
/// Bytes of a gRPC message, with its five bytes of prefix.
const MESSAGE: usize = 105;
/// The length of the messages of a stream. All of them fit into the first window of a stream.
const STREAMED: usize = 1_005;
/// How many of them there are.
const STREAM: usize = 64;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1, and what a client says to a proxy.
    Http1,
    /// gRPC, by HTTP/2 without TLS.
    Grpc,
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// For the command line and the tables.
    pub name: &'static str,
    /// Its protocol.
    pub spoken: Spoken,
    /// Bytes of the request's body.
    pub request: usize,
    /// Bytes of the response's.
    pub response: usize,
    /// Whether each request has a connection of its own.
    pub churn: bool,
    /// Whether it is measured without `--full`.
    pub core: bool,
}

/// All of them.
pub const SCENARIOS: [Scenario; 7] = [
    http1("get-0", 0, 0, true),
    http1("post-16k", 16 << 10, 100, true),
    Scenario {
        name: "grpc-unary",
        spoken: Spoken::Grpc,
        request: MESSAGE,
        response: MESSAGE,
        churn: false,
        core: true,
    },
    http1("get-1k", 0, 1 << 10, false),
    http1("get-1m", 0, 1 << 20, false),
    Scenario {
        name: "grpc-stream",
        spoken: Spoken::Grpc,
        request: MESSAGE,
        response: STREAM * STREAMED,
        churn: false,
        core: false,
    },
    Scenario { churn: true, ..http1("churn", 0, 0, false) },
];

const fn http1(name: &'static str, request: usize, response: usize, core: bool) -> Scenario {
    Scenario { name, spoken: Spoken::Http1, request, response, churn: false, core }
}

/// The one called `name`.
pub fn named(name: &str) -> Result<Scenario, String> {
    let found = SCENARIOS.into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("no such scenario; there are {}", names.join(", "))
    })
}

/// A request and its response, as bytes.
#[derive(Debug)]
pub struct Call {
    pub(super) scenario: Scenario,
    /// HTTP/1.1: the whole request.
    pub(super) request: Vec<u8>,
    /// HTTP/1.1: the whole response.
    pub(super) response: Vec<u8>,
    /// gRPC: the bodies of both, and their heads.
    pub(super) request_body: Vec<u8>,
    pub(super) response_body: Vec<u8>,
    pub(super) request_head: Block,
    pub(super) response_head: Block,
    pub(super) trailers: Block,
}

impl Call {
    /// What `scenario` is about.
    pub fn of(scenario: Scenario) -> Self {
        let method = if scenario.request > 0 { "POST" } else { "GET" };
        let length = match scenario.request {
            0 => String::new(),
            length => format!("Content-Type: text/plain\r\nContent-Length: {length}\r\n"),
        };
        let close = if scenario.churn { "Connection: close\r\n" } else { "" };
        let mut request = format!(
            "{method} http://{SERVICE}:8080/hello HTTP/1.1\r\nHost: {SERVICE}:8080\r\n\
             User-Agent: load/1.0\r\nAccept: */*\r\n{length}{close}\r\n"
        )
        .into_bytes();
        request.resize(request.len() + scenario.request, b'x');
        let mut response = format!(
            "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            scenario.response
        )
        .into_bytes();
        response.resize(response.len() + scenario.response, b'x');
        let content = ("content-type", "application/grpc");
        Self {
            scenario,
            request,
            response,
            request_body: messages(scenario.request.min(MESSAGE), scenario.request),
            response_body: messages(scenario.response.min(STREAMED), scenario.response),
            // `:method: POST` and `:scheme: http` are 3 and 6 of the static table.
            request_head: Block::new(
                &[3, 6],
                &[
                    (":path", "/load.Service/Call"),
                    (":authority", "ServiceB:8080"),
                    content,
                    ("te", "trailers"),
                    ("user-agent", "load/1.0"),
                ],
                0,
            ),
            // `:status: 200` is 8.
            response_head: Block::new(&[8], &[content], 1),
            trailers: Block::new(&[], &[("grpc-status", "0")], 0),
        }
    }

    /// Bytes of each message of the response.
    pub(super) fn message(&self) -> usize {
        self.scenario.response.clamp(1, STREAMED)
    }
}

/// So many bytes of messages of gRPC, each with its prefix.
fn messages(each: usize, all: usize) -> Vec<u8> {
    let mut body = vec![b'x'; all];
    for message in body.chunks_mut(each.max(1)) {
        if let Some((prefix, rest)) = message.split_first_chunk_mut::<5>() {
            let length = u32::try_from(rest.len()).expect("a message is small").to_be_bytes();
            *prefix = [0, length[0], length[1], length[2], length[3]];
        }
    }
    body
}
