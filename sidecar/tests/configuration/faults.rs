//! Wrong configurations: all that is wrong, at once, with its place and what is allowed.

use proptest::prelude::*;
use sidecar::configuration::NamedFiles;

use crate::support::{World, assert_among};

#[test]
fn every_fault_has_its_place_and_a_remedy() {
    let world = World::new()
        .file(
            "conf/chassis.yaml",
            "cse:\n  protocls:\n    http: {listenAddress: 1}\n  service:\n    registry:\n      refreshInterval: 30\n      type: eureka\n      watch: perhaps\n  handler:\n    chain:\n      Consumer: {outgoing: 'router,loadbalnce,oauth2'}\n  config: {client: {type: apollo, serverUri: x}}\n  protocols: {dubbo: {listenAddress: '1.1.1.1:1'}}\n",
        )
        .file(
            "conf/tls.yaml",
            "ssl:\n  a.Consumer.cipherSuits: TLS_NULL\n  a.Consumer.protocol: SSLv3\n  b.Consumer.verifyPeer: true\n  b.Consumer.certFile: /c\n",
        )
        .file(
            "conf/mesher.yaml",
            "localHealthCheck:\n  - {uri: health}\n  - port: 99999\n  - {port: 1, match: {status: 99, body: '('}}\nadmin: {enabel: true}\npprof:\n  enable: true\n  listen: 127.0.0.0.1:6060\n",
        )
        .file(
            "conf/router.yaml",
            "routeRule:\n  A:\n    - precedence: 1\n    - twice\n  B: {precedence: 1}\nservicecomb.routeRule.C: |\n  - [\n",
        )
        .file("conf/fault.yaml", "a: 1\n  b: 2\n")
        .variable("SERVICE_PORTS", "rest,tcp:1")
        .variable("MD", "x")
        .variable("MESHER_DEFAULT_APPID", "x")
        .variable("CSE_MONITOR_SERVER_ADDR", "x")
        .flag("cse.nothing.known", "1");
    let problems = world.problems();
    assert_among(
        &problems,
        &[
            "warning: conf/chassis.yaml:2: cse.protocls: unknown key, it has no effect: did you mean \"protocols\" for \"protocls\"?",
            "error: conf/chassis.yaml:6: cse.service.registry.refreshInterval: \"30\" is not allowed here: write a number with its unit",
            "error: conf/chassis.yaml:7: cse.service.registry.type: \"eureka\" is not allowed here: write one of servicecenter, sc, pilot",
            "error: conf/chassis.yaml:8: cse.service.registry.watch: \"perhaps\" is not allowed here: write true or false",
            "error: conf/chassis.yaml:11: cse.handler.chain.Consumer.outgoing: there is no handler \"loadbalnce\": did you mean \"loadbalance\"?",
            "warning: conf/chassis.yaml:11: cse.handler.chain.Consumer.outgoing: handler \"oauth2\" has no effect: take it out",
            "warning: conf/chassis.yaml:12: cse.config.client.type: apollo is not part of mesher, and nothing is asked",
            "warning: conf/chassis.yaml:13: cse.protocols.dubbo.listenAddress: has no effect: dubbo",
            "error: conf/tls.yaml:2: ssl.a.Consumer.cipherSuits: unknown cipher suite \"TLS_NULL\": write names from TLS_ECDHE_RSA",
            "error: conf/tls.yaml:3: ssl.a.Consumer.protocol: \"SSLv3\" is not allowed here: write one of",
            "error: conf/tls.yaml:4: ssl.b.Consumer.verifyPeer: needs caFile",
            "error: conf/tls.yaml:5: ssl.b.Consumer.certFile: needs keyFile",
            "error: conf/mesher.yaml:2: localHealthCheck.uri: \"health\" is not allowed here: write a path that begins with /",
            "error: conf/mesher.yaml:3: localHealthCheck.port: \"99999\" is not allowed here: write a port",
            "error: conf/mesher.yaml:4: localHealthCheck.match.status: \"99\" is not allowed here",
            "error: conf/mesher.yaml:4: localHealthCheck.match.body: \"(\" is no regular expression: unclosed group",
            "warning: conf/mesher.yaml:5: admin.enabel: unknown key, it has no effect: did you mean \"enable\" for \"enabel\"?",
            "error: conf/mesher.yaml:8: pprof.listen: \"127.0.0.0.1:6060\" is no address: write an IP address and a port, as in 127.0.0.1:6060",
            "error: conf/router.yaml:4: routeRule.A: a rule has to say precedence, match or route",
            "error: conf/router.yaml:5: routeRule.B.precedence: a list of rules, each beginning with",
            "error: conf/router.yaml:7: servicecomb.routeRule.C: ",
            "error: conf/fault.yaml:2: ",
            "error: environment SERVICE_PORTS: \"rest\" is not of the form protocol:port",
            "error: environment SERVICE_PORTS: \"tcp:1\": the protocol has to be rest, http or grpc",
            "error: environment MD: \"x\" is no property",
            "warning: environment MESHER_DEFAULT_APPID: unknown variable, it has no effect: did you mean MESHER_DEFAULT_APP_ID?",
            "warning: environment CSE_MONITOR_SERVER_ADDR: has no effect: the CSE monitoring agent",
            "warning: flag --cse.nothing.known: unknown key",
        ],
    );
    assert_eq!(
        problems.iter().filter(|p| p.contains("apollo is not part of mesher, and nothing")).count(),
        1,
        "one warning"
    );
    let errors = problems.iter().filter(|p| p.starts_with("error")).count();
    let faulty = world.read().settings().unwrap_err().to_string();
    assert_eq!(faulty.lines().count(), errors, "{faulty}");
}

