//! What the original ships, and the samples of its documentation.

use std::path::PathBuf;
use std::time::Duration;

use sidecar::configuration::{Configuration, Severity};
use sidecar::settings::{Discovery, LogLevel, Pilot};

use crate::support::{World, only, service_center};

fn folder(name: &str) -> Configuration {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/configuration").join(name);
    let configuration = only(&path).read();
    let errors: Vec<_> =
        configuration.problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let unknown: Vec<_> =
        configuration.problems.iter().filter(|p| p.message.contains("unknown")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    configuration
}

#[test]
fn the_shipped_configuration_for_service_center() {
    let settings = folder("shipped/sc").settings().unwrap();
    let registry = service_center(&settings);
    assert_eq!(registry.refresh_interval, Duration::from_secs(30));
    assert!(registry.watch && registry.allow_cross_app);
    assert_eq!(settings.identity.service, "hellomesher");
    assert_eq!(settings.identity.app, "mesher");
    assert!(settings.admin.enabled);
    assert!(settings.health_checks.is_empty(), "no SERVICE_PORTS names the port");
    assert!(settings.tls["mesher.Provider"].certificate.is_none());
}

#[test]
fn the_shipped_configuration_for_pilot() {
    let configuration = folder("shipped/pilot");
    let warnings: Vec<_> = configuration.problems.iter().map(ToString::to_string).collect();
    for wanted in ["port 8080", "istio-pilot is called istiod"] {
        assert!(warnings.iter().any(|warning| warning.contains(wanted)), "{warnings:?}");
    }
    let istiod = Pilot::at("istiod.istio-system:15010", false);
    assert_eq!(configuration.settings().unwrap().discovery, Discovery::Pilot(istiod));
}

#[test]
fn every_sample_loads() {
    let configuration = folder("samples");
    assert_eq!(configuration.files.len(), 12, "{:?}", configuration.files);
    let settings = configuration.settings().unwrap();
    assert_eq!(settings.limits.request_timeout, Duration::from_secs(20));
    assert!(settings.governance.consumer.breaker.enabled);
    assert_eq!(
        (
            settings.governance.consumer.breaker.volume,
            settings.governance.consumer.breaker.error_percent
        ),
        (30, 40)
    );
    assert_eq!(settings.log.level, LogLevel::Debug);
    assert!(settings.log.json && settings.admin.public);
    let check = &settings.health_checks[0];
    assert_eq!(
        (check.port, check.path.as_deref(), check.status),
        (8080, Some("/health"), Some(200))
    );
    let tags: Vec<_> = settings.tls.keys().map(String::as_str).collect();
    assert_eq!(tags, ["ServiceB.rest.Consumer", "ServiceB.rest.Provider", "mesher.Provider"]);
    assert!(settings.tls["ServiceB.rest.Provider"].verifies_clients());
    assert_eq!(service_center(&settings).addresses, ["http://service-center.servicecomb:30100"]);
}

#[test]
fn a_dump_is_a_configuration_that_means_the_same() {
    for name in ["shipped/sc", "shipped/pilot", "samples"] {
        let configuration = folder(name);
        let world = World::new().file("conf/mesher.yaml", &configuration.to_yaml());
        assert_eq!(world.settings(), configuration.settings().unwrap(), "{name}");
    }
    let built_in = World::new();
    let dumped = World::new().file("conf/mesher.yaml", &built_in.read().to_yaml());
    assert_eq!(
        dumped.settings(),
        built_in.settings(),
        "the table's defaults are the built-in ones"
    );
}
