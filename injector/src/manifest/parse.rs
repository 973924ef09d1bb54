//! From text to trees, with the event parser that the reader of values uses too: what one accepts
//! the other accepts.

use std::iter::Peekable;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};

use super::error::{ManifestError, Place};
use super::tree::{Document, Entry, Item, Kind, Node, Scalar};

/// Cuts a YAML stream into documents.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, ManifestError> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_anchor_events: true,
        simple_key_max_lookahead: 1 << 20,
    };
    let mut builder = Builder {
        text,
        events: Parser::new_from_str_with_options(text, options).peekable(),
        anchors: Vec::new(),
        cursor: 0,
    };
    let mut found = Vec::new();
    while let Some((event, span)) = builder.next()? {
        match event {
            Event::DocumentStart(explicit, _) => {
                if explicit {
                    builder.cursor = range(&span).end;
                }
                let root = builder.node()?;
                found.push(Document { root, anchors: std::mem::take(&mut builder.anchors) });
            }
            Event::DocumentEnd => builder.cursor = range(&span).end,
            _ => {}
        }
    }
    Ok(found)
}

/// The place of the byte at `at`.
pub(super) fn place(text: &str, at: usize) -> Place {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = before[line_start..].trim_start_matches('\u{feff}');
    Place { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
}

struct Builder<'t> {
    text: &'t str,
    events: Peekable<Parser<'t, StrInput<'t>>>,
    anchors: Vec<(String, usize)>,
    /// The end of what was read last: the next dash is found from here.
    cursor: usize,
}

fn range(span: &Span) -> Range<usize> {
    // Strings always carry byte offsets.
    let byte = |m: &granit_parser::Marker| m.byte_offset().unwrap_or_else(|| m.index());
    byte(&span.start)..byte(&span.end)
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, ManifestError> {
        self.events.next().transpose().map_err(|e| ManifestError::Syntax {
            place: Place { line: e.marker().line(), column: e.marker().col() + 1 },
            problem: e.info(),
        })
    }

    /// The next event within a document, where the parser has always another one.
    fn inside(&mut self) -> Result<(Event<'t>, Span), ManifestError> {
        self.next()?.ok_or_else(|| ManifestError::Syntax {
            place: place(self.text, self.text.len()),
            problem: "the document ends in the middle of a value".into(),
        })
    }

    fn node(&mut self) -> Result<Node, ManifestError> {
        let (event, span) = self.inside()?;
        self.node_from(&event, &span)
    }

    fn node_from(&mut self, event: &Event<'t>, span: &Span) -> Result<Node, ManifestError> {
        let start = range(span);
        let mut decorated = span.tag_start.is_some();
        if let Some(Ok((Event::Anchor(..), _))) = self.events.peek()
            && let (Event::Anchor(_, name), at) = self.inside()?
        {
            decorated = true;
            self.anchors.push((name.into_owned(), range(&at).start));
        }
        let (kind, span) = match event {
            Event::Scalar(_, style, ..) => {
                let style = match style {
                    ScalarStyle::Plain => Scalar::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Scalar::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Scalar::Block,
                };
                self.cursor = self.cursor.max(start.end);
                (Kind::Scalar(style), start)
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.cursor = start.end;
                (Kind::Alias, start)
            }
            Event::SequenceStart(style, ..) => {
                self.sequence(*style == StructureStyle::Flow, start)?
            }
            Event::MappingStart(style, ..) => {
                self.mapping(*style == StructureStyle::Flow, start)?
            }
            _ => {
                return Err(ManifestError::Syntax {
                    place: place(self.text, start.start),
                    problem: "a value is missing here".into(),
                });
            }
        };
        Ok(Node { kind, span, decorated })
    }

    fn sequence(
        &mut self,
        flow: bool,
        start: Range<usize>,
    ) -> Result<(Kind, Range<usize>), ManifestError> {
        let mut items: Vec<Item> = Vec::new();
        if flow {
            self.cursor = start.end;
        }
        loop {
            let (event, span) = self.inside()?;
            if matches!(event, Event::SequenceEnd) {
                let end = if flow { range(&span).end } else { self.cursor };
                self.cursor = end;
                let from = if flow { start.start } else { items.first().map_or(end, |i| i.mark) };
                return Ok((Kind::Seq { flow, items }, from..end));
            }
            let dash = if flow { None } else { Some(self.dash()?) };
            let value = self.node_from(&event, &span)?;
            items.push(Item { mark: dash.unwrap_or(value.span.start), value });
        }
    }

    /// The dash of the next item: the parser does not give it, but between the cursor and it there
    /// is nothing but white space, comments and the sequence's own anchor and tag.
    fn dash(&mut self) -> Result<usize, ManifestError> {
        let bytes = self.text.as_bytes();
        let mut at = self.cursor;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'-' => {
                    self.cursor = at + 1;
                    return Ok(at);
                }
                b'#' => at += self.text[at..].find('\n').unwrap_or(self.text.len() - at),
                b'&' | b'!' => {
                    at += self.text[at..].find([' ', '\t', '\n', '\r']).unwrap_or(1);
                }
                _ => at += 1,
            }
        }
        Err(ManifestError::Syntax {
            place: place(self.text, self.cursor),
            problem: "no dash for this list item".into(),
        })
    }

    fn mapping(
        &mut self,
        flow: bool,
        start: Range<usize>,
    ) -> Result<(Kind, Range<usize>), ManifestError> {
        let mut entries: Vec<Entry> = Vec::new();
        if flow {
            self.cursor = start.end;
        }
        loop {
            let (event, span) = self.inside()?;
            if matches!(event, Event::MappingEnd) {
                let end = if flow { range(&span).end } else { self.cursor };
                self.cursor = end;
                let from =
                    if flow { start.start } else { entries.first().map_or(end, |e| e.key.start) };
                return Ok((Kind::Map { flow, entries }, from..end));
            }
            let name = match &event {
                Event::Scalar(text, ..) => Some(text.clone().into_owned()),
                _ => None,
            };
            let key = self.node_from(&event, &span)?;
            let colon = self.colon(key.span.end);
            self.cursor = colon;
            let mut value = self.node()?;
            if value.span.is_empty() && value.span.start < colon {
                // The parser puts an absent value before the colon.
                value.span = colon..colon;
            }
            entries.push(Entry { name, key: key.span, colon, value });
        }
    }

    /// Just after the colon that follows a key ending at `end`; `end` where there is none.
    fn colon(&self, end: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = end;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b':' => return at + 1,
                b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                b'#' => at += self.text[at..].find('\n').unwrap_or(self.text.len() - at),
                _ => break,
            }
        }
        end
    }
}
