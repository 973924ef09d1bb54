//! Clients that want a connection of their own: CONNECT and Upgrade.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Mesh, Raw, loopback};
use testbed::free_ports;

/// What curl prints of `url` by way of a tunnel through `proxy`.
fn curl(proxy: std::net::SocketAddr, url: &str) -> Result<String> {
    let mut curl = Command::new("curl");
    curl.env_clear().args(["-sS", "--fail", "--max-time", "20", "--proxytunnel", "--proxy"]);
    let output = curl.arg(format!("http://{proxy}")).arg(url).output().context("curl")?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn curl_calls_a_service_through_a_tunnel() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("tunnelled", &[])?;
    let _service = mesh.sidecar("tunnelled").serving("tunnelled", application.port).start()?;
    let caller = mesh.sidecar("caller").start()?;
    mesh.registry.wait_for("tunnelled", &["UP"]).await?;
    for url in ["http://tunnelled/a", &format!("http://tunnelled:{}/b", application.port)] {
        let seen = tokio::task::spawn_blocking({
            let url = url.to_owned();
            move || curl(caller.consumer, &url)
        });
        let seen = seen.await??;
        assert!(
            seen.contains("x-cse-src-microservice") || seen.contains("x-cse-context"),
            "{seen}"
        );
    }
    Ok(())
}

/// What a node's own proxy is: one listener, for everybody on the host, and no provider.
#[tokio::test]
async fn one_proxy_for_a_whole_host() -> Result<()> {
    let mesh = Mesh::start()?;
    let application = mesh.mockserver("hosted", &[])?;
    let _service = mesh.sidecar("hosted").serving("hosted", application.port).start()?;
    mesh.registry.wait_for("hosted", &["UP"]).await?;
    let [port] = free_ports()?;
    let node = mesh
        .sidecar("node")
        .variable("SERVICE_NAME", "node")
        .variable("INSTANCE_IP", "127.0.1.200")
        .key("mode", "per-host")
        .key("servicecomb.protocols.http.listenAddress", &format!("0.0.0.0:{port}"))
        .start_at(port)?;
    assert_eq!(node.get("http://hosted/").await?.status, 200);
    let elsewhere = format!("127.0.0.77:{port}").parse()?;
    let mut connection = Raw::connect(elsewhere).await?;
    connection.send("GET http://hosted/ HTTP/1.1\r\nhost: hosted\r\n\r\n").await?;
    assert_eq!(connection.reply("GET").await?.status, 200, "every address of the host is its own");
    let mut connection = Raw::connect(loopback(port)).await?;
    connection.send(format!("CONNECT 127.0.0.77:{port} HTTP/1.1\r\nhost: x\r\n\r\n")).await?;
    assert_eq!(connection.reply("CONNECT").await?.status, 508, "and so it finds itself");
    assert!(mesh.registry.instances("node").await?.is_empty(), "it serves nothing itself");
    Ok(())
}
