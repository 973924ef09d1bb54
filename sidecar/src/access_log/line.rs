//! A request that is over, in words: text for people, or JSON for machines.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{StatusCode, Version};
use mesh::GrpcStatus;

use super::Asked;
use crate::listener::Side;
use crate::plan::{Address, ServiceState};

/// All that there is to be said of a request.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) asked: Box<Asked>,
    pub(crate) side: Side,
    /// When it was over.
    pub(crate) ended: SystemTime,
    pub(crate) took: Duration,
    /// What its client was told, and after how long. `None`: nothing.
    pub(crate) answer: Option<(StatusCode, Duration)>,
    pub(crate) reason: Option<&'static str>,
    /// The service it was for, if it came to that.
    pub(crate) service: Option<Arc<ServiceState>>,
    pub(crate) resends: u8,
    pub(crate) connect: Option<Duration>,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// How it ended, where it was a call.
    pub(crate) call: Option<GrpcStatus>,
    /// Who broke it off; `None`: it came to its end.
    pub(crate) broken: Option<&'static str>,
}

/// What stands beside a name.
enum Field<'a> {
    Text(&'a str),
    Whole(u64),
    Millis(Duration),
    Nothing,
}

impl Line {
    /// The fields in their order, each with its name.
    fn fields(&self, mut put: impl FnMut(&'static str, Field<'_>)) {
        fn some(text: &str) -> Field<'_> {
            if text.is_empty() { Field::Nothing } else { Field::Text(text) }
        }
        let millis = |time: Option<Duration>| time.map_or(Field::Nothing, Field::Millis);
        let asked = &self.asked;
        let began = self.ended.checked_sub(self.took).unwrap_or(self.ended);
        put("time", Field::Text(&humantime::format_rfc3339_micros(began).to_string()));
        put("side", Field::Text(self.side.word()));
        put("protocol", Field::Text(protocol(asked.version, self.call.is_some())));
        put("method", Field::Text(&asked.method));
        put("authority", some(&asked.authority));
        put("path", some(&asked.path));
        let status = self.answer.map(|(status, _)| u64::from(status.as_u16()));
        put("status", status.map_or(Field::Nothing, Field::Whole));
        put("reason", self.reason.map_or(Field::Nothing, Field::Text));
        let key = self.service.as_ref().map(|service| &service.key);
        put("service", key.map_or(Field::Nothing, |key| some(&key.name)));
        put("app", key.map_or(Field::Nothing, |key| some(&key.scope)));
        let endpoint = asked.instance.borrow();
        let endpoint = endpoint.as_ref().map(|endpoint| &endpoint.id);
        let instance = endpoint.and_then(|id| id.instance.as_ref());
        put("instance", instance.map_or(Field::Nothing, |(_, id)| Field::Text(&id.0)));
        let address = endpoint.map(|id| match &id.address {
            Address::Known(address) => address.to_string(),
            Address::Name(name, port) => format!("{name}:{port}"),
        });
        put("address", address.as_deref().map_or(Field::Nothing, Field::Text));
        put("resends", Field::Whole(self.resends.into()));
        put("bytes_in", Field::Whole(self.received));
        put("bytes_out", Field::Whole(self.sent));
        put("duration_ms", Field::Millis(self.took));
        put("first_byte_ms", millis(self.answer.map(|(_, took)| took)));
        put("connect_ms", millis(self.connect));
        put("client", Field::Text(&asked.client.to_string()));
        put("user_agent", some(&asked.user_agent));
        put("request_id", some(&asked.request_id));
        put("trace_id", some(&asked.trace_id));
        let call = self.call.map(|status| u64::from(status.code()));
        put("grpc_status", call.map_or(Field::Nothing, Field::Whole));
        put("broken_off", self.broken.map_or(Field::Nothing, Field::Text));
    }

    /// One JSON object. What there is nothing to be said of is `null`.
    pub(super) fn json(&self, to: &mut Vec<u8>) {
        let mut between = b'{';
        self.fields(|name, field| {
            to.push(between);
            between = b',';
            quoted(to, name);
            to.push(b':');
            match field {
                Field::Text(text) => quoted(to, text),
                Field::Nothing => to.extend(b"null"),
                number => plain(to, &number),
            }
        });
        to.extend(b"}\n");
    }

    /// `time side "request" status` and the rest as `name=value`; `-` is nothing.
    pub(super) fn text(&self, to: &mut Vec<u8>) {
        self.fields(|name, field| {
            if name != "time" {
                to.push(b' ');
                to.extend(name.as_bytes());
                to.push(b'=');
            }
            match field {
                Field::Text(text) if is_word(text) => to.extend(text.as_bytes()),
                Field::Text(text) => quoted(to, text),
                Field::Nothing => to.push(b'-'),
                number => plain(to, &number),
            }
        });
        to.push(b'\n');
    }
}

fn protocol(version: Version, is_call: bool) -> &'static str {
    match version {
        _ if is_call => "grpc",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn plain(to: &mut Vec<u8>, field: &Field<'_>) {
    // Writing to memory does not fail.
    let _ = match field {
        Field::Whole(number) => write!(to, "{number}"),
        Field::Millis(time) => write!(to, "{}.{:03}", time.as_millis(), time.as_micros() % 1000),
        Field::Text(_) | Field::Nothing => Ok(()),
    };
}

/// As JSON has it, in which no line can end.
fn quoted(to: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(to, text);
}

/// Whether a text reads as one thing, and as nothing else, without quotes.
fn is_word(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"\\=".contains(c);
    !text.is_empty() && text != "-" && !text.contains(odd)
}
