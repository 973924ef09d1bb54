//! Who looks at which tag of `tls.yaml`.
//!
//! | who | tags, the first that is there |
//! |---|---|
//! | listeners of the consumer side | `mesher.Provider`, bare keys with a certificate |
//! | listeners of the provider side | `SELF.rest.Provider`, bare keys with a certificate |
//! | the admin port on the pod's addresses | `SELF.rest-admin.Provider` |
//! | connections to instances of a service | `SERVICE.rest.Consumer`, `rest.Consumer` (not for calls to ourselves), bare keys |
//! | connections to hosts outside that egress rules name with HTTPS | `HOST.egress.Consumer`, `egress.Consumer`; else Mozilla's CAs, and no certificate |
//! | connections to service-center | `registrator.Consumer`, `serviceDiscovery.Consumer`, bare keys |
//! | connections to a configuration center | `configcenter.Consumer`, `configServer.Consumer`, bare keys |
//! | connections to whoever collects spans | `tracing.Consumer`, bare keys |
//!
//! Hosts outside take no bare keys: what is for the mesh, its CA and our certificate, is not for them.
//!
//! The names are those of go-chassis. gRPC has none of its own: it goes by `rest`. The admin port
//! takes no bare keys, as a kubelet would have to be told to probe it with TLS.

use std::collections::BTreeMap;

use crate::settings::{Settings, Tls};

/// What bare keys make.
const BARE: &str = "";
/// The listeners on loopback.
const LOCAL: &str = "mesher.Provider";
/// Every service that has no tag of its own.
const ANY_SERVICE: &str = "rest.Consumer";
const OF_A_SERVICE: &str = ".rest.Consumer";
/// Hosts outside of the mesh.
pub(super) const OUTSIDE: &str = "egress.Consumer";
const OF_A_HOST: &str = ".egress.Consumer";
const LISTENERS: [&str; 2] = [".rest.Provider", ".rest-admin.Provider"];
/// service-center: there is one client for all that the original had several for.
const REGISTRY: [&str; 3] = ["registrator.Consumer", "serviceDiscovery.Consumer", BARE];
/// A configuration center, in both generations.
const CENTER: [&str; 3] = ["configcenter.Consumer", "configServer.Consumer", BARE];
/// Whoever collects spans.
const COLLECTOR: [&str; 2] = ["tracing.Consumer", BARE];

/// Which connections are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use<'a> {
    /// Listeners for the application.
    ConsumerSide,
    /// Listeners for others.
    ProviderSide,
    /// The admin port, on the pod's addresses.
    Admin,
    /// Connections to instances of this service.
    Service(&'a str),
    /// Connections to this host outside of the mesh.
    Outside(&'a str),
    /// Connections to service-center.
    ServiceCenter,
    /// Connections to a configuration center.
    ConfigurationCenter,
    /// Connections to whoever collects spans.
    Collector,
}

impl Use<'_> {
    /// Tags that may say something about it, the first one that does counts.
    fn tags(self, own_name: &str) -> Vec<String> {
        let own = |kind: &str| format!("{own_name}{kind}");
        match self {
            Self::ConsumerSide => vec![LOCAL.to_owned(), BARE.to_owned()],
            Self::ProviderSide => vec![own(LISTENERS[0]), BARE.to_owned()],
            Self::Admin => vec![own(LISTENERS[1])],
            Self::Service(name) => {
                let mut tags = vec![format!("{name}{OF_A_SERVICE}")];
                if name != own_name {
                    tags.push(ANY_SERVICE.to_owned());
                }
                tags.push(BARE.to_owned());
                tags
            }
            Self::Outside(host) => vec![format!("{host}{OF_A_HOST}"), OUTSIDE.to_owned()],
            Self::ServiceCenter => REGISTRY.map(str::to_owned).into(),
            Self::ConfigurationCenter => CENTER.map(str::to_owned).into(),
            Self::Collector => COLLECTOR.map(str::to_owned).into(),
        }
    }

    /// Whether we are the server.
    fn listens(self) -> bool {
        matches!(self, Self::ConsumerSide | Self::ProviderSide | Self::Admin)
    }

    /// The entry of `all` that counts; a listener without a certificate speaks plain text.
    pub(crate) fn find<'a, T>(
        self,
        all: &'a BTreeMap<String, T>,
        own_name: &str,
        terms: impl Fn(&T) -> &Tls,
    ) -> Option<&'a T> {
        let fit = |entry: &&T| !self.listens() || terms(entry).certificate.is_some();
        self.tags(own_name).iter().find_map(|tag| all.get(tag).filter(fit))
    }
}

impl Settings {
    /// What is said about TLS for these connections; `None`: nothing, there is none.
    pub fn tls_for(&self, what: Use<'_>) -> Option<&Tls> {
        what.find(&self.tls, &self.identity.service, |tls| tls)
    }
}

