//! What holds for any sequence of commands.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A command on few enough names that they meet.
#[derive(Debug, Clone)]
enum Step {
    Service(u8),
    Instance(u8, u8, i64),
    Beat(u8, u8),
    Status(u8, u8, bool),
    Properties(u8, u8, u8),
    DeleteInstance(u8, u8),
    DeleteService(u8, bool),
    Find(u8, u8),
    Tag(u8, u8),
    Schema(u8, u8),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let service = || 0..4_u8;
    let instance = || 0..3_u8;
    let step = prop_oneof![
        service().prop_map(Step::Service),
        (service(), instance(), 1..9_i64).prop_map(|(s, i, n)| Step::Instance(s, i, n)),
        (service(), instance()).prop_map(|(s, i)| Step::Beat(s, i)),
        (service(), instance(), any::<bool>()).prop_map(|(s, i, up)| Step::Status(s, i, up)),
        (service(), instance(), 0..3_u8).prop_map(|(s, i, p)| Step::Properties(s, i, p)),
        (service(), instance()).prop_map(|(s, i)| Step::DeleteInstance(s, i)),
        (service(), any::<bool>()).prop_map(|(s, force)| Step::DeleteService(s, force)),
        (service(), service()).prop_map(|(s, p)| Step::Find(s, p)),
        (service(), 0..3_u8).prop_map(|(s, t)| Step::Tag(s, t)),
        (service(), 0..3_u8).prop_map(|(s, t)| Step::Schema(s, t)),
        (0..15_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

/// The four services are two versions of two names.
fn record(number: u8) -> Microservice {
    service("a", &format!("s{}", number / 2), &format!("{}.0", number % 2 + 1))
}

fn id(number: u8) -> String {
    let record = record(number);
    crate::model::service_id(&tenant(), &record.name(), &record.version)
}

/// Runs a step; whether it is granted is not what these laws are about.
fn run(bench: &mut Bench, step: &Step) {
    let (tenant, now, store) = (tenant(), bench.now, &mut bench.store);
    let name = |instance: u8| format!("i{instance}");
    let pair = |value: u8| [("key".to_owned(), format!("v{value}"))].into();
    let _ = match *step {
        Step::Service(service) => bench.register(record(service)).map(|_| ()),
        Step::Instance(service, instance, interval) => {
            let record = Instance {
                instance_id: name(instance),
                host_name: "h".into(),
                health_check: HealthCheck { interval, ..HealthCheck::default() },
                ..Instance::default()
            };
            let new = NewInstance { record, ..NewInstance::default() };
            let new = store.register_instance(&tenant, &id(service), Some(new), String::new, now);
            new.map(|_| ())
        }
        Step::Beat(service, instance) => {
            store.heartbeat(&tenant, &id(service), &name(instance), now)
        }
        Step::Status(service, instance, up) => {
            let status = if up { "UP" } else { "DOWN" };
            store.set_status(&tenant, &id(service), &name(instance), status, now)
        }
        Step::Properties(service, instance, value) => {
            let (service, instance) = (id(service), name(instance));
            store.set_instance_properties(&tenant, &service, &instance, pair(value), now)
        }
        Step::DeleteInstance(service, instance) => {
            store.delete_instance(&tenant, &id(service), &name(instance), now)
        }
        Step::DeleteService(service, force) => {
            store.delete_service(&tenant, &id(service), force, now)
        }
        Step::Find(consumer, provider) => {
            bench.find(&id(consumer), "a", &record(provider).service_name).map(|_| ())
        }
        Step::Tag(service, value) => store.add_tags(&tenant, &id(service), pair(value), now),
        Step::Schema(service, value) => {
            let change = SchemaChange { schema: format!("text {value}"), summary: String::new() };
            store.put_schema(&tenant, &id(service), &format!("schema{value}"), change, now)
        }
        Step::Pass(seconds) => {
            bench.pass(seconds);
            bench.store.expire(bench.now);
            Ok(())
        }
    };
}

/// Everything that can be asked about instances, as it is answered.
fn answers(bench: &mut Bench) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for number in 0..4 {
        all.extend(bench.store.list_instances(&tenant(), "", &id(number)));
        all.extend(bench.find("", "a", &record(number).service_name));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same revision if and only if the same instances.
    #[test]
    fn revisions_stand_for_what_is_visible(steps in steps()) {
        let mut bench = Bench::default();
        let mut by_revision: BTreeMap<String, String> = BTreeMap::new();
        let mut by_content: BTreeMap<String, String> = BTreeMap::new();
        for step in &steps {
            run(&mut bench, step);
            for Found { instances, revision } in answers(&mut bench) {
                let mut content: Vec<_> =
                    instances.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
                content.sort_unstable();
                let content = content.concat();
                prop_assert_eq!(content.is_empty(), revision == EMPTY_REVISION);
                let known = by_revision.entry(revision.clone()).or_insert_with(|| content.clone());
                prop_assert_eq!(&*known, &content, "one revision, two contents");
                let known = by_content.entry(content).or_insert_with(|| revision.clone());
                prop_assert_eq!(&*known, &revision, "one content, two revisions");
            }
        }
    }

    /// An instance is there until its lease ends or somebody ends it, and not longer.
    #[test]
    fn leases_end_when_they_should(steps in steps()) {
        let mut bench = Bench::default();
        // When each instance ends, and how long its lease is.
        let mut model: BTreeMap<(u8, u8), (u64, u64)> = BTreeMap::new();
        for step in &steps {
            let now = bench.now.uptime.as_secs();
            let registered: Vec<bool> =
                (0..4).map(|service| bench.store.is_service(&tenant(), &id(service))).collect();
            run(&mut bench, step);
            match *step {
                Step::Instance(service, instance, interval)
                    if registered[usize::from(service)] =>
                {
                    let lease = interval.max(5).unsigned_abs() * 4;
                    let (end, lease) =
                        *model.get(&(service, instance)).unwrap_or(&(0, lease));
                    model.insert((service, instance), (end.max(now + lease), lease));
                }
                Step::Beat(service, instance) => {
                    if let Some((end, lease)) = model.get_mut(&(service, instance)) {
                        *end = now + *lease;
                    }
                }
                Step::DeleteInstance(service, instance) => {
                    model.remove(&(service, instance));
                }
                _ => {}
            }
            let now = bench.now.uptime.as_secs();
            if matches!(step, Step::Pass(_)) {
                model.retain(|_, (end, _)| *end > now);
            }
            model.retain(|(service, _), _| bench.store.is_service(&tenant(), &id(*service)));
            let mut there = Vec::new();
            for service in 0..4 {
                if let Ok(found) = bench.store.list_instances(&tenant(), "", &id(service)) {
                    let ids = found.instances.iter().map(|it| it.instance_id.clone());
                    there.extend(ids.map(|id| (service, id)));
                }
            }
            let expected: Vec<_> =
                model.keys().map(|(service, it)| (*service, format!("i{it}"))).collect();
            prop_assert_eq!(there, expected);
            prop_assert_eq!(bench.store.usage().instances, model.len());
        }
    }

    /// A store that is fed its own changes, one by one or as a snapshot, is the same store; also
    /// when some of them are fed twice.
    #[test]
    fn changes_make_the_store(steps in steps(), again in 0..60_usize) {
        let mut bench = Bench::default();
        let mut changes = Vec::new();
        for step in &steps {
            run(&mut bench, step);
            changes.extend(bench.store.take_effects().changes);
        }
        let snapshot = bench.store.snapshot();
        let limits = Limits::default();
        let replayed = Store::restore(limits, changes.clone(), bench.now);
        prop_assert_eq!(replayed.snapshot(), snapshot.clone());
        prop_assert_eq!(replayed.usage(), bench.store.usage());
        let short = Store::restore(limits, snapshot.clone(), bench.now);
        prop_assert_eq!(short.snapshot(), snapshot.clone());
        prop_assert_eq!(short.usage(), bench.store.usage());
        // A data file may hold a snapshot, and behind it changes that it already has.
        let tail = changes.len().saturating_sub(again);
        let twice = snapshot.iter().cloned().chain(changes[tail..].iter().cloned());
        let twice = Store::restore(limits, twice, bench.now);
        prop_assert_eq!(twice.snapshot(), snapshot);

        let mut restored = Bench { store: short, now: bench.now, ..Bench::default() };
        prop_assert_eq!(answers(&mut restored), answers(&mut bench));
        // Through the file and back.
        for change in changes {
            let text = serde_json::to_string(&change).unwrap();
            prop_assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
        }
    }

    /// Nothing stays behind when everything is deleted.
    #[test]
    fn all_that_came_goes(steps in steps()) {
        let mut bench = Bench::default();
        for step in &steps {
            run(&mut bench, step);
        }
        for number in 0..4 {
            let _ = bench.store.delete_service(&tenant(), &id(number), true, bench.now);
        }
        prop_assert_eq!(bench.store.usage(), Usage::default());
        prop_assert_eq!(bench.store.next_expiry(), None);
        prop_assert!(bench.store.realms.is_empty());
    }
}
