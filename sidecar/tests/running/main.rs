//! The programs as they are shipped: two proxies, a registry and a service between them.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use testbed::{Guard, Server};
use tokio::net::TcpStream;

/// Longer than anything should take on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// A registry, a service `RESTServer` with its proxy, and the proxy of a client.
struct Mesh {
    guard: Guard,
    registry: SocketAddr,
    consumer: SocketAddr,
    provider: Server,
    provider_admin: SocketAddr,
    service_port: u16,
    /// They end when they are let go of.
    _others: [Server; 2],
}

impl Mesh {
    /// Starts all but the service itself.
    fn start() -> Result<Self> {
        let guard = Guard::new()?;
        let [registry, consumer, consumer_admin, provider, provider_admin, service_port] =
            testbed::free_ports()?;
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new(testbed::binary("service-registry")?);
        command.args(["--listen", &local(registry).to_string()]);
        let registry_server = guard.spawn("service-registry", &mut command)?;
        let serving = || registry_server.log().contains("serving");
        registry_server.wait_until("serving", LONG, serving)?;

        let mesher = |name: &str, listen: SocketAddr, admin: u16, set: &[(&str, String)]| {
            let mut command = Command::new(testbed::binary("mesher")?);
            command
                .env_clear()
                .arg(format!("--servicecomb.registry.address=http://{}", local(registry)))
                .arg(format!("--servicecomb.protocols.http.listenAddress={listen}"))
                .arg("--servicecomb.protocols.grpc.listenAddress=off")
                .arg(format!("--servicecomb.protocols.rest-admin.listenAddress={}", local(admin)))
                .envs(set.iter().map(|(key, value)| (*key, value)));
            let server = guard.spawn(name, &mut command)?;
            server.wait_until("serving", LONG, || server.log().contains("serving"))?;
            Ok::<_, anyhow::Error>(server)
        };
        let consumer_server = mesher("consumer", local(consumer), consumer_admin, &[])?;
        let set = [
            ("SERVICE_NAME", "RESTServer".to_owned()),
            ("SERVICE_PORTS", format!("rest:{service_port}")),
            ("INSTANCE_IP", "127.0.1.2".to_owned()),
        ];
        let listen = SocketAddr::from(([127, 0, 1, 1], provider));
        let provider = mesher("provider", listen, provider_admin, &set)?;
        Ok(Self {
            guard,
            registry: local(registry),
            consumer: local(consumer),
            provider,
            provider_admin: local(provider_admin),
            service_port,
            _others: [registry_server, consumer_server],
        })
    }

    fn start_service(&self) -> Result<Server> {
        let mut command = Command::new(testbed::binary("mockserver")?);
        command.args(["-listenAddress", &format!("127.0.0.1:{}", self.service_port), "-delay=0s"]);
        self.guard.spawn("mockserver", &mut command)
    }

    /// What a client with `http_proxy` gets for `GET http://RESTServer:PORT/path`.
    async fn call(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://RESTServer:{}{path}", self.service_port);
        get(self.consumer, &url).await
    }

    /// Waits until that is answered with `status`.
    async fn answers(&self, status: u16) -> Result<String> {
        let mut last = None;
        for _ in 0..600 {
            match self.call("/sayhello/peter").await {
                Ok((found, body)) if found == status => return Ok(body),
                other => last = Some(other),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = self.provider.log();
        anyhow::bail!("never answered with {status}, but {last:?}\n{log}")
    }

    /// The status of the service's instances, by the registry.
    async fn statuses(&self) -> Result<Vec<String>> {
        let query = "appId=default&serviceName=RESTServer&version=0%2B";
        let url = format!("/v4/default/registry/instances?{query}");
        let (_, body) = get(self.registry, &url).await?;
        let body: serde_json::Value = serde_json::from_str(&body)?;
        let instances = body["instances"].as_array().cloned().unwrap_or_default();
        Ok(instances.iter().filter_map(|i| Some(i["status"].as_str()?.to_owned())).collect())
    }

    async fn wait_for_statuses(&self, wanted: &[&str]) -> Result<()> {
        for _ in 0..600 {
            if self.statuses().await? == wanted {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the registry has {:?}, never {wanted:?}", self.statuses().await?)
    }
}

async fn get(address: SocketAddr, target: &str) -> Result<(u16, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::get(target).header("host", address.to_string());
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok((status, String::from_utf8(body.to_vec())?))
}

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
    let mut drain = Command::new(testbed::binary("mesher")?);
    let admin = format!("--servicecomb.protocols.rest-admin.listenAddress={}", mesh.provider_admin);
    let drained = drain.env_clear().args(["drain", &admin]).output().context("mesher drain")?;
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(mesh.statuses().await?, ["DOWN"]);
    let (status, _) = get(mesh.provider_admin, "/readyz").await?;
    assert_eq!(status, 503);
    assert!(mesh.provider.is_running());
    Ok(())
}
