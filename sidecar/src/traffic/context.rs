//! Who a request comes from, as ServiceComb tells it: `x-cse-context` is a JSON object of strings,
//! in which `x-cse-src-microservice` is the caller; older proxies send that as a header too.

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::settings::Identity;

const CONTEXT: HeaderName = HeaderName::from_static("x-cse-context");
const SOURCE: HeaderName = HeaderName::from_static("x-cse-src-microservice");

/// What this proxy writes on every request, made once.
#[derive(Debug)]
pub(crate) struct Marks {
    service: String,
    source: HeaderValue,
    context: HeaderValue,
    /// Names this process, in `x-mesher-via`.
    pub(crate) via: HeaderValue,
}

impl Marks {
    pub(crate) fn new(identity: &Identity) -> Self {
        let service = identity.service.clone();
        let context = write_context(Map::new(), &service);
        Self {
            // A name that cannot be a header value is left out of both.
            source: HeaderValue::from_str(&service).unwrap_or(HeaderValue::from_static("")),
            context: context.unwrap_or(HeaderValue::from_static("{}")),
            via: via(),
            service,
        }
    }
}

/// Nobody has to guess it, two must not have the same: the system's random numbers.
fn via() -> HeaderValue {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = RandomState::new().build_hasher().finish();
    HeaderValue::from_str(&format!("{random:016x}")).unwrap_or(HeaderValue::from_static("mesher"))
}

/// Names us as the source. What else a context says is kept.
pub(crate) fn write(headers: &mut HeaderMap, marks: &Marks) {
    let context = match headers.get(CONTEXT) {
        None => None,
        Some(given) if *given == marks.context => None,
        Some(given) => write_context(read_context(given), &marks.service),
    };
    headers.insert(CONTEXT, context.unwrap_or_else(|| marks.context.clone()));
    headers.insert(SOURCE, marks.source.clone());
}

/// The service that a request says it comes from.
pub(crate) fn source(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let plain = headers.get(SOURCE).and_then(|value| value.to_str().ok()).map(Cow::Borrowed);
    let source = plain.or_else(|| {
        let context = headers.get(CONTEXT).map(read_context)?;
        context.get(SOURCE.as_str())?.as_str().map(|source| Cow::Owned(source.to_owned()))
    });
    source.filter(|source| !source.is_empty())
}

/// What is no JSON object counts as an empty one.
fn read_context(given: &HeaderValue) -> Map<String, Value> {
    serde_json::from_slice(given.as_bytes()).unwrap_or_default()
}

/// `None`: it has a character that no header may have.
fn write_context(mut context: Map<String, Value>, service: &str) -> Option<HeaderValue> {
    context.insert(SOURCE.as_str().to_owned(), Value::String(service.to_owned()));
    let text = serde_json::to_vec(&Value::Object(context)).ok()?;
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    use super::{CONTEXT, Marks, SOURCE, source, write};
    use crate::settings::Settings;

    #[test]
    fn the_source_is_ours_and_the_rest_is_kept() {
        let mut identity = Settings::default().identity;
        identity.service = "ServiceA".to_owned();
        let marks = Marks::new(&identity);
        let plain = r#"{"x-cse-src-microservice":"ServiceA"}"#;
        for (given, expected) in [
            (None, plain),
            (Some(plain), plain),
            (Some("no JSON"), plain),
            (Some("[1]"), plain),
            (
                Some(r#"{"user":"jason","x-cse-src-microservice":"forged"}"#),
                r#"{"user":"jason","x-cse-src-microservice":"ServiceA"}"#,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SOURCE, HeaderValue::from_static("forged"));
            if let Some(given) = given {
                headers.insert(CONTEXT, HeaderValue::from_static(given));
            }
            write(&mut headers, &marks);
            assert_eq!(headers[CONTEXT], expected);
            assert_eq!(headers[SOURCE], "ServiceA");
            assert_eq!(source(&headers).as_deref(), Some("ServiceA"));
            headers.remove(SOURCE);
            assert_eq!(source(&headers).as_deref(), Some("ServiceA"));
        }
    }

    #[test]
    fn two_proxies_have_different_names() {
        let identity = Settings::default().identity;
        assert_ne!(Marks::new(&identity).via, Marks::new(&identity).via);
    }
}
