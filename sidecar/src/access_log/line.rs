//! A request that is over, in words: text for people, or JSON for machines.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{StatusCode, Version};
use mesh::GrpcStatus;

use super::Asked;
use crate::listener::Side;
use crate::plan::ServiceState;

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
        let address = endpoint.map(|id| id.address.to_string());
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, SystemTime};

    use hyper::{Request, StatusCode, Version};
    use mesh::GrpcStatus;

    use super::Line;
    use crate::access_log::{Begun, Sheets};
    use crate::listener::Side;

    fn line(request: &Request<()>, query: bool) -> Line {
        let client = SocketAddr::from(([10, 0, 0, 9], 4711));
        let begun = Begun { sampled: true, query };
        let took = Duration::from_micros(12_345);
        Line {
            asked: Sheets::new(7).fill(begun, client, request),
            side: Side::Provider,
            ended: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + took,
            took,
            answer: Some((StatusCode::OK, Duration::from_millis(10))),
            reason: None,
            service: None,
            resends: 1,
            connect: None,
            received: 5,
            sent: 6,
            call: None,
            broken: None,
        }
    }

    fn written(line: &Line) -> (String, String) {
        let (mut text, mut json) = (Vec::new(), Vec::new());
        line.text(&mut text);
        line.json(&mut json);
        (String::from_utf8(text).unwrap(), String::from_utf8(json).unwrap())
    }

    #[test]
    fn text_and_json_say_the_same() {
        let request =
            Request::put("/a?b=c").header("host", "x:80").header("user-agent", "a b=\"c\"");
        let (text, json) = written(&line(&request.body(()).unwrap(), true));
        assert_eq!(
            text,
            "2023-11-14T22:13:20.000000Z side=provider protocol=HTTP/1.1 method=PUT authority=x:80 \
             path=\"/a?b=c\" status=200 reason=- service=- app=- instance=- address=- resends=1 \
             bytes_in=5 bytes_out=6 duration_ms=12.345 first_byte_ms=10.000 connect_ms=- \
             client=10.0.0.9:4711 user_agent=\"a b=\\\"c\\\"\" request_id=- trace_id=- grpc_status=- \
             broken_off=-\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["path"], "/a?b=c");
        assert_eq!(json["duration_ms"], 12.345);
        assert_eq!(json["user_agent"], "a b=\"c\"");
        assert_eq!(json["reason"], serde_json::Value::Null);
    }

    #[test]
    fn no_request_can_write_a_line_of_its_own() {
        let agent = hyper::header::HeaderValue::from_bytes(b"x\xff\ty status=500").unwrap();
        let request = Request::get("/").header("user-agent", agent).body(()).unwrap();
        let (text, json) = written(&line(&request, false));
        assert_eq!((text.matches('\n').count(), json.matches('\n').count()), (1, 1));
        assert!(text.contains("user_agent=\"x\u{fffd}\\ty status=500\""), "{text}");
    }

    #[test]
    fn a_call_and_the_trace_it_belongs_to() {
        for (name, value, expected) in [
            ("traceparent", "00-4bf92f-00f0-01", "4bf92f"),
            ("x-b3-traceid", "463ac35c", "463ac35c"),
            ("b3", "80f198ee-e457b5a2-1", "80f198ee"),
            ("b3", "0", "0"),
            ("traceparent", "nonsense", ""),
        ] {
            let request = Request::post("/s/m").version(Version::HTTP_2).header(name, value);
            let mut line = line(&request.body(()).unwrap(), false);
            line.call = Some(GrpcStatus::UNAVAILABLE);
            let json: serde_json::Value = serde_json::from_str(&written(&line).1).unwrap();
            assert_eq!(json["trace_id"].as_str().unwrap_or_default(), expected, "{value}");
            assert_eq!(json["grpc_status"], 14);
            assert_eq!(json["protocol"], "grpc");
        }
    }
}
