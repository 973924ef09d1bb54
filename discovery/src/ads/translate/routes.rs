//! Routes (RDS).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HashPolicy, HostRewriteSpecifier, RequestMirrorPolicy,
    hash_policy::PolicySpecifier,
};
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, FilterConfig, RedirectAction, RetryPolicy as WireRetry, Route,
    RouteAction, RouteConfiguration, VirtualHost as WireHost, route::Action as WireAction,
};
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::HttpFault;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use envoy_types::pb::google::protobuf::Any;
use mesh::route::Pattern;
use mesh::virtual_host::{
    Action, Destination, Fault, Forward, HashKey, HeaderChanges, Mirror, PathRewrite, Redirect,
    Respond, RouteRule, Share,
};

use super::fault::fault;
use super::headers::changes;
use super::matching::{lower, request_match};
use super::{Invalid, Unsupported, retry, share, span, unpack};

/// Envoy's, where a route says nothing.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Where Istio sends what no host of the mesh is asked for.
const PASSTHROUGH: &str = "PassthroughCluster";

/// Where requests go, by the hosts that they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    /// Its name.
    pub name: Arc<str>,
    /// Its hosts, but the one for all others.
    pub hosts: Vec<Arc<VirtualHost>>,
    /// What becomes of all others.
    pub outside: Outside,
    /// What has no place in the model.
    pub unsupported: Vec<Arc<str>>,
}

/// What becomes of hosts that a table does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outside {
    /// Nobody said.
    #[default]
    Unsaid,
    /// They may be called (`ALLOW_ANY`).
    Open,
    /// They may not (`REGISTRY_ONLY`).
    Closed,
}

/// A host at one of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualHost {
    /// The host of the service that it is for.
    pub host: Arc<str>,
    /// The port of that service; `None` where its name says none.
    pub port: Option<u16>,
    /// What requests may call it, in lower case: `host`, `host:port`, `*.host`.
    pub domains: Vec<Arc<str>>,
    /// In their order.
    pub rules: Arc<[RouteRule]>,
    /// What has no place in the model.
    pub unsupported: Vec<Arc<str>>,
}

impl RouteTable {
    /// Reads a resource.
    pub fn of(wire: &RouteConfiguration) -> Result<Self, Invalid> {
        if wire.name.is_empty() {
            return Err(Invalid::new("name", "is empty"));
        }
        let mut unsupported = Unsupported::default();
        unsupported.note_if(wire.vhds.is_some(), "vhds");
        let plugins = !wire.cluster_specifier_plugins.is_empty();
        unsupported.note_if(plugins, "cluster_specifier_plugins");
        unsupported.note_if(!wire.request_mirror_policies.is_empty(), "request_mirror_policies");
        let changes = [&wire.request_headers_to_remove, &wire.response_headers_to_remove];
        let add =
            !wire.request_headers_to_add.is_empty() || !wire.response_headers_to_add.is_empty();
        let changed = add || changes.iter().any(|names| !names.is_empty());
        unsupported.note_if(changed, "headers_to_add and headers_to_remove of all hosts");
        let (mut hosts, mut outside) = (Vec::new(), Outside::Unsaid);
        for (at, host) in wire.virtual_hosts.iter().enumerate() {
            if host.domains.iter().any(|domain| domain == "*") {
                outside = outside_of(host);
                continue;
            }
            let read = VirtualHost::of(host).map_err(|invalid| {
                invalid.within(&format!("virtual_hosts[{at}]({})", host.name))
            })?;
            hosts.push(Arc::new(read));
        }
        Ok(Self { name: wire.name.as_str().into(), hosts, outside, unsupported: unsupported.0 })
    }
}

/// The catch-all passes on, or answers by itself.
fn outside_of(wire: &WireHost) -> Outside {
    let passes = |route: &Route| match &route.action {
        Some(WireAction::Route(action)) => matches!(
            &action.cluster_specifier,
            Some(ClusterSpecifier::Cluster(name)) if name == PASSTHROUGH
        ),
        _ => false,
    };
    if wire.routes.iter().any(passes) { Outside::Open } else { Outside::Closed }
}

