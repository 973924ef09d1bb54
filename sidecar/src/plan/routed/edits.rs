//! What rules change of messages, in the form that a request needs.

use hyper::HeaderMap;
use hyper::header::{Entry, HeaderName, HeaderValue};
use mesh::virtual_host::{
    Forward, HeaderChange, HeaderChanges, PathMatch, PathRewrite, RouteRule, Write,
};

/// What of a request is written anew.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// The path, and what it had to be like.
    pub(crate) path: Option<(PathRewrite, PathMatch)>,
    /// Its Host.
    pub(crate) host: Option<HeaderValue>,
    /// Its other headers.
    pub(crate) headers: HeaderEdits,
}

/// Changes of headers, one after the other.
#[derive(Debug)]
pub(crate) struct HeaderEdits(Box<[HeaderEdit]>);

#[derive(Debug)]
enum HeaderEdit {
    Remove(HeaderName),
    Write(HeaderName, HeaderValue, Write),
}

impl Rewrite {
    /// What becomes of requests of a rule; `None`: they stay as they are.
    pub(super) fn of(
        rule: &RouteRule,
        forward: &Forward,
        headers: &[&HeaderChanges],
    ) -> Option<Self> {
        let path = forward.path.clone().map(|path| (path, rule.matches.path.clone()));
        let host = forward.host.as_ref().and_then(|host| HeaderValue::from_str(host).ok());
        let headers = HeaderEdits::of(headers);
        let rewrite = Self { path, host, headers };
        let nothing =
            rewrite.path.is_none() && rewrite.host.is_none() && rewrite.headers.is_empty();
        (!nothing).then_some(rewrite)
    }
}

impl HeaderEdits {
    /// All of these, in their order.
    pub(super) fn of(changes: &[&HeaderChanges]) -> Self {
        let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        let edits = changes.iter().copied().flatten().filter_map(|change| {
            Some(match change {
                HeaderChange::Remove(of) => HeaderEdit::Remove(name(of)?),
                HeaderChange::Write { name: of, value, how } => {
                    HeaderEdit::Write(name(of)?, HeaderValue::from_str(value).ok()?, *how)
                }
            })
        });
        Self(edits.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes them.
    pub(crate) fn make(&self, headers: &mut HeaderMap) {
        for edit in &self.0 {
            match edit {
                HeaderEdit::Remove(name) => drop(headers.remove(name)),
                HeaderEdit::Write(name, value, how) => match (headers.entry(name), how) {
                    (Entry::Vacant(_), Write::IfPresent)
                    | (Entry::Occupied(_), Write::IfAbsent) => {}
                    (Entry::Vacant(entry), _) => drop(entry.insert(value.clone())),
                    (Entry::Occupied(mut entry), Write::Append) => entry.append(value.clone()),
                    (Entry::Occupied(mut entry), Write::Set | Write::IfPresent) => {
                        entry.insert(value.clone());
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use mesh::virtual_host::{HeaderChange, Write};

    use super::HeaderEdits;

    #[test]
    fn changes_are_made_one_after_the_other() {
        let write =
            |name: &str, how| HeaderChange::Write { name: name.into(), value: "new".into(), how };
        for (change, there, absent) in [
            (write("h", Write::Append), "old,new", "new"),
            (write("h", Write::IfAbsent), "old", "new"),
            (write("h", Write::Set), "new", "new"),
            (write("h", Write::IfPresent), "new", ""),
            (HeaderChange::Remove("h".into()), "", ""),
        ] {
            for (before, after) in [(Some("old"), there), (None, absent)] {
                let mut headers = HeaderMap::new();
                if let Some(before) = before {
                    headers.insert("h", before.parse().unwrap());
                }
                HeaderEdits::of(&[&vec![change.clone()]]).make(&mut headers);
                let found: Vec<_> =
                    headers.get_all("h").iter().map(|value| value.to_str().unwrap()).collect();
                assert_eq!(found.join(","), after, "{change:?} of {before:?}");
            }
        }
        let (set, remove) = (vec![write("h", Write::Set)], vec![HeaderChange::Remove("h".into())]);
        let mut headers = HeaderMap::new();
        HeaderEdits::of(&[&set, &remove]).make(&mut headers);
        assert!(headers.is_empty());
        HeaderEdits::of(&[&remove, &set]).make(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
