//! Where services are learned of.

use std::path::PathBuf;

use discovery::servicecenter::is_place;

use super::Reader;
use crate::configuration::kind;
use crate::configuration::values::{Entry, Rank};
use crate::settings::{Account, DataCenter, Discovery, Pilot, ServiceCenter};

/// The shortest heartbeat that the original allowed.
const SHORTEST_HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backend {
    ServiceCenter,
    Pilot,
}

impl Backend {
    fn of(entry: &Entry) -> Self {
        let pilot = entry.text().is_some_and(|text| text.to_ascii_lowercase().starts_with("pilot"));
        if pilot { Self::Pilot } else { Self::ServiceCenter }
    }
}

const FILE_TYPE: [&str; 2] =
    ["servicecomb.registry.serviceDiscovery.type", "servicecomb.registry.type"];

pub(super) fn discovery(reader: &mut Reader<'_>) -> Discovery {
    let asked = reader.entry(&["mesher.discoveryType", FILE_TYPE[0], FILE_TYPE[1]]);
    let backend = asked.map_or(Backend::ServiceCenter, Backend::of);
    // An address of a file belongs to the backend that the file has in mind.
    let of_files = reader.entry(&FILE_TYPE).map_or(Backend::ServiceCenter, Backend::of);
    let meant_for_us = |entry: &&Entry| entry.rank != Rank::File || of_files == backend;
    match backend {
        Backend::ServiceCenter => {
            let keys = ["serviceDiscovery.address", "registrator.address", "address"];
            let addresses = address(reader, &keys, meant_for_us);
            Discovery::ServiceCenter(service_center(reader, addresses))
        }
        Backend::Pilot => {
            let own = reader.entry(&["mesher.pilot.address"]);
            // CSE_REGISTRY_ADDR is service-center's, whoever is chosen.
            let shared = address(reader, &["serviceDiscovery.address", "address"], |entry| {
                entry.rank == Rank::File && of_files == Backend::Pilot
            });
            let chosen = match (own, shared) {
                (Some(own), Some(shared)) if shared.rank > own.rank => Some(shared),
                (own, shared) => own.or(shared),
            };
            Discovery::Pilot(pilot(reader, chosen))
        }
    }
}

/// The address that counts among `keys` of the registry, of those that `meant` lets through.
fn address<'a>(
    reader: &Reader<'a>,
    keys: &[&str],
    meant: impl Fn(&&Entry) -> bool,
) -> Option<&'a Entry> {
    let mut best: Option<&Entry> = None;
    for key in keys {
        let key = format!("servicecomb.registry.{key}");
        let entry = reader.entry(&[&key]).filter(&meant);
        if let Some(entry) = entry
            && best.is_none_or(|best| entry.rank > best.rank)
        {
            best = Some(entry);
        }
    }
    best
}

