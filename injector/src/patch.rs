//! JSON Patch (RFC 6902) as the injector writes it: `add`, `replace` and `remove` on raw JSON,
//! with RFC 6901 pointers, and a strict application to our own copy before anything is sent.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::content::{Content, write};

/// A JSON Pointer (RFC 6901), kept in its escaped form.
///
/// ```
/// use injector::patch::Pointer;
/// let p = Pointer::root().child("metadata").child("annotations").child("a/b~c");
/// assert_eq!(p.as_str(), "/metadata/annotations/a~1b~0c");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// The member `key`, escaped here (`~` first, then `/`).
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        // Both are escaped by one byte more.
        let special = |byte: &u8| matches!(byte, b'~' | b'/');
        let more = key.as_bytes().iter().filter(|byte| special(byte)).count();
        let mut path = self.longer_by(key.len() + more);
        let mut rest = key;
        while let Some(at) = rest.as_bytes().iter().position(special) {
            path.push_str(&rest[..at]);
            path.push_str(if rest.as_bytes()[at] == b'~' { "~0" } else { "~1" });
            rest = &rest[at + 1..];
        }
        path.push_str(rest);
        Self(path)
    }

    /// The item at `index` of an array.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.child(&index.to_string())
    }

    /// The place after the last item of an array (`-`); only an `add` may name it.
    #[must_use]
    pub fn end(&self) -> Self {
        self.child("-")
    }

    /// It and a slash, with room for so many bytes more.
    fn longer_by(&self, bytes: usize) -> String {
        let mut path = String::with_capacity(self.0.len() + 1 + bytes);
        path.push_str(&self.0);
        path.push('/');
        path
    }

    /// The escaped form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The unescaped steps from the root.
    pub fn tokens(&self) -> impl Iterator<Item = Cow<'_, str>> {
        steps(&self.0)
    }

    /// The pointer to what it stands in, and its last step, both escaped; `None` at the root.
    pub(crate) fn parent(&self) -> Option<(&str, &str)> {
        let at = self.0.bytes().rposition(|byte| byte == b'/')?;
        Some((&self.0[..at], &self.0[at + 1..]))
    }

    /// This pointer seen from further out: `prefix` followed by `self`.
    #[must_use]
    pub fn under(&self, prefix: &Self) -> Self {
        Self(format!("{}{}", prefix.0, self.0))
    }

    /// The pointer without its last step, and that step unescaped; `None` at the root.
    pub fn split_last(&self) -> Option<(Self, String)> {
        let (parent, last) = self.parent()?;
        Some((Self(parent.to_owned()), unescape(last).into_owned()))
    }
}

/// The unescaped steps of a pointer in its escaped form.
pub(crate) fn steps(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = pointer.strip_prefix('/');
    std::iter::from_fn(move || {
        let left = rest?;
        // They are short: looking byte by byte is quicker than making ready to look for more.
        let end = left.bytes().position(|byte| byte == b'/');
        rest = end.map(|at| &left[at + 1..]);
        Some(unescape(&left[..end.unwrap_or(left.len())]))
    })
}

pub(crate) fn unescape(step: &str) -> Cow<'_, str> {
    let tilde = |text: &str| text.bytes().position(|byte| byte == b'~');
    let Some(mut at) = tilde(step) else {
        return step.into();
    };
    let (mut plain, mut rest) = (String::with_capacity(step.len()), step);
    loop {
        plain.push_str(&rest[..at]);
        let (meant, length) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        plain.push(meant);
        rest = &rest[at + length..];
        match tilde(rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    plain.push_str(rest);
    plain.into()
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step of a patch.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation<'a> {
    /// Sets a member, or inserts an item before an index or at `-`.
    Add {
        /// Where.
        path: Pointer,
        /// What.
        value: Content<'a>,
    },
    /// Exchanges a value that exists.
    Replace {
        /// Where.
        path: Pointer,
        /// What.
        value: Content<'a>,
    },
    /// Takes out a value that exists.
    Remove {
        /// Where.
        path: Pointer,
    },
}

impl Operation<'_> {
    /// Where the operation acts.
    pub fn path(&self) -> &Pointer {
        match self {
            Self::Add { path, .. } | Self::Replace { path, .. } | Self::Remove { path } => path,
        }
    }
}

/// A list of operations, applied in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Patch<'a>(Vec<Operation<'a>>);

impl<'a> Patch<'a> {
    /// No operation.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// No operation, and room for so many.
    pub(crate) fn with_capacity(operations: usize) -> Self {
        Self(Vec::with_capacity(operations))
    }

    /// Appends `add`.
    pub fn add(&mut self, path: Pointer, value: impl Into<Content<'a>>) {
        self.0.push(Operation::Add { path, value: value.into() });
    }

    /// Appends `replace`.
    pub fn replace(&mut self, path: Pointer, value: impl Into<Content<'a>>) {
        self.0.push(Operation::Replace { path, value: value.into() });
    }

