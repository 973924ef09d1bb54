//! The programs as they are shipped: two proxies, a registry and a service between them.

mod mesh;
mod secured;
mod watched;

use anyhow::Result;
use nix::sys::signal::Signal;

use mesh::{LONG, Mesh, get};

/// The quick start: `http_proxy=http://127.0.0.1:30101 curl http://RESTServer:8083/sayhello/peter`.
#[tokio::test]
async fn a_service_is_called_by_its_name() -> Result<()> {
    let mesh = Mesh::start()?;
    mesh.wait_for_statuses(&["STARTING"]).await?;
    let (status, body) = mesh.call("/sayhello/peter").await?;
    assert_eq!(status, 502, "nobody is UP yet: {body}");

    let _service = mesh.start_service()?;
    mesh.wait_for_statuses(&["UP"]).await?;
    let body = mesh.answers(200).await?;
    assert!(body.contains("GET /sayhello/peter HTTP/1.1"), "{body}");
    assert!(body.contains(&format!("Host: RESTServer:{}", mesh.service_port)), "{body}");
    Ok(())
}

#[tokio::test]
async fn an_instance_leaves_before_its_proxy_ends() -> Result<()> {
    let mesh = Mesh::start()?;
    let _service = mesh.start_service()?;
    mesh.answers(200).await?;
    mesh.provider.signal(Signal::SIGTERM)?;
    let ended = mesh.provider.wait_for_exit(LONG)?;
    assert!(ended.success(), "{ended}: {}", mesh.provider.log());
    assert!(mesh.statuses().await?.is_empty(), "it was deleted");
    let (status, _) = mesh.call("/sayhello/peter").await?;
    assert_eq!(status, 502);
    Ok(())
}

#[tokio::test]
async fn drain_takes_the_instance_down_and_serves_on() -> Result<()> {
    let mesh = Mesh::start()?;
    let _service = mesh.start_service()?;
    mesh.answers(200).await?;
    mesh.drain()?;
    assert_eq!(mesh.statuses().await?, ["DOWN"]);
    let (status, _) = get(mesh.provider_admin, "/readyz").await?;
    assert_eq!(status, 503);
    assert!(mesh.provider.is_running());
    Ok(())
}
