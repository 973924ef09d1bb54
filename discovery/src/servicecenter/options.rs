//! What the client has to know.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::endpoints::Tls;

/// How service-center is spoken to, and what is registered there. Names and versions are such as
/// it accepts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Base URLs, `http://host:port` or `https://host:port`; the next is tried when one fails.
    pub addresses: Vec<String>,
    /// `X-Domain-Name`.
    pub tenant: String,
    /// The project in the path.
    pub project: String,
    /// How often everything tracked is asked for.
    pub refresh_interval: Duration,
    /// Whether changes are listened for as well.
    pub watch: bool,
    /// How often the instance says that it lives. The lease is four times that (at least 20 s).
    pub heartbeat_interval: Duration,
    /// For addresses with `https`.
    pub tls: Option<Tls>,
    /// Name and password, where RBAC is on. By the documentation: not verified against a
    /// service-center that has it.
    pub account: Option<(String, String)>,
    /// Who asks; without it questions are anonymous, and changes can't be listened for.
    pub service: Option<OwnService>,
}

/// The service the proxy speaks for.
#[derive(Debug, Clone)]
pub struct OwnService {
    /// `appId`.
    pub app: String,
    /// `serviceName`.
    pub name: String,
    /// `version`.
    pub version: String,
    /// `environment`: empty or one of four words.
    pub environment: String,
    /// Replace what was there.
    pub properties: BTreeMap<String, String>,
    /// Our instance; `None` where requests are only made, not taken.
    pub instance: Option<OwnInstance>,
}

/// The instance the proxy speaks for.
#[derive(Debug, Clone)]
pub struct OwnInstance {
    /// The same after a restart with the same endpoints, another with others: a registration with
    /// an id that is there already changes nothing (see [`instance_id`]).
    pub id: String,
    /// 1 to 64 characters.
    pub host_name: String,
    /// As in `rest://10.1.2.3:30101`.
    pub endpoints: Vec<String>,
    /// For rules of others.
    pub properties: BTreeMap<String, String>,
    /// Where it runs, for those who prefer instances close by.
    pub place: Option<Place>,
}

/// `dataCenterInfo`; what its names may hold says [`is_place`](super::is_place).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The data center.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The zone within that.
    pub available_zone: String,
}

/// The id of an instance: `place` (a pod's uid, else the host) and everything a record can't
/// change while its id stays.
///
/// ```
/// use discovery::servicecenter::instance_id;
/// let one = instance_id("uid", "app", "name", "1.0.0", &["rest://10.0.0.1:30101".into()]);
/// let other = instance_id("uid", "app", "name", "1.0.0", &["rest://10.0.0.2:30101".into()]);
/// assert_eq!(one.len(), 32);
/// assert_ne!(one, other);
/// ```
pub fn instance_id(
    place: &str,
    app: &str,
    name: &str,
    version: &str,
    endpoints: &[String],
) -> String {
    use std::fmt::Write;

    use sha2::{Digest, Sha256};

    let mut hash = Sha256::new();
    let parts = [place, app, name, version].into_iter();
    for part in parts.chain(endpoints.iter().map(String::as_str)) {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let (half, _) = digest.split_at(16);
    half.iter().fold(String::with_capacity(32), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
