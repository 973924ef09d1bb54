//! Requests that belong together go to one endpoint.

/// What of a request says where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The first value of a header, by its name in lower case.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// A parameter of the query, as it stands in the URL.
    Query(Box<str>),
    /// The address of the client.
    Client,
}

/// A number for these bytes, the same in every process: FNV-1a, with its bits mixed at the end.
pub fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mixed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Every bit of the result depends on every bit of `number`.
pub(super) fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The number of a session in the value of a cookie: sixteen hexadecimal digits.
pub fn session(value: &[u8]) -> Option<u64> {
    let text = str::from_utf8(value).ok()?;
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{hash, session};

    #[test]
    fn sessions_are_sixteen_digits() {
        assert_eq!(session(b"00000000000000ff"), Some(255));
        for wrong in [&b""[..], b"ff", b"+0000000000000ff", b"00000000000000fg", b"\xff"] {
            assert_eq!(session(wrong), None);
        }
    }

    #[test]
    fn numbers_are_the_same_everywhere_and_unlike() {
        assert_eq!(hash(b"user-1"), hash(b"user-1"));
        let high: std::collections::BTreeSet<u64> =
            (0..1000_u32).map(|n| hash(&n.to_be_bytes()) >> 54).collect();
        assert!(high.len() > 550, "{} of 1024 places are taken", high.len());
    }
}
