//! `router.yaml`: rules of both generations, and dark launch.

use mesh::Tags;
use mesh::route::{
    Condition, HeaderMatch, Mirror, MirrorTo, Pattern, RequestMatch, Rule, Subset, Target, Test,
};
use mesh::virtual_host::Share;
use serde_json::json;

use crate::support::{World, assert_among};

fn to(tags: &[(&str, &str)], weight: u32) -> Target {
    let tags = tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Target { weight, subset: Subset::of_tags(tags) }
}

fn header(name: &str, test: Test) -> HeaderMatch {
    let condition = Condition { test, any_case: false };
    HeaderMatch { name: name.into(), condition, inverted: false }
}

fn headers(headers: Vec<HeaderMatch>) -> Vec<RequestMatch> {
    vec![RequestMatch { headers, ..RequestMatch::default() }]
}

fn rules(world: &World, service: &str) -> Vec<Rule> {
    world.settings().governance.rules[service].clone()
}

#[test]
fn rules_of_the_first_generation() {
    let world = World::new()
        .variable("SERVICE_NAME", "ServiceA")
        .variable("VERSION", "1.0.0")
        .file(
            "conf/router.yaml",
            "routeRule:\n\
             \x20 ServiceB:\n\
             \x20   - precedence: 1\n\
             \x20     route: [{tags: {version: 1.10}, weight: 70}]\n\
             \x20   - precedence: 2\n\
             \x20     match:\n\
             \x20       refer: us\n\
             \x20       httpHeaders: {X-User: {exact: jason}, age: {noLess: 18}}\n\
             \x20     route:\n\
             \x20       - {tags: {version: 2.0, zone: a}, weight: 80}\n\
             \x20       - {tags: {version: v1}, weight: 20}\n\
             \x20   - {precedence: 3, match: {source: ServiceC}, route: [{tags: {version: 3.0}}]}\n\
             sourceTemplate:\n\
             \x20 us: {source: ServiceA, sourceTags: {version: 1.0}, httpHeaders: {a: {regex: '^b'}}}\n",
        );
    assert_eq!(world.problems(), [""; 0]);
    let pattern = Test::Matches(Pattern::new("^b", false).unwrap());
    let about = headers(vec![
        header("a", pattern),
        header("x-user", Test::Is("jason".into())),
        header("age", Test::AtLeast(18)),
    ]);
    let expected = vec![
        Rule {
            matches: about,
            targets: vec![
                to(&[("version", "2.0"), ("zone", "a")], 80),
                to(&[("version", "v1")], 20),
            ],
            ..Rule::default()
        },
        // What is left of 100 goes to the latest.
        Rule {
            matches: Vec::new(),
            targets: vec![to(&[("version", "1.10")], 70), to(&[], 30)],
            ..Rule::default()
        },
    ];
    assert_eq!(rules(&world, "ServiceB"), expected, "those about us, the highest first");
}

#[test]
fn rules_of_the_second_generation() {
    let world = World::new().file(
        "conf/router.yaml",
        "servicecomb:\n\
         \x20 routeRule:\n\
         \x20   ServiceB: |\n\
         \x20     - precedence: 1\n\
         \x20       match: {refer: to-some-api}\n\
         \x20       route: [{tags: {version: latest}, weight: 100}]\n\
         \x20     - match: {headers: {x: {noEqu: a, caseInsensitive: true}}}\n\
         \x20       route: [{tags: {version: 1.0}}]\n\
         \x20 match:\n\
         \x20   to-some-api: |\n\
         \x20     matches:\n\
         \x20       - {apiPath: {contains: some/api}, method: [get, POST]}\n\
         \x20       - {name: other, apiPath: {exact: /}, trafficMarkPolicy: once}\n",
    );
    assert_eq!(world.problems(), [""; 0]);
    let path = |test| Some(Condition { test, any_case: false });
    let refused = HeaderMatch {
        name: "x".into(),
        condition: Condition { test: Test::Is("a".into()), any_case: true },
        inverted: true,
    };
    let expected = vec![
        Rule {
            matches: vec![
                RequestMatch {
                    methods: vec!["GET".into(), "POST".into()],
                    path: path(Test::Contains("some/api".into())),
                    ..RequestMatch::default()
                },
                RequestMatch {
                    mark: Some("to-some-api".into()),
                    path: path(Test::Is("/".into())),
                    ..RequestMatch::default()
                },
            ],
            targets: vec![to(&[], 100)],
            ..Rule::default()
        },
        Rule {
            matches: headers(vec![refused]),
            targets: vec![to(&[("version", "1.0")], 100)],
            ..Rule::default()
        },
    ];
    assert_eq!(rules(&world, "ServiceB"), expected);
}

