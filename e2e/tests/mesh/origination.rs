//! Requests that leave the mesh within TLS: to nginx, and to grpc-go.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::mesh::{Mesh, PATIENCE, Raw, Sidecar, eventually, loopback};
use e2e::wire::Reply;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use testbed::{Server, free_ports, skip, tools};

/// Files of a CA, and of two certificates of it.
struct Files(PathBuf);

impl Files {
    fn new(mesh: &Mesh) -> Result<Self> {
        let files = Self(mesh.guard().folder().join("tls"));
        fs::create_dir_all(&files.0)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signing = KeyPair::generate()?;
        fs::write(files.path("ca.crt"), params.self_signed(&signing)?.pem())?;
        let issuer = Issuer::new(params, signing);
        for (name, hosts) in
            [("server", vec!["localhost", "other.example"]), ("front", vec!["front"])]
        {
            let key = KeyPair::generate()?;
            let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
            let mut leaf = CertificateParams::new(hosts)?;
            // OpenSSL takes what has its issuer's name for its own issuer.
            leaf.distinguished_name.push(DnType::CommonName, name);
            let leaf = leaf.signed_by(&key, &issuer)?;
            fs::write(files.path(&format!("{name}.crt")), leaf.pem())?;
            fs::write(files.path(&format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// nginx with TLS, which answers with what it sees of its client.
fn nginx(mesh: &Mesh, files: &Files, program: &Path) -> Result<(Server, u16)> {
    let [port] = free_ports()?;
    let folder = mesh.guard().folder().join("nginx");
    fs::create_dir_all(&folder)?;
    let text = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;
         events {{ worker_connections 64; }}
         http {{
           access_log off; keepalive_requests 5;
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
           uwsgi_temp_path uwsgi; scgi_temp_path scgi;
           server {{
             listen 127.0.0.1:{port} ssl;
             ssl_certificate {0}; ssl_certificate_key {1};
             ssl_client_certificate {2}; ssl_verify_client optional;
             location / {{
               return 200 \"name=$ssl_server_name client=$ssl_client_verify host=$http_host \
                          path=$request_uri alpn=$ssl_alpn_protocol\";
             }}
           }}
         }}",
        files.shown("server.crt"),
        files.shown("server.key"),
        files.shown("ca.crt"),
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).args(["-e", "stderr", "-c"]).arg(&file);
    let server = mesh.guard().spawn("nginx", &mut command)?;
    accepting(&server, port)?;
    Ok((server, port))
}

fn accepting(server: &Server, port: u16) -> Result<()> {
    server
        .wait_until("accepting", PATIENCE, || std::net::TcpStream::connect(loopback(port)).is_ok())
}

fn rule(port: u16) -> String {
    format!(
        "egressRule: {{out: [{{hosts: ['*calhost'], ports: [{{port: {port}, protocol: HTTPS}}]}}]}}\n"
    )
}

fn ensure_is(reply: &Reply, status: u16, words: &[&str]) -> Result<()> {
    let text = reply.text();
    ensure!(reply.status == status, "{}: {text}", reply.status);
    for word in words {
        ensure!(text.contains(word), "{word} is not in {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_requests_leave_within_tls() -> Result<()> {
    let runs = |program: &PathBuf| {
        Command::new(program).arg("-v").output().is_ok_and(|it| it.status.success())
    };
    let Some(program) = tools::program("nginx").ok().filter(runs) else {
        skip("nginx is not to be had here");
        return Ok(());
    };
    let mesh = Mesh::start()?;
    let files = Files::new(&mesh)?;
    let (_nginx, port) = nginx(&mesh, &files, &program)?;
    let start = |name: &str, tls: &str| -> Result<Sidecar> {
        let caller = mesh.sidecar(name).variable("MESHER_PASSTHROUGH", "none");
        let caller = caller.file("egress.yaml", &rule(port));
        let tls = if tls.is_empty() { tls.to_owned() } else { format!("ssl:\n{tls}") };
        caller.file("tls.yaml", &tls).start()
    };
    let ca = format!("  egress.Consumer.caFile: {}\n", files.shown("ca.crt"));

    // Who answers has to be whom the URL names, and a CA that is trusted has to say so.
    let caller = start("trusting", &ca)?;
    let reply = caller.get("http://localhost/a?b=c").await?;
    let seen =
        ["name=localhost ", "client=NONE", "host=localhost ", "path=/a?b=c", "alpn=http/1.1"];
    ensure_is(&reply, 200, &seen)?;
    let reply = caller.get(&format!("http://localhost:{port}/")).await?;
    ensure_is(&reply, 200, &["name=localhost ", &format!("host=localhost:{port} ")])?;
    ensure_is(&caller.get("http://127.0.0.1/").await?, 403, &["127.0.0.1"])?;
    // Within a tunnel, too, where what is spoken there is plain.
    let mut raw = Raw::connect(caller.consumer).await?;
    raw.send(format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"))
        .await?;
    ensure!(raw.head().await?.starts_with("HTTP/1.1 200"), "no tunnel");
    raw.send(format!("GET /inside HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")).await?;
    ensure_is(&raw.reply("GET").await?, 200, &["path=/inside", "name=localhost "])?;

    // Public CAs do not know this one.
    let caller = start("public", "")?;
    let reply = caller.get("http://localhost/").await?;
    ensure_is(&reply, 502, &[])?;
    ensure!(reply.header("x-mesher-error") == Some("tls_failed"), "{}", reply.text());
    ensure!(caller.server.log().contains("UnknownIssuer"), "{}", caller.server.log());

    // What one host is shown and has to prove may be another matter; a changed file is followed.
    let of_host = format!(
        "{ca}  localhost.egress.Consumer.serverName: other.example\n  localhost.egress.Consumer.certFile: {}\n  localhost.egress.Consumer.keyFile: {}\n",
        files.shown("front.crt"),
        files.shown("front.key")
    );
    let caller = start("known", &of_host)?;
    let reply = caller.get("http://localhost/").await?;
    ensure_is(&reply, 200, &["name=other.example", "client=SUCCESS", "host=localhost "])?;
    let wrong = "ssl:\n  egress.Consumer.serverName: nobody.example\n".to_owned() + &ca;
    fs::write(mesh.guard().folder().join("conf-known/tls.yaml"), wrong)?;
    eventually("another name", async || {
        let reply = caller.get("http://localhost/").await?;
        Ok(if reply.status == 502 { Ok(()) } else { Err(reply.text()) })
    })
    .await
}

/// The status of an empty call, in its trailers.
async fn call(proxy: SocketAddr, url: &str) -> Result<String> {
    let stream = tokio::net::TcpStream::connect(proxy).await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])))?;
    let response = sender.send_request(request).await?;
    let head = response.headers().clone();
    let body = response.into_body().collect().await?;
    connection.abort();
    let trailers = body.trailers().cloned().unwrap_or(head);
    let status = trailers.get("grpc-status").context("there is no status")?;
    let said = trailers.get("grpc-message").map(|it| it.to_str().unwrap_or_default().to_owned());
    Ok(format!("{} {}", status.to_str()?, said.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_leave_within_tls_and_http_2() -> Result<()> {
    let mesh = Mesh::start()?;
    let files = Files::new(&mesh)?;
    let [port] = free_ports()?;
    let mut command = Command::new(tools::program("grpc-interop-server")?);
    command.env_clear().args([
        format!("-port={port}"),
        "-use_tls".to_owned(),
        format!("-tls_cert_file={}", files.shown("server.crt")),
        format!("-tls_key_file={}", files.shown("server.key")),
    ]);
    let server = mesh.guard().spawn("grpc-interop-server", &mut command)?;
    accepting(&server, port)?;
    let tls = format!("ssl: {{egress.Consumer.caFile: {}}}\n", files.shown("ca.crt"));
    let caller = mesh.sidecar("caller").with_grpc();
    let caller = caller.file("egress.yaml", &rule(port)).file("tls.yaml", &tls).start()?;
    let url = format!("http://localhost:{port}/grpc.testing.TestService/EmptyCall");
    let proxy = caller.consumer_grpc.context("it has gRPC")?;
    for _ in 0..3 {
        let status = call(proxy, &url).await?;
        ensure!(status.trim() == "0", "{status}");
    }
    Ok(())
}
