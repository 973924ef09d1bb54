//! What the store takes for what is asked most: heartbeats and finds, with 10,000 instances of
//! 1,000 services, and with 10,000 of one. `cargo bench -p registry`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use registry::model::{Instance, Microservice, Tenant};
use registry::store::{Limits, NewInstance, NewService, Now, Query, Store};

const INSTANCES: usize = 10_000;

/// A store with that many instances, spread over so many services.
fn filled(services: usize) -> (Store, Vec<String>) {
    let (tenant, now) = (Tenant::standard(), Now::default());
    let mut store = Store::new(Limits::default());
    let mut ids = Vec::new();
    for number in 0..services {
        let service =
            Microservice { service_name: format!("s{number}"), ..Microservice::default() };
        let new = NewService { service: Some(service), ..NewService::default() };
        let id = store.register_service(&tenant, new, String::new, now).expect("acceptable");
        for instance in 0..INSTANCES / services {
            let record = Instance {
                instance_id: format!("{number}-{instance}"),
                host_name: format!("host-{instance}"),
                endpoints: vec![format!("rest://10.0.0.{}:{}", number % 250, 1024 + instance)],
                ..Instance::default()
            };
            let new = NewInstance { record, ..NewInstance::default() };
            let registered = store.register_instance(&tenant, &id, Some(new), String::new, now);
            registered.expect("acceptable");
        }
        ids.push(id);
    }
    store.take_effects();
    (store, ids)
}

fn heartbeat(criterion: &mut Criterion) {
    let (mut store, ids) = filled(1_000);
    let (tenant, mut at) = (Tenant::standard(), 0);
    criterion.bench_function("heartbeat, 10,000 instances", |bencher| {
        bencher.iter(|| {
            at = (at + 7) % ids.len();
            let instance = format!("{at}-3");
            store.heartbeat(&tenant, &ids[at], &instance, Now::default()).expect("registered");
        });
    });
}

fn find(criterion: &mut Criterion) {
    for services in [1_000, 1] {
        let (mut store, ids) = filled(services);
        let (tenant, each) = (Tenant::standard(), INSTANCES / services);
        let query = Query { app: "default".into(), service: "s0".into(), ..Query::default() };
        criterion.bench_function(&format!("find {each} of 10,000 instances"), |bencher| {
            bencher.iter(|| {
                let found = store.find(&tenant, &ids[0], &query, Now::default());
                black_box(found.expect("registered"))
            });
        });
        let found = store.find(&tenant, "", &query, Now::default()).expect("registered");
        criterion.bench_function(&format!("write {each} instances as JSON"), |bencher| {
            bencher.iter(|| black_box(serde_json::to_vec(&found.instances)));
        });
    }
}

fn register(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("whole");
    group.sample_size(10);
    group.bench_function("register 1,000 services and 10,000 instances", |bencher| {
        bencher.iter(|| black_box(filled(1_000)));
    });
}

criterion_group!(benches, heartbeat, find, register);
criterion_main!(benches);
