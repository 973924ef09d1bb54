//! What of a pod the decision needs: the rest is skipped unread, as most of a pod is.
//!
//! A pod that has our record is read whole, as its sidecar may have to be mended.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::content::{Content, Object};

/// How much of a value is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needed {
    /// All of it.
    Whole,
    /// Of an object these members, by their own rules; and the others whole, or not at all.
    Members(&'static [(&'static str, Needed)], Others),
    /// Of a list every item, by this rule.
    Items(&'static Needed),
}

/// Members that no rule names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Others {
    Whole,
    Skipped,
}

/// Room for so many items of a pod's own lists is made at once.
const FIRST_ITEMS: usize = 8;

/// Of a pod.
pub(super) const OF_POD: Needed = Members(&[("spec", SPEC)], Others::Whole);

use Needed::{Items, Members, Whole};

const SPEC: Needed = Members(
    &[
        ("containers", Items(&CONTAINER)),
        ("initContainers", Items(&CONTAINER)),
        ("ephemeralContainers", Items(&NAMED)),
        ("volumes", Items(&NAMED)),
        ("imagePullSecrets", Whole),
        ("hostNetwork", Whole),
        ("nodeSelector", Whole),
        ("os", Whole),
        ("restartPolicy", Whole),
    ],
    Others::Skipped,
);

const CONTAINER: Needed = Members(
    &[
        ("name", Whole),
        ("env", Items(&NAMED)),
        ("envFrom", Whole),
        ("ports", Whole),
        ("resources", Whole),
    ],
    Others::Skipped,
);

const NAMED: Needed = Members(&[("name", Whole)], Others::Skipped);

impl<'de> DeserializeSeed<'de> for Needed {
    type Value = Content<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Text is borrowed where it stands in the body as it is. A value of another type than expected is
/// read whole: the decision treats it as such.
impl<'de> Visitor<'de> for Needed {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Content<'de>, A::Error> {
        let (rules, others) = match self {
            Members(rules, others) => (rules, others),
            Whole | Items(_) => (&[][..], Others::Whole),
        };
        let mut members = Vec::new();
        while let Some(found) = object.next_key_seed(Key { rules, others })? {
            match found {
                Found::Needed(key, rule) => {
                    let value = object.next_value_seed(rule)?;
                    // Without others there are no more than rules.
                    if members.is_empty() && others == Others::Skipped {
                        members.reserve_exact(rules.len());
                    }
                    members.push((key, value));
                }
                Found::Skipped => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Content::Object(last_of_each(members)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content<'de>, A::Error> {
        let rule = if let Items(rule) = self { *rule } else { Whole };
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(rule)? {
            if items.is_empty() && matches!(self, Items(_)) {
                items.reserve(FIRST_ITEMS);
            }
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_unit<E>(self) -> Result<Content<'de>, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content<'de>, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content<'de>, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content<'de>, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content<'de>, E> {
        Ok(Number::from_f64(value).map_or(Content::Null, Content::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Content<'de>, E> {
        Ok(Content::Text(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content<'de>, E> {
        Ok(Content::Text(value.to_owned().into()))
    }
}

/// Of keys that stand twice the last counts, at the place of the first.
fn last_of_each(members: Object<'_>) -> Object<'_> {
    /// Up to so many are compared with each other; more are sorted.
    const FEW: usize = 16;
    let twice = if members.len() <= FEW {
        let same = |at: usize| members[..at].iter().any(|(key, _)| *key == members[at].0);
        (1..members.len()).any(same)
    } else {
        let mut keys: Vec<&str> = members.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    };
    if !twice {
        return members;
    }
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut kept: Object<'_> = Vec::new();
    for (key, value) in members {
        if let Some(at) = places.get(&key) {
            kept[*at].1 = value;
        } else {
            places.insert(key.clone(), kept.len());
            kept.push((key, value));
        }
    }
    kept
}

/// Finds the rule for a key.
struct Key {
    rules: &'static [(&'static str, Needed)],
    others: Others,
}

enum Found<'de> {
    Needed(Cow<'de, str>, Needed),
    Skipped,
}

impl Key {
    fn rule(&self, key: &str) -> Option<Needed> {
        let rule = self.rules.iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule);
        rule.or((self.others == Others::Whole).then_some(Whole))
    }
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Found<'de>, E> {
        Ok(self.rule(key).map_or(Found::Skipped, |rule| Found::Needed(key.into(), rule)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Found<'de>, E> {
        let needed = |rule| Found::Needed(key.to_owned().into(), rule);
        Ok(self.rule(key).map_or(Found::Skipped, needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(needed: Needed, text: &str) -> Value {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        needed.deserialize(&mut deserializer).unwrap().to_value()
    }

    fn needed(text: &str) -> Value {
        read(OF_POD, text)
    }

    #[test]
    fn what_no_question_asks_for_is_skipped() {
        let pod = json!({
            "kind": "Pod", "future": {"x": [1]},
            "metadata": {"name": "a", "managedFields": [{}]},
            "spec": {
                "containers": [
                    {"name": "a", "image": "i", "env": [{"name": "A", "value": "v"}, {}], "args": []},
                ],
                "tolerations": [{"key": "k"}],
                "volumes": [{"name": "v", "emptyDir": {}}],
                "os": {"name": "linux"},
            },
        });
        let expected = json!({
            "kind": "Pod", "future": {"x": [1]},
            "metadata": {"name": "a", "managedFields": [{}]},
            "spec": {
                "containers": [{"name": "a", "env": [{"name": "A"}, {}]}],
                "volumes": [{"name": "v"}],
                "os": {"name": "linux"},
            },
        });
        assert_eq!(needed(&pod.to_string()), expected);
    }

    #[test]
    fn what_has_another_type_stays_as_it_is() {
        for text in [
            "null",
            "[{\"spec\":{\"x\":1}}]",
            r#"{"spec":null}"#,
            r#"{"spec":[{"x":1}]}"#,
            r#"{"spec":{"containers":{"a":1},"volumes":"x","os":-1.5}}"#,
            r#"{"spec":{"containers":[7,null,true,-1,"x",[]],"volumes":[]}}"#,
        ] {
            assert_eq!(needed(text), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn of_keys_that_stand_twice_the_last_counts_as_everywhere() {
        let text = r#"{"spec":{"os":1,"containers":[{}],"os":2,"containers":[{"name":"b"}]}}"#;
        assert_eq!(needed(text), serde_json::from_str::<Value>(text).unwrap());
    }

    proptest! {
        #[test]
        fn keys_that_stand_twice_are_read_as_by_serde_json(
            keys in prop::collection::vec("[a-e]{1,2}|\\PC{1,2}", 0..40),
        ) {
            let member = |(at, key)| format!("{}:{at}", Value::from(key));
            let members: Vec<String> = keys.into_iter().enumerate().map(member).collect();
            let text = format!("{{{}}}", members.join(","));
            let expected: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read(Whole, &text).to_string(), expected.to_string());
        }
    }
}
