//! A registry with TLS, and a mesh that speaks TLS throughout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::mesh::{Arguments, Mesh};

/// A key, and the same as only [`PASSWORD`] opens it.
const KEY: &str = include_str!("../../../certs/tests/keys/ec.pem");
const LOCKED_KEY: &str = include_str!("../../../certs/tests/keys/ec-aes256.pem");
const PASSWORD: &str = "correct-horse\n";

/// Files of a CA and of a certificate of it.
struct Files(TempDir);

impl Files {
    fn new() -> Result<Self> {
        let files = Self(tempfile::tempdir()?);
        files.renew()?;
        Ok(files)
    }

    /// Writes all of them anew: another CA, another certificate and key.
    fn renew(&self) -> Result<()> {
        self.write(&KeyPair::generate()?)
    }

    /// The same, for a key that has a password.
    fn lock(&self) -> Result<()> {
        self.write(&KeyPair::from_pem(KEY)?)?;
        fs::write(self.path("tls.key"), LOCKED_KEY)?;
        fs::write(self.path("password"), PASSWORD)?;
        Ok(())
    }

    fn write(&self, key: &KeyPair) -> Result<()> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let signing = KeyPair::generate()?;
        let ca = params.self_signed(&signing)?.pem();
        let issuer = Issuer::new(params, signing);
        let names = ["127.0.0.1", "RESTServer"].map(str::to_owned);
        let leaf = CertificateParams::new(names)?.signed_by(key, &issuer)?.pem();
        for (name, text) in [("ca.crt", ca), ("tls.crt", leaf), ("tls.key", key.serialize_pem())] {
            let beside = self.path("new");
            fs::write(&beside, text)?;
            fs::rename(beside, self.path(name))?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn flag(key: &str, path: &Path) -> String {
    format!("--ssl.{key}={}", path.display())
}

#[tokio::test]
async fn a_registry_with_tls_renews_its_certificate_and_its_ca() -> Result<()> {
    let files = Files::new()?;
    let path = |name: &str| files.path(name).display().to_string();
    let mesh = Mesh::start_with(|_| Arguments {
        registry: ["--tls-cert", &path("tls.crt"), "--tls-key", &path("tls.key")]
            .map(str::to_owned)
            .into(),
        both: vec![flag("registrator.Consumer.caFile", &files.path("ca.crt"))],
        provider: Vec::new(),
    })?;
    let _service = mesh.start_service()?;
    mesh.answers(200).await?;

    files.renew()?;
    mesh.wait_for_metrics(&["mesher_tls_reloads_total{result=\"ok\"} 1"]).await?;
    // What is said from now on is said on new connections: that the instance goes.
    mesh.drain()?;
    mesh.answers(502).await?;
    Ok(())
}

#[tokio::test]
async fn proxies_that_prove_themselves_to_each_other_by_an_encrypted_key() -> Result<()> {
    let files = Files::new()?;
    files.lock()?;
    let mesh = Mesh::start_with(|_| {
        let tag = |tag: &str, keys: &[(&str, &str)]| {
            let flags =
                keys.iter().map(|(key, name)| flag(&format!("{tag}.{key}"), &files.path(name)));
            flags.collect::<Vec<_>>()
        };
        let all = [
            ("certFile", "tls.crt"),
            ("keyFile", "tls.key"),
            ("certPwdFile", "password"),
            ("caFile", "ca.crt"),
        ];
        let mut provider = tag("RESTServer.rest.Provider", &all);
        provider.push("--ssl.RESTServer.rest.Provider.verifyPeer=true".to_owned());
        Arguments { registry: Vec::new(), both: tag("RESTServer.rest.Consumer", &all), provider }
    })?;
    let _service = mesh.start_service()?;
    let body = mesh.answers(200).await?;
    assert!(body.contains("GET /sayhello/peter HTTP/1.1"), "{body}");
    let made = "mesher_tls_handshakes_total{side=\"server\",result=\"ok\"} 1";
    mesh.wait_for_metrics(&[made]).await
}
