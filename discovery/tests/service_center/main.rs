//! The client of service-center against a running registry.

mod accounts;
mod realms;
mod registry;
mod secured;

use std::time::Duration;

use anyhow::Result;
use discovery::{Answer, Source, State};
use mesh::Status;

use registry::{LONG, Registry, addresses, key, registered, sees, start, state};

#[tokio::test]
async fn an_instance_is_found_with_what_it_says_of_itself() -> Result<()> {
    let registry = Registry::start()?;
    let _provider = registry.provider("orders", 8080).await?;
    let client = start(registry.options("frontend", None))?;

    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    let snapshot = client.snapshots().borrow().clone();
    assert_eq!(addresses(&snapshot, "orders"), ["8080 Up"], "it is there with the answer");
    let instance = &snapshot.get(&key("orders")).expect("known").instances()[0];
    assert_eq!(instance.version, "1.0.0".parse().expect("a version"));
    let tag = |name: &str| instance.tags.get(name).map(AsRef::as_ref);
    assert_eq!((tag("zone"), tag("app"), tag("version")), (Some("a"), Some("shop"), Some("1.0.0")));
    Ok(())
}

#[tokio::test]
async fn changes_are_heard_of_without_asking() -> Result<()> {
    let registry = Registry::start()?;
    let first = registry.provider("orders", 8080).await?;
    let client = start(registry.options("frontend", None))?;
    registered(&client, None).await?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    sees(&client, "orders", &["8080 Up"]).await?;

    let second = registry.provider("orders", 8081).await?;
    sees(&client, "orders", &["8080 Up", "8081 Up"]).await?;
    first.set_status(Status::Down);
    sees(&client, "orders", &["8080 Down", "8081 Up"]).await?;
    first.shutdown().await;
    sees(&client, "orders", &["8081 Up"]).await?;
    // The last one too: the registry still knows us, so it is believed.
    second.shutdown().await;
    sees(&client, "orders", &[]).await
}

#[tokio::test]
async fn without_a_watch_changes_are_found_by_asking() -> Result<()> {
    let registry = Registry::start()?;
    let _provider = registry.provider("orders", 8080).await?;
    let mut options = registry.options("frontend", None);
    options.watch = false;
    options.refresh_interval = Duration::from_millis(200);
    let client = start(options)?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    let second = registry.provider("orders", 8081).await?;
    sees(&client, "orders", &["8080 Up", "8081 Up"]).await?;
    second.shutdown().await;
    sees(&client, "orders", &["8080 Up"]).await
}

#[tokio::test]
async fn an_instance_comes_up_when_it_says_so_and_leaves_with_its_proxy() -> Result<()> {
    let registry = Registry::start()?;
    let provider = start(registry.options("orders", Some(8080)))?;
    provider.set_status(Status::Starting);
    registered(&provider, Some(Status::Starting)).await?;
    let client = start(registry.options("frontend", None))?;
    client.demand(&key("orders")).within(LONG).await;
    sees(&client, "orders", &["8080 Starting"]).await?;
    provider.set_status(Status::Up);
    sees(&client, "orders", &["8080 Up"]).await?;
    provider.shutdown().await;
    sees(&client, "orders", &[]).await
}

#[tokio::test]
async fn a_service_that_is_not_there_is_said_to_be_unknown_until_it_is() -> Result<()> {
    let registry = Registry::start()?;
    let client = start(registry.options("frontend", None))?;
    registered(&client, None).await?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Unknown);
    let _provider = registry.provider("orders", 8080).await?;
    // "Unknown" is believed for five seconds.
    let mut answer = Answer::Unknown;
    for _ in 0..600 {
        answer = client.demand(&key("orders")).within(LONG).await;
        if answer == Answer::Known {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(answer, Answer::Known);
    Ok(())
}

#[tokio::test]
async fn a_registry_that_is_not_there_yet_is_waited_for() -> Result<()> {
    let mut registry = Registry::absent()?;
    let provider = start(registry.options("orders", Some(8080)))?;
    let client = start(registry.options("frontend", None))?;
    let answer = client.demand(&key("orders")).within(LONG).await;
    assert_eq!(answer, Answer::Unavailable);
    state(&client, |state| matches!(state, State::Stale { .. })).await?;

    registry.restart()?;
    registered(&provider, Some(Status::Up)).await?;
    registered(&client, None).await?;
    for _ in 0..600 {
        if client.demand(&key("orders")).within(LONG).await == Answer::Known {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sees(&client, "orders", &["8080 Up"]).await?;
    state(&client, |state| *state == State::Connected).await
}

#[tokio::test]
async fn a_dead_registry_takes_nothing_away() -> Result<()> {
    let mut registry = Registry::start()?;
    let _provider = registry.provider("orders", 8080).await?;
    let mut options = registry.options("frontend", None);
    options.refresh_interval = Duration::from_millis(200);
    let client = start(options)?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    registry.kill();
    state(&client, |state| matches!(state, State::Stale { .. })).await?;
    sees(&client, "orders", &["8080 Up"]).await?;
    assert_eq!(client.demand(&key("orders")).now(), Some(Answer::Known));
    Ok(())
}

/// The registry comes back with nothing in it. Until the provider has registered again, what it
/// does not know is not believed; both register again by themselves, with the ids they had.
#[tokio::test]
async fn a_registry_that_forgot_everything_takes_nothing_away() -> Result<()> {
    let mut registry = Registry::start()?;
    let mut options = registry.options("orders", Some(8080));
    options.heartbeat_interval = Duration::from_secs(1);
    let provider = start(options)?;
    registered(&provider, Some(Status::Up)).await?;
    let mut options = registry.options("frontend", Some(9090));
    options.refresh_interval = Duration::from_millis(100);
    let client = start(options)?;
    registered(&client, Some(Status::Up)).await?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    sees(&client, "orders", &["8080 Up"]).await?;

    let mut seen = client.snapshots();
    seen.mark_unchanged();
    registry.restart()?;
    // Somebody who asks the new registry finds both again.
    let witness = start(registry.options("witness", None))?;
    for name in ["orders", "frontend"] {
        for _ in 0..600 {
            if witness.demand(&key(name)).within(LONG).await == Answer::Known {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    sees(&witness, "orders", &["8080 Up"]).await?;
    sees(&witness, "frontend", &["9090 Up"]).await?;
    assert!(!seen.has_changed()?, "the client never saw the mesh without it");
    sees(&client, "orders", &["8080 Up"]).await
}

#[tokio::test]
async fn the_next_address_is_asked_where_one_is_dead() -> Result<()> {
    let (dead, registry) = (Registry::absent()?, Registry::start()?);
    let _provider = registry.provider("orders", 8080).await?;
    let mut options = registry.options("frontend", None);
    options.addresses.insert(0, dead.address());
    let client = start(options)?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    sees(&client, "orders", &["8080 Up"]).await
}

#[tokio::test]
async fn many_questions_at_once_are_all_answered() -> Result<()> {
    let registry = Registry::start()?;
    let _provider = registry.provider("orders", 8080).await?;
    let client = start(registry.options("frontend", None))?;
    registered(&client, None).await?;
    let demands: Vec<_> = (0..500).map(|i| client.demand(&key(&format!("s{i}")))).collect();
    let known = client.demand(&key("orders"));
    for demand in demands {
        assert_eq!(demand.within(LONG).await, Answer::Unknown);
    }
    assert_eq!(known.within(LONG).await, Answer::Known);
    Ok(())
}
