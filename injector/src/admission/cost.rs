//! What a body will cost in memory, known before it is parsed.
//!
//! Parsed JSON is far larger than its text: of `[[],[],…` every third byte is a value.
//! So the server counts the values in one pass over the bytes, which allocates nothing, and
//! admits a body only when its cost fits into the budget.

use crate::content::write::special;

/// Memory counted for each JSON value: 32 bytes of a [`Content`](crate::content::Content), 56 with a
/// key, and the room that a list or object has left when it has grown.
pub const COST_PER_VALUE: usize = 80;

/// Memory counted besides for each JSON object with members, which has room for several of them from
/// the first one on.
pub const COST_PER_OBJECT: usize = 400;

/// The memory, in bytes, that reading `body` may take: its length, and what its values, objects
/// and keys take once parsed. Exact in its counts for valid JSON; for anything else at least as
/// much as a parser can have built before it gives up.
///
/// ```
/// use injector::admission::{COST_PER_OBJECT, COST_PER_VALUE, cost};
/// assert_eq!(cost(b"[1, [], {}]"), 11 + 4 * COST_PER_VALUE);
/// assert_eq!(cost(br#"{"a":",,"}"#), 10 + 2 * COST_PER_VALUE + COST_PER_OBJECT);
/// ```
pub fn cost(body: &[u8]) -> usize {
    let mut scale = Scale::default();
    scale.put(body);
    scale.cost()
}

/// Weighs a body piece by piece, so that one which costs too much need not be received whole.
///
/// A container with members has one more of them than commas, so the values of a document are
/// the root, the commas and the containers that are not empty.
#[derive(Debug, Clone, Default)]
pub struct Scale {
    bytes: usize,
    /// Values of every type but the root.
    values: usize,
    /// Objects with at least one member.
    objects: usize,
    place: Place,
}

/// Where in the text the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Between,
    /// After a bracket or brace, while only white space has followed it.
    Opened(u8),
    String,
    /// After a backslash in a string.
    Escape,
}

impl Scale {
    /// Weighs the next piece of the body.
    pub fn put(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        let mut rest = piece;
        while !rest.is_empty() {
            rest = match self.place {
                Place::String => self.text(rest),
                Place::Escape => {
                    self.place = Place::String;
                    &rest[1..]
                }
                Place::Between | Place::Opened(_) => self.structure(rest),
            };
        }
    }

    /// Up to the end of a string, or to a byte in it that is escaped: most of a body is text.
    fn text<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let Some(at) = special(piece) else {
            return &[];
        };
        match piece[at] {
            b'"' => self.place = Place::Between,
            b'\\' => self.place = Place::Escape,
            _ => {}
        }
        &piece[at + 1..]
    }

    /// Up to a string.
    fn structure<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let mut opened = if let Place::Opened(bracket) = self.place { Some(bracket) } else { None };
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'"' => {
                    self.place = Place::String;
                    return &piece[at + 1..];
                }
                b',' => {
                    self.values += 1;
                    opened = None;
                }
                b'[' | b'{' => {
                    self.values += 1;
                    self.objects += usize::from(*byte == b'{');
                    opened = Some(*byte);
                }
                b']' | b'}' => {
                    // It was empty: what its opening counted goes back.
                    if let Some(bracket) = opened.take() {
                        self.values -= 1;
                        self.objects -= usize::from(bracket == b'{');
                    }
                }
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => opened = None,
            }
        }
        self.place = opened.map_or(Place::Between, Place::Opened);
        &[]
    }

    /// What has been put on it so far costs.
    pub fn cost(&self) -> usize {
        let values = self.values + 1;
        self.bytes
            .saturating_add(values.saturating_mul(COST_PER_VALUE))
            .saturating_add(self.objects.saturating_mul(COST_PER_OBJECT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Values and objects with members.
    #[derive(Debug, PartialEq, Eq)]
    struct Count {
        values: usize,
        objects: usize,
    }

    fn count(body: &[u8]) -> Count {
        let mut scale = Scale::default();
        scale.put(body);
        Count { values: scale.values + 1, objects: scale.objects }
    }

    fn by_serde(value: &Value) -> Count {
        let mut count = Count { values: 1, objects: 0 };
        let children: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => {
                count.objects += usize::from(!map.is_empty());
                map.values().collect()
            }
            _ => Vec::new(),
        };
        for child in children {
            let below = by_serde(child);
            count.values += below.values;
            count.objects += below.objects;
        }
        count
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            r#"[a-z\\",:{}\[\] é\n]{0,8}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((r#"[a-z\\",:{}\[\]]{0,5}"#, inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_scan_counts_what_serde_json_parses(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            prop_assert_eq!(count(text.as_bytes()), by_serde(&value));
        }

        #[test]
        fn cutting_the_text_short_never_panics(value in any_json(), at in any::<prop::sample::Index>()) {
            let text = value.to_string();
            let cut = &text.as_bytes()[..at.index(text.len())];
            prop_assert!(cost(cut) >= cut.len());
        }

        #[test]
        fn pieces_weigh_what_the_whole_does(body in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
            let at = at.index(body.len() + 1);
            let mut scale = Scale::default();
            scale.put(&body[..at]);
            scale.put(&body[at..]);
            prop_assert_eq!(scale.cost(), cost(&body));
        }

        #[test]
        fn any_bytes_have_a_cost(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(cost(&body) >= body.len());
        }
    }

    #[test]
    fn an_unclosed_flood_is_counted_in_full() {
        let flood = b"[[],".repeat(1000);
        assert_eq!(count(&flood).values, 1 + 1000 + 1000);
    }
}
