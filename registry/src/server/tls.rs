//! TLS for the port: a certificate that others may renew while we run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::{Files, Folder, OpenedKeys, Serving};
use tokio_rustls::TlsAcceptor;

use crate::error::Error;

/// What the port shows.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The file of the certificate chain.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// The file of the key's password, where it has one.
    pub password: Option<PathBuf>,
}

/// Serves what the files hold, and follows them when they change. That they can be used is known
/// when this returns.
pub(super) fn serve(
    Tls { certificate, key, password }: &Tls,
) -> Result<(TlsAcceptor, Serving), Error> {
    let folder = match certificate.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = certificate.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Read beside the certificate, or where its own path says.
    let own = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.to_string_lossy().into_owned()
    };
    let files = Files {
        folder: Folder::new(folder),
        certificate: name,
        key: own(key),
        password: password.as_deref().map(own),
        ca: None,
    };
    let (identity, _) = files.load(&mut OpenedKeys::new())?;
    let serving = Serving::of_files(files);
    serving.resolver().publish(&identity);
    let config = certs::server_config(serving.resolver());
    Ok((TlsAcceptor::from(Arc::new(config)), serving))
}
