//! Content as JSON text, byte for byte as `serde_json` writes it.

use super::{Content, Object};

/// What is written already: a value that stands in many answers.
#[derive(Debug, Clone)]
pub struct Literal {
    content: Content<'static>,
    json: Box<[u8]>,
}

impl Literal {
    pub(crate) fn new(content: impl Into<Content<'static>>) -> Self {
        let content = content.into();
        let mut json = Vec::new();
        content.write(&mut json);
        Self { content, json: json.into() }
    }

    pub(crate) fn content(&self) -> &Content<'static> {
        &self.content
    }
}

impl Content<'_> {
    /// Appends it to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Literal(literal) => out.extend_from_slice(&literal.json),
            Self::Part(content) => content.write(out),
            Self::Text(text) => string(text, out),
            Self::Object(members) => object(members, out),
            Self::List(items) => list(items, out),
            Self::Same(value) => number_or_value(value, out),
            Self::Number(number) => number_or_value(number, out),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Null => out.extend_from_slice(b"null"),
        }
    }
}

fn number_or_value(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value)
        .expect("a JSON value serializes, and memory takes every write");
}

fn object(members: &Object<'_>, out: &mut Vec<u8>) {
    let mut before = b'{';
    for (key, value) in members {
        out.push(before);
        string(key, out);
        out.push(b':');
        value.write(out);
        before = b',';
    }
    close(before, *b"{}", out);
}

fn list(items: &[Content<'_>], out: &mut Vec<u8>) {
    let mut before = b'[';
    for item in items {
        out.push(before);
        item.write(out);
        before = b',';
    }
    close(before, *b"[]", out);
}

/// The end of a collection, and its beginning where nothing was in it.
fn close(before: u8, [open, close]: [u8; 2], out: &mut Vec<u8>) {
    if before == open {
        out.push(open);
    }
    out.push(close);
}

/// Appends `text` in quotes.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while let Some(at) = special(rest) {
        out.extend_from_slice(&rest[..at]);
        escape(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
            out.extend_from_slice(b"\\u00");
            return out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Where the first byte stands that a JSON string cannot hold as it is. Eight are looked at together.
pub(crate) fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (number, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        // The top bit of each byte that is below the other; those above a first one may be wrong.
        let below = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word & TOPS;
        let equal = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
        let found = below(eight, b' ') | equal(b'"') | equal(b'\\');
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\'))?;
    Some(bytes.len() - rest.len() + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    proptest! {
        #[test]
        fn a_string_is_written_as_serde_json_does(
            text in "([a-z /\u{7f}é😀]{0,20}[\"\\\\\u{0}-\u{1f}]?){0,4}",
        ) {
            let mut out = Vec::new();
            string(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn every_byte_is_found_wherever_it_stands() {
        for byte in (0..=0x7f_u8).map(char::from) {
            for before in 0..20 {
                let text = format!("{}{byte}{}", "é".repeat(before), "z".repeat(20 - before));
                let mut out = Vec::new();
                string(&text, &mut out);
                let expected = serde_json::to_string(&text).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }

    #[test]
    fn every_form_is_written_as_the_value_it_is() {
        let value =
            json!({"a": [], "b": {}, "c": [1, -2, 2.5, null, true, "x\"y"], "d\n": {"e": [[{}]]}});
        let own = Content::from(value.clone());
        let literal = Literal::new(own.clone());
        let mixed = Content::List(vec![
            Content::Same(&value),
            Content::Part(&own),
            Content::Literal(&literal),
            own.clone(),
        ]);
        let mut out = Vec::new();
        mixed.write(&mut out);
        let all: Value = [(); 4].map(|()| value.clone()).into_iter().collect();
        assert_eq!(String::from_utf8(out).unwrap(), all.to_string());
    }
}
