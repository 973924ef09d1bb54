//! What a text has to be: a path, or the value of a header.

use std::borrow::Cow;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// The most memory that one pattern may take, in bytes: a rule's author could ask for any amount.
const LARGEST: usize = 1 << 20;

/// What a text has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is looked at.
    pub test: Test,
    /// Whether `a` is also `A`. A [`Test::Matches`] says so itself.
    pub any_case: bool,
}

/// The ways there are to look at a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is this one.
    Is(Box<str>),
    /// It begins so.
    Begins(Box<str>),
    /// It ends so.
    Ends(Box<str>),
    /// It has this somewhere.
    Contains(Box<str>),
    /// It matches a regular expression.
    Matches(Pattern),
    /// It is a number above this one. What is no number is not.
    Above(i64),
    /// It is a number below this one. What is no number is not.
    Below(i64),
    /// It is a number, and this one or above.
    AtLeast(i64),
    /// It is a number, and this one or below.
    AtMost(i64),
}

/// A regular expression that is found anywhere in a text. The time it takes grows with the text,
/// whatever it says.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    any_case: bool,
    regex: Regex,
}

impl Condition {
    /// Whether `text` is what it has to be.
    pub fn admits(&self, text: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| {
            if self.any_case { a.eq_ignore_ascii_case(b) } else { a == b }
        };
        match &self.test {
            Test::Is(wanted) => same(text, wanted.as_bytes()),
            Test::Begins(wanted) => {
                text.get(..wanted.len()).is_some_and(|start| same(start, wanted.as_bytes()))
            }
            Test::Ends(wanted) => {
                let from = text.len().checked_sub(wanted.len());
                from.is_some_and(|from| same(&text[from..], wanted.as_bytes()))
            }
            Test::Contains(wanted) => {
                let wanted = wanted.as_bytes();
                wanted.is_empty() || text.windows(wanted.len()).any(|part| same(part, wanted))
            }
            Test::Matches(pattern) => pattern.regex.is_match(text),
            Test::Above(bound) => number(text).is_some_and(|number| number > *bound),
            Test::Below(bound) => number(text).is_some_and(|number| number < *bound),
            Test::AtLeast(bound) => number(text).is_some_and(|number| number >= *bound),
            Test::AtMost(bound) => number(text).is_some_and(|number| number <= *bound),
        }
    }
}

fn number(text: &[u8]) -> Option<i64> {
    str::from_utf8(text).ok()?.trim().parse().ok()
}

impl Pattern {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in the last line of what the crate `regex` says.
    pub fn new(text: &str, any_case: bool) -> Result<Self, String> {
        let built = RegexBuilder::new(text).case_insensitive(any_case).size_limit(LARGEST).build();
        let regex = built.map_err(|error| {
            let said = error.to_string();
            let last = said.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        })?;
        Ok(Self { text: text.into(), any_case, regex })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text with something else wherever the expression matches. In `instead`, `\1` is what the
    /// first group matched, `\0` the whole match and `\\` a backslash, as in RE2.
    pub fn replace<'t>(&self, text: &'t str, instead: &str) -> Cow<'t, str> {
        let expand = |found: &Captures<'_>| {
            let mut expanded = Vec::with_capacity(instead.len());
            let mut bytes = instead.bytes();
            while let Some(byte) = bytes.next() {
                let next = if byte == b'\\' { bytes.next() } else { None };
                match next {
                    Some(digit @ b'0'..=b'9') => {
                        let group = found.get(usize::from(digit - b'0'));
                        expanded.extend_from_slice(group.map_or(b"", |group| group.as_bytes()));
                    }
                    Some(other) => expanded.push(other),
                    None => expanded.push(byte),
                }
            }
            expanded
        };
        match self.regex.replace_all(text.as_bytes(), expand) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.any_case) == (&other.text, other.any_case)
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::{Condition, Pattern, Test};

    #[test]
    fn each_way_of_looking() {
        let pattern = |text| Test::Matches(Pattern::new(text, false).unwrap());
        for (test, admitted, refused) in [
            (Test::Is("jason".into()), "jason", "Jason"),
            (Test::Begins("/api".into()), "/api/x", "/ap"),
            (Test::Ends(".js".into()), "/a.js", "js"),
            (Test::Contains("some/api".into()), "/some/api/x", "/some/Api"),
            (Test::Contains("".into()), "", "-"),
            (pattern("^(.*?;)?(user=jason)(;.*)?$"), "a=b;user=jason", "user=jasonx"),
            (Test::Above(3), "4", "3"),
            (Test::Below(3), " 2", "3"),
            (Test::AtLeast(3), "3", "2"),
            (Test::AtMost(3), "-1", "4"),
            (Test::AtMost(3), "3", "three"),
        ] {
            let condition = Condition { test, any_case: false };
            assert!(condition.admits(admitted.as_bytes()), "{condition:?} {admitted}");
            let never = condition.test == Test::Contains("".into());
            assert!(never || !condition.admits(refused.as_bytes()), "{condition:?} {refused}");
        }
    }

    #[test]
    fn case_counts_unless_it_does_not() {
        for test in [
            Test::Is("Ab".into()),
            Test::Begins("aB".into()),
            Test::Ends("aB".into()),
            Test::Contains("aB".into()),
            Test::Matches(Pattern::new("^ab$", true).unwrap()),
        ] {
            assert!(Condition { test, any_case: true }.admits(b"AB"));
        }
    }

    #[test]
    fn no_pattern_takes_all_the_memory() {
        for (text, said) in [("(", "unclosed group"), ("(a{1000}){1000}", "exceeds")] {
            let error = Pattern::new(text, false).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(
            Condition { test: Test::Matches(Pattern::new("a", false).unwrap()), any_case: false }
                .admits(b"\xffa")
        );
    }
}
