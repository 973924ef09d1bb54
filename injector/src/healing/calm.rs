//! Whether all that injection needs is in order, and has been for a while.

use std::time::{Duration, Instant};

/// Why nothing is evicted for the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A newer configuration or template is faulty, and so not in force.
    Configuration,
    /// The API server cannot call the injector, or it is not known whether it can.
    CaBundle,
    /// The API server has not told its version yet.
    Version,
    /// Not all pods were seen yet, or changes of them may have been missed.
    Watch,
    /// Everything is in order, but not for long enough.
    Settling,
}

impl Hold {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Configuration, Self::CaBundle, Self::Version, Self::Watch, Self::Settling];

    /// The word in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration_faulty",
            Self::CaBundle => "ca_bundle",
            Self::Version => "api_server_version",
            Self::Watch => "watch_interrupted",
            Self::Settling => "settling",
        }
    }
}

/// Since when everything is in order.
#[derive(Debug, Default)]
pub(super) struct Calm(Option<Instant>);

impl Calm {
    /// Why nothing is evicted at `now`, where `disorder` is what is wrong at the moment; `None` when
    /// nothing was for `settle`.
    pub(super) fn hold(
        &mut self,
        disorder: Option<Hold>,
        settle: Duration,
        now: Instant,
    ) -> Option<Hold> {
        if disorder.is_some() {
            self.0 = None;
            return disorder;
        }
        let since = *self.0.get_or_insert(now);
        (now.saturating_duration_since(since) < settle).then_some(Hold::Settling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_to_be_in_order_for_a_while() {
        let (mut calm, start, settle) = (Calm::default(), Instant::now(), Duration::from_mins(1));
        assert_eq!(calm.hold(None, settle, start), Some(Hold::Settling));
        assert_eq!(calm.hold(None, settle, start + settle), None);
        let at = start + 2 * settle;
        assert_eq!(calm.hold(Some(Hold::CaBundle), settle, at), Some(Hold::CaBundle));
        assert_eq!(calm.hold(None, settle, at), Some(Hold::Settling), "it begins anew");
        assert_eq!(calm.hold(None, settle, at + settle), None);
        assert_eq!(Calm::default().hold(None, Duration::ZERO, start), None);
    }
}