#[test]
fn dark_launch_is_the_same_in_other_words() {
    let world = World::new().file(
        "conf/router.yaml",
        "cse:\n\
         \x20 darklaunch:\n\
         \x20   policy:\n\
         \x20     rated: '{\"policyType\":\"RATE\",\"ruleItems\":[{\"groupName\":\"g\",\"groupCondition\":\"version=1.0,1.1\",\"policyCondition\":\"51\"}]}'\n\
         \x20     ruled: '{\"policyType\":\"RULE\",\"ruleItems\":[{\"groupCondition\":\"version=2.0\",\"policyCondition\":\"user=jason\"},{\"groupCondition\":\"version=1.0\",\"policyCondition\":\"age>=18\"}]}'\n",
    );
    assert_eq!(world.problems(), [""; 0]);
    let targets = vec![to(&[("version", "1.0")], 26), to(&[("version", "1.1")], 25), to(&[], 49)];
    assert_eq!(rules(&world, "rated"), [Rule { matches: Vec::new(), targets, ..Rule::default() }]);
    let expected = [
        Rule {
            matches: headers(vec![header("user", Test::Is("jason".into()))]),
            targets: vec![to(&[("version", "2.0")], 100)],
            ..Rule::default()
        },
        Rule {
            matches: headers(vec![header("age", Test::AtLeast(18))]),
            targets: vec![to(&[("version", "1.0")], 100)],
            ..Rule::default()
        },
    ];
    assert_eq!(rules(&world, "ruled"), expected, "the first counts first");
    let shown = &world.settings().route_rules["rated"];
    let route = json!([
        {"tags": {"version": "1.0"}, "weight": 26}, {"tags": {"version": "1.1"}, "weight": 25}
    ]);
    assert_eq!(*shown, [json!({"route": route})]);
}

#[test]
fn each_operator_of_dark_launch_has_its_word() {
    let pattern = Test::Matches(Pattern::new("^j", false).unwrap());
    for (said, name, test, inverted) in [
        ("user=jason", "user", Test::Is("jason".into()), false),
        ("user!=jason", "user", Test::Is("jason".into()), true),
        ("age >= 18", "age", Test::AtLeast(18), false),
        ("age<=18", "age", Test::AtMost(18), false),
        ("age>18", "age", Test::Above(18), false),
        ("age<18", "age", Test::Below(18), false),
        ("user~^j", "user", pattern, false),
        // The first that stands there counts.
        ("user=a>b", "user", Test::Is("a>b".into()), false),
    ] {
        let policy = json!({"policyType": "RULE", "ruleItems": [
            {"groupCondition": "version=2.0", "policyCondition": said},
        ]});
        let file = format!("cse.darklaunch.policy.a: '{policy}'\n");
        let world = World::new().file("conf/router.yaml", &file);
        assert_eq!(world.problems(), [""; 0], "{said}");
        let wanted = HeaderMatch { inverted, ..header(name, test) };
        assert_eq!(rules(&world, "a")[0].matches, headers(vec![wanted]), "{said}");
    }
    let both = "routeRule: {a: [{route: [{tags: {version: 1.0}}]}]}\ncse.darklaunch.policy.a: '{\"policyType\":\"RATE\",\"ruleItems\":[]}'\n";
    let world = World::new().file("conf/router.yaml", both);
    let warning = "cse.darklaunch.policy.a: has no effect: routeRule.a says where requests go";
    assert!(world.problems()[0].contains(warning), "{:?}", world.problems());
    assert_eq!(rules(&world, "a")[0].targets, [to(&[("version", "1.0")], 100)]);
}

