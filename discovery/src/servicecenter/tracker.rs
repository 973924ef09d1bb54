//! What is asked for and what is known of it, without network or clock.
//!
//! An empty answer is the dangerous one: a registry that lost its data gives it for every service,
//! and a proxy that believed it would take down a healthy mesh. So whoever asks first finds out
//! whether our own registration is still known there, and says so with the finding.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh::{Instance, InstanceId, Service, ServiceKey, Snapshot};
use tokio::sync::watch;

use super::api::{Finding, Question};
use super::record;
use super::wire::Event;
use crate::source::{Answer, Demand};

/// How many services are tracked at most; the one asked for least recently makes room.
const MOST_TRACKED: usize = 10_000;
/// How long "no such service" is believed without asking again.
const NEGATIVE: Duration = Duration::from_secs(5);
/// How long a failed question is the answer to those who ask next.
const FAILED: Duration = Duration::from_secs(1);
/// How long after a doubt the next one about the same service is not heard.
const DOUBTED: Duration = Duration::from_secs(1);

/// Whether an answer that makes a service disappear is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The registry knows us: what it does not know is gone.
    Full,
    /// It has forgotten us, or can't be asked: what it does not know may well live.
    Amnesia,
    /// We are not registered, so nothing can be found out; or it had forgotten us a moment ago, and
    /// others may not be back yet. What was known is kept as after amnesia; what was never known
    /// is taken for what it seems.
    Unverifiable,
}

/// All services that somebody asked for.
#[derive(Debug)]
pub(super) struct Tracker {
    tracked: HashMap<ServiceKey, Tracked>,
    snapshot: Arc<Snapshot>,
    /// How long what was known outlives an answer that is not believed.
    grace: Duration,
    /// Answers that are told once readers see the snapshot they speak of.
    untold: Vec<(watch::Sender<Option<Answer>>, Answer)>,
}

#[derive(Debug)]
struct Tracked {
    revision: String,
    /// Something is known of it, and stands in the snapshot.
    known: bool,
    asked_at: Duration,
    /// A doubt before this is not heard.
    doubt_at: Duration,
    /// When the answer was not what it should be; it is not asked for again before `retry_at`.
    retry_at: Duration,
    /// Since when the registry says that it is gone and is not believed.
    doubted_since: Option<Duration>,
    answer: watch::Sender<Option<Answer>>,
}

impl Tracker {
    pub(super) fn new(grace: Duration) -> Self {
        Self { tracked: HashMap::new(), snapshot: Arc::default(), grace, untold: Vec::new() }
    }

    /// The services and instances of the last findings.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// Somebody wants `key`; `true` when it has to be asked for now.
    pub(super) fn demand(&mut self, key: &ServiceKey, now: Duration) -> (Demand, bool) {
        if let Some(tracked) = self.tracked.get_mut(key) {
            tracked.asked_at = now;
            let stale = !tracked.known && tracked.retry_at <= now;
            let waiting = tracked.answer.borrow().is_none();
            if stale && !waiting {
                tracked.answer.send_replace(None);
            }
            return (Demand::pending(tracked.answer.subscribe()), stale && !waiting);
        }
        if self.tracked.len() >= MOST_TRACKED {
            self.make_room();
        }
        let answer = watch::Sender::new(None);
        let demand = Demand::pending(answer.subscribe());
        let tracked = Tracked {
            revision: String::new(),
            known: false,
            asked_at: now,
            doubt_at: Duration::ZERO,
            retry_at: Duration::ZERO,
            doubted_since: None,
            answer,
        };
        self.tracked.insert(key.clone(), tracked);
        (demand, true)
    }

    /// Somebody found that what is known of `key` is no longer true; `true` when it has to be asked
    /// for now.
    pub(super) fn doubt(&mut self, key: &ServiceKey, now: Duration) -> bool {
        let tracked = self.tracked.get_mut(key);
        let Some(tracked) = tracked.filter(|t| t.known && t.doubt_at <= now) else { return false };
        tracked.doubt_at = now + DOUBTED;
        true
    }

    fn make_room(&mut self) {
        let oldest = self.tracked.iter().min_by_key(|(_, t)| t.asked_at).map(|(k, _)| k.clone());
        if let Some(key) = oldest {
            self.tracked.remove(&key);
            Arc::make_mut(&mut self.snapshot).remove(&key);
        }
    }