    /// Appends `remove`.
    pub fn remove(&mut self, path: Pointer) {
        self.0.push(Operation::Remove { path });
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Patch<'static> {
        let operations = self.0.into_iter().map(|operation| match operation {
            Operation::Add { path, value } => Operation::Add { path, value: value.into_owned() },
            Operation::Replace { path, value } => {
                Operation::Replace { path, value: value.into_owned() }
            }
            Operation::Remove { path } => Operation::Remove { path },
        });
        operations.collect()
    }

    /// The operations in order.
    pub fn operations(&self) -> &[Operation<'a>] {
        &self.0
    }

    /// The JSON array that goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        // What a whole sidecar takes: so it is written without moving.
        let mut bytes = Vec::with_capacity(8 << 10);
        bytes.push(b'[');
        for operation in &self.0 {
            let (op, value) = match operation {
                Operation::Add { value, .. } => ("add", Some(value)),
                Operation::Replace { value, .. } => ("replace", Some(value)),
                Operation::Remove { .. } => ("remove", None),
            };
            if bytes.len() > 1 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(b"{\"op\":\"");
            bytes.extend_from_slice(op.as_bytes());
            bytes.extend_from_slice(b"\",\"path\":");
            write::string(operation.path().as_str(), &mut bytes);
            if let Some(value) = value {
                bytes.extend_from_slice(b",\"value\":");
                value.write(&mut bytes);
            }
            bytes.push(b'}');
        }
        bytes.push(b']');
        bytes
    }

    /// Applies the operations to `document` as strictly as the API server does: a missing parent,
    /// an index out of range, or a `replace` or `remove` of what is absent is an error.
    /// On an error `document` is left half changed: apply to a copy.
    pub fn apply(&self, document: &mut Value) -> Result<(), PatchError> {
        for (number, operation) in self.0.iter().enumerate() {
            apply(operation, document).map_err(|problem| PatchError {
                number,
                path: operation.path().to_string(),
                problem,
            })?;
        }
        Ok(())
    }
}

impl<'a> FromIterator<Operation<'a>> for Patch<'a> {
    fn from_iter<I: IntoIterator<Item = Operation<'a>>>(operations: I) -> Self {
        Self(operations.into_iter().collect())
    }
}

/// A patch that does not fit its document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {number} at {path}: {problem}")]
pub struct PatchError {
    /// Which operation, from 0.
    pub number: usize,
    /// Its pointer.
    pub path: String,
    /// What does not fit.
    pub problem: &'static str,
}

fn apply(operation: &Operation<'_>, document: &mut Value) -> Result<(), &'static str> {
    let Some((parent, last)) = operation.path().split_last() else {
        return Err("an operation on the whole document is never needed");
    };
    let parent = document.pointer_mut(parent.as_str()).ok_or("its parent does not exist")?;
    match parent {
        Value::Object(map) => match operation {
            Operation::Add { value, .. } => {
                map.insert(last, value.to_value());
                Ok(())
            }
            Operation::Replace { value, .. } => {
                *map.get_mut(&last).ok_or("there is nothing to replace")? = value.to_value();
                Ok(())
            }
            Operation::Remove { .. } => {
                map.shift_remove(&last).map(drop).ok_or("there is nothing to remove")
            }
        },
        Value::Array(items) => match operation {
            Operation::Add { value, .. } if last == "-" => {
                items.push(value.to_value());
                Ok(())
            }
            Operation::Add { value, .. } => {
                let at = index(&last, items.len() + 1)?;
                items.insert(at, value.to_value());
                Ok(())
            }
            Operation::Replace { value, .. } => {
                let at = index(&last, items.len())?;
                items[at] = value.to_value();
                Ok(())
            }
            Operation::Remove { .. } => {
                let at = index(&last, items.len())?;
                items.remove(at);
                Ok(())
            }
        },
        _ => Err("its parent is neither an object nor an array"),
    }
}

/// RFC 6901 §4: digits without a leading zero.
pub(crate) fn index(token: &str, below: usize) -> Result<usize, &'static str> {
    let plain =
        token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
    match token.parse() {
        Ok(at) if plain && at < below => Ok(at),
        _ => Err("the index is out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_step_is_escaped_and_read_back(key in "[a~/01é]{0,8}") {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            let pointer = Pointer::root().child("x").child(&key);
            prop_assert_eq!(pointer.as_str(), format!("/x/{escaped}"));
            prop_assert_eq!(pointer.tokens().collect::<Vec<_>>(), ["x", &key]);
            prop_assert_eq!(pointer.split_last(), Some((Pointer::root().child("x"), key)));
        }

        #[test]
        fn what_nobody_escaped_is_read_as_ever(step in "[a~01]{0,8}") {
            prop_assert_eq!(unescape(&step), step.replace("~1", "/").replace("~0", "~"));
        }
    }
}
