//! What of a pod the decision needs: the rest is skipped unread, as most of a pod is.
//!
//! A pod that has our record is read whole, as its sidecar may have to be mended.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

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
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Whole => serde::Deserialize::deserialize(deserializer),
            Members(..) | Items(_) => deserializer.deserialize_any(self),
        }
    }
}

/// A value of another type than expected is read whole: the decision treats it as such.
impl<'de> Visitor<'de> for Needed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let (rules, others) = match self {
            Members(rules, others) => (rules, others),
            Whole | Items(_) => (&[][..], Others::Whole),
        };
        let mut map = Map::new();
        while let Some(found) = object.next_key_seed(Key { rules, others })? {
            match found {
                Found::Needed(key, rule) => {
                    map.insert(key, object.next_value_seed(rule)?);
                }
                Found::Skipped => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let rule = if let Items(rule) = self { *rule } else { Whole };
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(rule)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
}

/// Finds the rule for a key; what is skipped is not even copied.
struct Key {
    rules: &'static [(&'static str, Needed)],
    others: Others,
}

enum Found {
    Needed(String, Needed),
    Skipped,
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Found, E> {
        let rule = self.rules.iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule);
        let rule = rule.or((self.others == Others::Whole).then_some(Whole));
        Ok(rule.map_or(Found::Skipped, |rule| Found::Needed(key.to_owned(), rule)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn needed(text: &str) -> Value {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        OF_POD.deserialize(&mut deserializer).unwrap()
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
}
