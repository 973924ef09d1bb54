//! What there is to say about single pods: a line in the log and an Event beside each, at a bounded
//! rate.

use std::collections::VecDeque;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::key::Key;
use crate::kubernetes::call;

/// So many may wait; what does not fit is found again by the next reading of all pods.
const MOST: usize = 512;
/// So many are said in a second.
const RATE: usize = 5;
/// The API server takes 1,024 bytes.
const LONGEST_NOTE: usize = 1_000;
/// How the injector calls itself in Events.
const CONTROLLER: &str = "sidecar-injector.mesher.io";

/// A pod that somebody is told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) key: Key,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// That a pod has no sidecar, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tiding {
    pub(super) subject: Subject,
    /// The reason code.
    pub(super) word: &'static str,
    /// The reason, and what to do.
    pub(super) note: String,
    /// What becomes of the pod, in a word.
    pub(super) next: &'static str,
}

/// Tidings that wait to be told.
pub(super) struct Tidings {
    recorder: Recorder,
    waiting: VecDeque<Tiding>,
    /// Why the last Event could not be written: said when it changes.
    error: Option<String>,
}

impl Tidings {
    pub(super) fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: CONTROLLER.into(), instance: Some(instance.to_owned()) };
        let recorder = Recorder::new(client, reporter);
        Self { recorder, waiting: VecDeque::new(), error: None }
    }

    /// Takes in what is to be said; whether there was room.
    pub(super) fn push(&mut self, tiding: Tiding) -> bool {
        let room = self.waiting.len() < MOST;
        if room {
            self.waiting.push_back(tiding);
        }
        room
    }

    /// Says as many as a second may hear. What nobody takes waits for the next.
    pub(super) async fn tell(&mut self) {
        for _ in 0..RATE {
            let Some(tiding) = self.waiting.pop_front() else {
                return;
            };
            let Tiding { subject, word: reason, note, next } = &tiding;
            let event = Event {
                type_: EventType::Warning,
                reason: "NoSidecar".into(),
                note: Some(shortened(format!("{reason}: {note}"))),
                action: (*reason).into(),
                secondary: None,
            };
            if self.write(subject, &event).await == Written::NoAnswer {
                self.waiting.push_front(tiding);
                return;
            }
            let Subject { namespace, name, .. } = subject;
            tracing::warn!(reason, namespace, pod = name, next, "pod without sidecar: {note}");
        }
    }

    /// Says that a pod was evicted.
    pub(super) async fn evicted(&mut self, subject: &Subject, owner: &str) {
        let note = format!(
            "evicted so that {owner} makes it anew, with the sidecar it asked for: no injector \
             answered when it was created"
        );
        let event = Event {
            type_: EventType::Normal,
            reason: "EvictedForSidecar".into(),
            note: Some(shortened(note)),
            action: "evict".into(),
            secondary: None,
        };
        self.write(subject, &event).await;
    }

    async fn write(&mut self, subject: &Subject, event: &Event) -> Written {
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(subject.name.clone()),
            namespace: Some(subject.namespace.clone()),
            uid: Some(subject.uid.clone()),
            ..ObjectReference::default()
        };
        let written = call("writing an Event", self.recorder.publish(event, &about)).await;
        let Err(error) = written else {
            self.error = None;
            return Written::Yes;
        };
        let refused = error.status().is_some();
        let error = Some(error.to_string());
        if self.error != error {
            tracing::warn!(error, "Events about pods without sidecar");
            self.error = error;
        }
        if refused { Written::Refused } else { Written::NoAnswer }
    }
}

/// What became of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    /// The API server takes none, as where a right is missing: then the log has to do.
    Refused,
    /// The API server does not answer.
    NoAnswer,
}

/// At most what the API server takes.
fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shortened("short".into()), "short");
        let long = shortened("ä".repeat(600));
        assert!(long.len() <= 1_024 && long.ends_with("ä…"), "{}", long.len());
    }
}
