//! The life of self-issued material, told by an injected clock.

use std::time::{Duration, SystemTime};

use certs::self_issued::{Found, Material, Step, Texts, follow, next};
use certs::{Bundle, Names, Terms, Trust};
use proptest::prelude::*;

use crate::{names, noon, seconds, short_terms};

/// A store that is a variable, and a server that follows it.
struct World {
    now: SystemTime,
    stored: Option<Texts>,
    served: Option<Material>,
    trust: Trust,
    names: Names,
    terms: Terms,
}

impl World {
    fn new() -> Self {
        let (names, terms) = (names(), short_terms());
        Self { now: noon(), stored: None, served: None, trust: Trust::Assumed, names, terms }
    }

    /// Steps until nothing is left to do; returns the reasons of what was stored, and the time of
    /// the next look.
    fn settle(&mut self) -> (Vec<&'static str>, SystemTime) {
        let mut reasons = Vec::new();
        for _ in 0..10 {
            let found = self.stored.as_ref().map(|t| Found::read(t, "store")).unwrap_or_default();
            let Self { served, trust, names, terms, now, .. } = &*self;
            match next(found, served.as_ref(), trust, names, terms, *now).expect("a step") {
                Step::Keep { material, until } => {
                    assert!(until > self.now, "a look that is due already would spin");
                    self.served = Some(material);
                    self.check();
                    return (reasons, until);
                }
                Step::Store { material, because } => {
                    self.stored = Some(material.to_texts());
                    self.served = Some(material);
                    self.check();
                    reasons.push(because);
                }
            }
        }
        panic!("no rest after {reasons:?}");
    }

    /// At no instant does a client that trusts the bundle refuse the leaf.
    fn check(&self) {
        let served = self.served();
        served.bundle.verify(&served.identity, self.names.iter(), self.now).expect("serves");
    }

    fn served(&self) -> &Material {
        self.served.as_ref().expect("something is served")
    }

    fn texts(&mut self) -> &mut Texts {
        self.stored.as_mut().expect("something is stored")
    }
}

#[test]
fn an_empty_store_gets_ca_and_leaf_and_then_peace() {
    let mut world = World::new();
    let (reasons, until) = world.settle();
    assert_eq!(reasons, ["no usable CA was stored"]);
    assert_eq!(until, noon() + seconds(60), "the leaf's rotation point");
    assert_eq!(world.settle().0, [""; 0], "a second look changes nothing");
}

#[test]
fn a_restart_takes_up_what_is_stored() {
    let mut world = World::new();
    world.settle();
    let before = world.served().identity.leaf().clone();
    world.served = None;
    assert_eq!(world.settle().0, [""; 0]);
    assert_eq!(*world.served().identity.leaf(), before);
}

#[test]
fn the_leaf_is_renewed_at_its_point_by_the_same_ca() {
    let mut world = World::new();
    world.settle();
    let before = world.served().clone();
    world.now = noon() + seconds(59);
    assert_eq!(world.settle().0, [""; 0]);
    world.now = noon() + seconds(60);
    assert_eq!(world.settle().0, ["the leaf is due"]);
    assert_ne!(world.served().identity.leaf(), before.identity.leaf());
    assert_eq!(world.served().bundle, before.bundle, "caBundle stays");
}

#[test]
fn a_ca_is_replaced_without_an_instant_of_distrust() {
    let mut world = World::new();
    world.settle();
    let first = world.served().authority.certificate().clone();
    let mut told = Vec::new();
    // A client that fetched the bundle up to one settling time ago must still be served.
    let mut known: Vec<(SystemTime, Bundle)> = Vec::new();
    while world.now < noon() + seconds(1500) {
        told.extend(world.settle().0.into_iter().filter(|r| *r != "the leaf is due"));
        let served = world.served();
        known.push((world.now, served.bundle.clone()));
        known.retain(|(at, _)| world.now.duration_since(*at).expect("the past") <= seconds(9));
        for (_, bundle) in &known {
            bundle.verify(&served.identity, world.names.iter(), world.now).expect("old bundles do");
        }
        world.now += seconds(1);
    }
    assert_eq!(
        told,
        [
            "the CA is due: a new one stands beside it",
            "the new CA has settled",
            "the old CA is no longer needed",
        ]
    );
    assert_ne!(*world.served().authority.certificate(), first);
    assert!(!world.served().bundle.contains(&first));
}

