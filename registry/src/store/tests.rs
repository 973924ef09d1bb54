//! The rules as tables; what holds for any sequence of commands is in [`laws`].

mod laws;
mod leases;
mod registering;
mod visibility;
mod watching;

use super::*;
use crate::model::{HealthCheck, Microservice};

/// A registry of one tenant, and a clock that stands still until it is moved.
#[derive(Debug, Default)]
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) now: Now,
    ids: u32,
}

pub(super) fn tenant() -> Tenant {
    Tenant::standard()
}

impl Bench {
    pub(super) fn pass(&mut self, seconds: u64) {
        self.now.unix += seconds;
        self.now.uptime += Duration::from_secs(seconds);
    }

    pub(super) fn register(&mut self, service: Microservice) -> Result<String, Refusal> {
        let new = NewService { service: Some(service), ..NewService::default() };
        self.store.register_service(&tenant(), new, || "id".into(), self.now)
    }

    /// Registers `name` of the application `app` and says its id.
    pub(super) fn service(&mut self, app: &str, name: &str, version: &str) -> String {
        self.register(service(app, name, version)).expect("it is acceptable")
    }

    /// Registers an instance that reports every `interval` seconds and says its id.
    pub(super) fn instance(&mut self, service: &str, interval: i64) -> String {
        self.ids += 1;
        let id = format!("i{}", self.ids);
        self.named_instance(service, &id, interval);
        id
    }

    pub(super) fn named_instance(&mut self, service: &str, id: &str, interval: i64) {
        let record = Instance {
            instance_id: id.into(),
            host_name: "host".into(),
            endpoints: vec!["rest://127.0.0.1:1".into()],
            health_check: HealthCheck { interval, ..HealthCheck::default() },
            ..Instance::default()
        };
        let new = NewInstance { record, ..NewInstance::default() };
        let registered =
            self.store.register_instance(&tenant(), service, Some(new), String::new, self.now);
        registered.expect("it is acceptable");
    }

    pub(super) fn find(&mut self, consumer: &str, app: &str, name: &str) -> Result<Found, Refusal> {
        let query = Query { app: app.into(), service: name.into(), ..Query::default() };
        self.store.find(&tenant(), consumer, &query, self.now)
    }

    /// The ids that are found, in order.
    pub(super) fn ids(&mut self, consumer: &str, app: &str, name: &str) -> Vec<String> {
        let found = self.find(consumer, app, name).expect("it exists");
        let mut ids: Vec<_> = found.instances.iter().map(|it| it.instance_id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn beat(&mut self, service: &str, instance: &str) -> bool {
        self.store.heartbeat(&tenant(), service, instance, self.now).is_ok()
    }
}

pub(super) fn service(app: &str, name: &str, version: &str) -> Microservice {
    Microservice {
        app_id: app.into(),
        service_name: name.into(),
        version: version.into(),
        ..Microservice::default()
    }
}

/// An event with somebody to tell.
pub(crate) fn sample_event(store: &mut Store, tenant: &Tenant) -> Event {
    assert_eq!(*tenant, self::tenant());
    let mut bench = Bench { store: std::mem::take(store), ..Bench::default() };
    let (consumer, provider) = (bench.service("a", "c", "1"), bench.service("a", "p", "1"));
    bench.find(&consumer, "a", "p").expect("it exists");
    bench.instance(&provider, 30);
    bench.store.take_effects().events.pop().expect("a new instance")
}
