use super::*;
use crate::model::Status;

#[test]
fn what_is_not_acceptable_names_its_field() {
    let with = |change: fn(&mut Microservice)| {
        let mut bad = service("a", "s", "1");
        change(&mut bad);
        bad
    };
    for (field, bad) in [
        ("MicroService.ServiceName", with(|it| it.service_name = "a b".into())),
        ("MicroService.ServiceName", with(|it| it.service_name = "x".repeat(129))),
        ("MicroService.Version", with(|it| it.version = "v1".into())),
        ("MicroService.Version", with(|it| it.version = "1.2.3.4.5".into())),
        ("MicroService.AppId", with(|it| it.app_id = "-a".into())),
        ("MicroService.Environment", with(|it| it.environment = "staging".into())),
        ("MicroService.Level", with(|it| it.level = "TOP".into())),
        ("MicroService.ServiceId", with(|it| it.service_id = "a b".into())),
        ("MicroService.Status", with(|it| it.status = "TESTING".into())),
        ("MicroService.Alias", with(|it| it.alias = "a/b".into())),
        ("MicroService.RegisterBy", with(|it| it.register_by = "hand".into())),
        ("MicroService.Description", with(|it| it.description = "x".repeat(257))),
        ("MicroService.Schemas", with(|it| it.schemas = vec!["a b".into()])),
        ("MicroService.Schemas", with(|it| it.schemas = vec!["a".into(); 101])),
    ] {
        let mut bench = Bench::default();
        let refusal = bench.register(bad).expect_err(field);
        assert_eq!(refusal.code, Code::InvalidParameters);
        assert!(refusal.detail.contains(&format!("'{field}'")), "{}", refusal.detail);
        assert!(refusal.detail.len() < 500, "{}", refusal.detail);
        assert_eq!(bench.store.take_effects(), Effects::default());
    }
}

#[test]
fn the_first_record_of_a_name_and_version_wins() {
    let mut bench = Bench::default();
    let id = bench.service("a", "s", "1");
    let again = Microservice { description: "new".into(), ..service("a", "s", "1") };
    assert_eq!(bench.register(again), Ok(id.clone()));
    let stored = bench.store.get_service(&tenant(), &id).expect("it is there");
    assert_eq!(stored.description, "");
    assert_eq!((stored.level.as_str(), stored.status.as_str()), ("BACK", "UP"));

    let own =
        |id: &str, name: &str| Microservice { service_id: id.into(), ..service("a", name, "1") };
    for (case, new, code) in [
        ("another id for the same service", own("x", "s"), Some(Code::ServiceExists)),
        ("the same id for the same service", own(&id, "s"), None),
        ("the same id for another service", own(&id, "t"), Some(Code::ServiceExists)),
        ("an id of its own", own("x", "t"), None),
    ] {
        assert_eq!(bench.register(new).err().map(|refusal| refusal.code), code, "{case}");
    }
}

#[test]
fn a_service_and_its_instances_come_all_or_none() {
    let mut bench = Bench::default();
    let good = NewInstance {
        record: Instance { host_name: "h".into(), ..Instance::default() },
        ..NewInstance::default()
    };
    let bad = NewInstance { status: "BUSY".into(), ..good.clone() };
    let new = |instances| NewService {
        service: Some(service("a", "s", "1")),
        tags: [("a".to_owned(), "b".to_owned())].into(),
        instances,
    };
    let mut count = 0;
    let mut ids = || {
        count += 1;
        format!("id{count}")
    };
    let refused =
        bench.store.register_service(&tenant(), new(vec![good.clone(), bad]), &mut ids, bench.now);
    assert!(refused.is_err());
    assert_eq!(bench.store.usage(), Usage::default());
    let id = bench
        .store
        .register_service(&tenant(), new(vec![good.clone(), good]), ids, bench.now)
        .expect("acceptable");
    assert_eq!(bench.ids("", "a", "s"), ["id2", "id3"]);
    assert_eq!(bench.store.tags(&tenant(), &id).expect("it is there").len(), 1);
}

