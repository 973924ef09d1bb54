//! What a configuration center says, and what is said about it.

use std::fs;
use std::time::Duration;

use discovery::center::{ApiVersion, Held, Item, Layer};
use sidecar::configuration::{Configuration, Reload, follow};
use sidecar::settings::{Center, CenterKind};
use tokio::sync::watch;

use crate::support::{World, assert_among};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Layers by their names, the most general first, with keys and values; behind a key, `!` marks a
/// document.
fn held(generation: u64, layers: &[(&str, &[(&str, &str)])]) -> Held {
    let layer = |(name, items): &(&str, &[(&str, &str)])| Layer {
        name: (*name).into(),
        items: items
            .iter()
            .map(|(key, value)| Item {
                key: key.trim_end_matches('!').to_owned(),
                value: (*value).to_owned(),
                yaml: key.ends_with('!'),
            })
            .collect(),
        ..Layer::default()
    };
    Held { center: "kie at k".into(), layers: layers.iter().map(layer).collect(), generation }
}

fn shown(configuration: &Configuration, key: &str) -> String {
    let line = configuration.to_json()[key].clone();
    format!("{} from {}", line["value"], line["origin"].as_str().unwrap_or_default())
}

fn problems(configuration: &Configuration) -> Vec<String> {
    configuration.problems.iter().map(|it| format!("{}: {it}", it.severity)).collect()
}

#[test]
fn a_center_wins_over_everything_and_the_particular_over_the_general() {
    let world = World::new()
        .file("conf/mesher.yaml", "mesher: {limits: {connectTimeout: 1s, idleTimeout: 1s}}\n")
        .variable("MESHER_PASSTHROUGH", "none")
        .flag("mesher.limits.connectTimeout", "2s");
    let read = world.inputs.read_with(&held(
        1,
        &[
            ("app=a", &[("mesher.limits.connectTimeout", "3s"), ("mesher.passthrough", "all")]),
            ("app=a,service=b", &[("mesher.limits.connectTimeout", "4s"), ("colour", "red")]),
        ],
    ));
    let connect = shown(&read, "mesher.limits.connectTimeout");
    assert_eq!(connect, "\"4s\" from kie at k (app=a,service=b)");
    assert_eq!(shown(&read, "mesher.passthrough"), "\"all\" from kie at k (app=a)");
    assert!(shown(&read, "mesher.limits.idleTimeout").contains("mesher.yaml:1"));
    assert_eq!(problems(&read), [""; 0], "a key that is none of ours is for somebody else");
    let settings = read.settings().unwrap();
    assert_eq!(settings.limits.connect_timeout, Duration::from_secs(4));
}

#[test]
fn both_generations_rules_as_texts_and_whole_documents_are_read() {
    let rules = "- precedence: 1\n  route: [{tags: {version: 2.0.0}}]\n";
    let file = "colour: red\nservicecomb:\n  isolation: {Consumer: {timeoutInMilliseconds: 700}}\n";
    let read = World::new().inputs.read_with(&held(
        1,
        &[(
            "all",
            &[
                ("cse.loadbalance.retryEnabled", "true"),
                ("servicecomb.routeRule.orders", rules),
                ("servicecomb.loadbalance!", "stock: {strategy: {name: Random}}"),
                ("chassis.yaml!", file),
                ("application.yaml!", "- a list of another program"),
            ],
        )],
    ));
    assert_eq!(problems(&read), [""; 0]);
    let strategy = "servicecomb.loadbalance.stock.strategy.name";
    assert_eq!(shown(&read, strategy), "\"Random\" from kie at k (all)");
    let settings = read.settings().unwrap();
    assert_eq!(settings.limits.request_timeout, Duration::from_millis(700));
    assert_eq!(settings.governance.rules.len(), 1);
    assert!(settings.route_rules.contains_key("orders"));
}

#[test]
fn what_a_center_has_no_say_in_is_named() {
    let read = World::new().inputs.read_with(&held(
        1,
        &[(
            "all",
            &[
                ("servicecomb.registry.address", "http://elsewhere:1"),
                ("ssl.orders.rest.Consumer.verifyPeer", "false"),
                ("servicecomb.account.password", "secret"),
                ("servicecomb.loadbalance.strategy.nam", "Random"),
                ("mesher.limits.connectTimeout", "soon"),
                ("servicecomb.loadbalance!", "a: [b"),
            ],
        )],
    ));
    let problems = problems(&read);
    assert_among(
        &problems,
        &[
            "error: kie at k (all): mesher.limits.connectTimeout: \"soon\" is not allowed here",
            "error: kie at k (all): servicecomb.loadbalance: line 1: ",
            "warning: kie at k (all): servicecomb.registry.address: has no effect from here: it is read at the start",
            "warning: kie at k (all): ssl.orders.rest.Consumer.verifyPeer: has no effect from here: what secures",
            "warning: kie at k (all): servicecomb.account.password: has no effect from here: what secures",
            "warning: kie at k (all): servicecomb.loadbalance.strategy.nam: unknown key, it has no effect: did you mean \"name\"",
        ],
    );
    assert!(!problems.join(" ").contains("secret"), "{problems:?}");
}

