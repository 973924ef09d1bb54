//! Names of clusters, in which Istio says what they are of.

use std::sync::Arc;

/// What `outbound|PORT|SUBSET|HOST` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The port of the service.
    pub port: u16,
    /// The subset of a DestinationRule; empty: all.
    pub label: Arc<str>,
    /// The host of the service.
    pub host: Arc<str>,
}

impl Place {
    /// Reads a name; `None` for those of another form, as `BlackHoleCluster` and `inbound|80||`.
    ///
    /// ```
    /// use discovery::ads::translate::Place;
    /// let place = Place::of("outbound|9080|v1|reviews.shop.svc.cluster.local").unwrap();
    /// assert_eq!((place.port, &*place.label), (9080, "v1"));
    /// assert!(Place::of("PassthroughCluster").is_none());
    /// ```
    pub fn of(name: &str) -> Option<Self> {
        let mut parts = name.splitn(4, '|');
        let outbound = parts.next()? == "outbound";
        let (port, label, host) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let named = outbound && port > 0 && !host.is_empty();
        named.then(|| Self { port, label: label.into(), host: host.to_ascii_lowercase().into() })
    }
}
