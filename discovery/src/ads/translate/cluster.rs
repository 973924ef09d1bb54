//! Clusters (CDS).

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, LbConfig, LbPolicy, SlowStartConfig,
    common_lb_config::LocalityConfigSpecifier,
};
use envoy_types::pb::envoy::config::cluster::v3::{Cluster as Wire, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::{
    TransportSocket, transport_socket::ConfigType as SocketConfig,
};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::{
    HttpProtocolOptions,
    http_protocol_options::{UpstreamProtocolOptions, explicit_http_config::ProtocolConfig},
};
use envoy_types::pb::google::protobuf::{Any, UInt32Value, value::Kind};
use mesh::balance::{Outliers, SuccessRate};
use mesh::{Balance, ClusterTerms, ConnectionLimits, Protocol, Security};

use super::{
    Address, Assignment, Invalid, Place, Unsupported, kind_of, limit, percent, span, text, unpack,
};

/// A filter that only Istio's own proxies understand each other by; nothing is lost without it.
const METADATA_EXCHANGE: &str = "istio.metadata_exchange";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Envoy's, where nothing is said.
const DNS_REFRESH: Duration = Duration::from_secs(5);

/// A cluster, without its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Its name.
    pub name: Arc<str>,
    /// What the name says, where it says something.
    pub place: Option<Place>,
    /// The namespace of its service; empty where nobody said.
    pub namespace: Arc<str>,
    /// How its endpoints are found.
    pub found: Found,
    /// What they speak.
    pub protocol: Protocol,
    /// The terms.
    pub terms: Arc<ClusterTerms>,
}

/// How the endpoints of a cluster are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// They are told, by this name.
    Told(Arc<str>),
    /// They are part of the cluster.
    Fixed(Assignment),
    /// They are part of it by name, and looked up.
    LookedUp {
        /// The names.
        names: Assignment,
        /// How often.
        refresh: Duration,
        /// Whether one address is enough.
        one: bool,
    },
    /// They are what the client asked for.
    AsAsked,
}

impl ClusterSpec {
    /// Reads a resource.
    pub fn of(wire: &Wire) -> Result<Self, Invalid> {
        if wire.name.is_empty() {
            return Err(Invalid::new("name", "is empty"));
        }
        let mut unsupported = Unsupported::default();
        let found = found(wire)?;
        let (protocol, per_connection) = protocol(wire, &mut unsupported)?;
        let limits = limits(wire, per_connection, &mut unsupported);
        let (balance, slow_start) = balance(wire, &mut unsupported)?;
        let common = wire.common_lb_config.as_ref();
        if let Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) =
            common.and_then(|common| common.locality_config_specifier.as_ref())
        {
            unsupported.note("common_lb_config.locality_weighted_lb_config");
        }
        let filters = wire.filters.iter().filter(|filter| filter.name != METADATA_EXCHANGE);
        for filter in filters {
            unsupported.note(format!("filters.{}", filter.name));
        }
        unsupported.note_if(!wire.health_checks.is_empty(), "health_checks");
        unsupported.note_if(wire.load_balancing_policy.is_some(), "load_balancing_policy");
        unsupported.note_if(wire.lb_subset_config.is_some(), "lb_subset_config");
        unsupported.note_if(wire.upstream_bind_config.is_some(), "upstream_bind_config");
        unsupported.note_if(wire.upstream_config.is_some(), "upstream_config");
        unsupported.note_if(wire.preconnect_policy.is_some(), "preconnect_policy");
        let keepalive =
            wire.upstream_connection_options.as_ref().is_some_and(|it| it.tcp_keepalive.is_some());
        unsupported.note_if(keepalive, "upstream_connection_options.tcp_keepalive");
        let terms = ClusterTerms {
            balance,
            connect_timeout: span("connect_timeout", wire.connect_timeout.as_ref())?,
            outliers: match &wire.outlier_detection {
                Some(detection) => outliers(detection, &mut unsupported)?,
                None => Outliers::default(),
            },
            limits,
            security: security(wire, &mut unsupported)?,
            // Envoy's own default; an empty threshold is 0.
            panic_percent: common
                .and_then(|common| common.healthy_panic_threshold.as_ref())
                .map_or(50, |threshold| percent(threshold.value)),
            slow_start,
            unsupported: unsupported.0,
        };
        Ok(Self {
            name: wire.name.as_str().into(),
            place: Place::of(&wire.name),
            namespace: namespace(wire),
            found,
            protocol,
            terms: Arc::new(terms),
        })
    }
}