    /// What to ask for one service.
    pub(super) fn question(&self, key: &ServiceKey) -> Question {
        let revision = self.tracked.get(key).map(|t| t.revision.clone()).unwrap_or_default();
        Question { key: key.clone(), revision }
    }

    /// What to ask at a refresh: everything known, and what somebody waits for. What is not known
    /// is asked for when somebody wants it again.
    pub(super) fn due(&self) -> Vec<Question> {
        let due = self.tracked.iter().filter(|(_, t)| t.known || t.answer.borrow().is_none());
        due.map(|(key, _)| self.question(key)).collect()
    }

    /// Whether this finding would make instances disappear that were there: then it has to be
    /// found out how far to trust it.
    pub(super) fn would_forget(&self, key: &ServiceKey, finding: &Finding) -> bool {
        let empty = match finding {
            Finding::Instances { instances, .. } => instances.is_empty(),
            Finding::NotModified => false,
            Finding::NoSuchService => true,
        };
        let had = self.snapshot.get(key).is_some_and(|service| !service.instances().is_empty());
        let waits = self.tracked.get(key).is_some_and(|t| t.answer.borrow().is_none());
        // "No such service" also means "no such consumer": one who waits deserves to know which.
        empty && (had || waits && matches!(finding, Finding::NoSuchService))
    }

    /// Takes a finding in; `true` when the snapshot changed.
    pub(super) fn found(
        &mut self,
        key: &ServiceKey,
        finding: Finding,
        trust: Trust,
        now: Duration,
    ) -> bool {
        let forgets = self.would_forget(key, &finding);
        let Some(tracked) = self.tracked.get_mut(key) else { return false };
        if forgets && !tracked.known && trust == Trust::Amnesia {
            self.failed(key, now);
            return false;
        }
        if forgets && tracked.known && trust != Trust::Full {
            let since = *tracked.doubted_since.get_or_insert(now);
            if now.saturating_sub(since) < self.grace {
                // Asked again without a revision: the same empty answer would be "not modified".
                tracked.revision.clear();
                return false;
            }
        }
        tracked.doubted_since = None;
        let answer = match finding {
            Finding::NoSuchService => Answer::Unknown,
            Finding::NotModified | Finding::Instances { .. } => Answer::Known,
        };
        self.untold.push((tracked.answer.clone(), answer));
        match finding {
            Finding::NotModified => false,
            Finding::NoSuchService => {
                tracked.known = false;
                tracked.revision.clear();
                tracked.retry_at = now + NEGATIVE;
                self.snapshot.get(key).is_some() && Arc::make_mut(&mut self.snapshot).remove(key)
            }
            Finding::Instances { revision, instances } => {
                tracked.known = true;
                tracked.revision = revision;
                let read = instances.iter().map(|r| record::instance(r, &key.scope));
                put(&mut self.snapshot, Service::new(key.clone(), read))
            }
        }
    }

    /// The question could not be asked. What is known stays; who waits is told.
    pub(super) fn failed(&mut self, key: &ServiceKey, now: Duration) {
        if let Some(tracked) = self.tracked.get_mut(key).filter(|tracked| !tracked.known) {
            tracked.retry_at = now + FAILED;
            self.untold.push((tracked.answer.clone(), Answer::Unavailable));
        }
    }

    /// Tells those who wait. To be called after the snapshot was published: who is told that a
    /// service is known looks for it at once.
    pub(super) fn tell(&mut self) {
        for (answer, value) in self.untold.drain(..) {
            answer.send_if_modified(|held| held.replace(value) != Some(value));
        }
    }

    /// Takes in what was pushed; `true` when the snapshot changed. The revision is forgotten with
    /// it, so that the next refresh brings the whole list and corrects what was missed.
    pub(super) fn pushed(&mut self, event: &Event) -> bool {
        let key = ServiceKey::new(event.key.app_id.as_str(), event.key.service_name.as_str());
        let Some(tracked) = self.tracked.get_mut(&key).filter(|t| t.known) else { return false };
        tracked.revision.clear();
        let Some(service) = self.snapshot.get(&key) else { return false };
        let id = InstanceId(event.instance.instance_id.as_str().into());
        let others = service.instances().iter().filter(|i| i.id != id);
        let mut instances: Vec<Instance> = others.map(|i| (**i).clone()).collect();
        if event.action != "DELETE" && event.action != "EXPIRE" {
            instances.push(record::instance(&event.instance, &key.scope));
        }
        put(&mut self.snapshot, Service::new(key, instances))
    }
}

