//! Which instance gets a request, by every strategy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use discovery::Fixed;
use mesh::balance::{HashOn, Outliers, Stickiness, Strategy};
use sidecar::settings::{Settings, Zone};
use tokio::time::timeout;

use crate::app::App;
use crate::world::{Client, PATIENCE, service, settings, start};

fn balanced(strategy: Strategy) -> Settings {
    let mut settings = settings("ServiceA");
    settings.governance.consumer.balancing.strategy = strategy;
    settings
}

/// Three applications that say which they are.
async fn three() -> [App; 3] {
    [App::saying("a").await, App::saying("b").await, App::saying("c").await]
}

async fn answers(client: &mut Client, count: usize, lines: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for _ in 0..count {
        found.insert(client.request("GET", "http://ServiceB/", lines, "").await.body);
    }
    found
}

#[tokio::test]
async fn every_strategy_reaches_everybody_in_time() {
    let apps = three().await;
    let addresses = [apps[0].address, apps[1].address, apps[2].address];
    for strategy in [
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::WeightedResponse,
        Strategy::LeastLoaded,
        Strategy::Maglev(HashOn::Header("x-user".into())),
    ] {
        let source = Fixed::new([service("ServiceB", &addresses)]);
        let (_proxy, address) = start(balanced(strategy.clone()), Arc::new(source));
        let mut client = Client::connect(address).await;
        let all = async {
            let mut found = BTreeSet::new();
            while found.len() < 3 {
                found.append(&mut answers(&mut client, 3, "").await);
            }
        };
        timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{strategy:?}"));
    }
}

#[tokio::test]
async fn a_session_stays_until_its_instance_is_gone() {
    let apps = three().await;
    let addresses = [apps[0].address, apps[1].address, apps[2].address];
    let source = Arc::new(Fixed::new([service("ServiceB", &addresses)]));
    let strategy = Strategy::SessionStickiness(Stickiness::default());
    let (_proxy, address) = start(balanced(strategy), Arc::clone(&source) as Arc<_>);
    let mut client = Client::connect(address).await;
    let first = client.get("http://ServiceB/").await;
    let cookie = first.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("go-chassisLB="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=30; HttpOnly"), "{cookie}");
    let cookie = format!("cookie: a=b; {}\r\n", cookie.split(';').next().unwrap_or_default());
    let stays = answers(&mut client, 10, &cookie).await;
    assert_eq!(stays, BTreeSet::from([first.body.clone()]));
    assert_eq!(answers(&mut client, 10, "").await.len(), 3, "those without one go anywhere");

    let left = ["a", "b", "c"].iter().zip(addresses).filter(|(say, _)| **say != first.body);
    let left: Vec<_> = left.map(|(_, address)| address).collect();
    source.change(|snapshot| snapshot.put(service("ServiceB", &left)));
    let moved = async {
        while client.request("GET", "http://ServiceB/", &cookie, "").await.body == first.body {}
    };
    timeout(PATIENCE, moved).await.expect("it goes to another one");
}

#[tokio::test]
async fn a_hash_decides_and_most_of_it_stays() {
    let apps = three().await;
    let addresses = [apps[0].address, apps[1].address, apps[2].address];
    for strategy in [
        Strategy::RingHash(HashOn::Header("x-user".into())),
        Strategy::Maglev(HashOn::Header("x-user".into())),
    ] {
        let source = Fixed::new([service("ServiceB", &addresses)]);
        let (_proxy, address) = start(balanced(strategy), Arc::new(source));
        let mut client = Client::connect(address).await;
        let mut taken = BTreeSet::new();
        for user in 0..30 {
            let mut found = answers(&mut client, 3, &format!("x-user: {user}\r\n")).await;
            assert_eq!(found.len(), 1, "user {user}: {found:?}");
            taken.append(&mut found);
        }
        assert_eq!(taken.len(), 3);
    }
}

/// Fails until it is told to be well, and a proxy that leaves it out for so long.
async fn one_fails(out: Duration) -> (Arc<AtomicBool>, sidecar::Proxy, Client) {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let bad = App::each(move |mut peer, _| {
        let is_well = Arc::clone(&is_well);
        async move {
            while peer.request().await.is_some() {
                if is_well.load(Ordering::SeqCst) {
                    peer.answer("bad").await;
                } else {
                    peer.send("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        }
    })
    .await;
    let good = App::saying("good").await;
    let mut settings = settings("ServiceA");
    let terms = Outliers { errors: 3, first: out, longest: out, ..Outliers::default() };
    settings.governance.consumer.balancing.outliers = terms;
    let source = Fixed::new([service("ServiceB", &[bad.address, good.address])]);
    let (proxy, address) = start(settings, Arc::new(source));
    (well, proxy, Client::connect(address).await)
}

#[tokio::test]
async fn who_answers_badly_is_left_out() {
    let (_well, proxy, mut client) = one_fails(Duration::from_hours(1)).await;
    let mut errors = 0;
    for _ in 0..20 {
        errors += u32::from(client.get("http://ServiceB/").await.status == 500);
    }
    assert_eq!(errors, 3, "then it is out");
    let mut admin = Client::connect(proxy.addresses().admin[0]).await;
    let metrics = admin.get("/metrics").await.body;
    assert!(metrics.contains("mesher_evictions_total{reason=\"outlier\"} 1"), "{metrics}");
}

#[tokio::test]
async fn who_was_left_out_is_asked_again() {
    let (well, _proxy, mut client) = one_fails(Duration::from_millis(1)).await;
    for _ in 0..10 {
        client.get("http://ServiceB/").await;
    }
    well.store(true, Ordering::SeqCst);
    let back = async { while client.get("http://ServiceB/").await.body != "bad" {} };
    timeout(PATIENCE, back).await.expect("it is asked again");
}

#[tokio::test]
async fn those_close_by_come_first() {
    let (near, far) = (App::saying("near").await, App::saying("far").await);
    let mut instances = Vec::new();
    for (address, zone) in [(near.address, "n1"), (far.address, "n2")] {
        let instance = service("ServiceB", &[address]).instances()[0].clone();
        let mut instance = mesh::Instance::clone(&instance);
        instance.tags.insert("region".into(), "north".into());
        instance.tags.insert("availableZone".into(), zone.into());
        instances.push(instance);
    }
    let key = mesh::ServiceKey::new("default", "ServiceB");
    let source = Arc::new(Fixed::new([mesh::Service::new(key.clone(), instances.clone())]));
    let mut settings = settings("ServiceA");
    let zone = Zone { region: "north".to_owned(), zone: "n1".to_owned() };
    settings.governance.close_to = Some(zone);
    let (_proxy, address) = start(settings, Arc::clone(&source) as Arc<_>);
    let mut client = Client::connect(address).await;
    assert_eq!(answers(&mut client, 10, "").await, BTreeSet::from(["near".to_owned()]));
    // The one close by cannot be reached any more.
    instances[0].endpoints[0].address = crate::world::nobody();
    source.change(|snapshot| snapshot.put(mesh::Service::new(key, instances)));
    let moved = async { while client.get("http://ServiceB/").await.body != "far" {} };
    timeout(PATIENCE, moved).await.expect("the other one answers");
    assert_eq!(answers(&mut client, 5, "").await, BTreeSet::from(["far".to_owned()]));
}
