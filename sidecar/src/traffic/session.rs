//! Sessions that stick to an instance: a cookie says which one it was.
//!
//! The original kept a table of sessions; here the cookie itself names the instance, by a number
//! that every proxy makes of it. So a session outlives the proxy, and takes no memory in it.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};
use mesh::balance::Strategy;

use crate::plan::Route;

/// The cookie of go-chassis.
pub(super) const SESSION: &str = "go-chassisLB";

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let lists = headers.get_all(COOKIE).into_iter();
    let mut pairs = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.trim_ascii())
    })
}

/// Tells the client which instance it was, where its next requests are to go there too.
pub(super) fn tell(route: &Route, session: u64, headers: &mut HeaderMap) {
    let Strategy::SessionStickiness(terms) = &route.terms.balancing.strategy else { return };
    if let Ok(value) = HeaderValue::try_from(written(session, terms.timeout)) {
        headers.append(SET_COOKIE, value);
    }
}

fn written(session: u64, timeout: Duration) -> String {
    format!("{SESSION}={session:016x}; Path=/; Max-Age={}; HttpOnly", timeout.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::HeaderMap;
    use hyper::header::{COOKIE, HeaderValue};

    use super::{SESSION, cookie, written};

    #[test]
    fn a_cookie_is_found_among_others() {
        for (lists, found) in [
            (&["go-chassisLB=00ff"][..], Some("00ff")),
            (&["a=b; go-chassisLB=1 ;c=d"], Some("1")),
            (&["a=b", "go-chassisLB=2"], Some("2")),
            (&["go-chassisLBx=1", "xgo-chassisLB=1", "go-chassisLB"], None),
            (&["go-chassisLB="], Some("")),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(COOKIE, HeaderValue::from_static(list));
            }
            let value = cookie(&headers, SESSION).map(|value| str::from_utf8(value).unwrap());
            assert_eq!(value, found, "{lists:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = written(0xab, Duration::from_secs(30));
        assert_eq!(text, "go-chassisLB=00000000000000ab; Path=/; Max-Age=30; HttpOnly");
        let value = text.split(['=', ';']).nth(1).unwrap();
        assert_eq!(mesh::balance::session(value.as_bytes()), Some(0xab));
    }
}
