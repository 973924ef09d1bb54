//! The certificates and keys of one control plane, made fresh for it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Whom the API server's certificate is for, wherever it runs.
const API_SERVER: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "10.96.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Where the files lie; keys are P-256 in PKCS#8 PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    folder: PathBuf,
}

/// A user whose certificate the API server knows by its subject.
pub(crate) struct User {
    /// Names the files and the kubeconfig.
    pub(crate) file: &'static str,
    pub(crate) common_name: &'static str,
    pub(crate) organization: Option<&'static str>,
}

/// May do everything, past RBAC.
pub(crate) const ADMIN: User =
    User { file: "admin", common_name: "admin", organization: Some("system:masters") };
/// The controller manager.
pub(crate) const CONTROLLER_MANAGER: User = User {
    file: "controller-manager",
    common_name: "system:kube-controller-manager",
    organization: None,
};

/// The CA, as long as there are certificates to issue.
pub(crate) struct Authority {
    pki: Pki,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Writes a CA and the key of the service account tokens.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let pki = Pki::at(folder);
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "testbed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        fs::write(pki.ca(), params.self_signed(&key)?.pem())?;
        let tokens = KeyPair::generate()?;
        fs::write(pki.key("service-account"), tokens.serialize_pem())?;
        fs::write(pki.public_key("service-account"), tokens.public_key_pem())?;
        Ok(Self { pki, issuer: Issuer::new(params, key) })
    }

    /// The files it writes.
    pub(crate) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The API server's certificate, also for these names and addresses.
    pub(crate) fn apiserver(&self, names: &[&str]) -> Result<()> {
        self.server("apiserver", "kube-apiserver", &[&API_SERVER[..], names].concat())
    }

    /// A certificate for whoever answers under these names and addresses.
    pub(crate) fn server(&self, file: &str, common_name: &str, names: &[&str]) -> Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        self.issue(file, params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A user's certificate, and a kubeconfig that says where the API server is.
    pub(crate) fn user(&self, user: &User, api_url: &str) -> Result<()> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, user.common_name);
        if let Some(organization) = user.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        self.issue(user.file, params, ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(fs::write(self.pki.kubeconfig(user), self.pki.kubeconfig_text(user, api_url))?)
    }

    fn issue(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<()> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        fs::write(self.pki.certificate(name), params.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(self.pki.key(name), key.serialize_pem())?;
        Ok(())
    }
}

impl Pki {
    /// The files that were written to `folder` before.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The CA's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.certificate("ca")
    }

    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    pub(crate) fn public_key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pub"))
    }

    pub(crate) fn kubeconfig(&self, user: &User) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", user.file))
    }

    fn kubeconfig_text(&self, user: &User, api_url: &str) -> String {
        let (ca, certificate, key) = (self.ca(), self.certificate(user.file), self.key(user.file));
        format!(
            "apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster:
    server: {api_url}
    certificate-authority: {}
users:
- name: {name}
  user:
    client-certificate: {}
    client-key: {}
contexts:
- name: testbed
  context: {{cluster: testbed, user: {name}}}
current-context: testbed
",
            ca.display(),
            certificate.display(),
            key.display(),
            name = user.file,
        )
    }
}
