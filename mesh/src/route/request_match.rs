//! Which requests a rule is about.

use super::condition::Condition;

/// A request, as far as rules look at it.
pub trait Asked {
    /// `GET`, ...
    fn method(&self) -> &str;
    /// Without what follows the `?`.
    fn path(&self) -> &str;
    /// The first value of a header, whose name is in lower case.
    fn header(&self, name: &str) -> Option<&[u8]>;
}

/// The header by which a proxy tells the next ones what it took a request for.
pub const MARK: &str = "x-mark";

/// What a request has to be: all that is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestMatch {
    /// Whatever else it is, it is such a request where another proxy has marked it with this name.
    pub mark: Option<Box<str>>,
    /// Its method is one of these; none: any.
    pub methods: Vec<Box<str>>,
    /// What its path has to be.
    pub path: Option<Condition>,
    /// What its headers have to be, each of them.
    pub headers: Vec<HeaderMatch>,
}

/// What a header has to be. One that is absent is like an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: Box<str>,
    /// What its first value has to be.
    pub condition: Condition,
    /// Whether it must not be so.
    pub inverted: bool,
}

impl RequestMatch {
    /// Whether `asked` is such a request. Allocates nothing.
    pub fn admits(&self, asked: &impl Asked) -> bool {
        let marked = |mark: &str| asked.header(MARK) == Some(mark.as_bytes());
        if self.mark.as_deref().is_some_and(marked) {
            return true;
        }
        let method = || self.methods.iter().any(|method| **method == *asked.method());
        (self.methods.is_empty() || method())
            && self.path.as_ref().is_none_or(|path| path.admits(asked.path().as_bytes()))
            && self.headers.iter().all(|header| header.admits(asked))
    }
}

impl HeaderMatch {
    fn admits(&self, asked: &impl Asked) -> bool {
        let value = asked.header(&self.name).unwrap_or_default();
        self.condition.admits(value) != self.inverted
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, HeaderMatch, RequestMatch};
    use crate::route::{Condition, Test};

    struct Request(&'static str, &'static str, &'static [(&'static str, &'static str)]);

    impl Asked for Request {
        fn method(&self) -> &str {
            self.0
        }
        fn path(&self) -> &str {
            self.1
        }
        fn header(&self, name: &str) -> Option<&[u8]> {
            self.2.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_bytes())
        }
    }

    fn condition(test: Test) -> Condition {
        Condition { test, any_case: false }
    }

    #[test]
    fn what_another_has_marked_is_one_whatever_it_is() {
        let post = RequestMatch { methods: vec!["POST".into()], ..RequestMatch::default() };
        let marked = RequestMatch { mark: Some("writes".into()), ..post.clone() };
        for (request, plain, by_mark) in [
            (Request("POST", "/", &[]), true, true),
            (Request("GET", "/", &[("x-mark", "writes")]), false, true),
            (Request("GET", "/", &[("x-mark", "others")]), false, false),
            (Request("GET", "/", &[]), false, false),
        ] {
            let found = (post.admits(&request), marked.admits(&request));
            assert_eq!(found, (plain, by_mark), "{} {:?}", request.0, request.2);
        }
    }

    #[test]
    fn all_that_is_said_has_to_be_so() {
        let user = |inverted| HeaderMatch {
            name: "x-user".into(),
            condition: condition(Test::Is("jason".into())),
            inverted,
        };
        let rule = RequestMatch {
            mark: None,
            methods: vec!["GET".into(), "POST".into()],
            path: Some(condition(Test::Begins("/api".into()))),
            headers: vec![user(false)],
        };
        for (request, admitted) in [
            (Request("GET", "/api/x", &[("x-user", "jason")]), true),
            (Request("PUT", "/api/x", &[("x-user", "jason")]), false),
            (Request("GET", "/", &[("x-user", "jason")]), false),
            (Request("GET", "/api/x", &[("x-user", "rose")]), false),
            (Request("GET", "/api/x", &[]), false),
        ] {
            assert_eq!(rule.admits(&request), admitted, "{} {}", request.0, request.1);
        }
        let other = RequestMatch { headers: vec![user(true)], ..RequestMatch::default() };
        assert!(other.admits(&Request("GET", "/", &[])), "who is absent is not jason");
        assert!(RequestMatch::default().admits(&Request("PURGE", "*", &[])));
    }
}
