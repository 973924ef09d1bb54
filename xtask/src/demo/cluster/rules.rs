//! Rules of Istio say which version of a service is called.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Deserializer, Value};
use testbed::Cluster;

use super::{NAMESPACE, rolled_out, run, wait_for};
use crate::demo::screen::Screen;

/// Three versions of a service, and who is told which.
const EXAMPLES: &str = "examples/istio/";
const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];
/// Anybody's requests, and those of one reader whom a rule names.
const ALL: &str = "exec deploy/client -n chassis -- mockserver get -n 200 -c 32 http://reviews/";
const JASON: &str = "exec deploy/client -n chassis -- mockserver get -n 20 -c 20 -H end-user:jason \
                     http://reviews/";

/// Applies them, and counts who answers.
pub(super) fn show(screen: &Screen, cluster: &Cluster) -> Result<()> {
    screen.kubectl(cluster, &format!("create -f {EXAMPLES} -n {NAMESPACE}"))?;
    for version in VERSIONS {
        rolled_out(screen, cluster, &format!("reviews-{version}"), NAMESPACE)?;
    }
    let are_in_force = || shares(cluster, JASON).is_ok_and(|shares| shares.keys().eq(["v2"]));
    wait_for("the rules are in force", are_in_force)?;
    screen.typed(&format!("kubectl {JASON}"));
    tell(screen, &shares(cluster, JASON)?);
    screen.typed(&format!("kubectl {ALL}"));
    let shares = shares(cluster, ALL)?;
    tell(screen, &shares);
    ensure!(shares.keys().eq(VERSIONS), "not all versions answered: {shares:?}");
    Ok(())
}

fn tell(screen: &Screen, shares: &BTreeMap<String, u32>) {
    for (version, count) in shares {
        screen.fact(&format!("reviews {version}"), &format!("answered {count}"));
    }
}

/// How many requests each version answers.
fn shares(cluster: &Cluster, requests: &str) -> Result<BTreeMap<String, u32>> {
    count(&run(cluster, requests)?)
}

/// Answers of `mockserver`, by the version in the name of who gave them: `reviews-v1-…`.
fn count(answers: &str) -> Result<BTreeMap<String, u32>> {
    let mut shares = BTreeMap::new();
    for answer in Deserializer::from_str(answers).into_iter::<Value>() {
        let answer = answer.context("this is no answer of mockserver")?;
        let instance = answer["Instance"].as_str().context("nobody says who answered")?;
        let version = instance.split('-').nth(1).context("no version answered")?;
        *shares.entry(version.to_owned()).or_default() += 1;
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_version() -> Result<()> {
        let answers =
            "{\"Instance\": \"reviews-v1-a-b:8080\"}\n{\"Instance\": \"reviews-v3-c-d:8080\"}
            {\"Instance\": \"reviews-v3-c-d:8080\"}";
        let expected = [("v1".to_owned(), 1), ("v3".to_owned(), 2)];
        assert_eq!(count(answers)?, expected.into());
        assert!(count("{}").is_err());
        Ok(())
    }
}
