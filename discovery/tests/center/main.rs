//! The client of configuration centers against what answers as kie does, and against a real kie
//! where `KIE_ADDR` names one.

mod config_center;
mod signing_in;

use std::time::Duration;

use anyhow::{Result, bail};
use discovery::center::{Following, Held, Identity, Kie, Metrics, follow};
use tokio::time::timeout;

/// Longer than anything takes that happens.
const LONG: Duration = Duration::from_secs(30);

/// Who asks, with an application of its own.
fn identity(app: &str) -> Identity {
    Identity {
        app: format!("{app}-{}", std::process::id()),
        service: "front".to_owned(),
        version: "1.0.0".to_owned(),
        environment: String::new(),
    }
}

fn followed(kie: &testbed::Kie, identity: &Identity, waiting: bool) -> Result<Following> {
    let interval = if waiting { Duration::from_mins(1) } else { Duration::from_millis(300) };
    let client = Kie::new(&[kie.address().to_owned()], None, "default", identity, None)?;
    Ok(follow(client, waiting, interval, &Metrics::default()))
}

/// Keys and values as they count: of two alike the later.
fn pairs(held: &Held) -> Vec<String> {
    let items = held.layers.iter().flat_map(|layer| layer.items.iter());
    items.map(|item| format!("{}={}", item.key, item.value)).collect()
}

async fn holds(following: &Following, expected: &[&str]) -> Result<Held> {
    let mut held = following.held();
    let right = held.wait_for(|held| pairs(held) == expected);
    let found = timeout(LONG, right).await;
    match found {
        Ok(found) => Ok(found?.clone()),
        Err(_) => bail!("{expected:?} expected, and there is {:?}", following.held().borrow()),
    }
}

async fn changes_arrive(waiting: bool, app: &str) -> Result<()> {
    let kie = testbed::Kie::start()?;
    let who = identity(app);
    let of_app = [("app", who.app.as_str()), ("environment", "")];
    let of_service = [of_app[0], of_app[1], ("service", "front")];
    let of_version = [of_app[0], of_app[1], ("service", "front"), ("version", "1.0.0")];
    let of_another = [of_app[0], of_app[1], ("service", "other")];
    kie.set(&of_app, "one", "1")?;
    kie.set(&of_another, "no", "1")?;
    let following = followed(&kie, &who, waiting)?;
    let first = following.first(LONG).await;
    assert!(first.stale().is_none() && first.last_success().is_some());
    holds(&following, &["one=1"]).await?;

    kie.set(&of_version, "one", "3")?;
    holds(&following, &["one=1", "one=3"]).await?;
    kie.set(&of_service, "one", "2")?;
    holds(&following, &["one=1", "one=2", "one=3"]).await?;
    kie.set(&of_app, "one", "changed: to & fro")?;
    holds(&following, &["one=changed: to & fro", "one=2", "one=3"]).await?;
    // What changes elsewhere is another revision, and nothing else.
    let before = following.held().borrow().generation;
    kie.set(&of_another, "no", "2")?;
    kie.remove(&of_version, "one")?;
    let held = holds(&following, &["one=changed: to & fro", "one=2"]).await?;
    assert_eq!(held.generation, before + 1);
    for (labels, key) in [(&of_app[..], "one"), (&of_service, "one"), (&of_another, "no")] {
        kie.remove(labels, key)?;
    }
    holds(&following, &[]).await?;
    Ok(())
}

#[tokio::test]
async fn what_changes_is_heard_of_while_waiting() -> Result<()> {
    changes_arrive(true, "waiting").await
}

#[tokio::test]
async fn what_changes_is_found_by_asking() -> Result<()> {
    changes_arrive(false, "asking").await
}

#[tokio::test]
async fn what_is_not_enabled_is_not_there_and_documents_are_marked() -> Result<()> {
    let kie = testbed::Kie::start()?;
    let who = identity("kinds");
    let labels = [("app", who.app.as_str()), ("environment", "")];
    kie.set_as("yaml", &labels, "document", "a: {b: 1}")?;
    kie.set(&labels, "text", "plain")?;
    kie.create_disabled(&labels, "off")?;
    let following = followed(&kie, &who, true)?;
    let mut held = following.held();
    let all = held.wait_for(|held| held.layers[0].items.len() > 1);
    let items = timeout(LONG, all).await??.layers[0].items.clone();
    let items: Vec<_> = items.iter().map(|item| (item.key.as_str(), item.yaml)).collect();
    assert_eq!(items.len(), 2, "{items:?}");
    assert!(items.contains(&("document", true)) && items.contains(&("text", false)), "{items:?}");
    for key in ["document", "text", "off"] {
        kie.remove(&labels, key)?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_last_said_stays_while_nobody_answers() -> Result<()> {
    let kie = testbed::Kie::imitated(0)?;
    let who = identity("outage");
    let labels = [("app", who.app.as_str()), ("environment", "")];
    kie.set(&labels, "one", "1")?;
    let following = followed(&kie, &who, true)?;
    holds(&following, &["one=1"]).await?;
    kie.set_down(true);
    let mut held = following.held();
    let stale = timeout(LONG, held.wait_for(|held| held.stale().is_some())).await??.clone();
    assert_eq!(pairs(&stale), ["one=1"]);
    let why = stale.stale().map(|(_, why)| why.clone()).unwrap_or_default();
    assert!(why.contains(kie.address()) && why.contains("config.client.serverUri"), "{why}");
    kie.set_down(false);
    kie.set(&labels, "one", "2")?;
    holds(&following, &["one=2"]).await?;
    timeout(LONG, held.wait_for(|held| held.stale().is_none())).await??;
    Ok(())
}

#[tokio::test]
async fn a_server_that_comes_later_is_found_and_a_waiting_client_asks_seldom() -> Result<()> {
    let [port] = testbed::free_ports()?;
    let who = identity("late");
    let client = Kie::new(&[format!("127.0.0.1:{port}")], None, "default", &who, None)?;
    let following = follow(client, true, Duration::from_mins(1), &Metrics::default());
    let first = following.first(LONG).await;
    assert!(first.stale().is_some() && first.last_success().is_none(), "{first:?}");
    let kie = testbed::Kie::imitated(port)?;
    kie.set(&[("app", &who.app), ("environment", ""), ("service", "front")], "one", "1")?;
    let held = holds(&following, &["one=1"]).await?;
    // A question, a second look and one that waits for each of the three, and what changed
    // meanwhile: not one question after the other.
    let mut answered = following.held();
    timeout(LONG, answered.wait_for(|held| held.last_success().is_some())).await??;
    assert!(kie.questions() <= 20, "{} questions, {held:?}", kie.questions());
    Ok(())
}

#[tokio::test]
async fn what_is_no_kie_is_named() -> Result<()> {
    let kie = testbed::Kie::imitated(0)?;
    let address = [kie.address().to_owned()];
    let client = Kie::new(&address, None, "elsewhere", &identity("none"), None)?;
    let following = follow(client, true, Duration::from_mins(1), &Metrics::default());
    let held = following.first(LONG).await;
    let why = held.stale().map(|(_, why)| why.clone()).unwrap_or_default();
    assert!(why.contains("404") && why.contains("config.client.type"), "{why}");

    for (address, words) in [
        ("https://kie:30110", "configcenter.Consumer"),
        ("http://kie/path", "after the port"),
        ("", "not a URL"),
    ] {
        let made = Kie::new(&[address.to_owned()], None, "default", &identity("none"), None);
        let error = made.map(drop).expect_err(address).to_string();
        assert!(error.contains(words) && error.contains("config.client.serverUri"), "{error}");
    }
    Ok(())
}
