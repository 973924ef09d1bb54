//! Services, their rates, and what goes wrong with them.

use anyhow::Result;
use e2e::mesh::{Load, Mesh, Served, Upstream};
use nix::sys::signal::Signal;

use crate::View;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_appear_with_their_rates_and_instances() -> Result<()> {
    let mesh = Mesh::start()?;
    let orders = mesh.serve("orders", &[("one", "0.0.1"), ("two", "0.0.1")]).await?;
    let caller = mesh.sidecar("caller").variable("SERVICE_NAME", "front").start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let browser = &view.browser;
    browser.shows("#none", "No service yet").await?;
    assert_eq!(browser.text("#name").await?, "front");
    browser.shows("#pills", "serving").await?;
    browser.shows("#pills", "registered").await?;

    let load = Load::start(caller.consumer, "http://orders/hello", 2);
    view.row("default/orders", "Instances", "2 of 2").await?;
    let positive = |text: &str| text.parse::<f64>().is_ok_and(|rate| rate > 0.0);
    view.row_is("default/orders", "Requests/s", "a rate", positive).await?;
    view.row_is("default/orders", "p99", "a latency", |text| text.ends_with('s')).await?;
    view.row("default/orders", "Failures", "0 %").await?;
    let called = |text: &str| text.contains("Calls\n") && !text.contains("Calls\n0/s");
    browser.until("#tiles", "a rate of calls", called).await?;
    browser.shows("#pills", "sc connected").await?;

    view.toggle("default/orders").await?;
    for Served { proxy, .. } in &orders {
        browser.shows(".detail", &proxy.provider()?.to_string()).await?;
    }
    browser.shows(".detail", "rest → 2 of 2").await?;
    view.picture("light").await?;
    browser.look(1280, 900, "dark").await?;
    view.picture("dark").await?;
    browser.look(390, 844, "light").await?;
    view.picture("narrow").await?;
    let script = "return document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.script(script, &[]).await?, true, "nothing is wider than the window");

    // With the keyboard alone.
    browser.look(1280, 900, "light").await?;
    browser.press("/").await?;
    browser.press("nobody").await?;
    browser.shows("#none", "No service is like that").await?;
    // Escape leaves the field, p pauses.
    browser.press("\u{e00c}p").await?;
    browser.shows(".live", "Paused").await?;
    let counted = browser.requested().await?.len();
    assert!(counted > 0);
    browser.press("p").await?;
    browser.shows(".live", "Live").await?;
    view.is_clean().await?;
    assert_eq!(load.finish().await.failures, [""; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_dies_is_seen_to_be_evicted_and_then_gone() -> Result<()> {
    let mesh = Mesh::start()?;
    let applications = [mesh.mockserver("one", &[])?, mesh.mockserver("two", &[])?];
    let setup = |at: usize| {
        let setup = mesh.sidecar(["one", "two"][at]).serving("orders", applications[at].port);
        setup.key("servicecomb.registry.heartbeat.interval", "1s")
    };
    let (one, _two) = (setup(0).start()?, setup(1).start()?);
    mesh.registry.wait_for("orders", &["UP"; 2]).await?;
    let caller = mesh.sidecar("caller").start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let load = Load::start(caller.consumer, "http://orders/hello", 2);
    view.row("default/orders", "Instances", "2 of 2").await?;
    view.toggle("default/orders").await?;

    let address = one.provider()?.to_string();
    tokio::task::block_in_place(|| one.server.stop());
    view.row("default/orders", "Instances", "1 evicted").await?;
    view.browser.shows(".detail", "evicted,").await?;
    view.browser.click("[data-only=trouble]").await?;
    view.row("default/orders", "Instances", "evicted").await?;
    view.picture("evicted").await?;
    view.browser.click("[data-only=all]").await?;
    // Its lease ends.
    view.row("default/orders", "Instances", "1 of 1").await?;
    view.browser.until(".detail", "one instance", |text| !text.contains(&address)).await?;
    view.is_clean().await?;
    // What was on its way to it, of each client one at the most, may not be sent twice.
    let failures = load.finish().await.failures;
    let is_lost = |failure: &String| failure.contains("POST") && failure.contains("broke before");
    assert!(failures.len() <= 2 && failures.iter().all(is_lost), "{failures:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_circuit_is_seen() -> Result<()> {
    let mesh = Mesh::start()?;
    let broken = Upstream::start(|mut peer, _| async move {
        peer.head().await?;
        Ok(())
    })
    .await?;
    mesh.registry.register("broken", broken.address).await?;
    let breaker = "cse:\n  circuitBreaker:\n    Consumer:\n      enabled: true\n      \
                   requestVolumeThreshold: 3\n      sleepWindowInMilliseconds: 600000\n";
    let caller = mesh.sidecar("caller").file("circuit_breaker.yaml", breaker).start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    caller.get("http://broken/").await?;
    view.row("default/broken", "Breaker", "closed").await?;
    for _ in 0..5 {
        caller.get("http://broken/").await?;
    }
    view.row("default/broken", "Breaker", "open").await?;
    view.row("default/broken", "Failures", "100 %").await?;
    view.browser.shows("#tiles", "1 open").await?;
    view.browser.shows("#only", "Trouble 1").await?;
    view.toggle("default/broken").await?;
    view.browser.shows(".detail", "Next try").await?;
    view.browser.shows(".detail", "circuit_open").await?;
    view.picture("circuit").await?;
    view.is_clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_service_is_seen_too() -> Result<()> {
    let mesh = Mesh::start()?;
    let (own, outside) = (mesh.mockserver("own", &[])?, mesh.mockserver("outside", &[])?);
    let egress = "egressRule:\n  maps:\n    - hosts: ['*.example.com']\n      ports: [{port: 443, protocol: HTTP}]\n";
    let proxy = mesh.sidecar("own").file("egress.yaml", egress).serving("own", own.port).start()?;
    let Some(view) = View::open(&mesh, &proxy).await? else { return Ok(()) };
    let url = format!("http://127.0.0.1:{}/", outside.port);
    assert_eq!(proxy.get(&url).await?.status, 200);
    let provider = proxy.provider()?;
    assert_eq!(e2e::mesh::Client::once(provider, "GET", "/", "").await?.status, 200);
    view.browser.shows("#tiles", "Received").await?;
    view.browser.click("#tab-others").await?;
    view.browser.shows("#others", &format!("127.0.0.1:{}", outside.port)).await?;
    view.browser.shows("#others", &format!("rest:{}", own.port)).await?;
    view.browser.shows("#others", "*.example.com").await?;
    view.picture("others").await?;
    // From tab to tab by the arrows.
    view.browser.press("\u{e014}").await?;
    view.browser.shows("#connections", "What each worker has open").await?;
    view.browser.press("\u{e014}\u{e014}").await?;
    view.browser.shows("#proxy", &provider.to_string()).await?;
    view.picture("proxy").await?;
    view.is_clean().await?;
    proxy.server.signal(Signal::SIGTERM)
}
