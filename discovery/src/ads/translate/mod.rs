//! From what a control plane sends to the mesh model: pure functions of one resource each.
//!
//! A resource is either taken as a whole or refused with the name of the field that is wrong, which
//! is what the control plane is then told. What is right but has no place in the model is kept by
//! name, so that it can be shown. An extension that nobody here knows (`Any`) is such a case too.

mod assignment;
mod cluster;
mod fault;
mod headers;
mod matching;
mod name;
mod retry;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use envoy_types::pb::google::protobuf::{Any, Duration as Span, Struct, UInt32Value, value::Kind};
use mesh::virtual_host::Share;
use prost::Message;

pub use self::assignment::{Address, Assignment, Peer};
pub use self::cluster::{ClusterSpec, Found};
pub use self::name::Place;
pub use self::routes::{Outside, RouteTable, VirtualHost};

/// What is wrong with a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field, as a path from the resource.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same fault, seen from one level further out.
    fn within(mut self, outer: &str) -> Self {
        let separator = if self.field.starts_with('[') || self.field.is_empty() { "" } else { "." };
        self.field = format!("{outer}{separator}{}", self.field);
        self
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// A resource of any of the kinds that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// `envoy.config.cluster.v3.Cluster`
    Cluster(ClusterSpec),
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`
    Assignment(Assignment),
    /// `envoy.config.route.v3.RouteConfiguration`
    Routes(RouteTable),
}

impl Resource {
    /// Reads a resource by its type and bytes. Nothing that comes in makes it panic.
    ///
    /// ```
    /// use discovery::ads::translate::Resource;
    /// let cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    /// // Field 1, the name, as protobuf writes it: tag, length, text.
    /// let bytes = b"\x0a\x0aOutOfTheWay";
    /// assert!(Resource::read(cluster, bytes).is_err(), "the length is not the text's");
    /// assert!(Resource::read(cluster, b"\x0a\x0cOutOfTheWays").is_ok());
    /// ```
    pub fn read(type_url: &str, bytes: &[u8]) -> Result<Self, (String, Invalid)> {
        fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, (String, Invalid)> {
            let unreadable = |error: prost::DecodeError| Invalid::new("", error.to_string());
            M::decode(bytes).map_err(|error| (String::new(), unreadable(error)))
        }
        let named = |name: &str| {
            let name = name.to_owned();
            move |invalid| (name, invalid)
        };
        match type_url.rsplit_once('/').map_or(type_url, |(_, name)| name) {
            "envoy.config.cluster.v3.Cluster" => {
                let message: envoy_types::pb::envoy::config::cluster::v3::Cluster = decode(bytes)?;
                ClusterSpec::of(&message).map(Self::Cluster).map_err(named(&message.name))
            }
            "envoy.config.endpoint.v3.ClusterLoadAssignment" => {
                let message: envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment =
                    decode(bytes)?;
                Assignment::of(&message).map(Self::Assignment).map_err(named(&message.cluster_name))
            }
            "envoy.config.route.v3.RouteConfiguration" => {
                let message: envoy_types::pb::envoy::config::route::v3::RouteConfiguration =
                    decode(bytes)?;
                RouteTable::of(&message).map(Self::Routes).map_err(named(&message.name))
            }
            other => {
                let reason = format!("{other} was not asked for");
                Err((String::new(), Invalid::new("type_url", reason)))
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Cluster(cluster) => &cluster.name,
            Self::Assignment(assignment) => &assignment.cluster,
            Self::Routes(routes) => &routes.name,
        }
    }
}

/// Names of what is not carried out, each once.
#[derive(Debug, Default)]
struct Unsupported(Vec<Arc<str>>);

impl Unsupported {
    fn note(&mut self, name: impl Into<Arc<str>>) {
        let name = name.into();
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    fn note_if(&mut self, asked: bool, name: &str) {
        if asked {
            self.note(name);
        }
    }
}

/// A time as protobuf has it; one that is negative, or longer than can be counted, is none.
fn span(field: &str, span: Option<&Span>) -> Result<Option<Duration>, Invalid> {
    let Some(Span { seconds, nanos }) = span else { return Ok(None) };
    let seconds = u64::try_from(*seconds).ok().filter(|seconds| *seconds <= 315_576_000_000);
    let nanos = u32::try_from(*nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (seconds, nanos) {
        (Some(seconds), Some(nanos)) => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(Invalid::new(field, "is no time from 0 to 10,000 years")),
    }
}

/// A number where there is one; the largest means that there is no limit.
fn limit(value: Option<&UInt32Value>) -> Option<u32> {
    value.map(|value| value.value).filter(|value| *value != u32::MAX)
}

fn share(percent: Option<&FractionalPercent>) -> Option<Share> {
    let percent = percent?;
    let each = match percent.denominator() {
        DenominatorType::Hundred => 10_000,
        DenominatorType::TenThousand => 100,
        DenominatorType::Million => 1,
    };
    Some(Share::of_million(percent.numerator.saturating_mul(each)))
}

/// Percent as a fraction of itself, within bounds.
fn percent(value: f64) -> u8 {
    // From 0 to 100 after this; what is no number becomes 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
    let percent = value.clamp(0.0, 100.0).round() as u8;
    percent
}

/// A text at a path of names.
fn text<'a>(of: &'a Struct, name: &str) -> Option<&'a str> {
    match of.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The message within an `Any` of that type; `None` where it is of another.
fn unpack<M: Message + prost::Name + Default>(
    field: &str,
    any: &Any,
) -> Result<Option<M>, Invalid> {
    if any.type_url.rsplit_once('/').map(|(_, name)| name) != Some(&M::full_name()) {
        return Ok(None);
    }
    let unreadable = |error: prost::DecodeError| Invalid::new(field, error.to_string());
    M::decode(any.value.as_slice()).map(Some).map_err(unreadable)
}

/// What kind of thing an `Any` is, for people.
fn kind_of(any: Option<&Any>) -> &str {
    any.map_or("", |any| any.type_url.rsplit('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
