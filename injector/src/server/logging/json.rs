//! A line of JSON for each event, in one go: one is written for every review.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::lines::Lines;
use crate::content::write::string;

/// Most lines are shorter.
const ROOM: usize = 512;

/// Writes events, their fields beside time, level and place.
#[derive(Debug)]
pub(super) struct Json(pub(super) Lines);

impl<S: Subscriber> Layer<S> for Json {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(Vec::with_capacity(ROOM));
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        line.write(format_args!("{{\"timestamp\":\"{now}\",\"level\":\""));
        line.0.extend_from_slice(event.metadata().level().as_str().as_bytes());
        line.0.push(b'"');
        event.record(&mut line);
        line.key("target");
        string(event.metadata().target(), &mut line.0);
        line.0.extend_from_slice(b"}\n");
        // Whoever closed standard error wants no lines.
        let _ = self.0.clone().write_all(&line.0);
    }
}

struct Line(Vec<u8>);

impl Line {
    fn key(&mut self, key: &str) {
        self.0.push(b',');
        string(key, &mut self.0);
        self.0.push(b':');
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("memory takes every write");
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field.name());
        string(value, &mut self.0);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field.name());
        self.write(format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field.name());
        self.write(format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field.name());
        self.write(format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field.name());
        if value.is_finite() {
            self.write(format_args!("{value:?}"));
        } else {
            self.0.extend_from_slice(b"null");
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field.name());
        let mut text = Text { line: &mut self.0, quoted: false };
        write!(text, "{value:?}").expect("memory takes every write");
        text.end();
    }
}

/// A string that comes in pieces.
struct Text<'l> {
    line: &'l mut Vec<u8>,
    quoted: bool,
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        // Each piece comes with quotes of its own: those between two go.
        if self.quoted {
            self.line.pop();
        }
        let from = self.line.len();
        string(piece, self.line);
        if self.quoted {
            self.line.remove(from);
        }
        self.quoted = true;
        Ok(())
    }
}

impl Text<'_> {
    fn end(self) {
        if !self.quoted {
            self.line.extend_from_slice(b"\"\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};

    use serde_json::Value;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    struct Out(Sender<Vec<u8>>);

    impl io::Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn events() {
        let error: &dyn std::error::Error = &io::Error::other("it \"broke\"\n");
        tracing::info!(
            namespace = "shop",
            pod = "w\u{e9}b \"one\"\\\u{1}",
            field = None::<&str>,
            count = 7_u64,
            less = -7_i32,
            share = 0.5,
            none = f64::NAN,
            dry = true,
            paths = ?["a", "b"],
            shown = %"tab\there",
            empty = %"",
            error,
            "{} and {}",
            "one",
            "two\n",
        );
        tracing::warn!("alone");
    }

    /// All lines but for their times.
    fn written(with: impl FnOnce(Lines, &dyn Fn())) -> Vec<String> {
        let (send, receive) = channel();
        let (lines, writer) = Lines::to(Out(send)).unwrap();
        with(lines, &events);
        drop(writer);
        let text = String::from_utf8(receive.into_iter().flatten().collect()).unwrap();
        text.lines()
            .map(|line| {
                let parsed: Value = serde_json::from_str(line).unwrap();
                let time = parsed["timestamp"].as_str().unwrap();
                humantime::parse_rfc3339(time).unwrap();
                line.replace(time, "T")
            })
            .collect()
    }

    #[test]
    fn lines_are_those_of_tracing_subscriber() {
        let ours = written(|lines, events| {
            let subscriber = Registry::default().with(Json(lines));
            tracing::subscriber::with_default(subscriber, events);
        });
        let theirs = written(|lines, events| {
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(move || lines.clone())
                .json()
                .flatten_event(true);
            let subscriber = Registry::default().with(layer);
            tracing::subscriber::with_default(subscriber, events);
        });
        assert_eq!(ours.len(), 2);
        assert_eq!(ours, theirs);
    }
}
