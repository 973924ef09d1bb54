//! TLS for the port: a certificate that others may renew while we run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::{Files, Folder, Serving};
use tokio_rustls::TlsAcceptor;

use crate::error::Error;

/// Serves `certificate` and `key`, and follows them when they change. That they can be used is
/// known when this returns.
pub(super) fn serve(certificate: &Path, key: &Path) -> Result<(TlsAcceptor, Serving), Error> {
    let folder = match certificate.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = certificate.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Read beside the certificate, or where its own path says.
    let key = std::path::absolute(key).unwrap_or_else(|_| key.to_owned());
    let files = Files {
        folder: Folder::new(folder),
        certificate: name,
        key: key.to_string_lossy().into_owned(),
        ca: None,
    };
    let (identity, _) = files.load()?;
    let serving = Serving::of_files(files);
    serving.resolver().publish(&identity);
    let config = certs::server_config(serving.resolver());
    Ok((TlsAcceptor::from(Arc::new(config)), serving))
}