#[test]
fn which_center_and_how_it_is_asked() {
    let center = |yaml: &str| {
        let text = format!("cse: {{config: {{client: {{{yaml}}}}}}}\n");
        World::new().file("conf/chassis.yaml", &text).settings().center
    };
    assert_eq!(center("refreshMode: 1"), None, "nobody to ask");
    assert_eq!(center("serverUri: 'http://k:1', enabled: false"), None);
    let kie = Center {
        kind: CenterKind::Kie,
        addresses: vec!["http://k:1".to_owned(), "https://l".to_owned()],
        waits: true,
        interval: Duration::from_secs(30),
        project: "default".to_owned(),
    };
    assert_eq!(center("serverUri: 'k:1, https://l/'").as_ref(), Some(&kie));
    let polled = center(
        "type: config_center, serverUri: 'http://k:1', refreshMode: 1, refreshInterval: 5, \
         tenantName: t, dimensionsInfo: all@shop, api: {version: v2}",
    );
    let kind = CenterKind::ConfigCenter {
        api: ApiVersion::V2,
        tenant: "t".to_owned(),
        dimension: Some("all@shop".to_owned()),
    };
    let addresses = vec!["http://k:1".to_owned()];
    let expected =
        Center { kind, addresses, waits: false, interval: Duration::from_secs(5), ..kie };
    assert_eq!(polled, Some(expected));
    let named = World::new().variable("PAAS_CSE_CC_ENDPOINT", "http://k:1").settings().center;
    assert_eq!(named.map(|center| center.kind), Some(CenterKind::Kie));

    let apollo = World::new().file(
        "conf/chassis.yaml",
        "cse: {config: {client: {type: apollo, serverUri: 'http://a:1', namespace: x}}}\n",
    );
    assert_eq!(apollo.settings().center, None);
    assert_among(
        &apollo.problems(),
        &[
            "warning: conf/chassis.yaml:1: cse.config.client.type: apollo is not part of mesher, and nothing is asked: there are servicecomb-kie and config_center",
        ],
    );
    let unknown =
        World::new().file("conf/chassis.yaml", "cse: {config: {client: {type: nacos}}}\n");
    assert_among(
        &unknown.problems(),
        &[
            "error: conf/chassis.yaml:1: cse.config.client.type: \"nacos\" is not allowed here: write one of servicecomb-kie, kie, config_center",
        ],
    );
}

#[tokio::test]
async fn what_it_says_wrongly_leaves_its_last_good_word_and_the_files_go_on() {
    let file = |time: &str| format!("mesher: {{limits: {{idleTimeout: {time}}}}}\n");
    let world = World::new().file("conf/mesher.yaml", &file("1s"));
    let says =
        |generation, time| held(generation, &[("all", &[("mesher.limits.connectTimeout", time)])]);
    let center = watch::Sender::new(says(1, "1s"));
    let started = Reload::starting(&world.read());
    let (mut settings, mut reload) =
        follow(world.inputs.clone(), world.settings(), started, Some(center.subscribe()));
    let mut limits = async |connect: u64, idle: u64| {
        let wanted = (Duration::from_secs(connect), Duration::from_secs(idle));
        let right = settings.wait_for(|settings| {
            (settings.limits.connect_timeout, settings.limits.idle_timeout) == wanted
        });
        tokio::time::timeout(PATIENCE, right).await.unwrap().unwrap();
    };
    limits(1, 1).await;
    center.send_replace(says(2, "2s"));
    limits(2, 1).await;
    center.send_replace(says(3, "soon"));
    let refused = reload.wait_for(|state| !state.faults.is_empty());
    let state = tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap().clone();
    let fault = state.faults[0].to_string();
    assert!(fault.starts_with("kie at k (all): mesher.limits.connectTimeout: \"soon\""), "{fault}");
    let value = &state.values.to_json()["mesher.limits.connectTimeout"]["value"];
    assert_eq!(value, "2s", "its last good word");
    // The files are followed all the same, and the fault goes on being said.
    fs::write(world.path("conf/mesher.yaml"), file("3s")).unwrap();
    limits(2, 3).await;
    assert_eq!((reload.borrow().faults.len(), reload.borrow().refused), (1, 1));
    // A file that is wrong is named too; then nothing new is put in force.
    fs::write(world.path("conf/mesher.yaml"), file("later")).unwrap();
    let both =
        reload.wait_for(|state| state.faults.iter().any(|it| it.to_string().contains("later")));
    tokio::time::timeout(PATIENCE, both).await.unwrap().unwrap();
    fs::write(world.path("conf/mesher.yaml"), file("4s")).unwrap();
    center.send_replace(says(4, "5s"));
    limits(5, 4).await;
    let healed = reload.wait_for(|state| state.faults.is_empty());
    tokio::time::timeout(PATIENCE, healed).await.unwrap().unwrap();
    // A key that is taken out there is what the files say, or what is built in.
    center.send_replace(held(5, &[("all", &[])]));
    limits(3, 4).await;
}
