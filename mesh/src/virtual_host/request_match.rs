//! Which requests a rule is about.

use std::borrow::Cow;
use std::sync::Arc;

use super::Share;
use crate::route::{Asked, Condition, Pattern, Test};

/// A request, as far as these rules look at it.
pub trait Request: Asked {
    /// Host and port as the client wrote them.
    fn authority(&self) -> &str;
    /// What follows the `?`, where there is one.
    fn query(&self) -> Option<&str>;
    /// The value of a header by its name in lower case; several are one, with commas between.
    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// The condition that all of a text matches the expression, as Envoy's `safe_regex` asks.
///
/// ```
/// use mesh::virtual_host::whole;
/// let condition = whole("/go/.*|x").unwrap();
/// assert!(condition.admits(b"/go/on") && condition.admits(b"x") && !condition.admits(b"x/go/"));
/// assert!(whole("a)|(b").is_err(), "an expression only between brackets");
/// ```
pub fn whole(text: &str) -> Result<Condition, String> {
    Pattern::new(text, false)?;
    let pattern = Pattern::new(&format!("^(?:{text})$"), false)?;
    Ok(Condition { test: Test::Matches(pattern), any_case: false })
}

/// What a request has to be like; every part has to agree. The default agrees with all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestMatch {
    /// Its path.
    pub path: PathMatch,
    /// Its headers, and what HTTP/2 writes as one: `:method`, `:authority`, `:path`.
    pub headers: Vec<HeaderMatch>,
    /// Its query.
    pub query: Vec<QueryMatch>,
    /// How many of such requests; `None`: all.
    pub share: Option<Share>,
}

/// What a path has to be like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathMatch {
    /// Anything.
    #[default]
    Any,
    /// A text.
    Text(Condition),
    /// A prefix that ends where a segment does: `/a` is for `/a`, `/a/b` and not for `/ab`.
    Segments {
        /// Without a slash at its end.
        prefix: Box<str>,
        /// Whether the case of ASCII letters is of no account.
        ignore_case: bool,
    },
}

/// What a header has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: Arc<str>,
    /// What its value has to be like.
    pub test: HeaderTest,
    /// Whether it has to be otherwise. A header that is not there is neither, but for
    /// [`HeaderTest::Present`].
    pub invert: bool,
    /// Whether one that is not there counts as an empty one.
    pub absent_is_empty: bool,
}

/// What the value of a header has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderTest {
    /// There; or not there.
    Present(bool),
    /// A text.
    Text(Condition),
    /// A whole number from the first to below the second.
    Range(i64, i64),
}

/// What a parameter of the query has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    /// As it stands in the URL; case counts.
    pub name: Arc<str>,
    /// What the first of that name has to be like; `None`: there, or not there.
    pub test: QueryTest,
}

/// What a parameter has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryTest {
    /// There; or not there.
    Present(bool),
    /// A text, as it stands in the URL.
    Text(Condition),
}

/// The first parameter of that name in a query, as it stands there.
pub fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| {
        let (of, value) = pair.split_once('=').unwrap_or((pair, ""));
        (of == name).then_some(value)
    })
}

impl RequestMatch {
    /// Whether it agrees with every request.
    pub fn is_any(&self) -> bool {
        let any_path = match &self.path {
            PathMatch::Any => true,
            // Every path begins with a slash, but the `*` of OPTIONS.
            PathMatch::Text(Condition { test: Test::Begins(text), .. }) => {
                text.is_empty() || **text == *"/"
            }
            PathMatch::Text(_) => false,
            PathMatch::Segments { prefix, .. } => prefix.is_empty(),
        };
        any_path
            && self.headers.is_empty()
            && self.query.is_empty()
            && self.share.is_none_or(|share| share == Share::ALL)
    }

    /// Whether it agrees with `request`; `draw` decides where only a share of requests is meant.
    pub fn agrees(&self, request: &impl Request, draw: u64) -> bool {
        self.path.admits(request.path())
            && self.headers.iter().all(|header| header.agrees(request))
            && self.query.iter().all(|parameter| parameter.agrees(request.query()))
            && self.share.is_none_or(|share| share.has(draw))
    }
}

impl PathMatch {
    fn admits(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Text(text) => text.admits(path.as_bytes()),
            Self::Segments { prefix, ignore_case } => {
                let (path, prefix) = (path.as_bytes(), prefix.as_bytes());
                let starts = path.get(..prefix.len()).is_some_and(|start| {
                    if *ignore_case { start.eq_ignore_ascii_case(prefix) } else { start == prefix }
                });
                starts && path.get(prefix.len()).is_none_or(|next| *next == b'/')
            }
        }
    }
}

impl HeaderMatch {
    fn agrees(&self, request: &impl Request) -> bool {
        let value = match &*self.name {
            ":method" => Some(Cow::Borrowed(request.method().as_bytes())),
            ":authority" | "host" => Some(Cow::Borrowed(request.authority().as_bytes())),
            ":path" => Some(match request.query() {
                Some(query) => Cow::Owned(format!("{}?{query}", request.path()).into_bytes()),
                None => Cow::Borrowed(request.path().as_bytes()),
            }),
            // Nothing else can be asked for here.
            ":scheme" => Some(Cow::Borrowed(&b"http"[..])),
            name => request.joined(name),
        };
        let empty = || self.absent_is_empty.then_some(Cow::Borrowed(&b""[..]));
        let agrees = match &self.test {
            HeaderTest::Present(wanted) => value.is_some() == *wanted,
            test => {
                let Some(value) = value.or_else(empty) else { return false };
                match test {
                    HeaderTest::Text(text) => text.admits(&value),
                    HeaderTest::Range(from, to) => {
                        let number =
                            std::str::from_utf8(&value).ok().and_then(|it| it.parse().ok());
                        number.is_some_and(|number: i64| (*from..*to).contains(&number))
                    }
                    HeaderTest::Present(_) => false,
                }
            }
        };
        agrees != self.invert
    }
}

