//! What every source is to the proxy.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh::{ServiceKey, Snapshot};
use tokio::sync::watch;
use tokio::time::timeout;

/// Something that knows services. Calls return at once; what takes time comes by the channels.
pub trait Source: Send + Sync + 'static {
    /// Asks for a service, now and from now on: it is tracked until nobody has asked for long.
    /// Many callers that ask for one service cause one question.
    fn demand(&self, key: &ServiceKey) -> Demand;

    /// Somebody found an instance of a service not to be where the source says: it may ask anew,
    /// rather than at its next refresh. Cheap, however often it is said.
    fn doubt(&self, _key: &ServiceKey) {}

    /// Whether services may be called by an address (Kubernetes' cluster IPs): then one has to be
    /// asked for as names are.
    fn knows_addresses(&self) -> bool {
        false
    }

    /// What is known of all services that are tracked.
    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>>;

    /// How the source itself is doing.
    fn state(&self) -> watch::Receiver<State>;
}

/// What a source says to a question for one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is in the snapshot, with or without instances.
    Known,
    /// There is no such service.
    Unknown,
    /// The source can't be reached, and nothing was known from before.
    Unavailable,
}

/// The answer to a question, perhaps before it is there.
#[derive(Debug)]
pub struct Demand(watch::Receiver<Option<Answer>>);

impl Demand {
    /// An answer that comes later, by `receiver`.
    pub fn pending(receiver: watch::Receiver<Option<Answer>>) -> Self {
        Self(receiver)
    }

    /// An answer that is there.
    pub fn answered(answer: Answer) -> Self {
        Self(watch::channel(Some(answer)).1)
    }

    /// The answer, if it is there.
    pub fn now(&self) -> Option<Answer> {
        *self.0.borrow()
    }

    /// Waits for the answer; none within `deadline` means [`Answer::Unavailable`].
    pub async fn within(mut self, deadline: Duration) -> Answer {
        let wait = self.0.wait_for(Option::is_some);
        match timeout(deadline, wait).await {
            Ok(Ok(answer)) => answer.unwrap_or(Answer::Unavailable),
            Ok(Err(_)) | Err(_) => Answer::Unavailable,
        }
    }
}

/// How a source is doing, for the admin page and metrics. It never decides about readiness: a dead
/// registry must not keep applications from starting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// No answer came yet.
    #[default]
    Starting,
    /// The last question was answered.
    Connected,
    /// Since then no question is answered; what was known is still used.
    Stale {
        /// When the first question failed.
        since: SystemTime,
        /// What failed, for people.
        error: String,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::{Answer, Demand};

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_but_not_for_ever() {
        let answered = Demand::answered(Answer::Unknown);
        assert_eq!(answered.now(), Some(Answer::Unknown));
        assert_eq!(answered.within(Duration::ZERO).await, Answer::Unknown);

        let (sender, receiver) = watch::channel(None);
        let late = Demand::pending(receiver.clone()).within(Duration::from_secs(2));
        let never = Demand::pending(receiver).within(Duration::from_millis(1));
        assert_eq!(never.await, Answer::Unavailable);
        sender.send_replace(Some(Answer::Known));
        assert_eq!(late.await, Answer::Known);

        let (sender, receiver) = watch::channel(None);
        drop(sender);
        let gone = Demand::pending(receiver).within(Duration::from_secs(2));
        assert_eq!(gone.await, Answer::Unavailable);
    }
}