impl World {
    /// Steps by the second until something is stored; what, and when.
    fn wait_for(&mut self, reason: &str, longest: u64) -> SystemTime {
        for _ in 0..longest {
            if self.settle().0.contains(&reason) {
                return self.now;
            }
            self.now += seconds(1);
        }
        panic!("never: {reason}");
    }

    fn confirm(&mut self) {
        let bundle = self.served().bundle.clone();
        self.trust = Trust::Confirmed { bundle, since: self.now };
    }
}

#[test]
fn a_new_ca_settles_from_when_clients_were_told_of_it() {
    let mut world = World::new();
    world.settle();
    world.confirm();
    let beside = world.wait_for("the CA is due: a new one stands beside it", 900);
    // The API server was away: caBundle holds the old CA alone.
    world.now = beside + seconds(15);
    assert_eq!(world.settle().0, [""; 0], "the settling time has passed, and nobody was told");
    world.confirm();
    assert_eq!(world.settle().1, world.now + seconds(10), "it begins now");
    world.now += seconds(9);
    assert_eq!(world.settle().0, [""; 0]);
    world.now += seconds(1);
    assert_eq!(world.settle().0, ["the new CA has settled"]);
}

/// A leader that is new confirms for itself: at worst a settling time longer, never shorter.
#[test]
fn who_has_not_looked_yet_waits_and_who_told_long_ago_does_not() {
    let mut world = World::new();
    world.settle();
    world.confirm();
    let beside = world.wait_for("the CA is due: a new one stands beside it", 900);
    world.confirm();
    world.now = beside + seconds(9);
    let known = std::mem::replace(&mut world.trust, Trust::Unconfirmed);
    world.now = beside + seconds(11);
    assert_eq!(world.settle().0, [""; 0]);
    world.trust = known;
    assert_eq!(world.settle().0, ["the new CA has settled"]);
}

/// An expired leaf helps nobody, and whoever was told of the new CA takes the new one.
#[test]
fn the_old_leafs_end_is_waited_for_at_the_longest() {
    let mut world = World::new();
    world.settle();
    world.trust = Trust::Unconfirmed;
    world.wait_for("the CA is due: a new one stands beside it", 900);
    let end = world.served().identity.leaf().not_after();
    let at = world.wait_for("the old leaf ends, whether or not the new CA has settled", 120);
    assert_eq!(at, end);
}

/// Nobody is there to be told, or nobody tells: as it was before anybody did.
#[test]
fn without_a_configuration_a_ca_settles_from_its_issue() {
    let mut world = World::new();
    world.settle();
    let beside = world.wait_for("the CA is due: a new one stands beside it", 900);
    // It may have been issued a second after the whole one that it names.
    assert_eq!(world.wait_for("the new CA has settled", 60), beside + seconds(11));
}

#[test]
fn a_follower_serves_what_is_whole_and_valid_and_nothing_else() {
    let mut world = World::new();
    world.settle();
    let texts = world.stored.clone().expect("stored");
    let read = |texts: &Texts| Found::read(texts, "store");
    let taken = follow(read(&texts), world.now).expect("it is whole");
    assert_eq!(taken.identity.leaf(), world.served().identity.leaf());
    assert_eq!(taken.bundle, world.served().bundle);

    assert!(follow(Found::default(), world.now).is_none(), "nothing is stored");
    assert!(follow(read(&texts), noon() + seconds(101)).is_none(), "the leaf has ended");
    let break_key = |t: &mut Texts| t.tls_key.truncate(40);
    let break_ca = |t: &mut Texts| t.ca_crt.clear();
    let break_ca_key = |t: &mut Texts| *t.ca_key = t.tls_key.to_vec();
    for damage in [break_key, break_ca, break_ca_key] as [fn(&mut Texts); 3] {
        let mut texts = texts.clone();
        damage(&mut texts);
        assert!(follow(read(&texts), world.now).is_none());
    }
}

