//! `egressRule`: groups of rules, each with hosts and ports.

use mesh::{Egress, EgressPort, EgressProtocol};

use super::Reader;
use crate::configuration::kind;
use crate::configuration::problem::Severity;
use crate::configuration::values::{Entry, Origin};
use crate::configuration::yaml::{self, Content, Node};

const WANTED: &str =
    "a list is wanted here: - {hosts: [www.example.com], ports: [{port: 80, protocol: HTTP}]}";

pub(super) fn rules(reader: &mut Reader<'_>) -> Egress {
    let mut egress = Egress::default();
    let values = reader.values;
    for (_, entry) in values.below("egressRule") {
        let mut group = Group { reader: &mut *reader, entry, offset: 0 };
        for item in group.items() {
            group.rule(&item, &mut egress);
        }
    }
    egress
}

struct Group<'a, 'r> {
    reader: &'a mut Reader<'r>,
    entry: &'a Entry,
    /// Lines before those of a text within the file.
    offset: usize,
}

impl Group<'_, '_> {
    fn say(&mut self, severity: Severity, line: usize, message: String) {
        let origin = self.entry.origin.at(line + self.offset);
        self.reader.problems.add(severity, Some(&origin), &self.entry.written, message);
    }

    /// A list, or the text of one, as a configuration center stores it.
    fn items(&mut self) -> Vec<Node> {
        let first = match self.entry.origin {
            Origin::File(_, line) => line,
            _ => 1,
        };
        let content = match &self.entry.content {
            Content::Scalar(text) => {
                self.offset = first.saturating_sub(1);
                match yaml::read(text) {
                    Ok(node) => node.content,
                    Err(fault) => {
                        self.say(Severity::Error, fault.line, fault.problem);
                        return Vec::new();
                    }
                }
            }
            other => other.clone(),
        };
        if let Content::List(items) = content {
            return items;
        }
        self.say(Severity::Error, first.saturating_sub(self.offset), WANTED.to_owned());
        Vec::new()
    }

    fn rule(&mut self, item: &Node, egress: &mut Egress) {
        let Content::Map(fields) = &item.content else {
            return self.say(Severity::Error, item.line, WANTED.to_owned());
        };
        let (mut hosts, mut ports, mut wrong) = (Vec::new(), Vec::new(), false);
        for (name, line, node) in fields {
            match (name.as_str(), &node.content) {
                (_, Content::Null) => {}
                ("hosts", Content::List(nodes)) => hosts.extend(nodes),
                ("hosts", Content::Scalar(_)) => hosts.push(node),
                ("ports", Content::List(nodes)) => {
                    for node in nodes {
                        match self.port(node) {
                            Some(port) => ports.push(port),
                            None => wrong = true,
                        }
                    }
                }
                ("hosts" | "ports", _) => {
                    self.say(Severity::Error, *line, format!("{name}: a list is wanted here"));
                    wrong = true;
                }
                _ => {
                    let known = "unknown key, it has no effect: there are hosts and ports";
                    self.say(Severity::Warning, *line, format!("{name}: {known}"));
                }
            }
        }
        if hosts.is_empty() {
            return self.say(
                Severity::Error,
                item.line,
                "hosts is missing: who may be called?".to_owned(),
            );
        }
        let mut names = Vec::new();
        for host in hosts {
            match &host.content {
                Content::Scalar(text) => names.push((text.trim(), host.line)),
                _ => {
                    return self.say(
                        Severity::Error,
                        host.line,
                        "hosts: each is one name".to_owned(),
                    );
                }
            }
        }
        if wrong {
            return;
        }
        let texts: Vec<&str> = names.iter().map(|(text, _)| *text).collect();
        if let Err((host, why)) = egress.allow(&texts, &ports) {
            let line =
                names.iter().find(|(text, _)| *text == host).map_or(item.line, |found| found.1);
            let host = kind::short(host);
            self.say(Severity::Error, line, format!("\"{host}\" is not allowed here: write {why}"));
        }
    }

    fn port(&mut self, node: &Node) -> Option<EgressPort> {
        let Content::Map(fields) = &node.content else {
            let wanted = "ports: {port: NUMBER, protocol: HTTP} is wanted here";
            self.say(Severity::Error, node.line, wanted.to_owned());
            return None;
        };
        let text = |wanted: &str| {
            let (_, line, node) = fields.iter().find(|(name, ..)| name == wanted)?;
            match &node.content {
                Content::Scalar(text) => Some((text.trim(), *line)),
                _ => None,
            }
        };
        let (number, line) = text("port").unwrap_or(("", node.line));
        let Some(number) = kind::port(number) else {
            let number = kind::short(number);
            let message =
                format!("port: \"{number}\" is not allowed here: write a port from 1 to 65535");
            self.say(Severity::Error, line, message);
            return None;
        };
        let protocol = text("protocol").map(|(word, _)| word.to_ascii_lowercase());
        let protocol = match protocol.as_deref() {
            Some("http") => EgressProtocol::Http,
            Some("https") => EgressProtocol::Https,
            _ => EgressProtocol::Other,
        };
        Some(EgressPort { number, protocol })
    }
}
