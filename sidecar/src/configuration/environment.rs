//! Values from environment variables.

use std::collections::BTreeMap;

use super::keys;
use super::kind;
use super::problem::{Problems, Severity};
use super::spelling::canonical;
use super::values::{Entry, Origin, Rank, Values};
use super::yaml::Content;

/// Where the original's image kept the certificate that `TLS_ENABLE` switched on.
const SHIPPED: [(&str, &str); 2] = [
    ("ssl.mesher.Provider.certFile", "/etc/ssl/meshercert/kubecfg.crt"),
    ("ssl.mesher.Provider.keyFile", "/etc/ssl/meshercert/kubecfg.key"),
];

/// What begins the name of a variable that ranks below files.
const DEFAULT: &str = "MESHER_DEFAULT_";

/// Adds what the variables say: those of the table, as themselves and with `MESHER_DEFAULT_`
/// before them; the original's scripts' (`MD`, `SPECIFIC_ADDR`, `TLS_ENABLE`); and any key of
/// go-chassis with `_` for dots (`CSE_SERVICE_REGISTRY_ADDRESS`).
pub(super) fn add(
    environment: &BTreeMap<String, String>,
    values: &mut Values,
    problems: &mut Problems,
) {
    let mut taken = Taken { environment, values };
    for row in keys::all() {
        for variable in row.variables {
            taken.take(row.pattern.to_owned(), variable, (*variable).to_owned(), Rank::Environment);
            taken.take(
                row.pattern.to_owned(),
                variable,
                format!("{DEFAULT}{variable}"),
                Rank::Default,
            );
        }
    }
    for name in environment.keys() {
        let dotted = name.replace('_', ".").to_ascii_lowercase();
        if !dotted.starts_with("cse.") && !dotted.starts_with("servicecomb.") {
            continue;
        }
        if let Some(key) = keys::find_in_any_case(&canonical(&dotted)) {
            taken.take(key.to_owned(), name, name.clone(), Rank::Environment);
        }
    }
    scripts(environment, values, problems);
    let known = || keys::all().flat_map(|row| row.variables).copied();
    for name in environment.keys().filter_map(|name| name.strip_prefix(DEFAULT)) {
        if known().all(|known| known != name) {
            let origin = Origin::Variable(format!("{DEFAULT}{name}"));
            let meant = known().min_by_key(|known| keys::distance(known, name));
            let hint =
                meant.map_or_else(String::new, |meant| format!(": did you mean {DEFAULT}{meant}?"));
            let message = format!("unknown variable, it has no effect{hint}");
            problems.add(Severity::Warning, Some(&origin), "", message);
        }
    }
}

struct Taken<'a> {
    environment: &'a BTreeMap<String, String>,
    values: &'a mut Values,
}

impl Taken<'_> {
    fn take(&mut self, key: String, written: &str, variable: String, rank: Rank) {
        if let Some(text) = self.environment.get(&variable).filter(|text| !text.is_empty()) {
            let content = Content::Scalar(text.clone());
            let origin = Origin::Variable(variable);
            self.values.add(key, Entry { rank, origin, written: written.to_owned(), content });
        }
    }
}

fn scripts(environment: &BTreeMap<String, String>, values: &mut Values, problems: &mut Problems) {
    let variable = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let entry = |name: &str, text: &str| Entry {
        rank: Rank::Environment,
        origin: Origin::Variable(name.to_owned()),
        written: name.to_owned(),
        content: Content::Scalar(text.to_owned()),
    };
    if let Some(pairs) = variable("MD") {
        for pair in pairs.split('|').filter(|pair| !pair.trim().is_empty()) {
            match pair.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, value)) if !name.is_empty() => {
                    let key = format!("servicecomb.service.instanceProperties.{name}");
                    values.add(key, entry("MD", value));
                }
                _ => {
                    let message = format!(
                        "\"{}\" is no property: write name=value, with | between several",
                        kind::short(pair)
                    );
                    let origin = Origin::Variable("MD".into());
                    problems.add(Severity::Error, Some(&origin), "", message);
                }
            }
        }
    }
    if let Some(address) = variable("SPECIFIC_ADDR") {
        let origin = Origin::Variable("SPECIFIC_ADDR".into());
        let port = address.rsplit_once(':').and_then(|(_, port)| kind::port(port.trim()));
        if let Some(port) = port {
            let message = format!("is deprecated: set SERVICE_PORTS=rest:{port}");
            problems.add(Severity::Warning, Some(&origin), "", message);
            let ports = entry("SPECIFIC_ADDR", &format!("rest:{port}"));
            values.add("mesher.servicePorts".into(), ports);
        } else {
            let shown = kind::short(address);
            let message = format!("\"{shown}\" is no ip:port: set SERVICE_PORTS=rest:PORT instead");
            problems.add(Severity::Error, Some(&origin), "", message);
        }
    }
    if let Some(text) = variable("TLS_ENABLE") {
        match kind::flag(text) {
            Some(true) => {
                for (key, path) in SHIPPED {
                    values.add(key.into(), entry("TLS_ENABLE", path));
                }
            }
            Some(false) => {}
            None => {
                let origin = Origin::Variable("TLS_ENABLE".into());
                let message =
                    format!("\"{}\" is not allowed here: write true or false", kind::short(text));
                problems.add(Severity::Error, Some(&origin), "", message);
            }
        }
    }
}