fn found(wire: &Wire) -> Result<Found, Invalid> {
    let kind = match &wire.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(*kind)
            .map_err(|_| Invalid::new("type", format!("{kind} is not known")))?,
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            let reason = format!("{} is not known", custom.name);
            return Err(Invalid::new("cluster_type", reason));
        }
        None => DiscoveryType::Static,
    };
    let inline = || {
        let empty = ClusterLoadAssignment::default();
        let inline = wire.load_assignment.as_ref().unwrap_or(&empty);
        Assignment::peers(inline).map_err(|invalid| invalid.within("load_assignment"))
    };
    Ok(match kind {
        DiscoveryType::Eds => {
            let config = wire.eds_cluster_config.as_ref();
            let config = config.ok_or_else(|| Invalid::new("eds_cluster_config", "is missing"))?;
            let named = !config.service_name.is_empty();
            let name = if named { &config.service_name } else { &wire.name };
            Found::Told(name.as_str().into())
        }
        DiscoveryType::Static => {
            let inline = inline()?;
            let name = inline.peers.iter().find_map(|peer| match &peer.address {
                Address::Name(name, _) => Some(name),
                Address::Known(_) => None,
            });
            if let Some(name) = name {
                let reason = format!("\"{name}\" is no address, and type is STATIC");
                return Err(Invalid::new("load_assignment", reason));
            }
            Found::Fixed(inline)
        }
        DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
            #[expect(deprecated, reason = "Istio says it here")]
            let refresh = span("dns_refresh_rate", wire.dns_refresh_rate.as_ref())?;
            Found::LookedUp {
                names: inline()?,
                refresh: refresh.unwrap_or(DNS_REFRESH).max(Duration::from_secs(1)),
                one: kind == DiscoveryType::LogicalDns,
            }
        }
        DiscoveryType::OriginalDst => Found::AsAsked,
    })
}

/// What is spoken, and how often on one connection.
fn protocol(
    wire: &Wire,
    unsupported: &mut Unsupported,
) -> Result<(Protocol, Option<u32>), Invalid> {
    let mut protocol = Protocol::Rest;
    #[expect(deprecated, reason = "older control planes say it here")]
    if wire.http2_protocol_options.is_some() {
        protocol = Protocol::Grpc;
    }
    #[expect(deprecated, reason = "older control planes say it here")]
    let mut per_connection = limit(wire.max_requests_per_connection.as_ref());
    for (name, any) in &wire.typed_extension_protocol_options {
        let field = "typed_extension_protocol_options";
        let options: Option<HttpProtocolOptions> = unpack(field, any)?;
        let Some(options) = options else {
            unsupported.note(format!("{field}.{name}"));
            continue;
        };
        debug_assert!(any.type_url.ends_with(HTTP_OPTIONS));
        if let Some(common) = &options.common_http_protocol_options {
            per_connection = limit(common.max_requests_per_connection.as_ref()).or(per_connection);
            unsupported.note_if(common.idle_timeout.is_some(), "idle_timeout");
            unsupported
                .note_if(common.max_connection_duration.is_some(), "max_connection_duration");
        }
        match options.upstream_protocol_options {
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => {
                match explicit.protocol_config {
                    Some(ProtocolConfig::Http2ProtocolOptions(options)) => {
                        protocol = Protocol::Grpc;
                        let streams = options.max_concurrent_streams.is_some();
                        unsupported.note_if(streams, "max_concurrent_streams");
                    }
                    Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                        unsupported.note("http3_protocol_options");
                    }
                    Some(ProtocolConfig::HttpProtocolOptions(_)) | None => {}
                }
            }
            Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_)) => {
                unsupported.note("use_downstream_protocol_config");
            }
            Some(UpstreamProtocolOptions::AutoConfig(_)) => unsupported.note("auto_config"),
            None => {}
        }
    }
    Ok((protocol, per_connection))
}

