//! What the variables of a template hold for one pod.

use std::cell::OnceCell;

use super::identity;
use crate::annotations::Settings;
use crate::content::Node;
use crate::discovery::Discovery;
use crate::pod::Pod;
use crate::policy::Policy;
use crate::request::RequestInfo;
use crate::template::{Fact, Scope, Variable};

/// The variables for one pod.
pub(crate) struct Variables<'a, 'p> {
    pod: Pod<'a>,
    request: &'a RequestInfo,
    policy: &'p Policy,
    settings: &'a Settings,
    native: bool,
    /// What takes more than a look is worked out once.
    app_ports: OnceCell<Option<String>>,
    service_ports: OnceCell<Option<String>>,
    scraped: OnceCell<bool>,
}

impl<'a, 'p> Variables<'a, 'p> {
    pub(crate) fn new(
        pod: Pod<'a>,
        request: &'a RequestInfo,
        policy: &'p Policy,
        settings: &'a Settings,
        native: bool,
    ) -> Self {
        Self {
            pod,
            request,
            policy,
            settings,
            native,
            app_ports: OnceCell::new(),
            service_ports: OnceCell::new(),
            scraped: OnceCell::new(),
        }
    }

    fn is_scraped(&self) -> bool {
        let own = || self.pod.annotations().keys().any(|key| key.starts_with("prometheus.io/"));
        *self.scraped.get_or_init(own)
    }

    fn app_ports(&self) -> Option<&str> {
        self.app_ports.get_or_init(|| identity::app_ports(self.pod)).as_deref()
    }

    fn service_ports(&self) -> Option<&str> {
        let ports = || self.settings.service_ports.as_ref().map(ToString::to_string);
        self.service_ports.get_or_init(ports).as_deref()
    }
}

impl<'p> Scope<'p> for Variables<'_, 'p> {
    fn get(&self, variable: Variable) -> Fact<'_, 'p> {
        let Self { pod, request, policy, settings, native, .. } = *self;
        let defaults = &policy.sidecar;
        match variable {
            // The sidecar itself.
            Variable::InjectorVersion => Fact::Fixed(&policy.version),
            Variable::Native => Fact::Flag(native),
            Variable::Image => either(settings.image.as_deref(), &defaults.image),
            Variable::ImagePullPolicy => {
                either(settings.image_pull_policy.as_deref(), &defaults.image_pull_policy)
            }
            Variable::LogLevel => either(settings.log_level.as_deref(), &defaults.log_level),
            Variable::Cpu => Fact::Fixed(&defaults.cpu),
            Variable::Memory => Fact::Fixed(&defaults.memory),
            Variable::CpuLimit => fixed(defaults.cpu_limit.as_deref()),
            Variable::MemoryLimit => Fact::Fixed(&defaults.memory_limit),
            Variable::ConfigMap => either(settings.config_map.as_deref(), &defaults.config_map),
            Variable::Passthrough => found(settings.passthrough.as_deref()),
            // What the pod's annotations say.
            Variable::DiscoveryType => fixed(settings.discovery.map(Discovery::as_str)),
            Variable::ServicePorts => found(self.service_ports()),
            Variable::ServiceName => found(settings.service_name.as_deref()),
            Variable::Version => found(settings.version.as_deref()),
            Variable::AppId => found(settings.app_id.as_deref()),
            // What holds where neither the pod nor its files say.
            Variable::Pilot => {
                let discovery = settings.discovery.unwrap_or(defaults.discovery_type);
                Fact::Flag(discovery == Discovery::Pilot)
            }
            Variable::DefaultDiscoveryType => Fact::Fixed(defaults.discovery_type.as_str()),
            Variable::DefaultRegistryAddress => fixed(defaults.registry_address.as_deref()),
            Variable::DefaultPilotAddress => fixed(defaults.pilot_address.as_deref()),
            Variable::DefaultAppId => fixed(defaults.app_id.as_deref()),
            Variable::DefaultVersion => found(pod.label("version")),
            Variable::DefaultServiceName => found(identity::default_service_name(pod, request)),
            // Facts.
            Variable::AppPorts => found(self.app_ports()),
            Variable::Namespace => found(Some(&request.namespace)),
            Variable::FirstContainer => {
                let first = pod.containers().iter().next().map(Node::name);
                found(first.filter(|name| !name.is_empty()))
            }
            Variable::Scraped => Fact::Flag(self.is_scraped()),
            Variable::Annotations => Fact::Map(pod.metadata().at("annotations")),
            Variable::Labels => Fact::Map(pod.metadata().at("labels")),
        }
    }
}

/// What the pod says, or else the policy.
fn either<'a, 'p>(pod: Option<&'a str>, policy: &'p str) -> Fact<'a, 'p> {
    pod.map_or(Fact::Fixed(policy), |text| Fact::Found(text.into()))
}

fn found(text: Option<&str>) -> Fact<'_, 'static> {
    text.map_or(Fact::Nothing, |text| Fact::Found(text.into()))
}

fn fixed(text: Option<&str>) -> Fact<'static, '_> {
    text.map_or(Fact::Nothing, Fact::Fixed)
}
