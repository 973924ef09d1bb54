//! Route rules of `router.yaml`, through real proxies.

use std::fs;

use anyhow::Result;
use e2e::mesh::{Client, Mesh, Sidecar, eventually};

/// By version, who answers.
async fn taken(caller: &Sidecar, requests: usize, headers: &[(&str, &str)]) -> Result<[usize; 2]> {
    let mut client = Client::new(caller.consumer);
    let mut taken = [0; 2];
    for _ in 0..requests {
        let reply = client.get("http://orders/", headers).await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let who = reply.json()?["Instance"].as_str().unwrap_or_default().to_owned();
        match who.as_str() {
            "one" => taken[0] += 1,
            "two" => taken[1] += 1,
            other => panic!("{other}"),
        }
    }
    Ok(taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_shared_out_and_testers_get_the_new_one() -> Result<()> {
    let mesh = Mesh::start()?;
    let (one, two) = (mesh.mockserver("one", &[])?, mesh.mockserver("two", &[])?);
    let served = |name: &str, version: &str, port| {
        mesh.sidecar(name).serving("orders", port).variable("VERSION", version).start()
    };
    let _one = served("orders-one", "1.0.0", one.port)?;
    let _two = served("orders-two", "2.0.0", two.port)?;
    mesh.registry.wait_for("orders", &["UP", "UP"]).await?;
    let rules = "routeRule:\n  orders:\n    - precedence: 2\n      match: {httpHeaders: {x-user: {regex: '^test-'}}}\n      route: [{tags: {version: 2.0.0}, weight: 100}]\n    - precedence: 1\n      route: [{tags: {version: 1.0.0}, weight: 80}, {tags: {version: 2.0.0}, weight: 20}]\n";
    let caller = mesh.sidecar("caller").file("router.yaml", rules).start()?;
    // Both versions are known before the first is counted.
    eventually("both versions", async || {
        let found = taken(&caller, 10, &[]).await?;
        Ok(if found == [8, 2] { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await?;
    let [one, two] = taken(&caller, 100, &[]).await?;
    // Where an instance says something new meanwhile, the order begins anew.
    assert!((78..=82).contains(&one), "{one} and {two}");
    assert_eq!(taken(&caller, 10, &[("x-user", "test-7")]).await?, [0, 10]);
    let shown = Client::once(caller.admin, "GET", "/v1/mesher/services/default/orders", "").await?;
    let shown = shown.json()?;
    let routes = shown["routes"].as_array().cloned().unwrap_or_default();
    let shares: Vec<_> = routes
        .iter()
        .filter(|route| route["protocol"] == "rest")
        .map(|route| {
            (route["rule"].as_u64(), route["sharePercent"].as_f64(), route["subset"].as_str())
        })
        .collect();
    let expected = [
        (Some(1), Some(100.0), Some("version:2.0.0")),
        (Some(2), Some(80.0), Some("version:1.0.0")),
        (Some(2), Some(20.0), Some("version:2.0.0")),
        (None, None, Some("version:latest")),
    ];
    assert_eq!(shares, expected, "{shown}");

    // A change of the file is followed, a faulty one is not.
    let file = mesh.guard().folder().join("conf-caller/router.yaml");
    fs::write(&file, "routeRule: {orders: [{route: [{weight: 101}]}]}\n")?;
    eventually("named", async || {
        let config = Client::once(caller.admin, "GET", "/v1/mesher/config", "").await?.text();
        Ok(if config.contains("whole number from 0 to 100") { Ok(()) } else { Err(config) })
    })
    .await?;
    assert_eq!(taken(&caller, 10, &[("x-user", "test-7")]).await?, [0, 10], "the last good one");
    fs::write(&file, "routeRule: {orders: [{route: [{tags: {version: 1.0.0}}]}]}\n")?;
    eventually("version 1 alone", async || {
        let found = taken(&caller, 10, &[("x-user", "test-7")]).await?;
        Ok(if found == [10, 0] { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_go_to_the_next_version_and_nobody_sees_what_comes_of_them() -> Result<()> {
    let mesh = Mesh::start()?;
    let one = mesh.mockserver("one", &[])?;
    let next = mesh.mockserver("next", &["-failRate", "1"])?;
    let served =
        |name: &str, service: &str, port| mesh.sidecar(name).serving(service, port).start();
    let _one = served("orders-one", "orders", one.port)?;
    let copies = served("orders-next", "orders-next", next.port)?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    mesh.registry.wait_for("orders-next", &["UP"]).await?;
    let rules = "routeRule:\n  orders:\n    - mirror: {service: orders-next}\n";
    let caller = mesh.sidecar("caller").file("router.yaml", rules).start()?;
    let mut client = Client::new(caller.consumer);
    for _ in 0..10 {
        let reply = client.send("POST", "http://orders/", &[], "hello".into()).await?;
        assert_eq!((reply.status, reply.header("x-mesher-error")), (200, None), "{}", reply.text());
    }
    for (proxy, line) in [
        (
            &caller,
            "mesher_mirrored_requests_total{service_name=\"orders\",app=\"default\",side=\"consumer\",result=\"sent\"} 10",
        ),
        (
            &copies,
            "mesher_request_body_bytes_total{service_name=\"orders-next\",app=\"default\",side=\"provider\"} 50",
        ),
    ] {
        eventually(line, async || {
            let text = Client::once(proxy.admin, "GET", "/metrics", "").await?.text();
            Ok(if text.lines().any(|said| said == line) { Ok(()) } else { Err(text) })
        })
        .await?;
    }
    Ok(())
}
