//! Some services that know each other by name, through a proxy.

use std::collections::BTreeMap;

use anyhow::Result;
use testbed::Guard;

use crate::mock::Mock;
use crate::proxy::Proxy;

/// The services `L`, `service1` to `service4` on port 8080, and `service1` on 8081.
pub(crate) struct Town {
    pub(crate) proxy: Proxy,
    services: BTreeMap<String, Mock>,
    _guard: Guard,
}

impl Town {
    /// Starts all, each with `arguments`.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let guard = Guard::new()?;
        let proxy = Proxy::start()?;
        let mut services = BTreeMap::new();
        for name in [
            "L:8080",
            "service1:8080",
            "service1:8081",
            "service2:8080",
            "service3:8080",
            "service4:8080",
        ] {
            let environment = [("http_proxy", proxy.url())];
            let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
            let mock = Mock::start_with(&guard, name, arguments, &environment)?;
            proxy.lead(name, mock.address);
            services.insert(name.to_owned(), mock);
        }
        Ok(Self { proxy, services, _guard: guard })
    }

    /// The service that tests call.
    pub(crate) fn entrance(&self) -> &Mock {
        &self.services["L:8080"]
    }

    /// What every service but the entrance answered since this was last asked, by their own logs:
    /// `service1:8080 /the-end`, sorted.
    pub(crate) fn answered(&self) -> Vec<String> {
        let others = self.services.iter().filter(|(name, _)| *name != "L:8080");
        let mut answered: Vec<String> = others
            .flat_map(|(name, mock)| {
                mock.answered().into_iter().map(move |target| format!("{name} {target}"))
            })
            .collect();
        answered.sort();
        answered
    }
}