/// Puts a service into the shared snapshot, which is copied only where that changes something.
fn put(snapshot: &mut Arc<Snapshot>, service: Service) -> bool {
    if snapshot.get(&service.key).is_some_and(|known| **known == service) {
        return false;
    }
    Arc::make_mut(snapshot).put(service)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh::ServiceKey;

    use super::{MOST_TRACKED, Tracker, Trust};
    use crate::servicecenter::api::Finding;
    use crate::servicecenter::wire::Event;
    use crate::source::Answer;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("shop", name)
    }

    fn found(revision: &str, ids: &[&str]) -> Finding {
        let record = |id: &&str| {
            let json = serde_json::json!({"instanceId": id, "endpoints": ["rest://10.0.0.1:1"]});
            serde_json::from_value(json).unwrap()
        };
        Finding::Instances {
            revision: revision.to_owned(),
            instances: ids.iter().map(record).collect(),
        }
    }

    fn event(action: &str, name: &str, id: &str, status: &str) -> Event {
        serde_json::from_value(serde_json::json!({
            "action": action,
            "key": {"appId": "shop", "serviceName": name, "version": "1.0.0"},
            "instance": {"instanceId": id, "endpoints": ["rest://10.0.0.1:1"], "status": status},
        }))
        .unwrap()
    }

    fn ids(tracker: &Tracker, name: &str) -> Vec<String> {
        let snapshot = tracker.snapshot();
        let Some(service) = snapshot.get(&key(name)) else { return Vec::new() };
        service.instances().iter().map(|i| i.id.to_string()).collect()
    }

    /// A tracker that knows instances `a` and `b` of `orders`.
    fn knowing() -> Tracker {
        let mut tracker = Tracker::new(at(60));
        tracker.demand(&key("orders"), at(0));
        assert!(tracker.found(&key("orders"), found("r1", &["a", "b"]), Trust::Full, at(0)));
        tracker.tell();
        tracker
    }

    #[test]
    fn many_who_ask_cause_one_question() {
        let mut tracker = Tracker::new(at(60));
        let (first, ask) = tracker.demand(&key("orders"), at(0));
        assert!(ask);
        let (second, ask) = tracker.demand(&key("orders"), at(0));
        assert!(!ask, "it is being asked for");
        assert_eq!((first.now(), second.now()), (None, None));
        tracker.found(&key("orders"), found("r1", &["a"]), Trust::Full, at(1));
        assert_eq!(first.now(), None, "the snapshot is not published yet");
        tracker.tell();
        assert_eq!((first.now(), second.now()), (Some(Answer::Known), Some(Answer::Known)));
        assert_eq!(ids(&tracker, "orders"), ["a"]);
    }

    #[test]
    fn a_doubt_is_a_question_and_many_at_once_are_one() {
        let mut tracker = knowing();
        assert!(tracker.doubt(&key("orders"), at(5)));
        assert!(!tracker.doubt(&key("orders"), at(5)));
        assert!(tracker.doubt(&key("orders"), at(6)));
        assert!(!tracker.doubt(&key("strange"), at(6)), "nobody asked for it");
        assert_eq!(tracker.question(&key("orders")).revision, "r1", "it may be true still");
    }

    #[test]
    fn no_such_service_is_believed_for_five_seconds() {
        let mut tracker = Tracker::new(at(60));
        let (demand, _) = tracker.demand(&key("nope"), at(0));
        tracker.found(&key("nope"), Finding::NoSuchService, Trust::Full, at(0));
        tracker.tell();
        assert_eq!(demand.now(), Some(Answer::Unknown));
        assert!(!tracker.demand(&key("nope"), at(4)).1);
        assert!(tracker.due().is_empty(), "nobody waits for it");
        let (again, ask) = tracker.demand(&key("nope"), at(5));
        assert!(ask);
        assert_eq!(again.now(), None, "the old answer is not given any more");
    }

    #[test]
    fn a_failed_question_is_told_and_keeps_what_is_known() {
        let mut tracker = knowing();
        tracker.failed(&key("orders"), at(5));
        assert_eq!(tracker.demand(&key("orders"), at(5)).0.now(), Some(Answer::Known));
        let (demand, _) = tracker.demand(&key("new"), at(5));
        tracker.failed(&key("new"), at(5));
        tracker.tell();
        assert_eq!(demand.now(), Some(Answer::Unavailable));
        assert!(!tracker.demand(&key("new"), at(5)).1, "not at once again");
        assert!(tracker.demand(&key("new"), at(6)).1);
    }

    #[test]
    fn an_empty_answer_is_believed_where_we_are_known() {
        for finding in [found("r2", &[]), Finding::NoSuchService] {
            let mut tracker = knowing();
            assert!(tracker.would_forget(&key("orders"), &finding));
            assert!(tracker.found(&key("orders"), finding, Trust::Full, at(1)));
            assert!(ids(&tracker, "orders").is_empty());
        }
    }

    #[test]
    fn amnesia_is_sat_out_for_the_grace() {
        for finding in [found("r2", &[]), Finding::NoSuchService] {
            let mut tracker = knowing();
            assert!(!tracker.found(&key("orders"), finding.clone(), Trust::Amnesia, at(10)));
            assert_eq!(ids(&tracker, "orders"), ["a", "b"]);
            assert!(tracker.question(&key("orders")).revision.is_empty());
            assert!(!tracker.found(&key("orders"), finding.clone(), Trust::Amnesia, at(69)));
            assert!(tracker.found(&key("orders"), finding, Trust::Amnesia, at(70)));
            assert!(ids(&tracker, "orders").is_empty());
        }
    }

    #[test]
    fn amnesia_ends_with_the_first_instance_that_is_back() {
        let mut tracker = knowing();
        tracker.found(&key("orders"), found("r2", &[]), Trust::Amnesia, at(10));
        assert!(tracker.found(&key("orders"), found("r3", &["b"]), Trust::Full, at(20)));
        assert_eq!(ids(&tracker, "orders"), ["b"]);
        tracker.found(&key("orders"), found("r2", &[]), Trust::Amnesia, at(75));
        assert_eq!(ids(&tracker, "orders"), ["b"], "a new grace has begun");
    }

    #[test]
    fn amnesia_is_no_answer_to_one_who_waits() {
        let mut tracker = Tracker::new(at(60));
        let (demand, _) = tracker.demand(&key("orders"), at(0));
        assert!(tracker.would_forget(&key("orders"), &Finding::NoSuchService));
        tracker.found(&key("orders"), Finding::NoSuchService, Trust::Amnesia, at(0));
        tracker.tell();
        assert_eq!(demand.now(), Some(Answer::Unavailable));
    }

    #[test]
    fn without_a_registration_what_is_known_is_kept_and_the_rest_believed() {
        let mut tracker = knowing();
        tracker.found(&key("orders"), found("r2", &[]), Trust::Unverifiable, at(10));
        assert_eq!(ids(&tracker, "orders"), ["a", "b"]);
        let (demand, _) = tracker.demand(&key("nope"), at(10));
        tracker.found(&key("nope"), Finding::NoSuchService, Trust::Unverifiable, at(10));
        tracker.tell();
        assert_eq!(demand.now(), Some(Answer::Unknown));
    }

    #[test]
    fn what_is_pushed_counts_at_once_and_is_verified_later() {
        let mut tracker = knowing();
        assert!(tracker.pushed(&event("CREATE", "orders", "c", "UP")));
        assert!(tracker.pushed(&event("UPDATE", "orders", "a", "DOWN")));
        assert!(tracker.pushed(&event("DELETE", "orders", "b", "UP")));
        assert_eq!(ids(&tracker, "orders"), ["a", "c"]);
        assert!(!tracker.pushed(&event("CREATE", "orders", "c", "UP")), "known");
        assert!(!tracker.pushed(&event("CREATE", "strange", "c", "UP")), "nobody asked");
        assert!(tracker.question(&key("orders")).revision.is_empty());
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let mut tracker = knowing();
        let before = tracker.snapshot();
        assert!(!tracker.found(&key("orders"), found("r2", &["b", "a"]), Trust::Full, at(1)));
        assert!(!tracker.found(&key("orders"), Finding::NotModified, Trust::Full, at(1)));
        assert!(std::sync::Arc::ptr_eq(&before, &tracker.snapshot()));
    }

    #[test]
    fn the_one_asked_for_least_recently_makes_room() {
        let mut tracker = knowing();
        for i in 1..MOST_TRACKED {
            tracker.demand(&key(&format!("s{i}")), at(1));
        }
        tracker.demand(&key("s1"), at(2));
        tracker.demand(&key("one-more"), at(3));
        assert_eq!(tracker.tracked.len(), MOST_TRACKED);
        assert!(ids(&tracker, "orders").is_empty());
        assert!(tracker.demand(&key("orders"), at(4)).1, "it has to be asked for anew");
    }
}
