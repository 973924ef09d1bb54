//! Paths that are asked for instead.

use std::borrow::Cow;

use super::{PathMatch, PathRewrite};
use crate::route::{Condition, Test};

impl PathRewrite {
    /// The path that is asked for instead of `path`, which `matched` agreed with. Neither has a
    /// query.
    ///
    /// ```
    /// use mesh::virtual_host::{PathMatch, PathRewrite};
    /// let matched = PathMatch::Segments { prefix: "/old".into(), ignore_case: false };
    /// let rewrite = PathRewrite::Prefix("/new".into());
    /// assert_eq!(rewrite.of("/old/things", &matched), "/new/things");
    /// ```
    pub fn of<'p>(&'p self, path: &'p str, matched: &PathMatch) -> Cow<'p, str> {
        match self {
            Self::Whole(whole) => Cow::Borrowed(whole),
            Self::Prefix(instead) => match path.get(prefix(matched, path)..) {
                Some("") | None => Cow::Borrowed(instead),
                Some(rest) => Cow::Owned(format!("{instead}{rest}")),
            },
            Self::Pattern(pattern, instead) => pattern.replace(path, instead),
        }
    }
}

/// How much of a path it was that matched: as in Envoy, all of it but for a prefix.
fn prefix(matched: &PathMatch, path: &str) -> usize {
    match matched {
        PathMatch::Any => 0,
        PathMatch::Text(Condition { test: Test::Begins(prefix), .. })
        | PathMatch::Segments { prefix, .. } => prefix.len(),
        PathMatch::Text(_) => path.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PathMatch, PathRewrite, whole};
    use crate::route::{Condition, Pattern, Test};

    #[test]
    fn what_matched_is_replaced() {
        let text = |test| PathMatch::Text(Condition { test, any_case: false });
        let begins = |prefix: &str| text(Test::Begins(prefix.into()));
        let pattern = |pattern: &str, instead: &str| {
            PathRewrite::Pattern(Pattern::new(pattern, false).unwrap(), instead.into())
        };
        let prefix = |instead: &str| PathRewrite::Prefix(instead.into());
        for (matched, rewrite, path, instead) in [
            (begins("/old/"), prefix("/"), "/old/a", "/a"),
            (begins("/old"), prefix("/new"), "/old", "/new"),
            (begins("/"), prefix("/new/"), "/a", "/new/a"),
            (text(Test::Is("/old".into())), prefix("/new"), "/old", "/new"),
            (PathMatch::Text(whole("/.*/b").unwrap()), prefix("/new"), "/a/b", "/new"),
            (begins("/"), PathRewrite::Whole("/new".into()), "/a/b", "/new"),
            (begins("/"), pattern("^/a/([^/]+)/(.*)$", r"/\2/\1"), "/a/b/c/d", "/c/d/b"),
            (begins("/"), pattern("a", r"$0\\\0"), "/aba", r"/$0\ab$0\a"),
            (begins("/"), pattern("x", "y"), "/aba", "/aba"),
        ] {
            assert_eq!(rewrite.of(path, &matched), instead, "{rewrite:?} of {path}");
        }
    }
}