impl VirtualHost {
    fn of(wire: &WireHost) -> Result<Self, Invalid> {
        if wire.domains.is_empty() {
            return Err(Invalid::new("domains", "is empty"));
        }
        let mut unsupported = Unsupported::default();
        unsupported.note_if(wire.matcher.is_some(), "matcher");
        unsupported.note_if(wire.require_tls != 0, "require_tls");
        unsupported.note_if(!wire.rate_limits.is_empty(), "rate_limits");
        unsupported.note_if(wire.hedge_policy.is_some(), "hedge_policy");
        unsupported.note_if(!wire.request_mirror_policies.is_empty(), "request_mirror_policies");
        for name in wire.typed_per_filter_config.keys() {
            unsupported.note(format!("typed_per_filter_config.{name}"));
        }
        let (name, port) = match wire.name.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => {
                (name, port.parse().ok())
            }
            _ => (wire.name.as_str(), None),
        };
        let request = changes(
            "request_headers_to_add",
            &wire.request_headers_to_add,
            &wire.request_headers_to_remove,
            &mut unsupported,
        )?;
        let response = changes(
            "response_headers_to_add",
            &wire.response_headers_to_add,
            &wire.response_headers_to_remove,
            &mut unsupported,
        )?;
        let mut rules = Vec::new();
        for (at, route) in wire.routes.iter().enumerate() {
            let field = |invalid: Invalid| invalid.within(&format!("routes[{at}]"));
            let mut rule = rule(route, wire.retry_policy.as_ref()).map_err(field)?;
            // What is said of the host comes after what is said of the route.
            rule.request_headers.extend(request.iter().cloned());
            rule.response_headers.extend(response.iter().cloned());
            rules.push(rule);
        }
        Ok(Self {
            host: name.to_ascii_lowercase().into(),
            port,
            domains: wire.domains.iter().map(|domain| lower(domain)).collect(),
            rules: rules.into(),
            unsupported: unsupported.0,
        })
    }
}

fn rule(wire: &Route, retry_of_host: Option<&WireRetry>) -> Result<RouteRule, Invalid> {
    let mut unsupported = Unsupported::default();
    let wanted = wire.r#match.as_ref().ok_or_else(|| Invalid::new("match", "is missing"))?;
    let matches =
        request_match(wanted, &mut unsupported).map_err(|invalid| invalid.within("match"))?;
    let action = match &wire.action {
        Some(WireAction::Route(action)) => {
            let forward = forward(action, retry_of_host, &mut unsupported)
                .map_err(|invalid| invalid.within("route"))?;
            Action::Forward(Box::new(forward))
        }
        Some(WireAction::Redirect(action)) => {
            let redirect = redirect(action).map_err(|invalid| invalid.within("redirect"))?;
            Action::Redirect(Box::new(redirect))
        }
        Some(WireAction::DirectResponse(action)) => Action::Respond(
            respond(action, &mut unsupported)
                .map_err(|invalid| invalid.within("direct_response"))?,
        ),
        Some(WireAction::FilterAction(_)) => {
            unsupported.note("filter_action");
            nobody()
        }
        Some(WireAction::NonForwardingAction(_)) => {
            unsupported.note("non_forwarding_action");
            nobody()
        }
        None => return Err(Invalid::new("action", "is missing")),
    };
    Ok(RouteRule {
        name: wire.name.as_str().into(),
        matches,
        action,
        request_headers: changes(
            "request_headers_to_add",
            &wire.request_headers_to_add,
            &wire.request_headers_to_remove,
            &mut unsupported,
        )?,
        response_headers: changes(
            "response_headers_to_add",
            &wire.response_headers_to_add,
            &wire.response_headers_to_remove,
            &mut unsupported,
        )?,
        fault: per_filter(&wire.typed_per_filter_config, &mut unsupported)?,
        unsupported: unsupported.0,
    })
}

/// What is sent nowhere, and so answered as what has no instance.
fn nobody() -> Action {
    Action::Forward(Box::default())
}

fn forward(
    wire: &RouteAction,
    retry_of_host: Option<&WireRetry>,
    unsupported: &mut Unsupported,
) -> Result<Forward, Invalid> {
    unsupported.note_if(wire.idle_timeout.is_some(), "idle_timeout");
    unsupported.note_if(wire.max_stream_duration.is_some(), "max_stream_duration");
    unsupported.note_if(wire.path_rewrite_policy.is_some(), "path_rewrite_policy");
    unsupported.note_if(wire.internal_redirect_policy.is_some(), "internal_redirect_policy");
    unsupported.note_if(wire.hedge_policy.is_some(), "hedge_policy");
    unsupported.note_if(!wire.rate_limits.is_empty(), "rate_limits");
    unsupported.note_if(wire.metadata_match.is_some(), "metadata_match");
    let retry = wire.retry_policy.as_ref().or(retry_of_host);
    let retry = retry.map(|wire| retry::policy(wire, unsupported)).transpose();
    let pattern = wire.regex_rewrite.as_ref();
    Ok(Forward {
        destinations: destinations(wire, unsupported)?,
        timeout: Some(span("timeout", wire.timeout.as_ref())?.unwrap_or(TIMEOUT)),
        retry: retry.map_err(|invalid| invalid.within("retry_policy"))?,
        hash: wire.hash_policy.iter().filter_map(|wire| hash_key(wire, unsupported)).collect(),
        path: path(&wire.prefix_rewrite, &wire.path_rewrite, pattern)?,
        host: host(wire.host_rewrite_specifier.as_ref(), unsupported),
        mirrors: wire
            .request_mirror_policies
            .iter()
            .filter_map(|wire| mirror(wire, unsupported))
            .collect(),
    })
}