fn limits(
    wire: &Wire,
    requests_per_connection: Option<u32>,
    unsupported: &mut Unsupported,
) -> ConnectionLimits {
    let breakers = wire.circuit_breakers.as_ref();
    let per_host = breakers.is_some_and(|breakers| !breakers.per_host_thresholds.is_empty());
    unsupported.note_if(per_host, "circuit_breakers.per_host_thresholds");
    // Of the default priority, 0; nobody asks with another.
    let thresholds = breakers.and_then(|all| all.thresholds.iter().find(|one| one.priority == 0));
    let Some(thresholds) = thresholds else {
        return ConnectionLimits { requests_per_connection, ..ConnectionLimits::default() };
    };
    let budget = thresholds.retry_budget.is_some();
    unsupported.note_if(budget, "circuit_breakers.thresholds.retry_budget");
    ConnectionLimits {
        connections: limit(thresholds.max_connections.as_ref()),
        pending: limit(thresholds.max_pending_requests.as_ref()),
        requests: limit(thresholds.max_requests.as_ref()),
        retries: limit(thresholds.max_retries.as_ref()),
        requests_per_connection,
    }
}

fn balance(
    wire: &Wire,
    unsupported: &mut Unsupported,
) -> Result<(Balance, Option<Duration>), Invalid> {
    let slow = |config: Option<&SlowStartConfig>| {
        let window = config.and_then(|config| config.slow_start_window.as_ref());
        span("slow_start_config.slow_start_window", window)
    };
    let config = wire.lb_config.as_ref();
    let policy = LbPolicy::try_from(wire.lb_policy)
        .map_err(|_| Invalid::new("lb_policy", format!("{} is not known", wire.lb_policy)))?;
    Ok(match (policy, config) {
        (LbPolicy::RoundRobin, Some(LbConfig::RoundRobinLbConfig(config))) => {
            (Balance::RoundRobin, slow(config.slow_start_config.as_ref())?)
        }
        // `CLUSTER_PROVIDED` is what a cluster without endpoints of its own says.
        (LbPolicy::RoundRobin | LbPolicy::ClusterProvided, _) => (Balance::RoundRobin, None),
        (LbPolicy::LeastRequest, Some(LbConfig::LeastRequestLbConfig(config))) => {
            let choices = config.choice_count.map_or(2, |count| count.value).max(2);
            (Balance::LeastRequest { choices }, slow(config.slow_start_config.as_ref())?)
        }
        (LbPolicy::LeastRequest, _) => (Balance::LeastRequest { choices: 2 }, None),
        (LbPolicy::Random, _) => (Balance::Random, None),
        (LbPolicy::RingHash, Some(LbConfig::RingHashLbConfig(config))) => {
            let least = config.minimum_ring_size.map_or(1024, |size| size.value);
            let most = config.maximum_ring_size.map_or(8 << 20, |size| size.value);
            if least > most {
                return Err(Invalid::new("ring_hash_lb_config", "the least size is the greater"));
            }
            (Balance::RingHash { least, most }, None)
        }
        (LbPolicy::RingHash, _) => (Balance::RingHash { least: 1024, most: 8 << 20 }, None),
        (LbPolicy::Maglev, config) => {
            let size = match config {
                Some(LbConfig::MaglevLbConfig(config)) => config.table_size,
                _ => None,
            };
            (Balance::Maglev { size: size.map_or(65_537, |size| size.value) }, None)
        }
        (LbPolicy::LoadBalancingPolicyConfig, _) => {
            unsupported.note("lb_policy.LOAD_BALANCING_POLICY_CONFIG");
            (Balance::RoundRobin, None)
        }
    })
}

