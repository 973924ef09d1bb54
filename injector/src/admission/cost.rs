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
    let count = count(body);
    body.len()
        .saturating_add(count.values.saturating_mul(COST_PER_VALUE))
        .saturating_add(count.objects.saturating_mul(COST_PER_OBJECT))
}

/// What a text of JSON holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    /// Values of every type, the root among them.
    values: usize,
    /// Objects with at least one member.
    objects: usize,
}

/// A container with members has one more of them than commas, so the values of a document are
/// the root, the commas and the containers that are not empty.
fn count(body: &[u8]) -> Count {
    let mut count = Count {
        values: 1,
        objects: 0,
    };
    // The bracket that was just opened, while only white space has followed it.
    let mut opened = None;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'"' => at = after_string(body, at),
            b',' => count.values += 1,
            b']' | b'}' if opened.is_some() => {
                // It was empty: what its opening counted goes back.
                count.values -= 1;
                count.objects -= usize::from(opened == Some(b'{'));
            }
            b'[' | b'{' => {
                count.values += 1;
                count.objects += usize::from(byte == b'{');
                opened = Some(byte);
                continue;
            }
            _ => {}
        }
        opened = None;
    }
    count
}

/// Where the string that began before `at` has ended: past its closing quote, or at the end.
fn after_string(body: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn by_serde(value: &Value) -> Count {
        let mut count = Count {
            values: 1,
            objects: 0,
        };
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
