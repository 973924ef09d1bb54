//! Who wins, and that both generations say the same.

use std::net::IpAddr;
use std::time::Duration;

use sidecar::settings::{Discovery, Mode, Pilot, Settings};

use crate::support::{World, service_center};

#[test]
fn without_anything_it_is_as_built_in() {
    let world = World::new();
    assert_eq!(world.settings(), Settings::default());
    assert_eq!(world.problems(), [""; 0]);
}

#[test]
fn each_rank_wins_over_those_below_it() {
    let mut world = World::new();
    let name = |world: &World| world.settings().identity.service;
    assert_eq!(name(&world), "mesher");
    world = world.file("labels", "app=\"label\"\n");
    assert_eq!(name(&world), "label");
    world = world.variable("MESHER_DEFAULT_SERVICE_NAME", "default");
    assert_eq!(name(&world), "default");
    world = world.file("conf/microservice.yaml", "service_description: {name: file}\n");
    assert_eq!(name(&world), "file");
    world = world.variable("SERVICE_NAME", "variable");
    assert_eq!(name(&world), "variable");
    world = world.flag("servicecomb.service.name", "flag");
    assert_eq!(name(&world), "flag");
    world = world.flag("service_description.name", "last flag");
    assert_eq!(name(&world), "last flag");
}

#[test]
fn each_file_comes_from_the_first_folder_that_has_it() {
    let text = |app: &str| format!("servicecomb: {{service: {{app: {app}}}}}\n");
    let app = |world: &World| world.settings().identity.app;
    let mut world = World::new().file("tmp/microservice.yaml", &text("tmp"));
    assert_eq!(app(&world), "default", "no ConfigMap is mounted at tmp");
    world = world.file("tmp/..data", "");
    assert_eq!(app(&world), "tmp");
    world = world.file("conf/microservice.yaml", &text("conf"));
    assert_eq!(app(&world), "conf");
    let home = world.path("home").display().to_string();
    world =
        world.variable("CHASSIS_HOME", &home).file("home/conf/microservice.yaml", &text("home"));
    assert_eq!(app(&world), "home");
    world = world.file("other/microservice.yaml", &text("other"));
    let other = world.path("other").display().to_string();
    let by_variable =
        World { folder: world.folder, inputs: world.inputs }.variable("CHASSIS_CONF_DIR", &other);
    assert_eq!(app(&by_variable), "other");
    let mut world = by_variable.file("mesher.yaml", "").file("microservice.yaml", &text("beside"));
    world.inputs.places.config = Some(world.path("mesher.yaml"));
    assert_eq!(app(&world), "beside");
}

#[test]
fn both_generations_mean_the_same() {
    let old = World::new()
        .file("conf/chassis.yaml", "cse.protocols.http.listenAddress: 10.0.0.7:30105\ncse:\n  service:\n    Registry: {address: 'r:1', refeshInterval: 5s, scope: full, registrator: {disabled: true}}\n  region: {name: n, region: r, availableZone: z}\n")
        .file("conf/microservice.yaml", "APPLICATION_ID: shop\nservice_description:\n  name: web\n  version: 1.10\n  environment: testing\n  properties: {a: b}\n  instance_properties: {c: d}\n");
    let new = World::new()
        .file("conf/chassis.yaml", "servicecomb:\n  protocols.http: {listenAddress: 10.0.0.7:30105}\n  registry: {address: 'r:1', refreshInterval: 5s, scope: full, registrator.disabled: true}\n  region: {name: n, region: r, availableZone: z}\n")
        .file("conf/microservice.yaml", "servicecomb.service:\n  app: shop\n  name: web\n  version: 1.10\n  environment: testing\n  properties: {a: b}\n  instanceProperties: {c: d}\n");
    let settings = old.settings();
    assert_eq!(settings, new.settings());
    assert_eq!(old.problems(), [""; 0]);
    assert_eq!(settings.identity.version, "1.10", "no number has eaten the zero");
    assert_eq!(settings.listeners.addresses, ["10.0.0.7".parse::<IpAddr>().unwrap()]);
    assert_eq!(settings.listeners.http.unwrap().to_string(), "127.0.0.1:30105");
    let registry = service_center(&settings);
    assert_eq!(registry.addresses, ["http://r:1"]);
    assert_eq!(registry.refresh_interval, Duration::from_secs(5));
    assert!(registry.allow_cross_app && !registry.register);
}

