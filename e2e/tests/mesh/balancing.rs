//! Which instance takes a request, by `load_balancing.yaml` and through real proxies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use e2e::mesh::{Application, Client, Mesh, Sidecar, eventually, loopback};
use e2e::wire::Reply;

fn instance(reply: &Reply) -> Result<String> {
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    Ok(reply.json()?["Instance"].as_str().unwrap_or_default().to_owned())
}

/// `orders` on instances of these names, without proxies of their own.
async fn orders(mesh: &Mesh, names: &[&str]) -> Result<Vec<Application>> {
    let mut applications = Vec::new();
    for name in names {
        let arguments: &[&str] = if *name == "slow" { &["-delay", "100ms"] } else { &[] };
        let application = mesh.mockserver(name, arguments)?;
        mesh.registry.register("orders", loopback(application.port)).await?;
        applications.push(application);
    }
    Ok(applications)
}

/// A caller with this strategy, which has asked once.
async fn caller(mesh: &Mesh, strategy: &str) -> Result<Sidecar> {
    let balancing = format!("cse: {{loadbalance: {{orders: {{strategy: {strategy}}}}}}}\n");
    let caller = mesh.sidecar("caller").file("load_balancing.yaml", &balancing).start()?;
    instance(&caller.get("http://orders/").await?)?;
    Ok(caller)
}

/// How many of so many requests each takes.
async fn taken(caller: &Sidecar, requests: u32) -> Result<BTreeMap<String, u32>> {
    let mut client = Client::new(caller.consumer);
    let mut taken = BTreeMap::new();
    for _ in 0..requests {
        *taken.entry(instance(&client.get("http://orders/", &[]).await?)?).or_default() += 1;
    }
    Ok(taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_turn_everybody_takes_the_same() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = orders(&mesh, &["one", "two", "three"]).await?;
    let caller = caller(&mesh, "{name: RoundRobin}").await?;
    let taken = taken(&caller, 30).await?;
    ensure!(taken.len() == 3 && taken.values().all(|count| *count == 10), "{taken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_slowly_takes_less() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = orders(&mesh, &["one", "slow", "two"]).await?;
    let caller = caller(&mesh, "{name: LeastLoaded}").await?;
    // In turn it would be twenty.
    let taken = taken(&caller, 60).await?;
    ensure!(taken.get("slow").is_none_or(|count| *count <= 10), "{taken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fastest_takes_most() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = orders(&mesh, &["slow", "one"]).await?;
    let caller = caller(&mesh, "{name: WeightedResponse}").await?;
    // Until both are known: the slow one is the fastest of one.
    taken(&caller, 40).await?;
    // Seven of ten, and half of what is left; in turn it would be half of all.
    let taken = taken(&caller, 100).await?;
    ensure!(taken.get("slow").is_none_or(|count| *count <= 40), "{taken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_chance_everybody_takes_about_the_same() -> Result<()> {
    let mesh = Mesh::start()?;
    let _orders = orders(&mesh, &["one", "two", "three"]).await?;
    let caller = caller(&mesh, "{name: Random}").await?;
    let mut client = Client::new(caller.consumer);
    let mut order = Vec::new();
    for _ in 0..300 {
        order.push(instance(&client.get("http://orders/", &[]).await?)?);
    }
    for name in ["one", "two", "three"] {
        // Six standard deviations.
        let count = order.iter().filter(|taken| *taken == name).count();
        ensure!((51..150).contains(&count), "{name}: {count}");
    }
    ensure!(order.windows(2).any(|two| two[0] == two[1]), "that is in turn: {order:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_decides_by_its_hash() -> Result<()> {
    for strategy in ["RingHash", "Maglev"] {
        let mesh = Mesh::start()?;
        let _orders = orders(&mesh, &["one", "two", "three"]).await?;
        let strategy = format!("{{name: {strategy}, hashOn: 'header:x-user'}}");
        let caller = caller(&mesh, &strategy).await?;
        let mut client = Client::new(caller.consumer);
        let mut by_user = Vec::new();
        for round in 0..2 {
            for user in 0..100 {
                let user = format!("user-{user}");
                let reply = client.get("http://orders/", &[("x-user", &user)]).await?;
                by_user.push((user, instance(&reply)?));
            }
            ensure!(by_user.len() == 100 * (round + 1));
        }
        let users: BTreeSet<_> = by_user.iter().collect();
        ensure!(users.len() == 100, "{strategy}: each stays: {users:?}");
        let instances: BTreeSet<_> = by_user.iter().map(|(_, instance)| instance).collect();
        ensure!(instances.len() == 3, "{strategy}: {instances:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_of_the_own_zone_are_asked_while_there_are_any() -> Result<()> {
    let mesh = Mesh::start()?;
    let region =
        |zone: &str| format!("region: {{name: dc, region: north, availableZone: {zone}}}\n");
    let mut served = Vec::new();
    for (name, zone) in [("near", "n1"), ("far", "n2")] {
        let application = mesh.mockserver(name, &[])?;
        let proxy = mesh.sidecar(name).serving("orders", application.port);
        served.push((proxy.file("chassis.yaml", &region(zone)).start()?, application));
    }
    mesh.registry.wait_for("orders", &["UP"; 2]).await?;
    let caller = mesh
        .sidecar("caller")
        .file("chassis.yaml", &region("n1"))
        .file("load_balancing.yaml", "cse: {loadbalance: {serverListFilters: zoneaware}}\n")
        .start()?;
    ensure!(taken(&caller, 20).await? == BTreeMap::from([("near".to_owned(), 20)]));
    let drained = tokio::task::block_in_place(|| served[0].0.drain())?;
    ensure!(drained.status.success(), "{drained:?}");
    eventually("those of another zone", async || {
        let found = taken(&caller, 4).await?;
        Ok(if found.contains_key("far") { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_too_few_are_left_everybody_is_asked() -> Result<()> {
    let mesh = Mesh::start()?;
    let bad = mesh.mockserver("bad", &["-failRate", "1"])?;
    let good = mesh.mockserver("good", &[])?;
    for port in [bad.port, good.port] {
        mesh.registry.register("orders", loopback(port)).await?;
    }
    let balancing = |panic: u32| {
        format!(
            "cse: {{loadbalance: {{panicPercent: {panic}, outlier: {{consecutiveErrors: 2, ejectionSeconds: 3600}}}}}}\n"
        )
    };
    for (name, panic, failures) in [("calm", 50, 2), ("panicking", 51, 20)] {
        let caller = mesh.sidecar(name).file("load_balancing.yaml", &balancing(panic)).start()?;
        let mut client = Client::new(caller.consumer);
        let mut failed = 0;
        for _ in 0..40 {
            failed += i32::from(client.get("http://orders/", &[]).await?.status != 200);
        }
        ensure!(failed == failures, "{name}: {failed}");
    }
    Ok(())
}
