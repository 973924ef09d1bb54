//! A mesh of thousands.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use e2e::mesh::{Client, Mesh, PATIENCE};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::View;

const SERVICES: usize = 5000;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thousands_of_services_those_are_drawn_that_somebody_wants_to_see() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh.sidecar("caller").start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (registry, consumer) = (mesh.registry.address, caller.consumer);
        clients.spawn(async move {
            let (mut registry, mut consumer) = (Client::new(registry), Client::new(consumer));
            for number in (client..SERVICES).step_by(CLIENTS) {
                let service = json!({"service": {
                    "appId": "default", "serviceName": format!("s{number:04}"),
                    "version": "1.0.0", "level": "BACK",
                }});
                let path = "/v4/default/registry/microservices";
                let reply = registry.send("POST", path, &[], service.to_string().into()).await?;
                ensure!(reply.status == 200, "{}", reply.text());
                first_use(&mut consumer, &format!("http://s{number:04}/")).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    let browser = &view.browser;
    browser.shows("#matched", "100 of 5,000 services").await?;
    let rows = "return document.querySelectorAll('#rows tr').length";
    assert_eq!(browser.script(rows, &[]).await?, 100);
    browser.click("#more").await?;
    browser.shows("#matched", "200 of 5,000 services").await?;
    assert_eq!(browser.script(rows, &[]).await?, 200);
    browser.press("/").await?;
    browser.press("s499").await?;
    browser.shows("#matched", "10 of 10 services").await?;
    view.row("default/s4999", "Instances", "no instance").await?;
    view.picture("many").await?;
    view.is_clean().await
}

/// Calls a service that has no instance. On a busy machine, an answer about it may take longer than
/// its first request waits.
async fn first_use(client: &mut Client, url: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.get(url, &[]).await?;
        match reply.status {
            502 => return Ok(()),
            503 if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
            _ => bail!("{}", reply.text()),
        }
    }
}
