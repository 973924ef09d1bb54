use super::*;

#[test]
fn an_instance_lives_for_four_intervals_of_at_least_five_seconds() {
    for (interval, lease) in [(1, 20), (4, 20), (5, 20), (6, 24), (10, 40), (30, 120)] {
        let mut bench = Bench::default();
        let service = bench.service("a", "s", "1");
        bench.instance(&service, interval);
        bench.pass(lease - 1);
        assert_eq!(bench.store.expire(bench.now), 0, "interval {interval}");
        bench.pass(1);
        assert_eq!(bench.store.expire(bench.now), 1, "interval {interval}");
        assert_eq!(bench.ids("", "a", "s"), [""; 0]);
        assert_eq!(bench.store.next_expiry(), None);
    }
}

#[test]
fn heartbeats_and_registering_again_begin_the_lease_anew() {
    let mut bench = Bench::default();
    let service = bench.service("a", "s", "1");
    for id in ["beats", "registers", "changes"] {
        bench.named_instance(&service, id, 5);
    }
    bench.pass(15);
    assert!(bench.beat(&service, "beats"));
    bench.named_instance(&service, "registers", 5);
    let changed = bench.store.set_status(&tenant(), &service, "changes", "DOWN", bench.now);
    changed.expect("it is there");
    bench.pass(10);
    assert_eq!(bench.store.expire(bench.now), 1, "a change is no heartbeat");
    assert_eq!(bench.ids("", "a", "s"), ["beats", "registers"]);
    bench.pass(10);
    assert_eq!(bench.store.expire(bench.now), 2);
}

#[test]
fn who_expired_has_to_register_again() {
    let mut bench = Bench::default();
    let service = bench.service("a", "s", "1");
    bench.named_instance(&service, "i", 5);
    bench.pass(20);
    bench.store.expire(bench.now);
    let refusal = bench.store.heartbeat(&tenant(), &service, "i", bench.now).expect_err("gone");
    assert_eq!(refusal.code, Code::NoInstance);
    bench.named_instance(&service, "i", 5);
    assert!(bench.beat(&service, "i"));
}

#[test]
fn several_heartbeats_count_each_by_itself() {
    let mut bench = Bench::default();
    let service = bench.service("a", "s", "1");
    bench.named_instance(&service, "i", 5);
    let beat = |service: &str, instance: &str| Beat {
        service: service.into(),
        instance: instance.into(),
        refusal: None,
    };
    let beats = vec![beat(&service, "i"), beat(&service, "j"), beat("nope", "i")];
    let beats = bench.store.heartbeats(&tenant(), beats, bench.now).expect("some");
    let refused: Vec<bool> = beats.iter().map(|beat| beat.refusal.is_some()).collect();
    assert_eq!(refused, [false, true, true]);
    assert!(bench.store.heartbeats(&tenant(), Vec::new(), bench.now).is_err());
}

#[test]
fn a_lease_without_end_is_no_trouble() {
    let mut bench = Bench::default();
    let service = bench.service("a", "s", "1");
    bench.now.uptime = Duration::MAX.saturating_sub(Duration::from_secs(1));
    bench.instance(&service, i64::from(i32::MAX));
    assert_eq!(bench.store.expire(bench.now), 0);
    assert!(bench.beat(&service, "i1"));
}
