//! What must not be overlooked: nothing new is learned, the configuration changes, the proxy goes.

use std::fs;

use anyhow::Result;
use e2e::mesh::{Mesh, eventually};
use nix::sys::signal::Signal;
use tokio::task::block_in_place;

use crate::View;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_gone_is_seen_and_that_it_is_back() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let _orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    let setup = mesh.sidecar("caller").key("servicecomb.registry.refreshInterval", "500ms");
    let caller = setup.start()?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    view.browser.shows("#pills", "sc connected").await?;
    assert_eq!(view.browser.text("#banners").await?, "");

    block_in_place(|| mesh.registry.kill())?;
    view.browser.shows("#banners", "Discovery is stale").await?;
    view.browser.shows("#pills", "sc stale").await?;
    // What was known is still used, and shown.
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    view.row("default/orders", "Instances", "1 of 1").await?;
    view.picture("stale").await?;
    block_in_place(|| mesh.registry.start_again(mesh.guard()))?;
    view.browser.shows("#pills", "sc connected").await?;
    view.browser.until("#banners", "nothing", |text| !text.contains("stale")).await?;
    view.is_clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_seen_with_its_origins_and_as_it_changes() -> Result<()> {
    let mesh = Mesh::start()?;
    let limits = |time: &str| format!("mesher:\n  limits:\n    connectTimeout: {time}\n");
    let caller = mesh
        .sidecar("caller")
        .file("mesher.yaml", &limits("2s"))
        .file("auth.yaml", "servicecomb: {credentials: {account: {name: me, password: hushhush}}}")
        .variable("VERSION", "4.5")
        .start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let browser = &view.browser;
    browser.click("#tab-config").await?;
    browser.shows("#values", "environment VERSION").await?;
    browser.click("#find").await?;
    browser.press("connecttimeout").await?;
    let shown = browser.until("#values", "one value", |text| text.lines().count() <= 3).await?;
    assert!(shown.contains("2s") && shown.contains("mesher.yaml:3"), "{shown}");

    let file = mesh.guard().folder().join("conf-caller/mesher.yaml");
    fs::write(&file, limits("3s"))?;
    browser.shows("#values", "3s").await?;
    browser.shows("#values .changed", "changed").await?;
    fs::write(&file, limits("soon"))?;
    browser.shows("#banners", "The configuration on the disk is refused").await?;
    browser.shows("#problems", "\"soon\"").await?;
    browser.shows("#values", "3s").await?;
    view.picture("refused").await?;
    fs::write(&file, limits("3s"))?;
    browser.until("#banners", "nothing", str::is_empty).await?;

    // What nobody set, and what nobody is to see.
    browser.script("document.getElementById('find').value = ''", &[]).await?;
    browser.click("#find").await?;
    browser.press("password").await?;
    browser.shows("#values", "***").await?;
    let page = browser.script("return document.documentElement.outerHTML", &[]).await?;
    assert!(!page.to_string().contains("hushhush"));
    view.is_clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_center_is_seen_and_what_was_refused_of_it() -> Result<()> {
    let mesh = Mesh::start()?;
    let [port] = testbed::free_ports()?;
    let kie = testbed::Kie::imitated(port)?;
    let labels = [("app", "default"), ("environment", ""), ("service", "front")];
    let limit = "cse.flowcontrol.Consumer.qps.limit.orders";
    kie.set(&labels, limit, "100")?;
    let caller = mesh
        .sidecar("caller")
        .variable("SERVICE_NAME", "front")
        .key("servicecomb.config.client.serverUri", &format!("http://127.0.0.1:{port}"))
        .start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let browser = &view.browser;
    browser.click("#tab-proxy").await?;
    for words in [
        &*format!("servicecomb-kie at http://127.0.0.1:{port}"),
        "app=default,environment=,service=front",
        "connected",
    ] {
        browser.shows("#proxy", words).await?;
    }
    kie.set(&labels, limit, "<i>many</i>")?;
    browser.shows("#banners", "What the configuration center says is refused").await?;
    browser.shows("#proxy", "and still so").await?;
    browser.shows("#proxy .bad", "<i>many</i>").await?;
    kie.set_down(true);
    browser.shows("#banners", "The configuration center does not answer").await?;
    browser.shows("#pills", "configuration center stale").await?;
    view.picture("center").await?;
    kie.set_down(false);
    kie.set(&labels, limit, "200")?;
    browser.until("#banners", "nothing", str::is_empty).await?;
    browser.shows("#proxy", "put right since").await?;
    view.is_clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_drains_and_ends_is_seen_and_that_another_one_counts_from_zero() -> Result<()>
{
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let caller = mesh.sidecar("caller").start()?;
    mesh.registry.register("orders", e2e::mesh::loopback(application.port)).await?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let browser = &view.browser;
    view.row("default/orders", "Instances", "1 of 1").await?;
    view.is_clean().await?;
    let drained = block_in_place(|| caller.drain())?;
    assert!(drained.status.success(), "{drained:?}");
    browser.shows("#banners", "mesher is draining").await?;
    caller.server.signal(Signal::SIGTERM)?;
    browser.shows("#banners", "mesher does not answer").await?;
    browser.shows("#banners", "It was draining, and has ended.").await?;
    browser.shows(".live", "No answer").await?;
    // What was last known can still be read.
    view.row("default/orders", "Instances", "1 of 1").await?;
    view.picture("gone").await?;

    eventually("ended", async || {
        Ok(if caller.server.is_running() { Err("running".to_owned()) } else { Ok(()) })
    })
    .await?;
    let admin = caller.admin.to_string();
    let again = mesh
        .sidecar("again")
        .key("servicecomb.protocols.rest-admin.listenAddress", &admin)
        .start()?;
    browser.shows("#banners", "mesher was restarted").await?;
    browser.shows("#none", "No service yet").await?;
    assert!(again.server.is_running());
    Ok(())
}
