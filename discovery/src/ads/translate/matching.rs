//! Which requests a route is about.

use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use mesh::route::{Condition, Test};
use mesh::virtual_host::{
    HeaderMatch, HeaderTest, PathMatch, QueryMatch, QueryTest, RequestMatch, Share, whole,
};

use super::{Invalid, Unsupported, share};

/// Reads a match. One that asks for something that nobody here can look at agrees with no request:
/// to take it for one that agrees would send requests where they must not go.
pub(super) fn request_match(
    wire: &RouteMatch,
    unsupported: &mut Unsupported,
) -> Result<RequestMatch, Invalid> {
    let any_case = wire.case_sensitive.is_some_and(|sensitive| !sensitive.value);
    let mut never = false;
    let mut unknown = |asked: bool, name: &str| {
        if asked {
            unsupported.note(format!("match.{name}"));
            never = true;
        }
    };
    unknown(!wire.cookies.is_empty(), "cookies");
    unknown(wire.tls_context.is_some(), "tls_context");
    unknown(!wire.dynamic_metadata.is_empty(), "dynamic_metadata");
    unknown(!wire.filter_state.is_empty(), "filter_state");
    let test = |test| Condition { test, any_case };
    let path = match wire.path_specifier.as_ref() {
        Some(PathSpecifier::Prefix(text)) => {
            PathMatch::Text(test(Test::Begins(text.as_str().into())))
        }
        Some(PathSpecifier::Path(text)) => PathMatch::Text(test(Test::Is(text.as_str().into()))),
        Some(PathSpecifier::SafeRegex(pattern)) => {
            PathMatch::Text(expression("safe_regex", &pattern.regex)?)
        }
        Some(PathSpecifier::PathSeparatedPrefix(text)) => {
            PathMatch::Segments { prefix: text.trim_end_matches('/').into(), ignore_case: any_case }
        }
        Some(PathSpecifier::ConnectMatcher(_)) => {
            unknown(true, "connect_matcher");
            PathMatch::Any
        }
        Some(PathSpecifier::PathMatchPolicy(_)) => {
            unknown(true, "path_match_policy");
            PathMatch::Any
        }
        None => return Err(Invalid::new("path_specifier", "is missing")),
    };
    let mut headers = Vec::new();
    for (at, header) in wire.headers.iter().enumerate() {
        let read = header_match(header).map_err(|it| it.within(&format!("headers[{at}]")))?;
        match read {
            Some(read) => headers.push(read),
            None => unknown(true, "headers.custom"),
        }
    }
    if wire.grpc.is_some() {
        headers.push(HeaderMatch {
            name: "content-type".into(),
            test: HeaderTest::Text(Condition {
                test: Test::Begins("application/grpc".into()),
                any_case: true,
            }),
            invert: false,
            absent_is_empty: false,
        });
    }
    let mut query = Vec::new();
    for (at, parameter) in wire.query_parameters.iter().enumerate() {
        let field = format!("query_parameters[{at}]");
        match query_match(parameter).map_err(|invalid| invalid.within(&field))? {
            Some(read) => query.push(read),
            None => unknown(true, "query_parameters.custom"),
        }
    }
    let fraction = wire.runtime_fraction.as_ref();
    let some = fraction.and_then(|fraction| share(fraction.default_value.as_ref()));
    Ok(RequestMatch { path, headers, query, share: if never { Some(Share::NONE) } else { some } })
}

/// `None`: it asks for something that nobody here can look at.
pub(super) fn header_match(wire: &HeaderMatcher) -> Result<Option<HeaderMatch>, Invalid> {
    if wire.name.is_empty() {
        return Err(Invalid::new("name", "is empty"));
    }
    let text = |test| HeaderTest::Text(Condition { test, any_case: false });
    #[expect(deprecated, reason = "older control planes say it so")]
    let test = match &wire.header_match_specifier {
        None => HeaderTest::Present(true),
        Some(HeaderMatchSpecifier::PresentMatch(wanted)) => HeaderTest::Present(*wanted),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => HeaderTest::Range(range.start, range.end),
        Some(HeaderMatchSpecifier::ExactMatch(it)) => text(Test::Is(it.as_str().into())),
        Some(HeaderMatchSpecifier::PrefixMatch(it)) => text(Test::Begins(it.as_str().into())),
        Some(HeaderMatchSpecifier::SuffixMatch(it)) => text(Test::Ends(it.as_str().into())),
        Some(HeaderMatchSpecifier::ContainsMatch(it)) => text(Test::Contains(it.as_str().into())),
        Some(HeaderMatchSpecifier::SafeRegexMatch(pattern)) => {
            HeaderTest::Text(expression("safe_regex_match", &pattern.regex)?)
        }
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => match string_match(matcher)? {
            Some(condition) => HeaderTest::Text(condition),
            None => return Ok(None),
        },
    };
    Ok(Some(HeaderMatch {
        name: lower(&wire.name),
        test,
        invert: wire.invert_match,
        absent_is_empty: wire.treat_missing_header_as_empty,
    }))
}

fn query_match(wire: &QueryParameterMatcher) -> Result<Option<QueryMatch>, Invalid> {
    if wire.name.is_empty() {
        return Err(Invalid::new("name", "is empty"));
    }
    let test = match &wire.query_parameter_match_specifier {
        None => QueryTest::Present(true),
        Some(QueryParameterMatchSpecifier::PresentMatch(wanted)) => QueryTest::Present(*wanted),
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => match string_match(matcher)? {
            Some(condition) => QueryTest::Text(condition),
            None => return Ok(None),
        },
    };
    Ok(Some(QueryMatch { name: wire.name.as_str().into(), test }))
}

fn string_match(wire: &StringMatcher) -> Result<Option<Condition>, Invalid> {
    let test = match &wire.match_pattern {
        Some(MatchPattern::Exact(text)) => Test::Is(text.as_str().into()),
        Some(MatchPattern::Prefix(text)) => Test::Begins(text.as_str().into()),
        Some(MatchPattern::Suffix(text)) => Test::Ends(text.as_str().into()),
        Some(MatchPattern::Contains(text)) => Test::Contains(text.as_str().into()),
        Some(MatchPattern::SafeRegex(pattern)) => {
            // `ignore_case` is not for expressions.
            return expression("string_match.safe_regex", &pattern.regex).map(Some);
        }
        Some(MatchPattern::Custom(_)) => return Ok(None),
        None => return Err(Invalid::new("string_match", "is empty")),
    };
    Ok(Some(Condition { test, any_case: wire.ignore_case }))
}

fn expression(field: &str, text: &str) -> Result<Condition, Invalid> {
    whole(text).map_err(|reason| Invalid::new(field, format!("\"{text}\": {reason}")))
}

/// A name of a header, as HTTP/2 writes it.
pub(super) fn lower(name: &str) -> Arc<str> {
    name.to_ascii_lowercase().into()
}