/// How often Envoy looks at all of them (`interval`) is of no account for errors in a row: an
/// endpoint goes with the last of them.
fn outliers(wire: &OutlierDetection, unsupported: &mut Unsupported) -> Result<Outliers, Invalid> {
    let value = |value: Option<UInt32Value>| value.map(|value| value.value);
    // A count that is not enforced is only for statistics.
    let count = |count: Option<UInt32Value>, enforcing: Option<u32>| match enforcing {
        Some(0) => 0,
        _ => value(count).unwrap_or(5),
    };
    let time = |field: &str, value, default: Duration| {
        let time = span(&format!("outlier_detection.{field}"), value)?;
        Ok::<_, Invalid>(time.unwrap_or(default))
    };
    let gateway = value(wire.enforcing_consecutive_gateway_failure).unwrap_or(0);
    let split = "outlier_detection.split_external_local_origin_errors";
    unsupported.note_if(wire.split_external_local_origin_errors, split);
    // Envoy compares success rates unless it is told not to; Istio tells it.
    let rate = SuccessRate {
        deviation: match value(wire.enforcing_success_rate) {
            Some(0) => 0,
            _ => value(wire.success_rate_stdev_factor).unwrap_or(1900),
        },
        hosts: value(wire.success_rate_minimum_hosts).unwrap_or(5),
        volume: value(wire.success_rate_request_volume).unwrap_or(100),
    };
    let share = value(wire.enforcing_failure_percentage).is_some_and(|share| share > 0);
    unsupported.note_if(share, "outlier_detection.failure_percentage");
    let first =
        time("base_ejection_time", wire.base_ejection_time.as_ref(), Duration::from_secs(30))?;
    let longest = first.max(Outliers::default().longest);
    Ok(Outliers {
        errors: count(wire.consecutive_5xx, value(wire.enforcing_consecutive_5xx)),
        gateway_errors: count(wire.consecutive_gateway_failure, Some(gateway)),
        success_rate: rate,
        first,
        longest: time("max_ejection_time", wire.max_ejection_time.as_ref(), longest)?,
        most_percent: percent(f64::from(value(wire.max_ejection_percent).unwrap_or(10))),
    })
}

fn security(wire: &Wire, unsupported: &mut Unsupported) -> Result<Security, Invalid> {
    let automatic = wire.transport_socket_matches.iter().any(|one| {
        one.r#match.as_ref().and_then(|wanted| text(wanted, "tlsMode")) == Some("istio")
    });
    if automatic {
        return Ok(Security::Automatic);
    }
    unsupported.note_if(!wire.transport_socket_matches.is_empty(), "transport_socket_matches");
    let Some(socket) = &wire.transport_socket else { return Ok(Security::Plain) };
    let field = "transport_socket";
    let any = config_of(socket);
    let context: Option<UpstreamTlsContext> =
        any.map(|any| unpack(field, any)).transpose()?.flatten();
    let Some(context) = context else {
        let raw = kind_of(any).ends_with("raw_buffer.v3.RawBuffer");
        unsupported.note_if(!raw, &format!("{field}.{}", socket.name));
        return Ok(Security::Plain);
    };
    // Istio's own certificate comes by this name, from a server that only its proxies can reach.
    let common = context.common_tls_context.as_ref();
    let istio = common.is_some_and(|common| {
        common.tls_certificate_sds_secret_configs.iter().any(|secret| secret.name == "default")
    });
    Ok(if istio {
        Security::IstioMutual
    } else {
        Security::Tls { server_name: context.sni.as_str().into() }
    })
}

fn config_of(socket: &TransportSocket) -> Option<&Any> {
    socket.config_type.as_ref().map(|SocketConfig::TypedConfig(any)| any)
}

/// `metadata.filter_metadata.istio.services[0].namespace`
fn namespace(wire: &Wire) -> Arc<str> {
    let services = wire
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.filter_metadata.get("istio")?.fields.get("services"))
        .and_then(|services| services.kind.as_ref());
    let first = match services {
        Some(Kind::ListValue(list)) => list.values.first().and_then(|first| first.kind.as_ref()),
        _ => None,
    };
    match first {
        Some(Kind::StructValue(service)) => text(service, "namespace").unwrap_or_default().into(),
        _ => "".into(),
    }
}
