//! What the test harness printed, as numbers.

use std::fmt;

/// What became of some tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How many passed.
    pub(super) passed: usize,
    /// The names of those that failed.
    pub(super) failures: Vec<String>,
    /// The names of those that did not run, and why.
    pub(super) skipped: Vec<(String, String)>,
}

impl Outcome {
    /// Reads what a suite printed.
    ///
    /// `skips` are the notes of tests that found out while they ran that this
    /// machine lacks something (`TEST\tREASON` a line): the harness counted them as
    /// passed. `ended_well` is what the process said in the end: a suite that was
    /// killed prints no result, and that is a failure.
    pub(super) fn read(suite: &str, output: &str, skips: &str, ended_well: bool) -> Self {
        let mut outcome = Self::default();
        let mut harness_failed = 0;
        let mut results = 0;
        for line in output.lines() {
            if let Some(result) = line.strip_prefix("test result: ") {
                results += 1;
                outcome.passed += count(result, "passed");
                harness_failed += count(result, "failed");
            } else if let Some(line) = line.strip_prefix("test ") {
                if let Some(test) = line.strip_suffix(" ... FAILED") {
                    outcome.failures.push(format!("{suite}::{test}"));
                } else if let Some((test, reason)) = line.split_once(" ... ignored") {
                    let reason = reason.trim_start_matches([',', ' ']);
                    let reason = if reason.is_empty() { "marked as ignored" } else { reason };
                    outcome.skipped.push((format!("{suite}::{test}"), reason.to_owned()));
                }
            }
        }
        for note in skips.lines() {
            let (test, reason) = note.split_once('\t').unwrap_or((note, "no reason given"));
            outcome.skipped.push((format!("{suite}::{test}"), reason.to_owned()));
            outcome.passed = outcome.passed.saturating_sub(1);
        }
        // A test that prints in between breaks its own line in two.
        while outcome.failures.len() < harness_failed {
            outcome.failures.push(format!("{suite}: a test whose name is in its log"));
        }
        if outcome.failures.is_empty() && (!ended_well || results == 0) {
            outcome.failures.push(format!("{suite}: the process did not print a result"));
        }
        outcome
    }

    /// Whether no test ran or was skipped.
    pub(super) fn is_empty(&self) -> bool {
        self.passed == 0 && self.failures.is_empty() && self.skipped.is_empty()
    }

    /// How many tests were skipped for each reason, the most frequent first.
    pub(super) fn skipped_by_reason(&self) -> Vec<(&str, usize)> {
        let mut reasons: Vec<(&str, usize)> = Vec::new();
        for (_, reason) in &self.skipped {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// Adds another suite's.
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.skipped.extend(other.skipped);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, skipped) = (self.failures.len(), self.skipped.len());
        write!(formatter, "{} passed, {failed} failed, {skipped} skipped", self.passed)
    }
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(result: &str, word: &str) -> usize {
    let mut words = result.split([' ', ';', '.']).filter(|word| !word.is_empty());
    let mut before = "";
    words
        .find_map(|current| {
            let found = (current == word).then(|| before.parse().ok()).flatten();
            before = current;
            found
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 4 tests
test first ... ok
test second ... FAILED
test third ... ignored, needs a GPU
test fourth ... ok

failures:
    second

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s
";

    #[test]
    fn counts_and_names() {
        let outcome = Outcome::read("certs", OUTPUT, "", false);
        assert_eq!(outcome.passed, 2);
        assert_eq!(outcome.failures, ["certs::second"]);
        assert_eq!(outcome.skipped, [("certs::third".into(), "needs a GPU".into())]);
        assert_eq!(outcome.to_string(), "2 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_noted_skip_is_not_a_pass() {
        let output = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let outcome = Outcome::read("e2e", output, "drops\tneeds root\n", true);
        assert_eq!(outcome.to_string(), "2 passed, 0 failed, 1 skipped");
        assert_eq!(outcome.skipped, [("e2e::drops".into(), "needs root".into())]);
    }

    #[test]
    fn skips_are_counted_by_their_reason() {
        let output = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let skips = "one\tno curl\ntwo\tneeds root\nthree\tneeds root\n";
        let outcome = Outcome::read("e2e", output, skips, true);
        assert_eq!(outcome.skipped_by_reason(), [("needs root", 2), ("no curl", 1)]);
    }

    #[test]
    fn a_suite_that_dies_has_failed() {
        let killed = Outcome::read("e2e", "running 4 tests\ntest first ... ok\n", "", false);
        assert_eq!(killed.to_string(), "0 passed, 1 failed, 0 skipped");
        let silent = Outcome::read("e2e", "", "", true);
        assert_eq!(silent.to_string(), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_failure_whose_line_was_broken_still_counts() {
        let output = "test first ... some words\nFAILED\n\
            test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            Outcome::read("e2e", output, "", false).to_string(),
            "0 passed, 1 failed, 0 skipped"
        );
    }

    #[test]
    fn documentation_has_a_result_for_each_crate() {
        let output = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(Outcome::read("documentation", output, "", true).passed, 7);
    }
}