#[test]
fn a_wrong_value_that_does_not_count_is_a_warning() {
    let world = World::new()
        .file("conf/chassis.yaml", "cse: {service: {registry: {refreshInterval: soon}}}\n")
        .variable("REFRESH_INTERVAL", "5s");
    assert_eq!(world.settings(), World::new().variable("REFRESH_INTERVAL", "5s").settings());
    assert!(world.problems()[0].contains("it has no effect: environment REFRESH_INTERVAL wins"));
}

#[test]
fn files_that_tls_names_have_to_be_there() {
    let mut world = World::new();
    let (cert, key) = (world.path("cert.pem"), world.path("key.pem"));
    let text = format!(
        "ssl:\n  mesher.Provider.certFile: {}\n  mesher.Provider.keyFile: {}\n  other.rest.Provider.certFile: /none\n  other.rest.Provider.keyFile: /none\n",
        cert.display(),
        key.display()
    );
    world = world.file("conf/tls.yaml", &text).file("cert.pem", "");
    assert!(
        world.problems()[0].starts_with(
            "warning: conf/tls.yaml:3: ssl.mesher.Provider.keyFile: key.pem: No such file"
        ),
        "{:?}",
        world.problems()
    );
    world.inputs.named_files = NamedFiles::MustExist;
    assert!(world.problems()[0].starts_with("error: conf/tls.yaml:3: "));
    world = world.file("key.pem", "");
    assert_eq!(world.problems(), [""; 0], "the listener of another service is not ours");
}

#[test]
fn secrets_are_not_shown() {
    let world = World::new()
        .file("conf/auth.yaml", "servicecomb: {account: {name: n, password: hunter2}}\n")
        .file(
            "conf/microservice.yaml",
            "service_description: {instance_properties: {apiToken: hunter2}}\n",
        )
        .variable("CSE_REGISTRY_ADDR", "http://u:hunter2@h:1");
    let configuration = world.read();
    let dump = configuration.to_yaml() + &configuration.to_json().to_string();
    assert!(!dump.contains("hunter2") && dump.contains("***"), "{dump}");
    let settings = World::new()
        .file("conf/auth.yaml", "cse: {credentials: {account: {name: n, password: hunter2}}}\n")
        .settings();
    assert_eq!(
        crate::support::service_center(&settings).account.as_ref().unwrap().password,
        "hunter2"
    );
    assert!(!format!("{settings:?}").contains("hunter2"));
}

fn yaml() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("cse".to_owned()),
        Just("servicecomb".to_owned()),
        Just("ssl".to_owned()),
        Just("registry".to_owned()),
        Just("localHealthCheck".to_owned()),
        Just("listenAddress".to_owned()),
        Just("address".to_owned()),
        "[a-zA-Z0-9.${}|]{0,8}",
    ];
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        Just("~".into()),
        Just("[]".into()),
        "[ -~]{0,12}".prop_map(|t| format!("{t:?}"))
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec((word.clone(), inner.clone()), 0..5).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(k, v)| format!("{k:?}: {v}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
            proptest::collection::vec(inner, 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_file_is_too_strange(text in prop_oneof![yaml(), any::<String>()], name in "(chassis|mesher|tls|microservice)") {
        let world = World::new().file(&format!("conf/{name}.yaml"), &text);
        let configuration = world.read();
        let _ = (configuration.to_yaml(), configuration.to_json());
        prop_assert_eq!(configuration.is_faulty(), configuration.settings().is_err());
    }
}

#[test]
fn profiles_are_off_and_for_this_machine_unless_said_otherwise() {
    let pprof = |text: &str| World::new().file("conf/mesher.yaml", text).settings().admin.pprof;
    assert_eq!(pprof("pprof: {listen: 127.0.0.1:7070}\n"), None);
    let built_in = Some(([127, 0, 0, 1], 6060).into());
    assert_eq!(pprof("pprof: {enable: true}\n"), built_in);
    let open =
        World::new().file("conf/mesher.yaml", "pprof: {enable: true, listen: 0.0.0.0:6060}\n");
    assert!(open.settings().admin.pprof.is_some());
    let warning = "warning: conf/mesher.yaml:1: pprof.listen: whoever reaches this address";
    assert!(open.problems()[0].starts_with(warning), "{:?}", open.problems());
}