#[test]
fn deleting_takes_force_where_something_hangs_on_it() {
    let mut bench = Bench::default();
    let consumer = bench.service("a", "c", "1");
    let provider = bench.service("a", "p", "1");
    let code = |bench: &mut Bench, id: &str, force| {
        let deleted = bench.store.delete_service(&tenant(), id, force, bench.now);
        deleted.err().map(|refusal| refusal.code)
    };
    bench.instance(&provider, 30);
    assert_eq!(code(&mut bench, &provider, false), Some(Code::HasInstances));
    bench.find(&consumer, "a", "p").expect("it exists");
    assert_eq!(code(&mut bench, &provider, false), Some(Code::HasConsumers));
    // Who looks up only itself does not stand in its own way.
    bench.find(&consumer, "a", "c").expect("it exists");
    assert_eq!(code(&mut bench, &consumer, false), None);
    assert_eq!(code(&mut bench, &provider, false), Some(Code::HasInstances));
    assert_eq!(code(&mut bench, &provider, true), None);
    assert_eq!(code(&mut bench, &provider, true), Some(Code::NoService));
    assert_eq!(bench.store.usage(), Usage::default());
}

#[test]
fn there_is_room_for_so_much_and_no_more() {
    let limits = Limits { services: 2, instances: 2, bytes: 4_000 };
    let mut bench = Bench { store: Store::new(limits), ..Bench::default() };
    let (one, _) = (bench.service("a", "one", "1"), bench.service("a", "two", "1"));
    let refusal = bench.register(service("a", "three", "1")).expect_err("two are enough");
    assert_eq!(refusal.code, Code::Quota);
    assert_eq!(bench.register(service("a", "one", "1")), Ok(one.clone()), "it is no new one");
    bench.instance(&one, 30);
    bench.instance(&one, 30);
    let new = NewInstance {
        record: Instance { host_name: "h".into(), ..Instance::default() },
        ..NewInstance::default()
    };
    let refused =
        bench.store.register_instance(&tenant(), &one, Some(new), || "x".into(), bench.now);
    assert_eq!(refused.expect_err("two are enough").code, Code::Quota);
    let properties: crate::model::Properties = [("a".to_owned(), "x".repeat(4_000))].into();
    for refused in [
        bench.store.set_service_properties(&tenant(), &one, properties.clone(), bench.now),
        bench.store.set_instance_properties(&tenant(), &one, "i1", properties, bench.now),
    ] {
        assert_eq!(refused.expect_err("too long").code, Code::Quota);
    }
    assert!(bench.store.usage().bytes <= limits.bytes);
}

#[test]
fn a_request_for_every_instance_is_refused() {
    let mut bench = Bench::default();
    let id = bench.service("a", "s", "1");
    for (instance, zone) in [("i1", "z1"), ("i2", "z2")] {
        bench.named_instance(&id, instance, 30);
        let properties = [("zone".to_owned(), zone.to_owned())].into();
        let set =
            bench.store.set_instance_properties(&tenant(), &id, instance, properties, bench.now);
        set.expect("it is there");
    }
    let zone = |zone: &str| [("zone".to_owned(), zone.to_owned())].into();
    let none = crate::model::Properties::new();
    for (properties, status) in
        [(&none, "DOWN"), (&none, ""), (&zone("z1"), ""), (&zone("z1"), "x")]
    {
        let refused = bench.store.set_many_statuses(&tenant(), properties, status, bench.now);
        assert_eq!(refused.expect_err("too much").code, Code::InvalidParameters);
    }
    bench.store.set_many_statuses(&tenant(), &zone("z2"), "DOWN", bench.now).expect("some");
    let found = bench.find("", "a", "s").expect("it exists");
    let statuses: Vec<_> = found.instances.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [Some(Status::Up), Some(Status::Down)]);
}
