//! Questions to a center, counted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{Answer, Error};

/// What came of questions.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    questions: Family<Label, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    result: &'static str,
}

impl Metrics {
    /// Lets `registry` write them out.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Questions to the configuration center, by what came of them";
        registry.register("config_center_questions", help, self.questions.clone());
    }

    pub(super) fn count(&self, outcome: &Result<Answer, Error>) {
        let result = match outcome {
            Ok(Answer::Unchanged) => "unchanged",
            Ok(Answer::Holds { .. }) => "answered",
            Err(Error::Unreachable { .. }) => "unreachable",
            Err(Error::Refused { .. }) => "refused",
            Err(Error::Unreadable { .. } | Error::Address { .. }) => "unreadable",
        };
        self.questions.get_or_create(&Label { result }).inc();
    }
}