/// At the limits of what [`certs::Terms::check`] allows, and with every fraction of a second.
#[test]
fn a_bundle_holds_two_cas_at_most() {
    let mut terms = short_terms();
    (terms.ca.lifetime, terms.ca.renew_after) = (seconds(30), seconds(8));
    (terms.leaf.lifetime, terms.leaf.renew_after) = (seconds(8), seconds(4));
    terms.settle = seconds(3);
    terms.check().expect("possible terms");
    let mut world = World { terms, ..World::new() };
    let mut seen = Vec::new();
    for _ in 0..200 {
        let until = world.settle().1;
        let bundle = &world.served().bundle;
        assert!(bundle.certificates().len() <= 2, "{bundle:?}");
        let ca = world.served().authority.certificate().serial().to_owned();
        if seen.last() != Some(&ca) {
            seen.push(ca);
        }
        world.now = until + Duration::from_millis(7);
    }
    assert!(seen.len() > 20, "{} CAs in their turn", seen.len());
}

/// While one CA takes the other's place, the leaf stays; whenever that is done, it goes every second.
#[test]
fn a_leaf_may_be_renewed_more_often_than_a_ca_settles() {
    let mut terms = short_terms();
    (terms.ca.lifetime, terms.ca.renew_after) = (seconds(30), seconds(10));
    (terms.leaf.lifetime, terms.leaf.renew_after) = (seconds(8), seconds(1));
    terms.settle = seconds(2);
    terms.check().expect("possible terms");
    let mut world = World { terms, ..World::new() };
    world.settle();
    let mut counts = std::collections::BTreeMap::new();
    let start = world.now;
    while world.now < start + seconds(200) {
        world.now += Duration::from_millis(13);
        for reason in world.settle().0 {
            *counts.entry(reason).or_insert(0) += 1;
        }
        assert!(world.served().bundle.certificates().len() <= 2);
    }
    let of_cas = counts["the new CA has settled"];
    assert!((19..=20).contains(&of_cas), "{counts:?}");
    assert_eq!(counts["the old CA is no longer needed"], of_cas);
    // Up to three seconds until a new CA has settled, as many until the old one is gone.
    assert!(counts["the leaf is due"] + 6 * of_cas >= 198, "{counts:?}");
}

#[test]
fn after_a_long_sleep_everything_is_new() {
    let mut world = World::new();
    world.settle();
    world.now = noon() + seconds(5000);
    assert_eq!(world.settle().0, ["no usable CA was stored"]);
    assert_eq!(world.served().bundle.certificates().len(), 1, "an expired CA is of no use");
}

/// A machine that began its life with a clock in the future.
#[test]
fn after_a_clock_that_ran_ahead_everything_is_new() {
    let mut world = World::new();
    world.settle();
    world.now = noon() - seconds(5000);
    assert_eq!(world.settle().0, ["no usable CA was stored"]);
}

#[test]
fn a_deleted_store_comes_back_as_it_was() {
    let mut world = World::new();
    world.settle();
    let before = world.stored.take();
    assert_eq!(world.settle().0, ["the store was emptied or damaged"]);
    assert!(world.stored == before, "same CA, same leaf: no client notices");
}

