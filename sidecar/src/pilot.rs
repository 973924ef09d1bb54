//! From the settings to what the client of istiod is told.

use discovery::ads::{Node, Options, Security};

use crate::settings::{Pilot, Pod, Settings};

/// What Kubernetes and Istio write a workload's place to, for whoever reads its labels.
const LOCALITY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];
/// The same as one label of Istio's, with dots between the parts.
const ISTIO_LOCALITY: &str = "istio-locality";

/// What the client is told.
pub(crate) fn options(settings: &Settings, terms: &Pilot) -> Options {
    Options {
        address: terms.address.clone(),
        security: terms
            .tls
            .then(|| Security { roots: terms.roots.clone(), token: terms.token.clone() }),
        node: node(settings),
    }
}

fn node(settings: &Settings) -> Node {
    let identity = &settings.identity;
    let none = Pod::default();
    let pod = identity.pod.as_ref().unwrap_or(&none);
    let labels = pod.labels.clone();
    let namespace = if pod.namespace.is_empty() { &identity.app } else { &pod.namespace };
    Node {
        addresses: settings.listeners.addresses.iter().map(ToString::to_string).collect(),
        pod: if pod.name.is_empty() { identity.host.clone() } else { pod.name.clone() },
        namespace: namespace.clone(),
        service_account: pod.service_account.clone(),
        host: pod.node.clone(),
        locality: locality(|name| labels.get(name).map(String::as_str)),
        service: identity.service.clone(),
        labels,
    }
}

fn locality<'a>(label: impl Fn(&str) -> Option<&'a str>) -> [String; 3] {
    if let Some(text) = label(ISTIO_LOCALITY) {
        let mut parts = text.splitn(3, ['.', '/']).map(ToOwned::to_owned);
        return [(); 3].map(|()| parts.next().unwrap_or_default());
    }
    LOCALITY.map(|name| label(name).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::options;
    use crate::settings::{Pilot, Pod, Settings};

    #[test]
    fn a_pod_is_known_by_what_the_injector_says_of_it() {
        let mut settings = Settings::default();
        settings.identity.service = "web".to_owned();
        settings.listeners.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))];
        settings.identity.pod = Some(Pod {
            name: "web-0".to_owned(),
            namespace: "shop".to_owned(),
            labels: [("istio-locality".to_owned(), "r1.z1".to_owned())].into(),
            ..Pod::default()
        });
        let pilot = Pilot::at("istiod:15010", false);
        let told = options(&settings, &pilot);
        assert_eq!(told.node.id(), "sidecar~10.0.0.7~web-0.shop~shop.svc.cluster.local");
        assert_eq!(told.node.locality, ["r1", "z1", ""]);
        assert!(told.security.is_none());
        assert!(options(&settings, &Pilot { tls: true, ..pilot }).security.is_some());
    }
}
