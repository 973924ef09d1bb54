//! The first call anybody makes, and the ways to say its port.

use std::ffi::OsStr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Mesh, PATIENCE};
use testbed::network::Host;
use testbed::{Guard, Network, Server, binary};

/// A program that runs where all ports are free, without a word about proxies.
fn command(host: &Host, program: impl AsRef<OsStr>) -> Command {
    let mut command = host.command(program);
    for variable in ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    command
}

/// What a client prints, as soon as the call is answered.
fn prints(client: impl Fn() -> Result<Command>) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let output = client()?.output().context("the client does not run")?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        ensure!(Instant::now() < until, "{output:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The commands of the README, on the ports they have when nobody says otherwise.
#[test]
fn the_quick_start_works_as_it_is_written() -> Result<()> {
    let guard = Guard::new()?;
    let network = match Network::start(&guard)? {
        Ok(network) => network,
        Err(reason) => {
            testbed::skip(&reason);
            return Ok(());
        }
    };
    let host = network.host("machine")?;
    let start = |name: &str, change: &dyn Fn(&mut Command)| -> Result<Server> {
        let mut command = command(&host, binary(name)?);
        change(&mut command);
        guard.spawn(name, &mut command)
    };
    let _servers = [
        start("service-registry", &|_| {})?,
        start("mesher", &|_| {})?,
        start("mesher", &|command| {
            command
                .env("SERVICE_NAME", "RESTServer")
                .env("SERVICE_PORTS", "rest:8083")
                .env("INSTANCE_IP", "127.0.1.2")
                .arg("--servicecomb.protocols.http.listenAddress=127.0.1.1:30101")
                .arg("--servicecomb.protocols.grpc.listenAddress=127.0.1.1:40101")
                .arg("--servicecomb.protocols.rest-admin.listenAddress=127.0.1.1:30112");
        })?,
        start("mockserver", &|command| {
            command.args(["-listenAddress", "127.0.0.1:8083"]);
        })?,
    ];
    let url = "http://RESTServer:8083/sayhello/peter";
    let proxy = "http://127.0.0.1:30101";
    let expected = "GET /sayhello/peter HTTP/1.1";
    let said = prints(|| {
        let mut command = command(&host, binary("mockserver")?);
        command.env("http_proxy", proxy).args(["get", url]);
        Ok(command)
    })?;
    ensure!(said.contains(expected), "{said}");

    if Command::new("curl").arg("--version").output().is_err() {
        testbed::skip("curl is not installed, so only mockserver was the client");
        return Ok(());
    }
    let said = prints(|| {
        let mut command = command(&host, "curl");
        command.env("http_proxy", proxy).args(["--silent", "--fail", url]);
        Ok(command)
    })?;
    ensure!(said.contains(expected), "{said}");
    Ok(())
}

/// What the original did on the wire, from the caller to the service.
#[tokio::test]
async fn the_port_of_the_url_or_of_service_ports() -> Result<()> {
    let mesh = Mesh::start()?;
    let [main, other] =
        [mesh.mockserver("main", &[])?, mesh.mockserver("other", &["-serviceName", "other"])?];
    let ports = format!("rest:{},rest-other:{}", main.port, other.port);
    let _orders =
        mesh.sidecar("orders").in_a_pod("orders").variable("SERVICE_PORTS", &ports).start()?;
    let caller = mesh.sidecar("caller").variable("SERVICE_NAME", "caller").start()?;
    mesh.registry.wait_for("orders", &["UP"]).await?;

    for (port, answers, forwarded) in [
        (String::new(), "main", None),
        (format!(":{}", main.port), "main", Some(main.port)),
        (format!(":{}", other.port), "other", Some(other.port)),
    ] {
        let reply = caller.get(&format!("http://orders{port}/api/x?y=1")).await?;
        let seen = reply.json()?;
        assert_eq!((reply.status, &seen["Instance"]), (200, &answers.into()), "{seen}");
        let lines: Vec<_> = seen["RequestInfo"].as_array().context("lines")?.clone();
        let has = |line: &str| lines.iter().any(|found| found == line);
        assert!(has("GET /api/x?y=1 HTTP/1.1"), "{seen}");
        assert!(has(&format!("Host: orders{port}")), "{seen}");
        assert!(has(&format!("x-forwarded-host: orders{port}")), "{seen}");
        assert!(has(r#"x-cse-context: {"x-cse-src-microservice":"caller"}"#), "{seen}");
        assert!(has("x-cse-src-microservice: caller"), "{seen}");
        let header =
            lines.iter().find_map(|line| line.as_str()?.strip_prefix("x-forwarded-port: "));
        assert_eq!(
            header.map(str::to_owned),
            forwarded.map(|port: u16| port.to_string()),
            "{seen}"
        );
    }
    Ok(())
}