fn service_center(reader: &mut Reader<'_>, addresses: Option<&Entry>) -> ServiceCenter {
    let built_in = ServiceCenter::default();
    let key = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("servicecomb.registry.{name}")).collect()
    };
    let text = |names: &[&str]| {
        let keys = key(names);
        reader.text(&keys.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let flag = |names: &[&str]| text(names).and_then(kind::flag);

    let cross_app = reader.flag(&["servicecomb.service.properties.allowCrossApp"]);
    let scope = text(&["registrator.scope", "scope"]);
    let manual = text(&["registrator.register", "register"])
        .is_some_and(|text| text.eq_ignore_ascii_case("manual"));
    let disabled = flag(&["registrator.disabled", "disabled"]).unwrap_or(false);
    let account = |name: &str| {
        let (new, old) = (
            format!("servicecomb.account.{name}"),
            format!("servicecomb.credentials.account.{name}"),
        );
        reader.text(&[&new, &old]).map(str::to_owned)
    };
    let account =
        account("name").zip(account("password")).map(|(name, password)| Account { name, password });
    let region = |name: &str| {
        reader.text(&[&format!("servicecomb.region.{name}")]).unwrap_or_default().to_owned()
    };
    let data_center = DataCenter {
        name: region("name"),
        region: region("region"),
        zone: region("availableZone"),
    };
    let mut urls = addresses.and_then(Entry::text).map_or_else(Vec::new, kind::urls);
    urls.retain(|url| url.starts_with("http"));
    let settings = ServiceCenter {
        addresses: if urls.is_empty() { built_in.addresses } else { urls },
        tenant: text(&["serviceDiscovery.tenant", "registrator.tenant", "tenant"])
            .map_or(built_in.tenant, str::to_owned),
        project: text(&["project"]).map_or(built_in.project, str::to_owned),
        refresh_interval: text(&["serviceDiscovery.refreshInterval", "refreshInterval"])
            .and_then(kind::duration)
            .unwrap_or(built_in.refresh_interval),
        watch: flag(&["serviceDiscovery.watch", "watch"]).unwrap_or(built_in.watch),
        heartbeat_interval: text(&["heartbeat.interval"])
            .and_then(kind::duration)
            .map_or(built_in.heartbeat_interval, |asked| asked.max(SHORTEST_HEARTBEAT)),
        register: !disabled && !manual,
        // Where scope is said, it decides, as in the original.
        allow_cross_app: scope.map_or(cross_app.unwrap_or(false), |scope| scope == "full"),
        account,
        data_center: (data_center != DataCenter::default()).then_some(data_center),
    };
    for name in ["name", "region", "availableZone"] {
        if let Some(entry) = reader.entry(&[&format!("servicecomb.region.{name}")])
            && entry.text().is_some_and(|text| !text.is_empty() && !is_place(text))
        {
            let limits = "service-center takes up to 128 letters, digits, _, - and .";
            reader.warning(entry, format!("is not told to others: {limits}"));
        }
    }
    let heartbeat = "servicecomb.registry.heartbeat.interval";
    if let Some(entry) = reader.entry(&[heartbeat])
        && entry.text().and_then(kind::duration).is_some_and(|asked| asked < SHORTEST_HEARTBEAT)
    {
        reader.warning(entry, "is too short: 10s is used");
    }
    if let Some(entry) = addresses
        && entry
            .text()
            .is_some_and(|text| kind::urls(text).iter().any(|url| !url.starts_with("http")))
    {
        reader.error(entry, "service-center speaks http or https: write http://host:30100");
    }
    let both = ["serviceDiscovery", "registrator"]
        .map(|role| reader.entry(&[&format!("servicecomb.registry.{role}.address")]));
    if let [Some(discovery), Some(registrator)] = both
        && discovery.content != registrator.content
    {
        reader.warning(
            registrator,
            format!("one registry serves both: the address of {} is used", discovery.origin),
        );
    }
    settings
}

fn pilot(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Pilot {
    let file = |key| reader.text(&[key]).map(PathBuf::from);
    let (roots, token) = (file("mesher.pilot.rootCert"), file("mesher.pilot.token"));
    let mut pilot = istiod(reader, entry);
    pilot.roots = roots.unwrap_or(pilot.roots);
    pilot.token = token.unwrap_or(pilot.token);
    pilot
}

fn istiod(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Pilot {
    let Some(entry) = entry else { return Pilot::at("istiod.istio-system.svc:15010", false) };
    let text = entry.text().unwrap_or_default();
    let first = kind::words(text).next().unwrap_or_default();
    if kind::words(text).count() > 1 {
        reader.warning(entry, "one address is enough, that of the Service: the first is used");
    }
    let (scheme, rest) = first.split_once("://").unwrap_or(("", first));
    let Ok(authority) = mesh::Authority::parse(rest.trim_end_matches('/')) else {
        // Refused by its kind.
        return Pilot::at(rest, false);
    };
    let mut host = authority.host.to_owned();
    if host == "istio-pilot" || host.starts_with("istio-pilot.") {
        host = host.replacen("istio-pilot", "istiod", 1);
        reader.warning(entry, format!("istio-pilot is called istiod now: {host} is used"));
    }
    let port = match authority.port {
        Some(8080) => {
            reader
                .warning(entry, "port 8080 spoke a protocol that Istio has no more: 15010 is used");
            15010
        }
        Some(port) => port,
        None if scheme == "https" => 15012,
        None => 15010,
    };
    let tls = scheme == "https" || port == 15012;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Pilot::at(format!("{host}:{port}"), tls)
}
