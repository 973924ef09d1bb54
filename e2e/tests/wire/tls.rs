//! R6: certificates and protocol versions.

use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use certs::{Authority, Certificate, Names, Terms};
use e2e::injector::{Injector, PATIENCE, configuration_file, tls_folder};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use crate::data::{V1, shared};

#[test]
fn r06_the_certificate_is_for_the_service_and_for_servers() -> Result<()> {
    let chain = shared()?.http1()?.certificates();
    let leaf = Certificate::from_der(chain[0].clone(), "the wire")?;
    for name in ["sidecar-injector.default.svc", "127.0.0.1"] {
        assert!(leaf.names().iter().any(|n| n == name), "{name}: {:?}", leaf.names());
    }
    assert!(leaf.is_for_servers() && !leaf.is_ca());
    Ok(())
}

#[test]
fn r06_tls_1_2_and_1_3_on_http_1_and_2() -> Result<()> {
    for version in [&TLS12, &TLS13] {
        let ca = fs::read(tls_folder(shared()?.folder()).join("ca.crt"))?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(Certificate::all_from_pem(&ca, "ca.crt")?[0].der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (address, config) = (shared()?.webhook(), Arc::new(config));
        let mut http1 = e2e::wire::Http1::connect(address, &config)?;
        assert_eq!(http1.post("/mutate", V1)?.status, 200, "{version:?}");
        let mut http2 = e2e::wire::Http2::connect(address, &config)?;
        assert_eq!(http2.post("/mutate", V1)?.status, 200, "{version:?}");
    }
    Ok(())
}

#[test]
fn r06_many_reviews_share_a_connection() -> Result<()> {
    let bodies = vec![V1; 150];
    let replies = shared()?.http2()?.post_all("/mutate?timeout=30s", &bodies)?;
    assert!(replies.iter().all(|reply| reply.status == 200));
    let mut http1 = shared()?.http1()?;
    for _ in 0..20 {
        assert_eq!(http1.post("/mutate", V1)?.status, 200);
    }
    Ok(())
}

/// B7: the original served a renewed certificate only after a restart. B8: and not at all while a
/// file of its configuration was faulty, so here one is.
#[test]
fn r06_a_new_certificate_is_served_to_the_next_connection() -> Result<()> {
    let (terms, now) = (Terms::default(), SystemTime::now());
    let authority = Authority::generate("test", &terms, now)?;
    let names = Names::default().with("127.0.0.1")?;
    let first = authority.issue(&names, &terms, now)?;
    let second = authority.issue(&names, &terms, now)?;
    let write = |folder: &std::path::Path, identity: &certs::Identity| -> Result<()> {
        let (chain, key) = (identity.chain_pem(), identity.key().expose_pem());
        fs::write(folder.join("tls.key"), key)?;
        fs::write(folder.join("tls.crt"), chain)?;
        Ok(())
    };
    let injector = Injector::start_with("", |command, folder| {
        let tls = tls_folder(folder);
        fs::create_dir_all(&tls)?;
        fs::write(tls.join("ca.crt"), authority.certificate().to_pem())?;
        write(&tls, &first)?;
        command.arg("--tls-mode=files").arg("--tls-folder").arg(tls);
        Ok(())
    })?;
    let mut open = injector.http1()?;
    assert_eq!(open.certificates()[0], *first.leaf().der());
    assert_eq!(open.post("/mutate", V1)?.status, 200);

    fs::write(configuration_file(injector.folder()), "policy: [")?;
    injector.server().wait_until("told of the fault", PATIENCE, || {
        injector.metric("sidecar_injector_configuration_reload_failed").is_ok_and(|v| v == 1)
    })?;
    write(&tls_folder(injector.folder()), &second)?;
    injector.server().wait_until("serving the new certificate", PATIENCE, || {
        injector.http1().is_ok_and(|http1| http1.certificates()[0] == *second.leaf().der())
    })?;
    assert_eq!(open.post("/mutate", V1)?.status, 200, "the old connection lives on");
    Ok(())
}
