//! YAML as text with places: what a key means decides what its value is, so `version: 1.10` stays
//! `1.10`.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// Nodes of one file, aliases followed: a few bytes must not become gigabytes.
const MOST_NODES: usize = 100_000;

/// A value and the line it begins in, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
}

/// What a file can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// `~`, `null` or nothing: as good as absent.
    Null,
    /// Any scalar, as text.
    Scalar(String),
    List(Vec<Node>),
    /// Keys in the order written, with their lines.
    Map(Vec<(String, usize, Node)>),
}

impl Content {
    /// The text of a scalar, trimmed.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text.trim()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }
}

/// Why a file is no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) problem: String,
}

/// Reads a file of one document; an empty one is [`Content::Null`].
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let options = granit_parser::options! { emit_comments: false };
    let events = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { events, anchors: HashMap::new(), nodes: 0, line: 1 };
    let mut found: Option<Node> = None;
    while let Some((event, span)) = reader.next()? {
        if !matches!(event, Event::DocumentStart(..)) {
            continue;
        }
        let line = span.start.line();
        let (event, span) = reader.inside()?;
        let node = reader.node(event, &span)?;
        match (&found, &node.content) {
            (_, Content::Null) => {}
            (Some(_), _) => {
                let problem = "a second document (---): put everything into the first";
                return Err(Fault { line, problem: problem.into() });
            }
            (None, _) => found = Some(node),
        }
    }
    Ok(found.unwrap_or(Node { line: 1, content: Content::Null }))
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    line: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Fault> {
        let next = self.events.next().transpose().map_err(|error| Fault {
            line: error.marker().line().max(1),
            problem: format!("{}: check the indentation and the quotes", error.info()),
        })?;
        if let Some((_, span)) = &next {
            self.line = span.start.line().max(1);
        }
        Ok(next)
    }

    fn inside(&mut self) -> Result<(Event<'t>, Span), Fault> {
        let line = self.line;
        self.next()?.ok_or_else(|| Fault { line, problem: "the file ends within a value".into() })
    }

    fn fault<T>(&self, problem: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { line: self.line, problem: problem.into() })
    }

    fn count(&mut self, more: usize) -> Result<(), Fault> {
        self.nodes += more;
        if self.nodes > MOST_NODES {
            return self.fault(format!("more than {MOST_NODES} values: a configuration has fewer"));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, span: &Span) -> Result<Node, Fault> {
        self.count(1)?;
        let line = span.start.line().max(1);
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let scalar = || Content::Scalar(text.into_owned());
                (if null { Content::Null } else { scalar() }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.inside()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, &span)?),
                    }
                }
                (Content::List(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.mapping()?, anchor),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return self.fault("an alias within what it names");
                };
                self.count(size(&node))?;
                // The line of the alias is where a reader looks.
                return Ok(Node { line, ..node });
            }
            _ => return self.fault("a value is missing here"),
        };
        let node = Node { line, content };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self) -> Result<Content, Fault> {
        let mut entries: Vec<(String, usize, Node)> = Vec::new();
        let mut merged = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.inside()?;
            let (name, line) = match event {
                Event::MappingEnd => break,
                Event::Scalar(name, ..) => (name.into_owned(), span.start.line().max(1)),
                _ => return self.fault("a key has to be a word"),
            };
            let (event, span) = self.inside()?;
            let node = self.node(event, &span)?;
            if name == "<<" {
                merged.push(node);
            } else if let Some(first) = seen.insert(name.clone(), line) {
                let problem = format!("{name}: the key stands in line {first} already: keep one");
                return Err(Fault { line, problem });
            } else {
                entries.push((name, line, node));
            }
        }
        for node in merged {
            let maps = match node.content {
                Content::List(nodes) => nodes.into_iter().map(|node| node.content).collect(),
                content => vec![content],
            };
            for map in maps {
                let Content::Map(map) = map else {
                    return self.fault("<<: only a mapping can be merged in");
                };
                for (name, line, node) in map {
                    if !entries.iter().any(|(known, ..)| *known == name) {
                        entries.push((name, line, node));
                    }
                }
            }
        }
        Ok(Content::Map(entries))
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.content {
        Content::Null | Content::Scalar(_) => 0,
        Content::List(items) => items.iter().map(size).sum(),
        Content::Map(entries) => entries.iter().map(|(_, _, node)| size(node)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Content, read};

    fn show(content: &Content) -> String {
        match content {
            Content::Null => "null".into(),
            Content::Scalar(text) => format!("{text:?}"),
            Content::List(items) => {
                let items: Vec<_> = items.iter().map(|node| show(&node.content)).collect();
                format!("[{}]", items.join(" "))
            }
            Content::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(name, line, node)| format!("{name}@{line}={}", show(&node.content)))
                    .collect();
                format!("{{{}}}", entries.join(" "))
            }
        }
    }

    #[test]
    fn values_are_text_and_know_their_lines() {
        for (text, shown) in [
            ("", "null"),
            ("# nothing\n---\n", "null"),
            ("---\na: 1.10\n---\n", r#"{a@2="1.10"}"#),
            ("a: ~\nb: '~'\nc:\n", r#"{a@1=null b@2="~" c@3=null}"#),
            ("a:\n  b: [1, 'x']\n", r#"{a@1={b@2=["1" "x"]}}"#),
            ("x: &x {a: 1}\ny: *x\n", r#"{x@1={a@1="1"} y@2={a@1="1"}}"#),
            (
                "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\n",
                r#"{x@1={a@1="1" b@1="2"} y@2={a@4="3" b@1="2"}}"#,
            ),
        ] {
            assert_eq!(show(&read(text).unwrap().content), shown, "{text:?}");
        }
    }

    #[test]
    fn faults_name_the_line_and_the_remedy() {
        for (text, line, problem) in [
            ("a: 1\nb: 2\na: 3\n", 3, "stands in line 1 already"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a: [\n", 1, "unclosed"),
            ("a: 1\n b: 2\n", 2, ""),
            ("a: &a [*a]\n", 1, "alias"),
            ("? [a]\n: b\n", 1, "a key has to be a word"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.problem.contains(problem), "{text:?}: {fault:?}");
            assert_eq!(fault.line, line, "{text:?}: {fault:?}");
        }
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 8].join(", ");
            bomb = format!("{bomb}a{i}: &a{i} [{aliases}]\n");
        }
        assert!(read(&bomb).unwrap_err().problem.contains("more than"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in prop_oneof![any::<String>(), "[-a-c:*&<\\[\\]{}\n '\"|>#?,]{0,80}"]) {
            let _ = read(&text);
        }
    }
}
