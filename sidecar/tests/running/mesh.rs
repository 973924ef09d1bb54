//! Two proxies, a registry and a service between them.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use testbed::{Guard, Server};
use tokio::net::TcpStream;

/// Longer than anything should take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A registry, a service `RESTServer` with its proxy, and the proxy of a client.
pub(crate) struct Mesh {
    guard: Guard,
    registry: SocketAddr,
    consumer: SocketAddr,
    pub(crate) provider: Server,
    pub(crate) provider_admin: SocketAddr,
    pub(crate) service_port: u16,
    /// They end when they are let go of.
    _others: [Server; 2],
}

/// What is other than usual.
#[derive(Default)]
pub(crate) struct Arguments {
    /// For the registry; with a certificate it speaks TLS.
    pub(crate) registry: Vec<String>,
    /// For both proxies.
    pub(crate) both: Vec<String>,
    /// For the service's proxy.
    pub(crate) provider: Vec<String>,
}

impl Mesh {
    /// Starts all but the service itself.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(|_| Arguments::default())
    }

    /// As [`Self::start`], with further arguments for a service on that port.
    pub(crate) fn start_with(arguments: impl FnOnce(u16) -> Arguments) -> Result<Self> {
        let guard = Guard::new()?;
        let [registry, consumer, consumer_admin, provider, provider_admin, service_port] =
            testbed::free_ports()?;
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let Arguments { registry: of_registry, both, provider: of_provider } =
            arguments(service_port);
        let scheme = if of_registry.is_empty() { "http" } else { "https" };
        let mut command = Command::new(testbed::binary("service-registry")?);
        command.args(["--listen", &local(registry).to_string()]).args(of_registry);
        let registry_server = guard.spawn("service-registry", &mut command)?;
        let serving = || registry_server.log().contains("serving");
        registry_server.wait_until("serving", LONG, serving)?;

        let mesher = |name: &str, listen: SocketAddr, admin: u16, more: &[String]| {
            let mut command = Command::new(testbed::binary("mesher")?);
            command
                .env_clear()
                .arg(format!("--servicecomb.registry.address={scheme}://{}", local(registry)))
                .arg(format!("--servicecomb.protocols.http.listenAddress={listen}"))
                .arg("--servicecomb.protocols.grpc.listenAddress=off")
                .arg(format!("--servicecomb.protocols.rest-admin.listenAddress={}", local(admin)))
                .args(both.iter().chain(more));
            if name == "provider" {
                command
                    .env("SERVICE_NAME", "RESTServer")
                    .env("SERVICE_PORTS", format!("rest:{service_port}"))
                    .env("INSTANCE_IP", "127.0.1.2");
            }
            let server = guard.spawn(name, &mut command)?;
            server.wait_until("serving", LONG, || server.log().contains("serving"))?;
            Ok::<_, anyhow::Error>(server)
        };
        let consumer_server = mesher("consumer", local(consumer), consumer_admin, &[])?;
        let listen = SocketAddr::from(([127, 0, 1, 1], provider));
        let provider = mesher("provider", listen, provider_admin, &of_provider)?;
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

    pub(crate) fn start_service(&self) -> Result<Server> {
        let mut command = Command::new(testbed::binary("mockserver")?);
        command.args(["-listenAddress", &format!("127.0.0.1:{}", self.service_port), "-delay=0s"]);
        self.guard.spawn("mockserver", &mut command)
    }

    /// What a client with `http_proxy` gets for `GET http://RESTServer:PORT/path`.
    pub(crate) async fn call(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://RESTServer:{}{path}", self.service_port);
        get(self.consumer, &url).await
    }

    /// Waits until that is answered with `status`.
    pub(crate) async fn answers(&self, status: u16) -> Result<String> {
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
    pub(crate) async fn statuses(&self) -> Result<Vec<String>> {
        let query = "appId=default&serviceName=RESTServer&version=0%2B";
        let url = format!("/v4/default/registry/instances?{query}");
        let (_, body) = get(self.registry, &url).await?;
        let body: serde_json::Value = serde_json::from_str(&body)?;
        let instances = body["instances"].as_array().cloned().unwrap_or_default();
        Ok(instances.iter().filter_map(|i| Some(i["status"].as_str()?.to_owned())).collect())
    }

    pub(crate) async fn wait_for_statuses(&self, wanted: &[&str]) -> Result<()> {
        for _ in 0..600 {
            if self.statuses().await? == wanted {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the registry has {:?}, never {wanted:?}", self.statuses().await?)
    }

    /// Waits until `/metrics` of the service's proxy has all of these lines.
    pub(crate) async fn wait_for_metrics(&self, lines: &[&str]) -> Result<()> {
        let mut text = String::new();
        for _ in 0..600 {
            (_, text) = get(self.provider_admin, "/metrics").await?;
            if lines.iter().all(|wanted| text.lines().any(|line| line == *wanted)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{lines:?} are not in\n{text}")
    }

    /// `mesher drain` of the service's proxy, which has to work.
    pub(crate) fn drain(&self) -> Result<()> {
        let mut drain = Command::new(testbed::binary("mesher")?);
        let admin =
            format!("--servicecomb.protocols.rest-admin.listenAddress={}", self.provider_admin);
        let drained = drain.env_clear().args(["drain", &admin]).output()?;
        anyhow::ensure!(drained.status.success(), "{drained:?}");
        Ok(())
    }
}

pub(crate) async fn get(address: SocketAddr, target: &str) -> Result<(u16, String)> {
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