#[test]
fn damage_is_repaired_with_as_little_change_as_possible() {
    let break_key = |t: &mut Texts| t.tls_key.truncate(40);
    let break_leaf = |t: &mut Texts| t.tls_crt = b"garbage".to_vec();
    let break_ca = |t: &mut Texts| t.ca_crt.clear();
    let break_ca_key = |t: &mut Texts| *t.ca_key = t.tls_key.to_vec();
    for damage in [break_key, break_leaf, break_ca, break_ca_key] as [fn(&mut Texts); 4] {
        let mut world = World::new();
        world.settle();
        let before = world.stored.clone();
        damage(world.texts());
        assert_eq!(world.settle().0, ["the store was emptied or damaged"]);
        assert!(world.stored == before);
    }
    // After a restart there is no memory to repair from. A CA that can still be read stays.
    for damage in [break_key, break_leaf] as [fn(&mut Texts); 2] {
        let mut world = World::new();
        world.settle();
        let ca = world.served().authority.certificate().clone();
        damage(world.texts());
        world.served = None;
        assert_eq!(world.settle().0, ["no usable leaf was stored"]);
        assert_eq!(*world.served().authority.certificate(), ca);
    }
}

#[test]
fn a_leaf_of_another_ca_or_without_a_name_is_replaced() {
    let mut world = World::new();
    world.settle();
    let mut other = World::new();
    other.settle();
    let foreign = other.texts().clone();
    world.texts().tls_crt = foreign.tls_crt;
    world.texts().tls_key = foreign.tls_key;
    world.served = None;
    assert_eq!(world.settle().0, ["the leaf is expired, misses a name, or is of another CA"]);

    world.names = names().with("injector.example").expect("a name");
    let reasons = {
        // The check of the old leaf against the new names would rightly fail before the step.
        world.served = None;
        world.settle().0
    };
    assert_eq!(reasons, ["the leaf is expired, misses a name, or is of another CA"]);
    assert!(world.served().identity.leaf().names().contains(&"injector.example".to_owned()));
}

/// What may befall a store and a server.
#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Restart,
    Delete,
    Truncate(u8, usize),
    Swap(u8, u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..400u64).prop_map(Event::Pass),
        1 => Just(Event::Restart),
        1 => Just(Event::Delete),
        2 => (0..4u8, 0..900usize).prop_map(|(file, length)| Event::Truncate(file, length)),
        1 => (0..4u8, 0..4u8).prop_map(|(from, to)| Event::Swap(from, to)),
    ]
}

fn file(texts: &mut Texts, number: u8) -> &mut Vec<u8> {
    match number {
        0 => &mut texts.ca_crt,
        1 => &mut texts.ca_key,
        2 => &mut texts.tls_crt,
        _ => &mut texts.tls_key,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever happens, it comes to rest; what is served then verifies against the bundle, and a
    /// restart would serve the same.
    #[test]
    fn every_history_ends_in_peace(events in prop::collection::vec(event(), 1..12)) {
        let mut world = World::new();
        world.settle();
        for event in events {
            match event {
                Event::Pass(time) => world.now += seconds(time),
                Event::Restart => world.served = None,
                Event::Delete => world.stored = None,
                Event::Truncate(number, length) => file(world.texts(), number).truncate(length),
                Event::Swap(from, to) => {
                    let text = file(world.texts(), from).clone();
                    *file(world.texts(), to) = text;
                }
            }
            world.settle();
            let served = world.served.take();
            let (stored, _) = world.settle();
            prop_assert_eq!(stored, [""; 0]);
            let (before, after) = (served.expect("it was served"), world.served());
            prop_assert_eq!(before.identity.leaf(), after.identity.leaf());
            prop_assert_eq!(&before.bundle, &after.bundle);
            world.served = Some(before);
        }
    }
}

/// The types hold what the rotation among replicas needs: a CA of another replica beside ours.
#[test]
fn a_stored_bundle_of_several_cas_survives_a_leaf_renewal() {
    let mut world = World::new();
    world.settle();
    let mut other = World::new();
    other.settle();
    let extra = other.texts().ca_crt.clone();
    world.texts().ca_crt.extend_from_slice(&extra);
    let (reasons, _) = world.settle();
    assert_eq!(reasons, [""; 0]);
    assert_eq!(world.served().bundle.certificates().len(), 2);
}
