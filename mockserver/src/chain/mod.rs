//! The calls that a URL asks for.
//!
//! ```text
//! target    = "/" [ segment [ remainder ] ]     split at the first "/" after the leading one
//! segment   = percent-decoded; a command only if it begins with "@" and has more after it
//! command   = "@" group *( "|" group )          groups run side by side
//! group     = call *( "," call )                calls of a group run one after the other
//! call      = host [ ":" port ] *( "[" name "=" value "]" )      port 8080 if none is named
//! remainder = "/" …                             passed on as it stands, with the query; else "/"
//! ```
//!
//! Each call is `GET http://host:port` and the remainder. Nesting needs no parser: whoever is
//! called reads the next segment as its own command.

mod bounds;
mod call;

pub use bounds::{Bounds, Size, TooLarge};
pub use call::{Call, CallError};

use percent_encoding::percent_decode_str;

/// What one service is asked to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// They run side by side; the calls of each one after the other, also when one fails.
    pub groups: Vec<Vec<Step>>,
    /// Path and query that every call gets, percent-encoded as it came; begins with `/`.
    pub remainder: String,
}

/// One place of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A call to make.
    Call(Call),
    /// Text that is no call. It is reported at its place, and its neighbours are called.
    Faulty {
        /// The text, percent-decoded.
        text: String,
        /// What is wrong with it.
        error: CallError,
    },
}

impl Chain {
    /// Reads `target`, the path and query of a request; `None` when it asks for no call.
    ///
    /// ```
    /// use mockserver::chain::Chain;
    ///
    /// let chain = Chain::parse("/@reviews:9080|ratings/@details/?x=1").unwrap();
    /// assert_eq!(chain.groups.len(), 2);
    /// assert_eq!(chain.remainder, "/@details/?x=1");
    /// assert_eq!(Chain::parse("/reviews/@details"), None);
    /// ```
    pub fn parse(target: &str) -> Option<Self> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = path.strip_prefix('/')?;
        let (segment, rest) = path.split_once('/').unwrap_or((path, ""));
        let segment = percent_decode_str(segment).decode_utf8_lossy();
        let command = segment.strip_prefix('@').filter(|command| !command.is_empty())?;
        let groups =
            command.split('|').map(|group| group.split(',').map(Step::parse).collect()).collect();
        let remainder = match query {
            Some(query) => format!("/{rest}?{query}"),
            None => format!("/{rest}"),
        };
        Some(Self { groups, remainder })
    }
}