#[test]
fn what_the_original_took_from_the_environment() {
    let world = World::new()
        .variable("CSE_REGISTRY_ADDR", "http://a:1, b:2")
        .variable("SERVICE_PORTS", "rest:8080,grpc-x:9000")
        .variable("APP_PORTS", "8080,30101,9090")
        .variable("INSTANCE_IPS", "10.0.0.1,fd00::1")
        .variable("INSTANCE_IP", "10.0.0.1")
        .variable("VERSION", "v1")
        .variable("APP_ID", "shop")
        .variable("MD", "zone=a|color=blue")
        .variable("HOSTING_SERVER_IP", "10.9.9.9")
        .variable("POD_NAME", "web-1")
        .variable("REFRESH_INTERVAL", "7s")
        .variable("OUTGOING_HANDLER", "router,loadbalance,transport")
        .variable("CSE_PROJECT_ID", "p")
        .variable("TLS_ENABLE", "true")
        .variable("CSE_SERVICE_REGISTRY_TENANT", "t")
        .variable("servicecomb_circuitBreaker_Consumer_enabled", "true")
        .file("conf/chassis.yaml", "cse: {service: {registry: {serviceDiscovery: {refreshInterval: 1m, address: 'file:1'}}}}\n");
    let settings = world.settings();
    let registry = service_center(&settings);
    assert_eq!(registry.addresses, ["http://a:1", "http://b:2"]);
    assert_eq!(registry.refresh_interval, Duration::from_secs(7));
    assert_eq!((registry.project.as_str(), registry.tenant.as_str()), ("p", "t"));
    assert_eq!(settings.local.service.len(), 2);
    assert_eq!(settings.local.app, [8080, 9090]);
    assert_eq!(settings.listeners.addresses.len(), 2);
    let identity = &settings.identity;
    assert_eq!(
        (identity.app.as_str(), identity.version.as_str(), identity.host.as_str()),
        ("shop", "v1", "web-1")
    );
    let properties: Vec<_> =
        identity.instance_properties.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(properties, ["color=blue", "nodeIP=10.9.9.9", "zone=a"]);
    assert!(!settings.governance.consumer.breaker.enabled, "its handler is not in the chain");
    assert_eq!(
        settings.tls["mesher.Provider"].key.as_ref().unwrap(),
        std::path::Path::new("/etc/ssl/meshercert/kubecfg.key")
    );

    let world = World::new().variable("SPECIFIC_ADDR", "10.0.0.1:8080");
    assert_eq!(world.settings().local.service[0].port, 8080);
    assert!(
        world.problems().iter().any(|p| p.contains("set SERVICE_PORTS=rest:8080")),
        "{:?}",
        world.problems()
    );
}

#[test]
fn the_backend_and_its_address_belong_together() {
    let sc = "cse: {service: {registry: {address: 'http://sc:30100'}}}\n";
    let pilot = "cse: {service: {registry: {serviceDiscovery: {type: pilot, address: 'grpc://istio-pilot.mesh:15010'}}}}\n";
    let pilot_at = |address: &str, tls| Discovery::Pilot(Pilot::at(address, tls));
    let istiod = "istiod.istio-system.svc:15010";
    for (file, variables, wanted) in [
        (sc, &[("DISCOVERY_TYPE", "pilot")][..], Some(pilot_at(istiod, false))),
        (sc, &[("MESHER_DEFAULT_DISCOVERY_TYPE", "pilot")], Some(pilot_at(istiod, false))),
        (pilot, &[], Some(pilot_at("istiod.mesh:15010", false))),
        (pilot, &[("ISTIO_PILOT_ADDR", "h:15012")], Some(pilot_at("h:15012", true))),
        (
            pilot,
            &[("MESHER_DEFAULT_ISTIO_PILOT_ADDR", "h:15012")],
            Some(pilot_at("istiod.mesh:15010", false)),
        ),
        (pilot, &[("ISTIO_PILOT_ADDR", "https://h")], Some(pilot_at("h:15012", true))),
        (pilot, &[("ISTIO_PILOT_ADDR", "http://h:8080")], Some(pilot_at("h:15010", false))),
        (
            pilot,
            &[("CSE_REGISTRY_ADDR", "http://sc:1")],
            Some(pilot_at("istiod.mesh:15010", false)),
        ),
        (pilot, &[("DISCOVERY_TYPE", "sc")], None),
        (
            pilot,
            &[("MESHER_DEFAULT_DISCOVERY_TYPE", "sc")],
            Some(pilot_at("istiod.mesh:15010", false)),
        ),
    ] {
        let mut world = World::new().file("conf/chassis.yaml", file);
        for (name, value) in variables {
            world = world.variable(name, value);
        }
        let settings = world.settings();
        match wanted {
            Some(wanted) => assert_eq!(settings.discovery, wanted, "{file} {variables:?}"),
            None => assert_eq!(service_center(&settings).addresses, ["http://127.0.0.1:30100"]),
        }
    }
}

#[test]
fn listeners_of_each_mode() {
    let at =
        |address: &str| format!("cse: {{protocols: {{http: {{listenAddress: '{address}'}}}}}}\n");
    let world = World::new().file("conf/chassis.yaml", &at("0.0.0.0:30101"));
    assert!(world.problems()[0].contains("INSTANCE_IP"), "{:?}", world.problems());
    let with_ip = World::new()
        .file("conf/chassis.yaml", &at("0.0.0.0:30101"))
        .variable("INSTANCE_IP", "10.0.0.1");
    assert_eq!(with_ip.settings().listeners.http.unwrap().to_string(), "127.0.0.1:30101");
    let per_host = world.flag("mesher.mode", "per-host").settings();
    assert_eq!(per_host.mode, Mode::PerHost);
    assert_eq!(per_host.listeners.http.unwrap().to_string(), "0.0.0.0:30101");
    assert!(per_host.listeners.addresses.is_empty());
    let off = World::new().flag("cse.protocols.grpc.listenAddress", "off").settings();
    assert_eq!(off.listeners.grpc, None);
    let lonely = World::new().variable("SERVICE_PORTS", "rest:8080");
    assert!(lonely.problems()[0].contains("nobody can call the service"));
}