/// Whether anything is said about connections to whoever collects spans.
pub(crate) fn is_said_of_collectors(all: &BTreeMap<String, Tls>) -> bool {
    Use::Collector.find(all, BARE, |tls| tls).is_some()
}

/// Whether a tag is about connections that we open.
pub(crate) fn is_consumer(tag: &str) -> bool {
    tag == "Consumer" || tag.ends_with(".Consumer")
}

/// Whether a tag is about hosts outside of the mesh, which public CAs vouch for.
pub(crate) fn is_outside(tag: &str) -> bool {
    tag == OUTSIDE || tag.ends_with(OF_A_HOST)
}

/// Whether a tag is about listeners.
pub(crate) fn is_provider(tag: &str) -> bool {
    tag == "Provider" || tag.ends_with(".Provider")
}

/// Whether a tag is about listeners of a service that is not `own_name`.
pub(crate) fn is_of_another(tag: &str, own_name: &str) -> bool {
    let named = LISTENERS.iter().find_map(|kind| tag.strip_suffix(kind));
    named.is_some_and(|name| name != own_name)
}

/// The tags that say what `tag` leaves open, the most general one first.
pub(crate) fn more_general(tag: &str) -> Vec<&'static str> {
    if tag.ends_with(OF_A_SERVICE) {
        vec![BARE, ANY_SERVICE]
    } else if tag.ends_with(OF_A_HOST) {
        vec![OUTSIDE]
    } else if tag == BARE || tag == OUTSIDE {
        vec![]
    } else {
        vec![BARE]
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Use, is_of_another, more_general};
    use crate::settings::{Settings, Tls};

    fn settings(tags: &[(&str, bool)]) -> Settings {
        let mut settings = Settings::default();
        "Own".clone_into(&mut settings.identity.service);
        let tags = tags.iter().map(|(tag, certificate)| {
            let certificate = certificate.then(|| PathBuf::from(tag));
            // A mark to know it by.
            let server_name = Some((*tag).to_owned());
            ((*tag).to_owned(), Tls { certificate, server_name, ..Tls::default() })
        });
        settings.tls = tags.collect();
        settings
    }

    #[test]
    fn the_nearest_tag_counts() {
        let all = settings(&[
            ("", false),
            ("rest.Consumer", false),
            ("B.rest.Consumer", false),
            ("mesher.Provider", false),
            ("Own.rest.Provider", true),
            ("Other.rest.Provider", true),
            ("serviceDiscovery.Consumer", false),
            ("tracing.Consumer", false),
            ("configServer.Consumer", false),
            ("egress.Consumer", false),
            ("a.com.egress.Consumer", false),
        ]);
        let bare = settings(&[("", true)]);
        for (settings, what, tag) in [
            (&all, Use::ConsumerSide, None),
            (&all, Use::ProviderSide, Some("Own.rest.Provider")),
            (&all, Use::Admin, None),
            (&all, Use::Service("B"), Some("B.rest.Consumer")),
            (&all, Use::Service("C"), Some("rest.Consumer")),
            (&all, Use::Service("Own"), Some("")),
            (&all, Use::ServiceCenter, Some("serviceDiscovery.Consumer")),
            (&bare, Use::ConsumerSide, Some("")),
            (&bare, Use::ProviderSide, Some("")),
            (&bare, Use::Admin, None),
            (&bare, Use::Service("B"), Some("")),
            (&bare, Use::ServiceCenter, Some("")),
            (&all, Use::Collector, Some("tracing.Consumer")),
            (&bare, Use::Collector, Some("")),
            (&all, Use::Outside("a.com"), Some("a.com.egress.Consumer")),
            (&all, Use::Outside("b.com"), Some("egress.Consumer")),
            (&bare, Use::Outside("b.com"), None),
            (&all, Use::ConfigurationCenter, Some("configServer.Consumer")),
            (&bare, Use::ConfigurationCenter, Some("")),
        ] {
            let found = settings.tls_for(what).and_then(|tls| tls.server_name.as_deref());
            assert_eq!(found, tag, "{what:?}");
        }
    }

    #[test]
    fn whose_listeners_and_what_is_inherited() {
        for (tag, another) in [
            ("mesher.Provider", false),
            ("Own.rest.Provider", false),
            ("a.b.rest.Provider", true),
            ("B.rest-admin.Provider", true),
            ("B.rest.Consumer", false),
        ] {
            assert_eq!(is_of_another(tag, "Own"), another, "{tag}");
        }
        assert_eq!(more_general("B.rest.Consumer"), ["", "rest.Consumer"]);
        assert_eq!(more_general("rest.Consumer"), [""]);
        assert_eq!(more_general("a.com.egress.Consumer"), ["egress.Consumer"]);
        assert!(more_general("").is_empty() && more_general("egress.Consumer").is_empty());
    }
}
