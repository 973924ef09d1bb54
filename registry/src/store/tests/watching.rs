use super::*;

/// What was told since the last call: to whom, what, about which instance.
fn told(bench: &mut Bench) -> Vec<(Vec<String>, Action, String)> {
    let events = bench.store.take_effects().events;
    let told = events.into_iter().map(|event| {
        let instance = event.notice.instance().instance_id.clone();
        (event.to, event.notice.action(), instance)
    });
    told.collect()
}

#[test]
fn only_who_looked_a_service_up_is_told_of_it() {
    let mut bench = Bench::default();
    let (one, two) = (bench.service("a", "one", "1"), bench.service("a", "two", "1"));
    let provider = bench.service("a", "p", "1");
    bench.named_instance(&provider, "early", 30);
    assert_eq!(told(&mut bench), [], "nobody has looked it up");
    bench.find(&one, "a", "p").expect("it exists");
    assert!(bench.find(&two, "a", "nope").is_err());
    bench.find("", "a", "p").expect("it exists");
    bench.named_instance(&provider, "i", 30);
    assert_eq!(told(&mut bench), [(vec![one.clone()], Action::Create, "i".into())]);
    // Another version is looked up as well.
    let next = bench.service("a", "p", "2");
    bench.find(&two, "a", "p").expect("it exists");
    bench.named_instance(&next, "j", 30);
    let mut both = vec![one, two];
    both.sort();
    assert_eq!(told(&mut bench), [(both, Action::Create, "j".into())]);
}

#[test]
fn what_is_told_and_what_is_not() {
    let mut bench = Bench::default();
    let consumer = bench.service("a", "c", "1");
    let provider = bench.service("a", "p", "1");
    bench.find(&consumer, "a", "p").expect("it exists");
    bench.named_instance(&provider, "i", 5);
    bench.named_instance(&provider, "j", 5);
    bench.store.take_effects();
    let to = || vec![consumer.clone()];

    assert!(bench.beat(&provider, "i"));
    bench.named_instance(&provider, "i", 5);
    let (tenant, now) = (tenant(), bench.now);
    let properties: crate::model::Properties = [("a".to_owned(), "b".to_owned())].into();
    bench.store.set_service_properties(&tenant, &provider, properties.clone(), now).unwrap();
    assert!(bench.store.set_status(&tenant, &provider, "i", "BUSY", now).is_err());
    assert_eq!(told(&mut bench), [], "neither heartbeats nor what changes no instance");

    bench.store.set_status(&tenant, &provider, "i", "DOWN", now).unwrap();
    bench.store.set_instance_properties(&tenant, &provider, "i", properties, now).unwrap();
    bench.store.delete_instance(&tenant, &provider, "i", now).unwrap();
    bench.pass(20);
    bench.store.expire(bench.now);
    assert_eq!(
        told(&mut bench),
        [
            (to(), Action::Update, "i".into()),
            (to(), Action::Update, "i".into()),
            (to(), Action::Delete, "i".into()),
            (to(), Action::Delete, "j".into()),
        ]
    );
    bench.named_instance(&provider, "k", 5);
    bench.store.delete_service(&tenant, &provider, true, bench.now).unwrap();
    let create_and_delete =
        [(to(), Action::Create, "k".into()), (to(), Action::Delete, "k".into())];
    assert_eq!(told(&mut bench), create_and_delete, "an instance goes with its service");

    // The name is gone, and with it who looked it up: it has to be found again.
    let provider = bench.service("a", "p", "1");
    bench.instance(&provider, 5);
    assert_eq!(told(&mut bench), []);
}

#[test]
fn the_environment_is_told_where_there_is_one() {
    let mut bench = Bench::default();
    let production =
        |name| Microservice { environment: "production".into(), ..service("a", name, "1") };
    let consumer = bench.register(production("c")).unwrap();
    let provider = bench.register(production("p")).unwrap();
    bench.find(&consumer, "a", "p").expect("it exists");
    bench.instance(&provider, 30);
    let event = bench.store.take_effects().events.pop().expect("a new instance");
    let message = serde_json::to_value(&*event.notice).unwrap();
    assert_eq!(
        message["key"],
        serde_json::json!({
            "tenant": "default/default", "environment": "production", "appId": "a",
            "serviceName": "p", "version": "1",
        })
    );
}
