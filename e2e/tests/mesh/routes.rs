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
    let _orders = mesh.serve("orders", &[("one", "1.0.0"), ("two", "2.0.0")]).await?;
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
    let log = caller.server.log();
    assert!(log.contains("router.yaml:1: routeRule.orders: weight: \"101\" is not"), "{log}");
    let metrics = Client::once(caller.admin, "GET", "/metrics", "").await?.text();
    assert!(metrics.contains("key=\"routeRule.orders\"} 1"), "{metrics}");
    fs::write(&file, "routeRule: {orders: [{route: [{tags: {version: 1.0.0}}]}]}\n")?;
    eventually("version 1 alone", async || {
        let found = taken(&caller, 10, &[("x-user", "test-7")]).await?;
        Ok(if found == [10, 0] { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await
}

/// The same in all the ways in which it can be said: testers get version 1, who says nothing 2.
const TESTERS: [(&str, &str); 4] = [
    (
        "the first generation",
        "routeRule:\n  orders:\n    - precedence: 2\n      match: {source: front, sourceTags: {version: 0.0.1}, httpHeaders: {x-user: {exact: TEST, caseInsensitive: true}}}\n      route: [{tags: {version: 1.0.0}}]\n    - precedence: 1\n      route: [{tags: {version: latest}}]\n",
    ),
    (
        "a template",
        "routeRule:\n  orders:\n    - {precedence: 2, match: {refer: others}, route: [{tags: {version: 9.9}}]}\n    - {precedence: 1, match: {refer: testers}, route: [{tags: {version: 1.0.0}}]}\nsourceTemplate:\n  others: {source: somebody}\n  testers: {source: front, httpHeaders: {x-user: {regex: '^te.t$'}}}\n",
    ),
    (
        "the second generation",
        "servicecomb:\n  routeRule:\n    orders: |\n      - precedence: 2\n        match: {refer: testers}\n        route: [{tags: {version: 1.0.0}, weight: 100}]\n      - precedence: 1\n        route: [{tags: {version: 2.0.0}, weight: 100}]\n  match:\n    testers: |\n      matches: [{headers: {x-user: {contains: es}}}]\n",
    ),
    (
        "dark launch",
        "cse:\n  darklaunch:\n    policy:\n      orders: '{\"policyType\":\"RULE\",\"ruleItems\":[{\"groupName\":\"old\",\"groupCondition\":\"version=1.0.0\",\"policyCondition\":\"x-user=test\"}]}'\n",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_write_a_rule_does_the_same() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = mesh.serve("orders", &[("one", "1.0.0"), ("two", "2.0.0")]).await?;
    for (at, (way, rules)) in TESTERS.into_iter().enumerate() {
        let caller = mesh.sidecar(&format!("front-{at}")).variable("SERVICE_NAME", "front");
        let caller = caller.file("router.yaml", rules).start()?;
        assert_eq!(taken(&caller, 6, &[]).await?, [0, 6], "{way}");
        assert_eq!(taken(&caller, 6, &[("x-user", "test")]).await?, [6, 0], "{way}");
        assert_eq!(taken(&caller, 6, &[("x-user", "other")]).await?, [0, 6], "{way}");
    }
    Ok(())
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
