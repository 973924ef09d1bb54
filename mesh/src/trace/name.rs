//! What spans are called. Who looks at traces groups them by name, so there may not be a name for
//! every order that anybody ever made.

/// The longest name, in bytes.
const LONGEST: usize = 256;

/// How spans are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpanNames {
    /// `GET /orders/4711`: without its query.
    #[default]
    Path,
    /// `GET /orders/{}`: what looks like the name of one thing among many is left out.
    Template,
    /// `GET`.
    Method,
}

/// The name of the span of a request. What comes behind `?` is no part of it in any case.
///
/// ```
/// use mesh::trace::{SpanNames, span_name};
/// assert_eq!(span_name(SpanNames::Path, "GET", "/orders/4711?x=1"), "GET /orders/4711");
/// assert_eq!(span_name(SpanNames::Template, "GET", "/orders/4711"), "GET /orders/{}");
/// ```
pub fn span_name(names: SpanNames, method: &str, path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut name = method.to_owned();
    match names {
        SpanNames::Method => {}
        SpanNames::Path => {
            name.push(' ');
            name.push_str(path);
        }
        SpanNames::Template => {
            name.push(' ');
            for (at, segment) in path.split('/').enumerate() {
                if at > 0 {
                    name.push('/');
                }
                name.push_str(if is_one_of_many(segment) { "{}" } else { segment });
            }
        }
    }
    let end = (0..=LONGEST.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    name.truncate(end.unwrap_or(0));
    name
}

/// Numbers, UUIDs, and long words that have digits in them.
fn is_one_of_many(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let is_number = digits == segment.len() && digits > 0;
    let is_hexadecimal = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_number
        || (digits > 0 && is_hexadecimal && segment.len() >= 8)
        || (digits > 3 && segment.len() > 20)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST, SpanNames, span_name};

    #[test]
    fn names() {
        for (path, plain, template) in [
            ("/", "GET /", "GET /"),
            ("/v1/orders", "GET /v1/orders", "GET /v1/orders"),
            ("/orders/12/items/7", "GET /orders/12/items/7", "GET /orders/{}/items/{}"),
            ("/a?token=secret", "GET /a", "GET /a"),
            (
                "/u/123e4567-e89b-12d3-a456-426614174000",
                "GET /u/123e4567-e89b-12d3-a456-426614174000",
                "GET /u/{}",
            ),
            ("/facade/added", "GET /facade/added", "GET /facade/added"),
            ("/pkg.Service/Call2", "GET /pkg.Service/Call2", "GET /pkg.Service/Call2"),
            ("/t/01HXYZ01HXYZ01HXYZ01HXYZ01", "GET /t/01HXYZ01HXYZ01HXYZ01HXYZ01", "GET /t/{}"),
            ("*", "GET *", "GET *"),
        ] {
            assert_eq!(span_name(SpanNames::Path, "GET", path), plain);
            assert_eq!(span_name(SpanNames::Template, "GET", path), template);
            assert_eq!(span_name(SpanNames::Method, "GET", path), "GET");
        }
    }

    proptest! {
        #[test]
        fn no_name_is_long_and_none_has_a_query(path in "/[a-z0-9é/?=]{0,400}") {
            for names in [SpanNames::Path, SpanNames::Template, SpanNames::Method] {
                let name = span_name(names, "GET", &path);
                prop_assert!(name.len() <= LONGEST && !name.contains('?'), "{name}");
            }
        }
    }
}
