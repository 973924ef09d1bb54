//! Certificates, and the files and clients that have them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{LineEnding, PrivateKeyInfoRef};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use sidecar::settings::Tls;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::Client;

/// A CA.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, as PEM.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// A leaf that servers and clients may show.
    pub(crate) fn issue(&self, names: &[&str]) -> Leaf {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(certificate).expect("a CA");
        roots
    }
}

impl Leaf {
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        chain.collect::<Result<_, _>>().expect("PEM")
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM")
    }

    /// The key as only this password opens it.
    pub(crate) fn locked_key(&self, password: &str) -> String {
        let key = self.private_key();
        let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(1000, &[7; 8], [7; 16]);
        PrivateKeyInfoRef::try_from(key.secret_der())
            .and_then(|key| key.encrypt_with_params(parameters.expect("parameters"), password))
            .expect("an encrypted key")
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .expect("PEM")
            .to_string()
    }
}

/// A mounted Secret: files behind a symlink to a folder, both replaced by a rename.
pub(crate) struct Mount {
    folder: TempDir,
    version: u32,
}

impl Mount {
    pub(crate) fn new(authority: &Authority, leaf: &Leaf) -> Self {
        let mut mount = Self { folder: TempDir::new().expect("a folder"), version: 0 };
        for name in ["tls.crt", "tls.key", "password", "ca.crt"] {
            let link = mount.path(name);
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).expect("a symlink");
        }
        mount.write(&authority.pem, &leaf.certificate, &leaf.key);
        mount
    }

    /// Replaces all files at once, as a kubelet does.
    pub(crate) fn write(&mut self, ca: &str, certificate: &str, key: &str) {
        self.replace(&[("ca.crt", ca), ("tls.crt", certificate), ("tls.key", key)]);
    }

    /// The same, with the password of the key.
    pub(crate) fn write_locked(&mut self, certificate: &str, key: &str, password: &str) {
        self.replace(&[("tls.crt", certificate), ("tls.key", key), ("password", password)]);
    }

    fn replace(&mut self, files: &[(&str, &str)]) {
        self.version += 1;
        let version = format!("..version-{}", self.version);
        fs::create_dir(self.path(&version)).expect("a folder");
        for (name, text) in files {
            fs::write(self.path(&version).join(name), text).expect("a file");
        }
        std::os::unix::fs::symlink(&version, self.path("..new")).expect("a symlink");
        fs::rename(self.path("..new"), self.path("..data")).expect("a rename");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a listener shows.
    pub(crate) fn shown(&self) -> Tls {
        Tls {
            certificate: Some(self.path("tls.crt")),
            key: Some(self.path("tls.key")),
            ..Tls::default()
        }
    }

    /// The same, where the key has a password.
    pub(crate) fn locked(&self) -> Tls {
        Tls { password: Some(self.path("password")), ..self.shown() }
    }

    /// What is shown, and whom to trust.
    pub(crate) fn mutual(&self) -> Tls {
        Tls { verify_peer: Some(true), ..self.both() }
    }

    /// Whom to trust.
    pub(crate) fn trusted(&self) -> Tls {
        Tls { ca: Some(self.path("ca.crt")), ..Tls::default() }
    }

    fn both(&self) -> Tls {
        Tls { ca: Some(self.path("ca.crt")), ..self.shown() }
    }
}

/// How a client of a test makes its sessions.
#[derive(Clone)]
pub(crate) struct Dialer(pub(crate) ClientConfig);

impl Dialer {
    pub(crate) fn new(trust: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(trust.roots())
            .with_no_client_auth();
        Self(config)
    }

    /// With a certificate of its own.
    pub(crate) fn showing(trust: &Authority, leaf: &Leaf) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(trust.roots())
            .with_client_auth_cert(leaf.chain(), leaf.private_key())
            .expect("a pair");
        Self(config)
    }

    /// A session with whoever is `name` at `address`.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        self.over(tcp, name).await
    }

    /// The same on a connection that stands.
    pub(crate) async fn over(
        &self,
        tcp: TcpStream,
        name: &str,
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        Ok(Client::over(connector.connect(name, tcp).await?))
    }
}
