//! From the settings to what the client of service-center is told.

use std::net::SocketAddr;
use std::sync::Arc;

use discovery::servicecenter::{
    Given, Options, OwnInstance, OwnService, Place, Tls, acceptable, instance_id, is_place,
};
use mesh::Protocol;
use rustls::ClientConfig;
use tokio::sync::watch;

use crate::settings::{DataCenter, Listeners, ServiceCenter, Settings};
use crate::tls::tags::Use;

/// What the client is told. Names are made such that service-center takes them; what had to be
/// changed is kept in the properties.
pub(crate) fn options(
    settings: &Settings,
    terms: &ServiceCenter,
    tls: Option<watch::Receiver<Arc<ClientConfig>>>,
) -> Options {
    let server_name = settings.tls_for(Use::ServiceCenter).and_then(|tls| tls.server_name.clone());
    Options {
        addresses: terms.addresses.clone(),
        tenant: terms.tenant.clone(),
        project: terms.project.clone(),
        refresh_interval: terms.refresh_interval,
        watch: terms.watch,
        heartbeat_interval: terms.heartbeat_interval,
        tls: tls.map(|config| Tls { config, server_name }),
        account: terms.account.as_ref().map(|a| (a.name.clone(), a.password.clone())),
        service: terms.register.then(|| service(settings, terms)),
    }
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
        let mut who = uid.unwrap_or(&accepted.host).to_owned();
        let place = terms.data_center.as_ref().and_then(place);
        // A record says for good where its instance runs.
        if let Some(place) = &place {
            who = format!("{who} {} {} {}", place.name, place.region, place.available_zone);
        }
        let (app, name, version) = (&accepted.app, &accepted.service, &accepted.version);
        OwnInstance {
            id: instance_id(&who, app, name, version, &endpoints),
            host_name: accepted.host.clone(),
            endpoints,
            properties,
            place,
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

/// Where the instance runs, as service-center takes it: it wants all three names.
fn place(center: &DataCenter) -> Option<Place> {
    let DataCenter { name, region, zone } = center;
    let or_region = |name: &String| if name.is_empty() { region.clone() } else { name.clone() };
    let place =
        Place { name: or_region(name), region: region.clone(), available_zone: or_region(zone) };
    let fits = [&place.name, &place.region, &place.available_zone].iter().all(|it| is_place(it));
    fits.then_some(place)
}

/// What is registered of where others reach us, HTTP first.
fn endpoints(settings: &Settings) -> Vec<String> {
    let Listeners { advertise_http, advertise_grpc, .. } = settings.listeners;
    let rest = (Protocol::Rest, settings.provider_addresses().collect(), advertise_http);
    let grpc = (Protocol::Grpc, settings.grpc_provider_addresses().collect(), advertise_grpc);
    let tls = settings.tls_for(Use::ProviderSide);
    let suffix = if tls.is_some() { "?sslEnabled=true" } else { "" };
    let advertised = [rest, grpc].into_iter().flat_map(|(protocol, bound, instead)| {
        let bound: Vec<SocketAddr> = bound;
        let addresses = match instead {
            Some(address) if !bound.is_empty() => vec![address],
            _ => bound,
        };
        let scheme = protocol.as_str();
        addresses.into_iter().map(move |address| format!("{scheme}://{address}{suffix}"))
    });
    advertised.collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use discovery::servicecenter::OwnInstance;

    use super::options;
    use crate::settings::{DataCenter, Discovery, Mode, Settings};

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
        options(settings, terms, None).service.unwrap()
    }

    #[test]
    fn a_pod_is_registered_where_its_proxy_listens() {
        let service = told(&settings());
        assert_eq!((service.name.as_str(), service.version.as_str()), ("orders", "2"));
        assert_eq!(service.properties["version_label"], "v2");
        assert_eq!(service.properties["allowCrossApp"], "false");
        let instance = service.instance.unwrap();
        assert_eq!(instance.endpoints, ["rest://10.0.0.7:30101", "grpc://10.0.0.7:40101"]);
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
    fn what_is_advertised_may_be_another_address_and_what_is_off_is_not() {
        let mut settings = settings();
        settings.listeners.advertise_grpc = Some(([192, 0, 2, 1], 9000).into());
        let endpoints = told(&settings).instance.unwrap().endpoints;
        assert_eq!(endpoints, ["rest://10.0.0.7:30101", "grpc://192.0.2.1:9000"]);
        settings.listeners.grpc = None;
        let endpoints = told(&settings).instance.unwrap().endpoints;
        assert_eq!(endpoints, ["rest://10.0.0.7:30101"]);
    }

    #[test]
    fn where_it_runs_is_told_in_full_or_not_at_all() {
        let at = |name: &str, region: &str, zone: &str| {
            let mut settings = settings();
            let Discovery::ServiceCenter(terms) = &mut settings.discovery else { unreachable!() };
            let [name, region, zone] = [name, region, zone].map(str::to_owned);
            terms.data_center = Some(DataCenter { name, region, zone });
            told(&settings).instance.unwrap()
        };
        let of = |instance: &OwnInstance| {
            let place = instance.place.clone();
            place.map(|it| format!("{}, {}, {}", it.name, it.region, it.available_zone))
        };
        for (given, told) in [
            (["dc", "north", "n1"], Some("dc, north, n1")),
            (["", "north", "n1"], Some("north, north, n1")),
            (["dc", "north", ""], Some("dc, north, north")),
            (["dc", "", "n1"], None),
            (["dc", "north pole", "n1"], None),
        ] {
            let [name, region, zone] = given;
            assert_eq!(of(&at(name, region, zone)).as_deref(), told, "{given:?}");
        }
        assert_ne!(at("dc", "north", "n1").id, at("dc", "north", "n2").id);
        assert_eq!(at("dc", "", "n1").id, told(&settings()).instance.unwrap().id, "as without");
    }

    #[test]
    fn another_address_is_another_instance() {
        let mut moved = settings();
        moved.listeners.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8))];
        let [one, other] = [settings(), moved].map(|s| told(&s).instance.unwrap().id);
        assert_ne!(one, other);
    }
}
