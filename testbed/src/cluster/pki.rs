//! The certificates and keys of one control plane, made fresh for it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Where the files lie; keys are P-256 in PKCS#8 PEM.
pub(super) struct Pki {
    folder: PathBuf,
}

/// A user whose certificate the API server knows by its subject.
pub(super) struct User {
    /// Names the files and the kubeconfig.
    pub(super) file: &'static str,
    common_name: &'static str,
    organization: Option<&'static str>,
}

/// May do everything, past RBAC.
pub(super) const ADMIN: User =
    User { file: "admin", common_name: "admin", organization: Some("system:masters") };
/// The controller manager.
pub(super) const CONTROLLER_MANAGER: User = User {
    file: "controller-manager",
    common_name: "system:kube-controller-manager",
    organization: None,
};

impl Pki {
    /// Writes a CA, the API server's certificate, the key of the service account
    /// tokens, and a certificate and kubeconfig for each user.
    pub(super) fn write(folder: &Path, api_url: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let pki = Self { folder: folder.to_owned() };

        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "testbed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        fs::write(pki.ca(), params.self_signed(&key)?.pem())?;
        let ca = Issuer::new(params, key);

        let mut serving = CertificateParams::new(
            [
                "localhost",
                "127.0.0.1",
                "10.96.0.1",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ]
            .map(String::from),
        )?;
        serving.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        pki.issue("apiserver", serving, ExtendedKeyUsagePurpose::ServerAuth, &ca)?;

        for user in [ADMIN, CONTROLLER_MANAGER] {
            let mut client = CertificateParams::new(Vec::new())?;
            client.distinguished_name.push(DnType::CommonName, user.common_name);
            if let Some(organization) = user.organization {
                client.distinguished_name.push(DnType::OrganizationName, organization);
            }
            pki.issue(user.file, client, ExtendedKeyUsagePurpose::ClientAuth, &ca)?;
            fs::write(pki.kubeconfig(&user), pki.kubeconfig_text(&user, api_url))?;
        }
        let tokens = KeyPair::generate()?;
        fs::write(pki.key("service-account"), tokens.serialize_pem())?;
        fs::write(pki.public_key("service-account"), tokens.public_key_pem())?;
        Ok(pki)
    }

    /// The files that were written to `folder` before.
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The CA's certificate.
    pub(super) fn ca(&self) -> PathBuf {
        self.certificate("ca")
    }

    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    pub(super) fn public_key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pub"))
    }

    pub(super) fn kubeconfig(&self, user: &User) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", user.file))
    }

    fn issue(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        ca: &Issuer<'_, KeyPair>,
    ) -> Result<()> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        fs::write(self.certificate(name), params.signed_by(&key, ca)?.pem())?;
        fs::write(self.key(name), key.serialize_pem())?;
        Ok(())
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
