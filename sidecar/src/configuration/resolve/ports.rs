//! The ports of the application.

use mesh::Protocol;

use super::Reader;
use crate::configuration::kind;
use crate::settings::{LocalPorts, ServicePort};

/// Ports that are ours wherever nobody says otherwise.
const OURS: [u16; 3] = [30101, 40101, 30102];

pub(super) fn local(reader: &mut Reader<'_>) -> LocalPorts {
    let service = match reader.entry(&["mesher.servicePorts"]) {
        Some(entry) => {
            let (ports, problems) = service_ports(entry.text().unwrap_or_default());
            for (severe, problem) in problems {
                if severe {
                    reader.error(entry, problem);
                } else {
                    reader.warning(entry, problem);
                }
            }
            ports
        }
        None => Vec::new(),
    };
    let app = reader.text(&["mesher.appPorts"]).map_or_else(Vec::new, |text| {
        let mut ports: Vec<u16> = kind::words(text).filter_map(kind::port).collect();
        ports.retain(|port| !OURS.contains(port));
        ports
    });
    LocalPorts { service, app }
}

/// The entries of `SERVICE_PORTS`, and all that is wrong with it; `true` for an error.
fn service_ports(text: &str) -> (Vec<ServicePort>, Vec<(bool, String)>) {
    let (mut ports, mut problems): (Vec<ServicePort>, _) = (Vec::new(), Vec::new());
    for item in text.split(',').map(str::trim) {
        let mut refuse = |problem: String| problems.push((true, problem));
        let shown = kind::short(item);
        let Some((name, number)) = item.split_once(':') else {
            refuse(format!("\"{shown}\" is not of the form protocol:port, as in rest:8080"));
            continue;
        };
        let (name, number) = (name.trim(), number.trim());
        let Some(port) = kind::port(number) else {
            refuse(format!("\"{shown}\": the port has to be a number from 1 to 65535"));
            continue;
        };
        let protocol = match name.split('-').next().unwrap_or(name) {
            "rest" | "http" => Protocol::Rest,
            "grpc" => Protocol::Grpc,
            "dubbo" | "highway" => {
                let problem = format!(
                    "\"{shown}\" is left out: dubbo and highway are not part of mesher, use rest or grpc"
                );
                problems.push((false, problem));
                continue;
            }
            _ => {
                refuse(format!("\"{shown}\": the protocol has to be rest, http or grpc"));
                continue;
            }
        };
        if OURS.contains(&port) {
            refuse(format!("\"{shown}\": the port is mesher's own, use the application's"));
        } else if ports.iter().any(|known| known.name == name) {
            refuse(format!("\"{name}\" stands twice: add a suffix, as in {name}-admin:{port}"));
        } else if ports.iter().any(|known| known.port == port) {
            refuse(format!("port {port} stands twice: keep one"));
        } else {
            ports.push(ServicePort { protocol, name: name.to_owned(), port });
        }
    }
    (ports, problems)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::service_ports;

    #[test]
    fn entries_and_what_is_wrong_with_them() {
        let (ports, problems) = service_ports("rest:8080, http-admin:8081 ,grpc:9000,dubbo:20880");
        let shown: Vec<_> = ports
            .iter()
            .map(|p| format!("{}={}:{}", p.name, p.protocol.as_str(), p.port))
            .collect();
        assert_eq!(shown, ["rest=rest:8080", "http-admin=rest:8081", "grpc=grpc:9000"]);
        assert!(matches!(&problems[..], [(false, problem)] if problem.contains("dubbo")));
        for (text, wrong) in [
            ("rest", "protocol:port"),
            ("rest:", "1 to 65535"),
            ("rest:0", "1 to 65535"),
            ("rest:8080:1", "1 to 65535"),
            ("tcp:8080", "rest, http or grpc"),
            ("rest:30101", "mesher's own"),
            ("rest:1,rest:2", "rest-admin:2"),
            ("rest:1,grpc:1", "port 1 stands twice"),
            ("rest:1,", "protocol:port"),
        ] {
            let (_, problems) = service_ports(text);
            assert!(
                matches!(&problems[..], [(true, problem)] if problem.contains(wrong)),
                "{text}: {problems:?}"
            );
        }
        assert_eq!(service_ports("a,b:x,c:1").1.len(), 3, "all of them at once");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in prop_oneof![any::<String>(), "[a-z:,0-9 -]{0,60}"]) {
            let (ports, problems) = service_ports(&text);
            prop_assert!(ports.len() + problems.len() >= 1);
        }
    }
}
