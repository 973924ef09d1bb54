//! From the settings to what the client of service-center is told.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use certs::{Bundle, Identity as Certificate};
use discovery::servicecenter::{Given, Options, OwnInstance, OwnService, acceptable, instance_id};
use mesh::Protocol;
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;

use crate::error::Error;
use crate::settings::{ServiceCenter, Settings, Tls};

/// The tag of `tls.yaml` that the way to service-center has.
pub(crate) const TAG: &str = "registrator.Consumer";

/// What the client is told. Names are made such that service-center takes them; what had to be
/// changed is kept in the properties.
pub(crate) fn options(settings: &Settings, terms: &ServiceCenter) -> Result<Options, Error> {
    let tls = match settings.tls.get(TAG) {
        Some(tls) => Some(Arc::new(client_config(tls)?)),
        None => None,
    };
    Ok(Options {
        addresses: terms.addresses.clone(),
        tenant: terms.tenant.clone(),
        project: terms.project.clone(),
        refresh_interval: terms.refresh_interval,
        watch: terms.watch,
        heartbeat_interval: terms.heartbeat_interval,
        tls,
        account: terms.account.as_ref().map(|a| (a.name.clone(), a.password.clone())),
        service: terms.register.then(|| service(settings, terms)),
    })
}

fn service(settings: &Settings, terms: &ServiceCenter) -> OwnService {
    let identity = &settings.identity;
    let accepted = acceptable(Given {
        app: &identity.app,
        service: &identity.service,
        version: &identity.version,
        environment: &identity.environment,
        host: &identity.host,
    });
    let raw = accepted.raw.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    let mut properties = identity.service_properties.clone();
    properties.extend(raw.clone());
    properties.insert("allowCrossApp".to_owned(), terms.allow_cross_app.to_string());

    let endpoints = endpoints(settings);
    let instance = (!endpoints.is_empty()).then(|| {
        let mut properties = identity.instance_properties.clone();
        properties.extend(raw);
        let pod = identity.pod.as_ref();
        if let Some(node) = pod.map(|pod| &pod.node_ip).filter(|ip| !ip.is_empty()) {
            properties.insert("nodeIP".to_owned(), node.clone());
        }
        // A pod's uid tells apart two pods of one name, as of a StatefulSet.
        let uid = pod.map(|pod| pod.uid.as_str()).filter(|uid| !uid.is_empty());
        let place = uid.unwrap_or(&accepted.host);
        let (app, name, version) = (&accepted.app, &accepted.service, &accepted.version);
        OwnInstance {
            id: instance_id(place, app, name, version, &endpoints),
            host_name: accepted.host.clone(),
            endpoints,
            properties,
        }
    });
    OwnService {
        app: accepted.app,
        name: accepted.service,
        version: accepted.version,
        environment: accepted.environment.to_owned(),
        properties,
        instance,
    }
}

/// What is registered of [`Settings::provider_addresses`].
fn endpoints(settings: &Settings) -> Vec<String> {
    let bound: Vec<_> = settings.provider_addresses().collect();
    if bound.is_empty() {
        return Vec::new();
    }
    let advertised = settings.listeners.advertise_http.map_or(bound, |address| vec![address]);
    let tls = settings.tls.contains_key(&format!("{}.rest.Provider", settings.identity.service));
    let suffix = if tls { "?sslEnabled=true" } else { "" };
    let scheme = Protocol::Rest.as_str();
    advertised.iter().map(|address| format!("{scheme}://{address}{suffix}")).collect()
}

/// service-center is always verified; without a CA of its own nobody could be trusted.
fn client_config(tls: &Tls) -> Result<ClientConfig, Error> {
    let read = |path: &Path| {
        fs::read(path).map_err(|reason| Error::File { path: path.to_owned(), reason })
    };
    let roots = match &tls.ca {
        Some(path) => Bundle::from_pem(&read(path)?, &path.display().to_string())?.roots()?,
        None => rustls::RootCertStore::empty(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let (Some(chain), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let place = format!("{} and {}", chain.display(), key.display());
    let certificate = Certificate::from_pem(&read(chain)?, &read(key)?, &place)?;
    Ok(builder.with_client_cert_resolver(Arc::new(Shown(certificate.certified_key()))))
}

/// Shows one certificate to whoever asks.
#[derive(Debug)]
struct Shown(Arc<rustls::sign::CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(
        &self,
        _issuers: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::options;
    use crate::settings::{Discovery, Mode, Settings};

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.identity.service = "orders".to_owned();
        settings.identity.version = "v2".to_owned();
        settings.identity.host = "orders-0".to_owned();
        settings.listeners.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))];
        settings
    }

    fn told(settings: &Settings) -> discovery::servicecenter::OwnService {
        let Discovery::ServiceCenter(terms) = &settings.discovery else { unreachable!() };
        options(settings, terms).unwrap().service.unwrap()
    }

    #[test]
    fn a_pod_is_registered_where_its_proxy_listens() {
        let service = told(&settings());
        assert_eq!((service.name.as_str(), service.version.as_str()), ("orders", "2"));
        assert_eq!(service.properties["version_label"], "v2");
        assert_eq!(service.properties["allowCrossApp"], "false");
        let instance = service.instance.unwrap();
        assert_eq!(instance.endpoints, ["rest://10.0.0.7:30101"]);
        assert_eq!(instance.properties["version_label"], "v2");
    }

    #[test]
    fn who_only_makes_requests_has_no_instance() {
        let mut consumer = settings();
        consumer.listeners.addresses.clear();
        assert!(told(&consumer).instance.is_none());
        let per_host = Settings { mode: Mode::PerHost, ..settings() };
        assert!(told(&per_host).instance.is_none());
    }

    #[test]
    fn another_address_is_another_instance() {
        let mut moved = settings();
        moved.listeners.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8))];
        let [one, other] = [settings(), moved].map(|s| told(&s).instance.unwrap().id);
        assert_ne!(one, other);
    }
}
