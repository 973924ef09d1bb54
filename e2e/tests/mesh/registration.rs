//! What the registry knows of an instance, from its start to its end.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use e2e::mesh::{Mesh, PATIENCE};
use nix::sys::signal::Signal;

#[tokio::test]
async fn a_health_check_turns_the_instance_down_and_up() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let well = mesh.mockserver("well", &[])?;
    let check = |text: &str| {
        format!(
            "localHealthCheck:\n  - port: {}\n    protocol: rest\n    uri: /health-of-mine\n    \
             interval: 300ms\n    match: {{status: 200, body: {text}}}\n",
            well.port
        )
    };
    let orders = mesh
        .sidecar("orders")
        .serving("orders", application.port)
        .file("mesher.yaml", &check("health-of-mine"))
        .start()?;
    let caller = mesh.sidecar("caller").key("servicecomb.registry.watch", "true").start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);

    let port = well.port.to_string();
    well.server.stop();
    let [down] = &mesh.registry.wait_for("orders", &["DOWN"]).await?[..] else {
        anyhow::bail!("one instance")
    };
    e2e::mesh::eventually("no instance for the caller", async || {
        let reply = caller.get("http://orders/").await?;
        let gone = reply.header("x-mesher-error") == Some("no_instance");
        Ok(if gone { Ok(()) } else { Err(reply.text()) })
    })
    .await?;

    let arguments = ["-listenAddress", &format!("127.0.0.1:{port}")];
    let _well = mesh.mockserver("well-again", &arguments)?;
    let [up] = &mesh.registry.wait_for("orders", &["UP"]).await?[..] else {
        anyhow::bail!("one instance")
    };
    assert_eq!(up.id, down.id);
    e2e::mesh::eventually("answered again", async || {
        let reply = caller.get("http://orders/").await?;
        Ok(if reply.status == 200 { Ok(()) } else { Err(reply.text()) })
    })
    .await?;
    ensure!(orders.server.is_running(), "{}", orders.server.log());
    Ok(())
}

#[tokio::test]
async fn an_instance_is_registered_again_under_its_id() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let setup = mesh.sidecar("orders").serving("orders", application.port);
    let _orders = setup.key("servicecomb.registry.heartbeat.interval", "10s").start()?;
    let before = mesh.registry.wait_for("orders", &["UP"]).await?;
    // It comes back without any memory.
    mesh.registry.stop()?;
    mesh.registry.start_again(mesh.guard())?;
    let after = mesh.registry.wait_for("orders", &["UP"]).await?;
    assert_eq!(after, before);
    Ok(())
}

#[tokio::test]
async fn an_instance_that_was_killed_is_the_same_when_it_comes_back() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let setup = mesh.sidecar("orders").serving("orders", application.port);
    let orders = setup.clone().start()?;
    let before = mesh.registry.wait_for("orders", &["UP"]).await?;
    assert!(orders.drain()?.status.success());
    mesh.registry.wait_for("orders", &["DOWN"]).await?;
    let port = orders.consumer.port();
    // Nobody takes the instance out: the registry still has it, as DOWN.
    orders.server.stop();
    let _again = setup.start_at(port)?;
    let after = mesh.registry.wait_for("orders", &["UP"]).await?;
    assert_eq!(after, before);
    Ok(())
}

#[tokio::test]
async fn sigterm_takes_the_instance_out() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("orders", &[])?;
    let orders = mesh.sidecar("orders").serving("orders", application.port).start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    orders.server.signal(Signal::SIGTERM)?;
    let ended = orders.server.wait_for_exit(PATIENCE)?;
    ensure!(ended.success(), "{ended}: {}", orders.server.log());
    assert_eq!(mesh.registry.instances("orders").await?, []);
    Ok(())
}

/// Requests are handed on to 127.0.0.1, else to the pod's address; so that is also where the
/// application is looked for, and its health.
#[tokio::test]
async fn an_application_on_the_pods_address_alone_is_found() -> Result<()> {
    let mesh = Mesh::start()?;
    let [port] = testbed::free_ports()?;
    let check = format!("localHealthCheck: [{{port: {port}, uri: /health, interval: 300ms}}]\n");
    let setup = mesh.sidecar("orders").serving("orders", port).file("mesher.yaml", &check);
    let orders = setup.start()?;
    let listen = SocketAddr::new(orders.provider()?.ip(), port).to_string();
    let application = mesh.mockserver("orders", &["-listenAddress", &listen])?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    let caller = mesh.sidecar("caller").start()?;
    assert_eq!(caller.get("http://orders/").await?.status, 200);
    application.server.stop();
    mesh.registry.wait_for("orders", &["DOWN"]).await?;
    let _application = mesh.mockserver("orders-again", &["-listenAddress", &listen])?;
    mesh.registry.wait_for("orders", &["UP"]).await?;
    Ok(())
}