impl QueryMatch {
    fn agrees(&self, query: Option<&str>) -> bool {
        let value = query.and_then(|query| parameter(query, &self.name));
        match &self.test {
            QueryTest::Present(wanted) => value.is_some() == *wanted,
            QueryTest::Text(text) => value.is_some_and(|value| text.admits(value.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{
        HeaderMatch, HeaderTest, PathMatch, QueryMatch, QueryTest, Request, RequestMatch, whole,
    };
    use crate::route::{Asked, Condition, Test};
    use crate::virtual_host::Share;

    struct Get(&'static str, &'static [(&'static str, &'static str)]);

    impl Asked for Get {
        fn method(&self) -> &'static str {
            "GET"
        }

        fn path(&self) -> &str {
            self.0.split('?').next().unwrap()
        }

        fn header(&self, name: &str) -> Option<&[u8]> {
            self.1.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_bytes())
        }
    }

    impl Request for Get {
        fn authority(&self) -> &'static str {
            "reviews:9080"
        }

        fn query(&self) -> Option<&str> {
            self.0.split_once('?').map(|(_, query)| query)
        }

        fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            let values: Vec<_> =
                self.1.iter().filter(|(of, _)| *of == name).map(|(_, value)| *value).collect();
            (!values.is_empty()).then(|| values.join(",").into_bytes().into())
        }
    }

    fn exact(text: &str) -> Condition {
        Condition { test: Test::Is(text.into()), any_case: false }
    }

    fn prefix(text: &str) -> Condition {
        Condition { test: Test::Begins(text.into()), any_case: false }
    }

    fn header(name: &str, test: HeaderTest) -> RequestMatch {
        let header = HeaderMatch { name: name.into(), test, invert: false, absent_is_empty: false };
        RequestMatch { headers: vec![header], ..RequestMatch::default() }
    }

    fn is(text: &str) -> HeaderTest {
        HeaderTest::Text(exact(text))
    }

    #[test]
    fn headers() {
        let request = Get("/", &[("x-user", "jason"), ("n", "7"), ("two", "a"), ("two", "b")]);
        for (name, test, plain, inverted) in [
            ("x-user", is("jason"), true, false),
            ("x-user", is("eve"), false, true),
            ("absent", is("jason"), false, false),
            ("two", is("a,b"), true, false),
            (":method", is("GET"), true, false),
            (":authority", is("reviews:9080"), true, false),
            ("n", HeaderTest::Range(0, 7), false, true),
            ("n", HeaderTest::Range(-1, 8), true, false),
            ("x-user", HeaderTest::Range(0, 9), false, true),
            ("x-user", HeaderTest::Present(true), true, false),
            ("absent", HeaderTest::Present(true), false, true),
            ("absent", HeaderTest::Present(false), true, false),
        ] {
            let mut asked = header(name, test.clone());
            assert_eq!(asked.agrees(&request, 0), plain, "{name} {test:?}");
            asked.headers[0].invert = true;
            assert_eq!(asked.agrees(&request, 0), inverted, "not {name} {test:?}");
        }
        let mut absent = header("absent", is("1"));
        absent.headers[0].invert = true;
        absent.headers[0].absent_is_empty = true;
        assert!(absent.agrees(&request, 0), "an empty one is not 1");
    }

    #[test]
    fn paths_and_queries() {
        let text = |text| RequestMatch { path: PathMatch::Text(text), ..RequestMatch::default() };
        let segments = |prefix: &str| {
            let path = PathMatch::Segments { prefix: prefix.into(), ignore_case: false };
            RequestMatch { path, ..RequestMatch::default() }
        };
        let query = |name: &str, test| RequestMatch {
            query: vec![QueryMatch { name: name.into(), test }],
            ..RequestMatch::default()
        };
        let one = || QueryTest::Text(exact("1"));
        for (asked, path, agrees) in [
            (text(prefix("/api")), "/apis", true),
            (text(exact("/api")), "/api?x=1", true),
            (text(exact("/api")), "/api/", false),
            (text(whole("/go/.*").unwrap()), "/go/a?b", true),
            (text(whole("/go/.*").unwrap()), "/a/go/a", false),
            (segments("/a"), "/a", true),
            (segments("/a"), "/a/b", true),
            (segments("/a"), "/ab", false),
            (query("beta", one()), "/?a=2&beta=1", true),
            (query("beta", one()), "/?beta=2&beta=1", false),
            (query("beta", one()), "/?Beta=1", false),
            (query("beta", QueryTest::Present(true)), "/?beta", true),
            (query("beta", QueryTest::Present(false)), "/", true),
        ] {
            assert_eq!(asked.agrees(&Get(path, &[]), 0), agrees, "{asked:?} {path}");
        }
    }

    #[test]
    fn a_share_is_drawn() {
        let half = Some(Share::of_million(500_000));
        let asked = RequestMatch { share: half, ..RequestMatch::default() };
        assert!(asked.agrees(&Get("/", &[]), 1) && !asked.agrees(&Get("/", &[]), u64::MAX));
        assert!(!asked.is_any() && RequestMatch::default().is_any());
        let root = PathMatch::Text(prefix("/"));
        assert!(RequestMatch { path: root, ..RequestMatch::default() }.is_any());
    }
}