fn destinations(
    wire: &RouteAction,
    unsupported: &mut Unsupported,
) -> Result<Vec<Destination>, Invalid> {
    let plain = |name: &str, weight| Destination {
        cluster: name.into(),
        weight,
        request_headers: HeaderChanges::new(),
        response_headers: HeaderChanges::new(),
    };
    Ok(match wire.cluster_specifier.as_ref() {
        Some(ClusterSpecifier::Cluster(name)) if name.is_empty() => {
            return Err(Invalid::new("cluster", "is empty"));
        }
        Some(ClusterSpecifier::Cluster(name)) => vec![plain(name, 1)],
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            let mut destinations = Vec::new();
            for (at, cluster) in weighted.clusters.iter().enumerate() {
                let within =
                    |invalid: Invalid| invalid.within(&format!("weighted_clusters.clusters[{at}]"));
                if cluster.name.is_empty() {
                    unsupported.note("weighted_clusters.cluster_header");
                }
                unsupported.note_if(
                    cluster.host_rewrite_specifier.is_some(),
                    "weighted_clusters.host_rewrite",
                );
                for name in cluster.typed_per_filter_config.keys() {
                    let name = format!("weighted_clusters.typed_per_filter_config.{name}");
                    unsupported.note(name);
                }
                let weight = cluster.weight.map_or(0, |weight| weight.value);
                destinations.push(Destination {
                    request_headers: changes(
                        "request_headers_to_add",
                        &cluster.request_headers_to_add,
                        &cluster.request_headers_to_remove,
                        unsupported,
                    )
                    .map_err(within)?,
                    response_headers: changes(
                        "response_headers_to_add",
                        &cluster.response_headers_to_add,
                        &cluster.response_headers_to_remove,
                        unsupported,
                    )
                    .map_err(within)?,
                    ..plain(&cluster.name, weight)
                });
            }
            if destinations.iter().all(|destination| destination.weight == 0) {
                return Err(Invalid::new("weighted_clusters", "nothing has a weight"));
            }
            destinations
        }
        Some(ClusterSpecifier::ClusterHeader(_)) => {
            unsupported.note("cluster_header");
            Vec::new()
        }
        Some(
            ClusterSpecifier::ClusterSpecifierPlugin(_)
            | ClusterSpecifier::InlineClusterSpecifierPlugin(_),
        ) => {
            unsupported.note("cluster_specifier_plugin");
            Vec::new()
        }
        None => return Err(Invalid::new("cluster_specifier", "is missing")),
    })
}

fn hash_key(wire: &HashPolicy, unsupported: &mut Unsupported) -> Option<HashKey> {
    match wire.policy_specifier.as_ref() {
        Some(PolicySpecifier::Header(header)) => {
            unsupported.note_if(header.regex_rewrite.is_some(), "hash_policy.header.regex_rewrite");
            Some(HashKey::Header(lower(&header.header_name)))
        }
        Some(PolicySpecifier::Cookie(cookie)) => Some(HashKey::Cookie {
            name: cookie.name.as_str().into(),
            lifetime: span("ttl", cookie.ttl.as_ref()).ok().flatten(),
            path: cookie.path.as_str().into(),
        }),
        Some(PolicySpecifier::QueryParameter(parameter)) => {
            Some(HashKey::Query(parameter.name.as_str().into()))
        }
        Some(PolicySpecifier::ConnectionProperties(properties)) if properties.source_ip => {
            Some(HashKey::SourceAddress)
        }
        Some(PolicySpecifier::ConnectionProperties(_)) | None => None,
        Some(PolicySpecifier::FilterState(_)) => {
            unsupported.note("hash_policy.filter_state");
            None
        }
    }
}

fn mirror(wire: &RequestMirrorPolicy, unsupported: &mut Unsupported) -> Option<Mirror> {
    if wire.cluster.is_empty() {
        unsupported.note("request_mirror_policies.cluster_header");
        return None;
    }
    let fraction = wire.runtime_fraction.as_ref();
    let share = fraction.and_then(|fraction| share(fraction.default_value.as_ref()));
    Some(Mirror { cluster: wire.cluster.as_str().into(), share: share.unwrap_or(Share::ALL) })
}

