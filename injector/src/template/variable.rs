//! What the expressions of a template can name.

use std::borrow::Cow;

use minijinja::Value as Jinja;

use crate::content::{Content, Node};

/// Declares the variables, each with its name in templates and what it holds.
macro_rules! variables {
    ($($variable:ident $name:literal $meaning:literal)*) => {
        /// A variable. One that does not apply to a pod is `none`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Variable {
            $(#[doc = $meaning] $variable,)*
        }

        impl Variable {
            pub(crate) const ALL: &[Self] = &[$(Self::$variable),*];

            /// As a template spells it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variable => $name,)* }
            }

            /// What it holds, for people.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variable => $meaning,)* }
            }
        }
    };
}

variables! {
    Native "native" "true for an init container with restartPolicy: Always"
    Pilot "pilot" "true where the discovery backend is Istio"
    Image "image" "image of the proxy"
    ImagePullPolicy "imagePullPolicy" "Always, IfNotPresent or Never"
    LogLevel "logLevel" "trace, debug, info, warn or error"
    Cpu "cpu" "CPU request"
    Memory "memory" "memory request"
    CpuLimit "cpuLimit" "CPU limit, or none"
    MemoryLimit "memoryLimit" "memory limit"
    ConfigMap "configMap" "name of the ConfigMap with the proxy's files"
    Passthrough "passthrough" "external, all, none (text), or none at all"
    DiscoveryType "discoveryType" "sc or pilot as the pod says, or none"
    ServicePorts "servicePorts" "as the pod says, or none"
    ServiceName "serviceName" "as the pod says, or none"
    Version "version" "as the pod says, or none"
    AppId "appId" "as the pod says, or none"
    DefaultDiscoveryType "defaultDiscoveryType" "sc or pilot as the operator says"
    DefaultRegistryAddress "defaultRegistryAddress" "address of service-center, or none"
    DefaultPilotAddress "defaultPilotAddress" "address of istiod, or none"
    DefaultAppId "defaultAppId" "application as the operator says, or none"
    DefaultVersion "defaultVersion" "label version, or none"
    DefaultServiceName "defaultServiceName"
        "from labels, then the owner, then the pod's name, or none"
    AppPorts "appPorts" "declared TCP ports, as in 8080,9000, or none"
    Namespace "namespace" "namespace of the pod"
    FirstContainer "firstContainer" "name of the pod's first container, or none"
    Scraped "scraped" "true where the pod has prometheus.io annotations of its own"
    Annotations "annotations" "the pod's annotations, by key"
    Labels "labels" "the pod's labels, by key"
    InjectorVersion "injectorVersion" "version of this injector"
}

impl Variable {
    /// The variable that a template calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|variable| variable.name() == name)
    }

    /// Names and meanings, with that of `omit`, which every expression knows besides.
    pub(crate) fn documented() -> impl Iterator<Item = (&'static str, &'static str)> {
        let omit = ("omit", "as the value of a leaf: removes its key or list item");
        Self::ALL.iter().map(|variable| (variable.name(), variable.meaning())).chain([omit])
    }
}

/// What a variable holds for one pod.
#[derive(Debug)]
pub(crate) enum Fact<'a, 'p> {
    /// It does not apply.
    Nothing,
    Flag(bool),
    /// What the policy says.
    Fixed(&'p str),
    /// What is known of the pod.
    Found(Cow<'a, str>),
    /// The strings of a map.
    Map(Node<'a>),
}

impl<'p> Fact<'_, 'p> {
    /// What the template engine takes for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Flag(value) => *value,
            Self::Fixed(text) => !text.is_empty(),
            Self::Found(text) => !text.is_empty(),
            Self::Map(_) => strings(self).next().is_some(),
        }
    }

    /// As the value of a leaf, if it is one.
    pub(super) fn leaf(self) -> Option<Content<'p>> {
        match self {
            Self::Flag(value) => Some(Content::Bool(value)),
            Self::Fixed(text) => Some(Content::Text(text.into())),
            Self::Found(text) => Some(text.into_owned().into()),
            Self::Nothing | Self::Map(_) => None,
        }
    }

    /// As the template engine takes it.
    pub(super) fn to_jinja(&self) -> Jinja {
        match self {
            Self::Nothing => Jinja::from(()),
            Self::Flag(value) => Jinja::from(*value),
            Self::Fixed(text) => Jinja::from(*text),
            Self::Found(text) => Jinja::from(&**text),
            Self::Map(_) => Jinja::from_pairs(strings(self)),
        }
    }
}

fn strings<'a>(fact: &Fact<'a, '_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = if let Fact::Map(map) = fact { *map } else { Node::Null };
    map.members().iter().filter_map(|(key, value)| Some((key, value.as_str()?)))
}
