//! Where requests are taken.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Reader;
use crate::configuration::kind;
use crate::configuration::values::Rank;
use crate::settings::{Admin, Listeners, LocalPorts, Mode};

const HTTP: &str = "servicecomb.protocols.http.listenAddress";
const GRPC: &str = "servicecomb.protocols.grpc.listenAddress";
const ADMIN: &str = "servicecomb.protocols.rest-admin.listenAddress";

pub(super) fn listeners(reader: &mut Reader<'_>, mode: Mode, local: &LocalPorts) -> Listeners {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for word in reader.text(&["mesher.instanceIps"]).into_iter().flat_map(kind::words) {
        addresses.extend(word.parse::<IpAddr>().ok().filter(|ip| !addresses.contains(ip)));
    }
    let from_environment = !addresses.is_empty();
    let mut listen = |key: &str, port: u16| {
        let built_in = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let Some(entry) = reader.entry(&[key]) else { return Some(built_in) };
        if entry.text().is_some_and(|text| text.eq_ignore_ascii_case("off")) {
            return None;
        }
        let address = entry.text().and_then(kind::socket).unwrap_or(built_in);
        let ip = address.ip();
        if mode == Mode::PerHost || ip.is_loopback() {
            return Some(address);
        }
        if !ip.is_unspecified() {
            // As the original: the provider side there, the consumer side on loopback.
            if !from_environment && !addresses.contains(&ip) {
                addresses.push(ip);
            }
        } else if !from_environment {
            reader.error(
                entry,
                "every address is not allowed in sidecar mode: name the pod's address, or set INSTANCE_IP",
            );
        }
        let loopback = if ip.is_ipv6() && !from_environment && addresses.iter().all(IpAddr::is_ipv6)
        {
            IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
        } else {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        };
        Some(SocketAddr::new(loopback, address.port()))
    };
    let (http, grpc) = (listen(HTTP, 30101), listen(GRPC, 40101));
    let admin_port = reader.get(&[ADMIN], kind::socket).map_or(30102, |address| address.port());
    if mode == Mode::PerHost {
        addresses.clear();
    }

    let asked = reader.entry(&["mesher.servicePorts"]);
    if let Some(entry) = asked
        && mode == Mode::Sidecar
        && addresses.is_empty()
        && !local.service.is_empty()
    {
        reader.warning(
            entry,
            "nobody can call the service, as mesher has no address to listen on: set INSTANCE_IP, or protocols.http.listenAddress to the pod's address",
        );
    }
    let named =
        [(http.map(|a| a.port()), HTTP), (grpc.map(|a| a.port()), GRPC), (Some(admin_port), ADMIN)];
    for (i, (port, key)) in named.iter().enumerate() {
        if let Some((_, other)) =
            named[..i].iter().find(|(known, _)| port.is_some() && known == port)
            && let Some(entry) = reader.entry(&[key, other])
        {
            reader.error(
                entry,
                format!(
                    "port {} serves two protocols: give each its own",
                    port.unwrap_or_default()
                ),
            );
        }
    }
    let advertise = |protocol: &str| {
        reader.get(&[&format!("servicecomb.protocols.{protocol}.advertiseAddress")], kind::socket)
    };
    Listeners {
        http,
        grpc,
        addresses,
        advertise_http: advertise("http"),
        advertise_grpc: advertise("grpc"),
        admin_port,
    }
}

pub(super) fn admin(reader: &mut Reader<'_>) -> Admin {
    let public = reader
        .entry(&[ADMIN])
        .filter(|entry| entry.rank >= Rank::File)
        .and_then(|entry| kind::socket(entry.text()?))
        .is_some_and(|address| !address.ip().is_loopback());
    let wanted = reader.flag(&["pprof.enable"]).unwrap_or(false);
    let pprof = match reader.entry(&["pprof.listen"]) {
        None => kind::socket("127.0.0.1:6060"),
        Some(entry) => {
            let address = entry.text().and_then(kind::socket);
            if address.is_none() {
                let text = kind::short(entry.text().unwrap_or_default());
                let message = format!(
                    "\"{text}\" is no address: write an IP address and a port, as in 127.0.0.1:6060"
                );
                if wanted {
                    reader.error(entry, message);
                } else {
                    reader.warning(entry, message);
                }
            }
            if wanted && address.is_some_and(|address| !address.ip().is_loopback()) {
                reader.warning(
                    entry,
                    "whoever reaches this address can have profiles taken: 127.0.0.1 is safe, \
                     with `kubectl port-forward` to it",
                );
            }
            address
        }
    };
    Admin {
        enabled: reader.flag(&["admin.enable"]).unwrap_or(false),
        public,
        pprof: pprof.filter(|_| wanted),
    }
}
