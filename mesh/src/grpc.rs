//! What a proxy has to know of gRPC: its statuses, and its deadlines.

use std::fmt::Write;
use std::time::Duration;

/// How a call ended (the gRPC specification, "Status codes and their use in gRPC").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrpcStatus(u8);

impl GrpcStatus {
    /// It went well.
    pub const OK: Self = Self(0);
    /// Its client gave up.
    pub const CANCELLED: Self = Self(1);
    /// Nobody can say.
    pub const UNKNOWN: Self = Self(2);
    /// It does not say what it wants in a way that can be understood.
    pub const INVALID_ARGUMENT: Self = Self(3);
    /// It took too long.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// It may not be made.
    pub const PERMISSION_DENIED: Self = Self(7);
    /// Something is used up, or too long.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// There is no such thing to call.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// Something is broken.
    pub const INTERNAL: Self = Self(13);
    /// Nobody is there to take it; it may be made again.
    pub const UNAVAILABLE: Self = Self(14);
    /// What was answered is damaged.
    pub const DATA_LOSS: Self = Self(15);
    /// Who calls did not say who it is.
    pub const UNAUTHENTICATED: Self = Self(16);

    /// The status in `grpc-status`. What is no number counts as UNKNOWN, as clients do.
    ///
    /// ```
    /// use mesh::GrpcStatus;
    /// assert_eq!(GrpcStatus::read(b"14"), GrpcStatus::UNAVAILABLE);
    /// assert_eq!(GrpcStatus::read(b"fine"), GrpcStatus::UNKNOWN);
    /// ```
    pub fn read(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        number.map_or(Self::UNKNOWN, Self)
    }

    /// What a client makes of a stream that was reset with this code before a status came (the
    /// gRPC specification, "HTTP2 Transport Mapping").
    pub fn of_reset(code: u32) -> Self {
        match code {
            // REFUSED_STREAM
            0x7 => Self::UNAVAILABLE,
            // CANCEL
            0x8 => Self::CANCELLED,
            // ENHANCE_YOUR_CALM
            0xb => Self::RESOURCE_EXHAUSTED,
            // INADEQUATE_SECURITY
            0xc => Self::PERMISSION_DENIED,
            _ => Self::INTERNAL,
        }
    }

    /// What a status of HTTP is to a call ("HTTP to gRPC Status Code Mapping" of the gRPC project).
    pub fn of_http(status: u16) -> Self {
        match status {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502..=504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// The number in `grpc-status`.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Whether it says that the instance is broken or overrun, rather than that an application
    /// answered with an error: the same that counts as a failure over plain HTTP.
    pub fn blames_the_instance(self) -> bool {
        [Self::DEADLINE_EXCEEDED, Self::INTERNAL, Self::UNAVAILABLE, Self::DATA_LOSS]
            .contains(&self)
    }
}

/// Statuses by their words, as in `resource-exhausted`; the place of a word is its number.
const WORDS: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid-argument",
    "deadline-exceeded",
    "not-found",
    "already-exists",
    "permission-denied",
    "resource-exhausted",
    "failed-precondition",
    "aborted",
    "out-of-range",
    "unimplemented",
    "internal",
    "unavailable",
    "data-loss",
    "unauthenticated",
];

impl GrpcStatus {
    /// The status that a word names, in any case and with `_` or `-`; or a number.
    ///
    /// ```
    /// use mesh::GrpcStatus;
    /// assert_eq!(GrpcStatus::of_word("RESOURCE_EXHAUSTED"), Some(GrpcStatus::RESOURCE_EXHAUSTED));
    /// assert_eq!(GrpcStatus::of_word("14"), Some(GrpcStatus::UNAVAILABLE));
    /// assert_eq!(GrpcStatus::of_word("fine"), None);
    /// ```
    pub fn of_word(word: &str) -> Option<Self> {
        let plain = word.to_ascii_lowercase().replace('_', "-");
        let named = WORDS.iter().position(|known| *known == plain);
        let number = named.or_else(|| word.parse().ok())?;
        u8::try_from(number).ok().filter(|number| usize::from(*number) < WORDS.len()).map(Self)
    }
}

/// A set of statuses; those that the specification does not know are in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrpcStatuses(u32);

impl GrpcStatuses {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is among them.
    pub fn has(self, status: GrpcStatus) -> bool {
        self.0 & Self::bit(status) != 0
    }

