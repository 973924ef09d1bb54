//! Amounts of memory, written as in Kubernetes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: `6291456`, `6144Ki`, `6Mi` or `1Gi`.
///
/// ```
/// use injector::config::Size;
/// assert_eq!("6Mi".parse::<Size>()?.bytes(), 6 << 20);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(usize);

const UNITS: [(&str, u32); 3] = [("Gi", 30), ("Mi", 20), ("Ki", 10)];

impl Size {
    /// `count` times 2^20 bytes.
    pub const fn mebibytes(count: usize) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
            .unwrap_or((text, 0));
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits
            .parse::<usize>()
            .ok()
            .filter(|_| plain)
            .and_then(|count| count.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no size: write bytes, or Ki, Mi or Gi as in 6Mi"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in UNITS {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // YAML's plain scalars read as strings too, so `6291456` needs no quotes.
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes, or Ki, Mi or Gi as in 6Mi.",
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(Ki|Mi|Gi)?$",
            "minimum": 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_written() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("3Ki", 3072), ("6Mi", 6 << 20), ("1Gi", 1 << 30)]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, text));
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in
            ["", "Mi", "-1", "+1", "1.5Mi", "6MB", "6 Mi", "99999999999999999999", "17179869184Gi"]
        {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }
}
