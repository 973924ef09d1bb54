//! The webhook's certificate: where it comes from by configuration.

use certs::store::FolderStore;
use certs::{Files, Names, Replica, Serving};

use super::error::ServerError;
use crate::config::{Config, TlsMode};

/// Starts what keeps the certificate current. `namespace` is the injector's own; `client` is
/// there unless the injector runs without a cluster, and `replica` unless it is the only one.
pub(super) fn serving(
    config: &Config,
    namespace: &str,
    client: Option<&kube::Client>,
    replica: Option<Replica>,
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
            let (names, terms) = (names(config, namespace)?, tls.terms());
            Ok(match replica {
                Some(replica) => Serving::of_shared_store(store, names, terms, replica),
                None => Serving::of_store(store, names, terms),
            })
        }
        // `Config::validate` has refused these.
        (TlsMode::Files, None, _) | (TlsMode::SelfIssued, None, None) => Err(ServerError::NoFolder),
    }
}

/// Whether replicas share what one of them has to write: a Secret, or `caBundle` alone where files
/// name the CA. What lies in a folder is one process' own.
pub(super) fn is_shared(config: &Config) -> bool {
    let tls = &config.tls;
    config.kubernetes.enabled
        && match tls.mode {
            TlsMode::SelfIssued => tls.folder.is_none(),
            TlsMode::Files => tls.ca.is_some(),
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
