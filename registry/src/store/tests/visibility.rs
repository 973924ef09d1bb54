use super::*;

fn provider(environment: &str, app: &str, allow: &str) -> Microservice {
    let properties = [("allowCrossApp".to_owned(), allow.to_owned())];
    let properties = properties.into_iter().filter(|(_, allow)| !allow.is_empty()).collect();
    Microservice { environment: environment.into(), properties, ..service(app, "p", "1") }
}

#[test]
fn who_sees_whom() {
    for (consumer, provided, allow, seen) in [
        (("", "a"), ("", "a"), "", Some(1)),
        (("", "a"), ("", "a"), "false", Some(1)),
        (("", "a"), ("", "b"), "", Some(0)),
        (("", "a"), ("", "b"), "false", Some(0)),
        (("", "a"), ("", "b"), "true", Some(1)),
        (("", "a"), ("", "b"), "TRUE", Some(1)),
        (("production", "a"), ("production", "a"), "", Some(1)),
        // In another environment there is no such service at all.
        (("production", "a"), ("", "a"), "true", None),
        (("", "a"), ("testing", "a"), "true", None),
    ] {
        let case = format!("{consumer:?} {provided:?} {allow:?}");
        let mut bench = Bench::default();
        let asking =
            Microservice { environment: consumer.0.into(), ..service(consumer.1, "c", "1") };
        let asking = bench.register(asking).expect("it is acceptable");
        let id = bench.register(provider(provided.0, provided.1, allow)).expect("it is too");
        bench.instance(&id, 30);
        let found = bench.find(&asking, provided.1, "p");
        match seen {
            Some(count) => assert_eq!(found.expect(&case).instances.len(), count, "{case}"),
            None => assert_eq!(found.expect_err(&case).code, Code::NoService, "{case}"),
        }
        let listed = bench.store.list_instances(&tenant(), &asking, &id).expect("it exists");
        assert_eq!(listed.instances.len(), seen.unwrap_or(0), "{case}");
        let one = bench.store.get_instance(&tenant(), &asking, &id, "i1");
        assert_eq!(one.is_ok(), seen == Some(1), "{case}");
        // Without a consumer everything shows.
        let query = Query {
            environment: provided.0.into(),
            app: provided.1.into(),
            service: "p".into(),
            tags: Vec::new(),
        };
        let found = bench.store.find(&tenant(), "", &query, bench.now).expect("it exists");
        assert_eq!(found.instances.len(), 1, "{case}");
    }
}

#[test]
fn tenants_see_nothing_of_each_other() {
    let mut bench = Bench::default();
    let mine = bench.service("a", "s", "1");
    bench.instance(&mine, 30);
    let other = Tenant { domain: "default".into(), project: "other".into() };
    let query = Query { app: "a".into(), service: "s".into(), ..Query::default() };
    let store = &mut bench.store;
    assert!(store.find(&other, "", &query, bench.now).is_err());
    assert!(store.get_service(&other, &mine).is_err());
    assert!(store.heartbeat(&other, &mine, "i1", bench.now).is_err());
    assert!(store.delete_service(&other, &mine, true, bench.now).is_err());
    let new = NewService { service: Some(service("a", "s", "1")), ..NewService::default() };
    let theirs = store.register_service(&other, new, String::new, bench.now).expect("acceptable");
    assert_ne!(mine, theirs, "the same name elsewhere is another service");
    assert_eq!(store.find(&other, "", &query, bench.now).expect("it exists").instances, []);
}

#[test]
fn all_versions_and_statuses_are_found() {
    let mut bench = Bench::default();
    for (version, status) in [("1.0", "UP"), ("2.0", "DOWN"), ("3.0", "TESTING")] {
        let id = bench.service("a", "s", version);
        bench.named_instance(&id, version, 30);
        let changed = bench.store.set_status(&tenant(), &id, version, status, bench.now);
        changed.expect("it is there");
    }
    assert_eq!(bench.ids("", "a", "s"), ["1.0", "2.0", "3.0"]);
}

#[test]
fn services_are_also_found_by_alias_and_tag() {
    let mut bench = Bench::default();
    let aliased = Microservice { alias: "a:other".into(), ..service("a", "s", "1") };
    let id = bench.register(aliased).expect("acceptable");
    bench.instance(&id, 30);
    assert_eq!(bench.ids("", "a", "a:other"), ["i1"]);
    let tags = [("color".to_owned(), "red".to_owned())].into();
    bench.store.add_tags(&tenant(), &id, tags, bench.now).expect("acceptable");
    for (wanted, count) in [("color", 1), ("size", 0)] {
        let tags = vec![wanted.to_owned()];
        let query = Query { app: "a".into(), service: "s".into(), tags, ..Query::default() };
        let found = bench.store.find(&tenant(), "", &query, bench.now).expect("it exists");
        assert_eq!(found.instances.len(), count, "{wanted}");
    }
    bench.store.delete_service(&tenant(), &id, true, bench.now).expect("it is there");
    assert!(bench.find("", "a", "a:other").is_err());
}