    fn bit(status: GrpcStatus) -> u32 {
        1_u32.checked_shl(status.code().into()).unwrap_or(0)
    }
}

impl FromIterator<GrpcStatus> for GrpcStatuses {
    fn from_iter<I: IntoIterator<Item = GrpcStatus>>(statuses: I) -> Self {
        Self(statuses.into_iter().fold(0, |set, status| set | Self::bit(status)))
    }
}

/// The time in `grpc-timeout`: at most eight digits and a unit. `None`: it is none.
///
/// ```
/// use std::time::Duration;
/// use mesh::read_grpc_timeout;
/// assert_eq!(read_grpc_timeout(b"1500m"), Some(Duration::from_millis(1500)));
/// assert_eq!(read_grpc_timeout(b"1.5S"), None);
/// ```
pub fn read_grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A time as `grpc-timeout` has it, in the smallest unit that has room for it, rounded up: nobody
/// further on should give up before the client does.
pub fn write_grpc_timeout(time: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let nanos = time.as_nanos();
    let units = [('n', 1), ('u', 1_000), ('m', 1_000_000), ('S', 1_000_000_000)];
    let longer = [('M', 60_000_000_000), ('H', 3_600_000_000_000_u128)];
    let all = units.into_iter().chain(longer);
    let fitting = all.map(|(unit, length)| (nanos.div_ceil(length), unit));
    let (number, unit) =
        fitting.into_iter().find(|(number, _)| *number <= MOST).unwrap_or((MOST, 'H'));
    let mut text = String::new();
    let _ = write!(text, "{number}{unit}");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{GrpcStatus, GrpcStatuses, read_grpc_timeout, write_grpc_timeout};

    #[test]
    fn timeouts_are_read_as_specified() {
        for (text, nanos) in [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("3S", Some(3_000_000_000)),
            ("4m", Some(4_000_000)),
            ("5u", Some(5_000)),
            ("6n", Some(6)),
            ("0S", Some(0)),
            ("99999999H", Some(99_999_999 * 3_600_000_000_000)),
            ("123456789n", None),
            ("", None),
            ("S", None),
            ("5", None),
            ("-1S", None),
            ("+1S", None),
            ("1s", None),
            ("1 S", None),
        ] {
            let found = read_grpc_timeout(text.as_bytes()).map(|time| time.as_nanos());
            assert_eq!(found, nanos, "{text:?}");
        }
    }

    #[test]
    fn sets_of_statuses() {
        let words = ["unavailable", "Deadline_Exceeded", "1"];
        let set: GrpcStatuses = words.into_iter().filter_map(GrpcStatus::of_word).collect();
        let named = [GrpcStatus::UNAVAILABLE, GrpcStatus::DEADLINE_EXCEEDED, GrpcStatus::CANCELLED];
        for code in 0..=u8::MAX {
            let status = GrpcStatus::read(code.to_string().as_bytes());
            assert_eq!(set.has(status), named.contains(&status), "{code}");
        }
        assert!(GrpcStatuses::default().is_empty() && !set.is_empty());
        for wrong in ["", "17", "-1", "un-available", "ünavailable"] {
            assert_eq!(GrpcStatus::of_word(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_an_application_answers_is_no_failure_of_its_instance() {
        for (status, blames) in [
            (GrpcStatus::OK, false),
            (GrpcStatus::CANCELLED, false),
            (GrpcStatus::UNKNOWN, false),
            (GrpcStatus::read(b"5"), false),
            (GrpcStatus::UNIMPLEMENTED, false),
            (GrpcStatus::RESOURCE_EXHAUSTED, false),
            (GrpcStatus::UNAVAILABLE, true),
            (GrpcStatus::DEADLINE_EXCEEDED, true),
            (GrpcStatus::INTERNAL, true),
            (GrpcStatus::DATA_LOSS, true),
        ] {
            assert_eq!(status.blames_the_instance(), blames, "{status:?}");
        }
    }

    #[test]
    fn resets_become_what_clients_make_of_them() {
        for (code, status) in [
            (0x0, GrpcStatus::INTERNAL),
            (0x2, GrpcStatus::INTERNAL),
            (0x7, GrpcStatus::UNAVAILABLE),
            (0x8, GrpcStatus::CANCELLED),
            (0xb, GrpcStatus::RESOURCE_EXHAUSTED),
            (0xc, GrpcStatus::PERMISSION_DENIED),
            (0xffff, GrpcStatus::INTERNAL),
        ] {
            assert_eq!(GrpcStatus::of_reset(code), status, "{code:#x}");
        }
    }

    proptest! {
        #[test]
        fn a_written_timeout_is_read_as_no_less(nanos in 0..u64::MAX) {
            let time = Duration::from_nanos(nanos);
            let text = write_grpc_timeout(time);
            let read = read_grpc_timeout(text.as_bytes());
            prop_assert!(read.is_some_and(|read| read >= time), "{time:?} {text}");
            // The unit costs less than one part in a hundred thousand.
            let most = time + time / 100_000 + Duration::from_nanos(1);
            prop_assert!(read.is_some_and(|read| read <= most), "{time:?} {text}");
        }
    }
}
