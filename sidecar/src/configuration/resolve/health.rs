//! `localHealthCheck`: whether the application is well.

use std::time::Duration;

use regex::Regex;

use super::Reader;
use crate::configuration::kind;
use crate::configuration::problem::Severity;
use crate::configuration::values::Entry;
use crate::configuration::yaml::{Content, Node};
use crate::settings::{HealthCheck, LocalPorts};

pub(super) fn checks(reader: &mut Reader<'_>, local: &LocalPorts) -> Vec<HealthCheck> {
    let Some(entry) = reader.entry(&["localHealthCheck"]) else { return Vec::new() };
    let Content::List(items) = &entry.content else { return Vec::new() };
    let mut checks = Vec::new();
    for item in items {
        let mut one = One { reader: &mut *reader, entry, wrong: false };
        let check = one.read(item, local);
        if !one.wrong {
            checks.extend(check);
        }
    }
    checks
}

struct One<'a, 'r> {
    reader: &'a mut Reader<'r>,
    entry: &'a Entry,
    wrong: bool,
}

impl One<'_, '_> {
    fn say(&mut self, severity: Severity, line: usize, key: &str, message: String) {
        let origin = self.entry.origin.at(line);
        let key = if key.is_empty() { String::new() } else { format!(".{key}") };
        let key = format!("{}{key}", self.entry.written);
        self.reader.problems.add(severity, Some(&origin), &key, message);
        self.wrong |= severity == Severity::Error;
    }

    fn refuse(&mut self, line: usize, key: &str, text: &str, allowed: &str) {
        let message = format!("\"{}\" is not allowed here: write {allowed}", kind::short(text));
        self.say(Severity::Error, line, key, message);
    }

    fn read(&mut self, item: &Node, local: &LocalPorts) -> Option<HealthCheck> {
        let Content::Map(fields) = &item.content else {
            self.say(Severity::Error, item.line, "", "an entry has to say port: NUMBER".into());
            return None;
        };
        let (mut port, mut port_name, mut protocol, mut uri) = (None, None, None, None);
        let (mut interval, mut status, mut body) = (Duration::from_secs(30), None, None);
        for (name, line, node) in fields {
            let text = match &node.content {
                Content::Null => continue,
                Content::Scalar(text) if text.trim().is_empty() => continue,
                Content::Scalar(text) => text.trim(),
                Content::Map(fields) if name == "match" => {
                    (status, body) = self.matching(fields);
                    continue;
                }
                Content::Map(_) | Content::List(_) => {
                    self.say(Severity::Error, *line, name, "one value is wanted here".into());
                    continue;
                }
            };
            match name.as_str() {
                "port" => match kind::port(text) {
                    Some(number) => port = Some(number),
                    None => self.refuse(*line, name, text, "a port from 1 to 65535"),
                },
                "portName" => port_name = Some(text),
                "protocol" => protocol = Some(text.to_ascii_lowercase()),
                "uri" if text.starts_with('/') => uri = Some(text.to_owned()),
                "uri" => self.refuse(*line, name, text, "a path that begins with /"),
                "interval" => match kind::duration(text) {
                    Some(duration) => interval = duration,
                    None => self.refuse(*line, name, text, &kind::Kind::Duration.allowed()),
                },
                _ => self.say(
                    Severity::Warning,
                    *line,
                    name,
                    "unknown key, it has no effect: there are port, portName, protocol, uri, interval, match".into(),
                ),
            }
        }
        if port.is_none()
            && let Some(name) = port_name
        {
            port = local.service.iter().find(|known| known.name == name).map(|known| known.port);
            if port.is_none() {
                let message = format!(
                    "SERVICE_PORTS has no \"{}\": the check is left out",
                    kind::short(name)
                );
                self.say(Severity::Warning, item.line, "portName", message);
                return None;
            }
        }
        let Some(port) = port else {
            if !self.wrong {
                self.say(
                    Severity::Error,
                    item.line,
                    "port",
                    "is missing: which port is to be checked?".into(),
                );
            }
            return None;
        };
        let path = match protocol.as_deref() {
            Some("rest" | "http") => Some(uri.unwrap_or_else(|| "/".to_owned())),
            Some("tcp") => None,
            Some(other) => {
                let message = format!(
                    "\"{}\" is checked by connecting: for more write rest",
                    kind::short(other)
                );
                self.say(Severity::Warning, item.line, "protocol", message);
                None
            }
            None => uri,
        };
        Some(HealthCheck { port, path, interval, status, body })
    }

    fn matching(&mut self, fields: &[(String, usize, Node)]) -> (Option<u16>, Option<String>) {
        let (mut status, mut body) = (None, None);
        for (name, line, node) in fields {
            let Content::Scalar(text) = &node.content else { continue };
            let text = text.trim();
            match name.as_str() {
                _ if text.is_empty() => {}
                "status" => match text.parse().ok().filter(|n| (100..=599).contains(n)) {
                    Some(number) => status = Some(number),
                    None => self.refuse(*line, "match.status", text, "a status from 100 to 599"),
                },
                "body" => match Regex::new(text) {
                    Ok(_) => body = Some(text.to_owned()),
                    Err(error) => {
                        let error = error.to_string();
                        let why = error
                            .lines()
                            .next_back()
                            .unwrap_or_default()
                            .trim_start_matches("error: ");
                        let message =
                            format!("\"{}\" is no regular expression: {why}", kind::short(text));
                        self.say(Severity::Error, *line, "match.body", message);
                    }
                },
                _ => {
                    let message = "unknown key, it has no effect: there are status and body";
                    self.say(Severity::Warning, *line, &format!("match.{name}"), message.into());
                }
            }
        }
        (status, body)
    }
}
