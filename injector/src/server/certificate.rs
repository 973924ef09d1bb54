//! The webhook's certificate: where it comes from by configuration.

use certs::store::FolderStore;
use certs::{Files, Names, Serving};

use super::run::ServerError;
use crate::config::{Config, TlsMode};

/// Starts what keeps the certificate current. `namespace` is the injector's own; `client` is
/// there unless the injector runs without a cluster.
pub(super) fn serving(
    config: &Config,
    namespace: &str,
    client: Option<&kube::Client>,
) -> Result<Serving, ServerError> {
    let tls = &config.tls;
    match (tls.mode, &tls.folder, client) {
        (TlsMode::Files, Some(folder), _) => Ok(Serving::of_files(Files {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            ca: tls.ca.clone(),
            ..Files::of_folder(folder)
        })),
        (TlsMode::SelfIssued, Some(folder), _) => {
            Ok(Serving::of_store(FolderStore::new(folder), names(config, namespace)?, tls.terms()))
        }
        (TlsMode::SelfIssued, None, Some(client)) => {
            let store = certs::store::SecretStore::new(client.clone(), namespace, &tls.secret);
            Ok(Serving::of_store(store, names(config, namespace)?, tls.terms()))
        }
        // `Config::validate` has refused these.
        (TlsMode::Files, None, _) | (TlsMode::SelfIssued, None, None) => Err(ServerError::NoFolder),
    }
}

/// What the API server may call the injector.
fn names(config: &Config, namespace: &str) -> Result<Names, certs::Error> {
    let names = Names::of_service(&config.kubernetes.service, namespace)?;
    match &config.kubernetes.url {
        Some(url) => names.with_url(url),
        None => Ok(names),
    }
}
