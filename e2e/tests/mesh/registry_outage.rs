//! The registry ends, comes back, comes back empty; who knows each other goes on.

use std::fs;

use anyhow::Result;
use e2e::mesh::{Load, Mesh};
use tokio::task::block_in_place;

const CLIENTS: u64 = 4;
/// Requests in each state of the registry.
const EACH: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_killed_restarted_and_restarted_empty_fails_no_request() -> Result<()> {
    let mesh = Mesh::with_data()?;
    let mut instances = Vec::new();
    for name in ["one", "two"] {
        let application = mesh.mockserver(name, &[])?;
        let setup = mesh.sidecar(name).serving("orders", application.port);
        let setup = setup.key("servicecomb.registry.heartbeat.interval", "10s");
        instances.push((application, setup.start()?));
    }
    // It asks often, so that whatever the registry says is heard.
    let caller = mesh
        .sidecar("caller")
        .key("servicecomb.registry.refreshInterval", "500ms")
        .key("servicecomb.registry.watch", "true")
        .start()?;
    let before = mesh.registry.wait_for("orders", &["UP"; 2]).await?;
    let load = Load::start(caller.consumer, "http://orders/hello", CLIENTS);
    load.more(EACH).await?;

    // Gone.
    block_in_place(|| mesh.registry.kill())?;
    load.more(EACH).await?;
    // Back, with what it had.
    block_in_place(|| mesh.registry.start_again(mesh.guard()))?;
    assert_eq!(mesh.registry.instances("orders").await?, before, "it kept them");
    load.more(EACH).await?;
    // Back, with nothing.
    block_in_place(|| mesh.registry.stop())?;
    load.more(EACH).await?;
    fs::remove_file(mesh.guard().folder().join("registry-data"))?;
    block_in_place(|| mesh.registry.start_again(mesh.guard()))?;
    assert_eq!(mesh.registry.instances("orders").await?, [], "it forgot them");
    load.more(EACH).await?;
    assert_eq!(mesh.registry.wait_for("orders", &["UP"; 2]).await?, before, "the same ones");
    load.more(EACH).await?;

    let tally = load.finish().await;
    assert_eq!(tally.failures, Vec::<String>::new(), "of {} requests", tally.answered);
    Ok(())
}
