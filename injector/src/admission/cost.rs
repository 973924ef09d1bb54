//! What a body will cost in memory, known before it is parsed.
//!
//! A parsed `serde_json::Value` is far larger than its text: 6 MB of `[[],[],…` become 219 MB.
//! So the server counts the values in one pass over the bytes, which allocates nothing, and
//! admits a body only when its cost fits into the budget.

/// Memory counted for each JSON value (measured: 72 bytes for a `Value` in a vector, and slack).
pub const COST_PER_VALUE: usize = 80;

/// Memory counted besides for each JSON object with members: its table of keys is allocated for
/// four entries at once.
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
        let mut place = self.place;
        for &byte in piece {
            place = match (place, byte) {
                (Place::String, b'"') => Place::Between,
                (Place::String, b'\\') => Place::Escape,
                (Place::String | Place::Escape, _) | (_, b'"') => Place::String,
                (_, b' ' | b'\t' | b'\n' | b'\r') => place,
                (_, b'[' | b'{') => {
                    self.values += 1;
                    self.objects += usize::from(byte == b'{');
                    Place::Opened(byte)
                }
                // It was empty: what its opening counted goes back.
                (Place::Opened(opened), b']' | b'}') => {
                    self.values -= 1;
                    self.objects -= usize::from(opened == b'{');
                    Place::Between
                }
                _ => {
                    self.values += usize::from(byte == b',');
                    Place::Between
                }
            };
        }
        self.place = place;
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
