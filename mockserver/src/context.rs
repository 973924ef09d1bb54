//! What a request carries beyond itself: the headers that tie the calls of a chain together.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

/// Headers that an application passes on so that a trace stays one trace: request id, B3 (many
/// headers and one), W3C trace context and baggage, and those of other tracers.
const PASSED_ON: [&str; 17] = [
    "x-request-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "traceparent",
    "tracestate",
    "baggage",
    "x-ot-span-context",
    "uber-trace-id",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
];

/// Names the headers that the URL set, so that the next service passes them on too.
const CARRY: HeaderName = HeaderName::from_static("x-mockserver-carry");
/// More names than this are not carried.
const MOST_CARRIED: usize = 32;

/// Whether a header belongs to one connection or one message, so that nobody may pass it on.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    let reserved = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    reserved.contains(name) || *name == CARRY
}

/// The headers of a call: what `inbound` brought and is passed on (`more` are names beside the
/// usual), then what the URL sets, which wins.
pub(crate) fn outbound(
    inbound: &HeaderMap,
    more: &[HeaderName],
    set: &[(HeaderName, HeaderValue)],
) -> HeaderMap {
    let mut names: Vec<HeaderName> = PASSED_ON.map(HeaderName::from_static).to_vec();
    names.extend_from_slice(more);
    let mut carried = carried(inbound);
    names.extend_from_slice(&carried);

    let mut headers = HeaderMap::new();
    for name in names {
        // A name may stand in more than one of the lists.
        if !headers.contains_key(&name) {
            for value in inbound.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    for (name, _) in set {
        headers.remove(name);
        if !carried.contains(name) {
            carried.push(name.clone());
        }
    }
    for (name, value) in set {
        headers.append(name.clone(), value.clone());
    }
    carried.truncate(MOST_CARRIED);
    let list: Vec<&str> = carried.iter().map(HeaderName::as_str).collect();
    if let Ok(list) = HeaderValue::from_str(&list.join(","))
        && !list.is_empty()
    {
        headers.insert(CARRY, list);
    }
    headers
}

/// The names that an earlier URL segment set.
fn carried(inbound: &HeaderMap) -> Vec<HeaderName> {
    let list = inbound.get(CARRY).and_then(|list| list.to_str().ok()).unwrap_or_default();
    let names = list.split(',').filter_map(|name| name.trim().parse().ok());
    names.filter(|name| !is_reserved(name)).take(MOST_CARRIED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(text) {
            headers.append(name, value);
        }
        headers
    }

    fn pairs(text: &str) -> Vec<(HeaderName, HeaderValue)> {
        text.split_whitespace()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn what_goes_on() {
        let more: [HeaderName; 2] = ["end-user".parse().unwrap(), "b3".parse().unwrap()];
        let table = [
            // inbound, set by the URL, outbound
            ("accept=a cookie=c user-agent=u authorization=s", "", ""),
            ("x-b3-traceid=1 x-b3-spanid=2 accept=a", "", "x-b3-traceid=1 x-b3-spanid=2"),
            (
                "b3=1 traceparent=2 baggage=3 baggage=4",
                "",
                "b3=1 traceparent=2 baggage=3 baggage=4",
            ),
            ("end-user=jason", "", "end-user=jason"),
            ("", "x-v=1 x-v=2", "x-v=1 x-v=2 x-mockserver-carry=x-v"),
            ("x-request-id=1", "x-request-id=2", "x-request-id=2 x-mockserver-carry=x-request-id"),
            ("x-v=1 x-mockserver-carry=x-v", "", "x-v=1 x-mockserver-carry=x-v"),
            ("x-v=1 x-mockserver-carry=x-v", "x-w=2", "x-v=1 x-w=2 x-mockserver-carry=x-v,x-w"),
            ("x-v=1 x-mockserver-carry=x-v", "x-v=2", "x-v=2 x-mockserver-carry=x-v"),
            // A stranger cannot make us pass on what belongs to a connection.
            ("te=trailers host=a x-mockserver-carry=te,host,,x-mockserver-carry", "", ""),
        ];
        for (inbound, set, expected) in table {
            let headers = outbound(&map(inbound), &more, &pairs(set));
            assert_eq!(headers, map(expected), "{inbound} and {set}");
        }
    }

    #[test]
    fn the_list_of_names_is_bounded() {
        let names: Vec<String> = (0..100).map(|number| format!("x-{number}")).collect();
        let inbound = map(&format!("x-mockserver-carry={}", names.join(",")));
        let headers = outbound(&inbound, &[], &[]);
        let list = headers[CARRY].to_str().unwrap();
        assert_eq!(list.split(',').count(), MOST_CARRIED);
    }
}