#[test]
fn what_is_wrong_has_its_line() {
    let world = World::new().file(
        "conf/router.yaml",
        "routeRule:\n\
         \x20 a:\n\
         \x20   - {precedence: high, route: [{tags: {version: 1.0}}]}\n\
         \x20   - {route: [{weight: 60}, {weight: 50}]}\n\
         \x20   - {route: [{tags: {version: 1.0}}, {weight: 50}]}\n\
         \x20   - {match: {refer: nobody}}\n\
         \x20   - {match: {headers: {x: {exakt: a}}}}\n\
         \x20   - {match: {headers: {x: {regex: '('}}}}\n\
         \x20   - {match: {headers: {x: {less: few}}}}\n\
         \x20   - {match: {apiPath: {noEqu: /}}}\n\
         \x20   - {match: {colour: red}, colour: red}\n\
         cse.darklaunch.policy.b: '{\"ruleItems\": []}'\n",
    );
    let problems = world.problems();
    assert_among(
        &problems,
        &[
            "error: conf/router.yaml:3: routeRule.a: precedence: \"high\" is not allowed here: write a whole",
            "error: conf/router.yaml:4: routeRule.a: route: the weights are 110 together",
            "error: conf/router.yaml:5: routeRule.a: weight is missing",
            "error: conf/router.yaml:6: routeRule.a: refer: \"nobody\" is not allowed here: write the name",
            "warning: conf/router.yaml:7: routeRule.a: exakt: unknown key",
            "error: conf/router.yaml:7: routeRule.a: x: say what it has to be: one of exact",
            "error: conf/router.yaml:8: routeRule.a: regex: \"(\" is none: unclosed group",
            "error: conf/router.yaml:9: routeRule.a: less: \"few\" is not allowed here: write a whole",
            "error: conf/router.yaml:10: routeRule.a: apiPath: noEqu is for headers",
            "warning: conf/router.yaml:11: routeRule.a: colour: unknown key, it has no effect: there are refer",
            "warning: conf/router.yaml:11: routeRule.a: colour: unknown key, it has no effect: there are prec",
            "error: conf/router.yaml:12: cse.darklaunch.policy.b: policyType is missing",
        ],
    );
    assert_eq!(problems.len(), 12, "{problems:#?}");
}

#[test]
fn without_the_handler_no_rule_is_followed() {
    let world = World::new()
        .file("conf/router.yaml", "routeRule: {a: [{route: [{tags: {version: 1.0}}]}]}\n")
        .variable("OUTGOING_HANDLER", "loadbalance,transport");
    assert!(world.settings().governance.rules.is_empty());
    let warning = "warning: conf/router.yaml:1: routeRule.a: has no effect: router is not in";
    assert!(world.problems()[0].starts_with(warning), "{:?}", world.problems());
}

#[test]
fn copies_go_to_a_subset_or_to_another_service() {
    let world = World::new().file(
        "conf/router.yaml",
        "routeRule:\n\
         \x20 one:\n\
         \x20   - route: [{tags: {version: 1.0}}]\n\
         \x20     mirror: {tags: {version: 2.0}, percent: 10}\n\
         \x20 many:\n\
         \x20   - mirror: [{service: next}, {tags: {zone: a}, percent: 0}]\n",
    );
    assert_eq!(world.problems(), [""; 0]);
    let mirrors = |service: &str| rules(&world, service).remove(0).mirrors;
    let subset = |name: &str, value: &str| {
        MirrorTo::Subset(Subset::of_tags(Tags::from([(name.into(), value.into())])))
    };
    let ten = Share::of_million(100_000);
    assert_eq!(mirrors("one"), [Mirror { to: subset("version", "2.0"), share: ten }]);
    let next = Mirror { to: MirrorTo::Service("next".into()), share: Share::ALL };
    let none = Mirror { to: subset("zone", "a"), share: Share::NONE };
    assert_eq!(mirrors("many"), [next, none]);

    let world = World::new().file(
        "conf/router.yaml",
        "routeRule:\n\
         \x20 a:\n\
         \x20   - mirror: {percent: 10}\n\
         \x20 b:\n\
         \x20   - mirror: {service: c, percent: 101}\n",
    );
    let problems = world.problems();
    assert_among(
        &problems,
        &[
            "error: conf/router.yaml:3: routeRule.a: mirror: say tags",
            "error: conf/router.yaml:5: routeRule.b: percent: \"101\" is not allowed",
        ],
    );
}