fn host(wire: Option<&HostRewriteSpecifier>, unsupported: &mut Unsupported) -> Option<Arc<str>> {
    match wire? {
        HostRewriteSpecifier::HostRewriteLiteral(host) if !host.is_empty() => {
            return Some(host.as_str().into());
        }
        HostRewriteSpecifier::HostRewriteLiteral(_) => {}
        HostRewriteSpecifier::AutoHostRewrite(auto) => {
            unsupported.note_if(auto.value, "auto_host_rewrite");
        }
        _ => unsupported.note("host_rewrite_specifier"),
    }
    None
}

fn path(
    prefix: &str,
    whole: &str,
    pattern: Option<&RegexMatchAndSubstitute>,
) -> Result<Option<PathRewrite>, Invalid> {
    if let Some(rewrite) = pattern {
        let text = rewrite.pattern.as_ref().map_or("", |pattern| &pattern.regex);
        let pattern = Pattern::new(text, false)
            .map_err(|reason| Invalid::new("regex_rewrite", format!("\"{text}\": {reason}")))?;
        let instead = rewrite.substitution.as_str().into();
        return Ok(Some(PathRewrite::Pattern(pattern, instead)));
    }
    Ok(match (prefix, whole) {
        ("", "") => None,
        ("", whole) => Some(PathRewrite::Whole(whole.into())),
        (prefix, _) => Some(PathRewrite::Prefix(prefix.into())),
    })
}

fn redirect(wire: &RedirectAction) -> Result<Redirect, Invalid> {
    let status = match RedirectResponseCode::try_from(wire.response_code) {
        Ok(RedirectResponseCode::MovedPermanently) => 301,
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
        Err(_) => return Err(Invalid::new("response_code", "is not known")),
    };
    let port = u16::try_from(wire.port_redirect)
        .map_err(|_| Invalid::new("port_redirect", "is no port from 1 to 65535"))?;
    let scheme: Option<Arc<str>> = match &wire.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(scheme.as_str().into()),
        Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
    };
    let path = match &wire.path_rewrite_specifier {
        Some(
            PathRewriteSpecifier::PathRedirect(whole) | PathRewriteSpecifier::PathRewrite(whole),
        ) => path("", whole, None)?,
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => path(prefix, "", None)?,
        Some(PathRewriteSpecifier::RegexRewrite(pattern)) => path("", "", Some(pattern))?,
        None => None,
    };
    let host = (!wire.host_redirect.is_empty()).then(|| wire.host_redirect.as_str().into());
    let port = (port > 0).then_some(port);
    Ok(Redirect { status, scheme, host, port, path, strip_query: wire.strip_query })
}

fn respond(wire: &DirectResponseAction, unsupported: &mut Unsupported) -> Result<Respond, Invalid> {
    let status = u16::try_from(wire.status).ok().filter(|status| (200..600).contains(status));
    let status = status
        .ok_or_else(|| Invalid::new("status", format!("{} is not from 200 to 599", wire.status)))?;
    unsupported.note_if(wire.body_format.is_some(), "direct_response.body_format");
    let body: Arc<[u8]> = match wire.body.as_ref().and_then(|body| body.specifier.as_ref()) {
        Some(Specifier::InlineString(text)) => text.as_bytes().into(),
        Some(Specifier::InlineBytes(bytes)) => bytes.as_slice().into(),
        Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) => {
            unsupported.note("direct_response.body from a file or variable");
            Arc::from([])
        }
        None => Arc::from([]),
    };
    Ok(Respond { status, body })
}

/// What filters are told of one route. Only the one that makes faults is carried out.
fn per_filter(
    configs: &HashMap<String, Any>,
    unsupported: &mut Unsupported,
) -> Result<Option<Fault>, Invalid> {
    let mut found = None;
    for (name, any) in configs {
        let field = format!("typed_per_filter_config.{name}");
        let wrapped: Option<FilterConfig> = unpack(&field, any)?;
        let any = match &wrapped {
            Some(wrapped) if wrapped.disabled => continue,
            Some(wrapped) => wrapped.config.as_ref(),
            None => Some(any),
        };
        let Some(any) = any else { continue };
        match unpack::<HttpFault>(&field, any)? {
            Some(wire) => {
                found = Some(fault(&wire, unsupported).map_err(|it| it.within(&field))?);
            }
            None => unsupported.note(field),
        }
    }
    Ok(found)
}
