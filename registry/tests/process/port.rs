use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http;
use crate::server::{PATIENCE, Registry, refused};

#[test]
fn a_port_that_is_taken_is_named() -> Result<()> {
    let registry = Registry::start(&[])?;
    let error = refused(&["--listen", &registry.address])?;
    ensure!(error.contains(&registry.address) && error.contains("--listen"), "{error}");
    Ok(())
}

#[test]
fn it_listens_on_ipv6_and_on_both() -> Result<()> {
    if TcpStream::connect("[::1]:9").is_err_and(|error| error.raw_os_error() == Some(99)) {
        testbed::skip("this machine has no IPv6");
        return Ok(());
    }
    let registry = Registry::listening("[::1]:0", &[])?;
    crate::register(&registry, "a")?;
    let registry = Registry::listening("[::]:0", &[])?;
    let port = registry.address.rsplit(':').next().unwrap_or_default();
    for host in ["127.0.0.1", "[::1]"] {
        let here = format!("{host}:{port}");
        let health = http::send(&here, "GET", "/health", &[], None)?.json();
        let endpoint = format!("rest://{here}/");
        ensure!(health["instances"][0]["endpoints"][0] == endpoint.as_str(), "{health}");
    }
    Ok(())
}

#[test]
fn it_tells_about_itself() -> Result<()> {
    let registry = Registry::start(&[])?;
    let id = crate::register(&registry, "a")?;
    crate::register_instance(&registry, &id, "i")?;
    let health = http::send(&registry.address, "GET", "/health", &[], None)?.json();
    let own = format!("rest://{}/", registry.address);
    ensure!(health["instances"][0]["endpoints"][0] == own.as_str(), "{health}");
    let metrics = http::send(&registry.address, "GET", "/metrics", &[], None)?.body;
    for line in [
        "service_registry_services 1",
        "service_registry_instances 1",
        "service_registry_requests_total{code=\"200\"} 3",
    ] {
        ensure!(metrics.lines().any(|it| it == line), "{line} is missing in\n{metrics}");
    }
    Ok(())
}

#[test]
fn with_a_certificate_it_speaks_tls_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    fs::write(&certificate, issued.cert.pem())?;
    fs::write(&key, issued.signing_key.serialize_pem())?;
    let files = [certificate.to_str().unwrap_or_default(), key.to_str().unwrap_or_default()];
    let tls = ["--tls-cert", files[0], "--tls-key", files[1]];
    let registry = Registry::start(&tls)?;
    let answer = version_over_tls(&registry, &issued.cert.pem())?;
    ensure!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    ensure!(http::send(&registry.address, "GET", "/version", &[], None).is_err(), "no plain HTTP");

    fs::write(&key, "no key")?;
    let mut arguments = vec!["--listen", "127.0.0.1:0"];
    arguments.extend(tls);
    let error = refused(&arguments)?;
    ensure!(error.contains("--tls-cert") && error.contains("tls.key"), "{error}");
    Ok(())
}

#[test]
fn an_encrypted_key_is_opened_by_its_password_file() -> Result<()> {
    const KEY: &str = include_str!("../../../certs/tests/keys/ec.pem");
    const LOCKED_KEY: &str = include_str!("../../../certs/tests/keys/genpkey-aes-256-cbc.pem");
    let folder = tempfile::tempdir()?;
    let names = ["tls.crt", "tls.key", "password"].map(|name| folder.path().join(name));
    let [certificate, key, password] = &names;
    let params = rcgen::CertificateParams::new(["localhost".to_owned()])?;
    let pem = params.self_signed(&rcgen::KeyPair::from_pem(KEY)?)?.pem();
    fs::write(certificate, &pem)?;
    fs::write(key, LOCKED_KEY)?;
    fs::write(password, "battery-staple\n")?;
    let paths = names.each_ref().map(|path| path.to_str().unwrap_or_default());
    let tls = ["--tls-cert", paths[0], "--tls-key", paths[1]];
    let locked = [&tls[..], &["--tls-key-password-file", paths[2]]].concat();

    for (arguments, wanted) in [(&tls[..], "--tls-key-password-file"), (&locked, "does not open")] {
        let error = refused(&[&["--listen", "127.0.0.1:0"], arguments].concat())?;
        ensure!(error.contains(paths[1]) && error.contains(wanted), "{error}");
        ensure!(!error.contains("battery"), "{error}");
    }
    fs::write(password, "correct-horse\n")?;
    let registry = Registry::start(&locked)?;
    let answer = version_over_tls(&registry, &pem)?;
    ensure!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    Ok(())
}

/// What `GET /version` answers to who trusts this certificate.
fn version_over_tls(registry: &Registry, trusted: &str) -> Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(trusted.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let session = ClientConnection::new(Arc::new(config), name)?;
    let tcp = TcpStream::connect(&registry.address)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(session, tcp);
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // It may end without a goodbye of TLS.
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