impl Step {
    fn parse(text: &str) -> Self {
        match Call::parse(text) {
            Ok(call) => Self::Call(call),
            Err(error) => Self::Faulty { text: text.to_owned(), error },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Groups as `a:8080+b:8080|c:8080`, then the remainder; `-` for no call.
    fn told(target: &str) -> String {
        let Some(chain) = Chain::parse(target) else {
            return "-".to_owned();
        };
        let step = |step: &Step| match step {
            Step::Call(call) => call.authority(),
            Step::Faulty { text, .. } => format!("!{text}"),
        };
        let groups: Vec<String> = chain
            .groups
            .iter()
            .map(|group| group.iter().map(step).collect::<Vec<_>>().join("+"))
            .collect();
        format!("{} {}", groups.join("|"), chain.remainder)
    }

    #[test]
    fn the_calls_of_a_url() {
        let table = [
            ("/service/calls/@service3/", "-"),
            ("/@service1/the-end", "service1:8080 /the-end"),
            ("/@service1:8081/the-end", "service1:8081 /the-end"),
            ("/@service1/@service2/@service3/", "service1:8080 /@service2/@service3/"),
            ("/@service2/@service3/", "service2:8080 /@service3/"),
            ("/@service1/service2", "service1:8080 /service2"),
            ("/@service1,service2/uri-reuse/", "service1:8080+service2:8080 /uri-reuse/"),
            ("/@service1|service2/uri-reuse/", "service1:8080|service2:8080 /uri-reuse/"),
            ("/@s1|s2/@s3|s4/uri/", "s1:8080|s2:8080 /@s3|s4/uri/"),
            ("/@a,b|c/x", "a:8080+b:8080|c:8080 /x"),
            // Nothing to call.
            ("/", "-"),
            ("", "-"),
            ("*", "-"),
            ("/@", "-"),
            ("/@/x", "-"),
            ("//@a/x", "-"),
            ("/?@a", "-"),
            // Encoded, in the segment only.
            ("/%40a%7Cb%2Cc/%7C%2C", "a:8080|b:8080+c:8080 /%7C%2C"),
            ("/%40a%7cb/", "a:8080|b:8080 /"),
            ("/@a%3A81/x", "a:81 /x"),
            // The query is the last one's.
            ("/@a?x=1", "a:8080 /?x=1"),
            ("/@a?x=/@b/", "a:8080 /?x=/@b/"),
            ("/@a/@b/c?x=1&y=@z|,", "a:8080 /@b/c?x=1&y=@z|,"),
            ("/@a/?", "a:8080 /?"),
            ("/@a", "a:8080 /"),
            ("/@a/", "a:8080 /"),
            ("/@a//@b/", "a:8080 //@b/"),
            // IPv6.
            ("/@[::1]:81|[fe80::2]/x", "[::1]:81|[fe80::2]:8080 /x"),
            // Faults stay where they are.
            ("/@a|", "a:8080|! /"),
            ("/@a,,b/", "a:8080+!+b:8080 /"),
            ("/@@a/", "!@a /"),
            ("/@a:0,b:x,c:70000/", "!a:0+!b:x+!c:70000 /"),
        ];
        for (target, calls) in table {
            assert_eq!(told(target), calls, "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(target in "\\PC*") {
            let _ = Chain::parse(&target);
            let _ = Chain::parse(&format!("/@{target}"));
        }

        /// What comes after the first segment reaches the callee byte for byte.
        #[test]
        fn the_remainder_is_passed_on_unread(
            hosts in prop::collection::vec("[a-z][a-z0-9-]{0,8}", 1..5),
            rest in "(/[!-~&&[^?#]]{0,9}){1,4}",
            query in prop::option::of("[!-~&&[^#]]{0,12}"),
        ) {
            let mut rest = rest;
            if let Some(query) = query {
                rest = format!("{rest}?{query}");
            }
            let chain = Chain::parse(&format!("/@{}{rest}", hosts.join("|"))).unwrap();
            prop_assert_eq!(&chain.remainder, &rest);
            let called: Vec<_> = chain.groups.iter().map(|group| match &group[..] {
                [Step::Call(call)] => call.host.clone(),
                other => format!("{other:?}"),
            }).collect();
            prop_assert_eq!(called, hosts);
        }

        /// Encoding the whole segment changes nothing.
        #[test]
        fn an_encoded_segment_says_the_same(
            command in "[a-z]{1,5}([:,|\\[\\]=a-z0-9]{0,20})",
            rest in "[a-z@|,/]{0,9}",
        ) {
            let encoded: Vec<_> = command.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let encoded = encoded.concat();
            prop_assert_eq!(
                Chain::parse(&format!("/%40{encoded}/{rest}")),
                Chain::parse(&format!("/@{command}/{rest}"))
            );
        }

        /// A chain written out again is the same chain.
        #[test]
        fn what_is_written_is_read(
            groups in prop::collection::vec(
                prop::collection::vec(("[a-z0-9.-]{1,9}", 1u16.., prop::option::of("[a-z]{1,9}")), 1..4),
                1..4,
            ),
        ) {
            let written: Vec<String> = groups.iter().map(|group| {
                let calls: Vec<String> = group.iter().map(|(host, port, header)| {
                    let header = header.as_ref().map(|value| format!("[x-y={value}]"));
                    format!("{host}:{port}{}", header.unwrap_or_default())
                }).collect();
                calls.join(",")
            }).collect();
            let chain = Chain::parse(&format!("/@{}/", written.join("|"))).unwrap();
            let read: Vec<Vec<_>> = chain.groups.iter().map(|group| group.iter().map(|step| {
                let Step::Call(call) = step else { panic!("{step:?}") };
                let value = call.headers.first().map(|(name, value)| {
                    assert_eq!(name, "x-y");
                    value.to_str().unwrap().to_owned()
                });
                (call.host.clone(), call.port, value)
            }).collect()).collect();
            prop_assert_eq!(read, groups);
        }
    }
}
