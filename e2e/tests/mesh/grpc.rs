//! gRPC as another implementation has it: the interoperability tests of grpc-go, its client and
//! its server, with a proxy before each.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Client, Mesh, PATIENCE, eventually, loopback};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use testbed::{Server, free_ports, tools};

/// The cases of the gRPC project that need no account with anybody.
const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

/// The server of the tests, and its port.
fn server(mesh: &Mesh) -> Result<(Server, u16)> {
    let [port] = free_ports()?;
    let mut command = Command::new(tools::program("grpc-interop-server")?);
    command.env_clear().arg(format!("-port={port}"));
    let server = mesh.guard().spawn("grpc-interop-server", &mut command)?;
    let accepts = || std::net::TcpStream::connect(loopback(port)).is_ok();
    server.wait_until("accepting", PATIENCE, accepts)?;
    Ok((server, port))
}

/// Runs one case against the service `interop`, through `proxy`. grpc-go asks for a connection to
/// where the name says, by CONNECT.
fn run(case: &str, proxy: SocketAddr, port: u16) -> Result<()> {
    let mut client = Command::new(tools::program("grpc-interop-client")?);
    client.env_clear().env("HTTPS_PROXY", format!("http://{proxy}"));
    client.args(["-server_host=interop", &format!("-server_port={port}")]);
    let output = client.arg(format!("-test_case={case}")).output().context("the client")?;
    ensure!(
        output.status.success(),
        "{case} through {proxy}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The status that grpc-go's server answers with where it is asked for one, and no message: it is the
/// field 7 of its request, `response_status { code, message }`.
async fn asked_for(status: u8, proxy: SocketAddr, authority: &str) -> Result<String> {
    let message = [0x3a, 4, 0x08, status, 0x12, 0];
    let mut body = vec![0, 0, 0, 0, u8::try_from(message.len())?];
    body.extend(message);
    let stream = tokio::net::TcpStream::connect(proxy).await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{authority}/grpc.testing.TestService/UnaryCall"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    connection.abort();
    let found = response.headers().get("grpc-status").context("it is in the head")?;
    Ok(found.to_str()?.to_owned())
}

/// Tried by a status that was named, on a server that answers with it for ever: each try passes both
/// proxies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_made_again_by_their_status() -> Result<()> {
    let mesh = Mesh::start()?;
    let (_server, port) = server(&mesh)?;
    let service = mesh.sidecar("interop").in_a_pod("interop").with_grpc();
    let service = service.variable("SERVICE_PORTS", &format!("grpc:{port}")).start()?;
    mesh.registry.wait_for("interop", &["UP"]).await?;
    let terms = "cse: {loadbalance: {retryEnabled: true, retryOnSame: 2, retryGrpcStatuses: 'unavailable,resource-exhausted'}}\n";
    let caller = mesh.sidecar("caller").with_grpc().file("load_balancing.yaml", terms).start()?;
    let proxy = caller.consumer_grpc.context("it has gRPC")?;
    let arrived = async || -> Result<u64> {
        let text = Client::once(service.admin, "GET", "/metrics", "").await?.text();
        let counts = text.lines().filter(|line| line.starts_with("mesher_grpc_calls_total{"));
        let of = |line: &str| line.rsplit(' ').next().and_then(|it| it.parse::<u64>().ok());
        Ok(counts.filter_map(of).sum())
    };
    for (status, tries) in [(14, 3), (8, 3), (13, 1)] {
        let before = arrived().await?;
        let found = asked_for(status, proxy, &format!("interop:{port}")).await?;
        ensure!(found == status.to_string(), "{found}");
        let goal = before + tries;
        eventually(&format!("{tries} tries of {status}"), async || {
            let now = arrived().await?;
            ensure!(now <= goal, "{now} of {goal}");
            Ok(if now == goal { Ok(()) } else { Err(format!("{now} of {goal}")) })
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_implementation_calls_itself_through_two_proxies() -> Result<()> {
    let mesh = Mesh::start()?;
    let (_server, port) = server(&mesh)?;
    let service = mesh.sidecar("interop").in_a_pod("interop").with_grpc();
    let service = service.variable("SERVICE_PORTS", &format!("grpc:{port}")).start()?;
    let caller = mesh.sidecar("caller").with_grpc().start()?;
    let instances = mesh.registry.wait_for("interop", &["UP"]).await?;
    let endpoint = format!("grpc://{}", service.provider_grpc.context("it has a provider side")?);
    ensure!(instances[0].endpoints.contains(&endpoint), "{instances:?}");
    // Whichever of its proxy's ports a client was told.
    for proxy in [caller.consumer_grpc.context("it has gRPC")?, caller.consumer] {
        for case in CASES {
            run(case, proxy, port)?;
        }
    }
    // Nothing of that went past the proxies.
    let refused = run("empty_unary", caller.consumer, 1);
    let refused = refused.expect_err("that port is none of the application's").to_string();
    ensure!(refused.contains("PermissionDenied") && refused.contains("port 1"), "{refused}");
    Ok(())
}

/// Refused on either side, in words that every implementation of gRPC knows; and let through once the
/// file says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_limit_exhaust_a_resource() -> Result<()> {
    let mesh = Mesh::start()?;
    let (_server, port) = server(&mesh)?;
    let limits = |side: &str, name: &str, limit: u32| {
        format!("cse: {{flowcontrol: {{{side}: {{qps: {{limit: {{{name}: {limit}}}}}}}}}}}\n")
    };
    let service = mesh.sidecar("interop").in_a_pod("interop").with_grpc();
    let service = service.variable("SERVICE_PORTS", &format!("grpc:{port}"));
    let provider = limits("Provider", "back", 0);
    let service = service.file("rate_limiting.yaml", &provider).start()?;
    mesh.registry.wait_for("interop", &["UP"]).await?;
    let caller = |name: &str, limits: &str| {
        let setup = mesh.sidecar(name).variable("SERVICE_NAME", name).with_grpc();
        setup.file("rate_limiting.yaml", limits).start()
    };
    let front = caller("front", &limits("Consumer", "interop", 0))?;
    let back = caller("back", "{}\n")?;
    for (proxy, counts) in [(&front, &front), (&back, &service)] {
        let at = proxy.consumer_grpc.context("it has gRPC")?;
        ensure!(asked_for(0, at, &format!("interop:{port}")).await? == "8");
        let refused = run("empty_unary", at, port).expect_err("nobody may").to_string();
        ensure!(refused.contains("ResourceExhausted"), "{refused}");
        let text = Client::once(counts.admin, "GET", "/metrics", "").await?.text();
        ensure!(text.contains("reason=\"rate_limited\"} 2"), "{text}");
    }
    for (name, text) in [
        ("front", limits("Consumer", "interop", 1000)),
        ("interop", limits("Provider", "back", 1000)),
    ] {
        let file = mesh.guard().folder().join(format!("conf-{name}/rate_limiting.yaml"));
        std::fs::write(file, text)?;
    }
    for proxy in [front, back] {
        let at = proxy.consumer_grpc.context("it has gRPC")?;
        eventually("a call", async || {
            let called = tokio::task::block_in_place(|| run("empty_unary", at, port));
            Ok(called.map_err(|refused| refused.to_string()))
        })
        .await?;
    }
    Ok(())
}
