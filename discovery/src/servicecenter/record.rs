//! What service-center says of an instance, in the words of the mesh.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh::{Endpoint, Instance, InstanceId, Protocol, Status, Tags};

use super::wire::InstanceRecord;

/// The instance of a record. Endpoints that no proxy could use (another protocol, a name instead
/// of an address) are left out; a lost status counts as UP, an unreadable version as 0.
pub(super) fn instance(record: &InstanceRecord, app: &Arc<str>) -> Instance {
    let mut tags: Tags =
        record.properties.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
    tags.insert("app".into(), Arc::clone(app));
    tags.insert("version".into(), record.version.as_str().into());
    if let Some(place) = &record.data_center_info {
        tags.insert("region".into(), place.region.as_str().into());
        tags.insert("availableZone".into(), place.available_zone.as_str().into());
    }
    Instance {
        id: InstanceId(record.instance_id.as_str().into()),
        version: record.version.parse().unwrap_or_default(),
        status: status(record.status.as_deref()),
        endpoints: record.endpoints.iter().filter_map(|text| endpoint(text)).collect(),
        tags,
    }
}

fn status(word: Option<&str>) -> Status {
    match word {
        Some("DOWN") => Status::Down,
        Some("STARTING") => Status::Starting,
        Some("TESTING") => Status::Testing,
        Some("OUTOFSERVICE") => Status::OutOfService,
        // Also what a later version may call it: rather a failed request than none at all.
        _ => Status::Up,
    }
}

/// Reads `rest://10.1.2.3:30101?sslEnabled=true`.
fn endpoint(text: &str) -> Option<Endpoint> {
    let (scheme, rest) = text.split_once("://")?;
    let protocol = match scheme {
        "rest" | "http" => Protocol::Rest,
        "grpc" => Protocol::Grpc,
        _ => return None,
    };
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.split('/').next().unwrap_or_default();
    let address = authority.parse::<SocketAddr>().ok().or_else(|| {
        // java-chassis writes IPv6 without brackets now and then.
        let (host, port) = authority.rsplit_once(':')?;
        Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port.parse().ok()?))
    })?;
    let tls = query.split('&').any(|pair| pair.eq_ignore_ascii_case("sslEnabled=true"));
    Some(Endpoint { protocol, address, tls, service_port: None })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh::Status;
    use proptest::prelude::*;

    use super::{endpoint, instance};
    use crate::servicecenter::wire::InstanceRecord;

    #[test]
    fn endpoints() {
        for (text, read) in [
            ("rest://10.1.2.3:30101", Some("rest://10.1.2.3:30101")),
            ("http://10.1.2.3:1", Some("rest://10.1.2.3:1")),
            ("grpc://[::1]:40101?sslEnabled=true", Some("grpc://[::1]:40101?sslEnabled=true")),
            ("rest://fe80::1:80", Some("rest://[fe80::1]:80")),
            (
                "rest://10.1.2.3:1/prefix?a=b&sslEnabled=TRUE",
                Some("rest://10.1.2.3:1?sslEnabled=true"),
            ),
            ("rest://10.1.2.3:1?sslEnabled=false", Some("rest://10.1.2.3:1")),
            ("highway://10.1.2.3:1", None),
            ("rest://some.host:80", None),
            ("rest://10.1.2.3", None),
            ("rest://10.1.2.3:70000", None),
            ("10.1.2.3:80", None),
        ] {
            assert_eq!(endpoint(text).map(|e| e.to_string()).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn a_record_with_the_least_there_can_be() {
        let record: InstanceRecord = serde_json::from_str(r#"{"instanceId":"a"}"#).unwrap();
        let found = instance(&record, &Arc::from("shop"));
        assert_eq!(found.status, Status::Up, "a lost status");
        assert_eq!(found.version, "0".parse().unwrap());
        assert!(found.endpoints.is_empty());
    }

    proptest! {
        #[test]
        fn no_endpoint_panics(text in "(rest|grpc)://\\PC{0,30}") {
            let _ = endpoint(&text);
        }
    }
}
