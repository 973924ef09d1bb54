//! Whom a request is for, and the way there.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::Range;
use std::str;
use std::sync::Arc;

use hyper::header::{HOST, HeaderValue};
use hyper::http::request;
use hyper::http::uri::{Scheme, Uri};
use hyper::{Method, Version};
use mesh::route::{Asked, Subset};
use mesh::virtual_host::Request;
use mesh::{Authority, BadAuthority, Passthrough, Protocol, ServiceKey, Unclaimed, ungoverned};

use super::headers::{FORWARDED_PORT, VIA};
use super::refusal::Refusal;
use super::{Here, grpc};
use crate::listener::Side;
use crate::plan::{Kind, Lookup, PortDenied, Route, ServicePlan};

/// The port of a URL that names none.
const HTTP: u16 = 80;

/// Whom a request is for.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// Host and port as the client wrote them; what Host says from here on.
    authority: HeaderValue,
    host: Range<usize>,
    port: Option<u16>,
    form: Form,
    /// What its endpoints are to speak.
    protocol: Protocol,
}

/// What a name of the consumer side stands for.
#[derive(Debug)]
pub(crate) enum Found {
    /// A service of the mesh.
    Service(Arc<ServicePlan>),
    /// What lies outside of it.
    Outside(Arc<Route>),
}

/// How the client said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `GET http://ServiceB/path`: as clients talk to a proxy.
    Absolute,
    /// `GET /path`: as clients talk to a server.
    Origin,
}

impl Form {
    /// The form of a request whose URL names a host. In HTTP/2 that tells nothing: `:authority` is
    /// what Host is in HTTP/1. So what the application sends us is taken as sent to a proxy, and
    /// what others send us as sent to the application.
    fn of_url(version: Version, side: Side) -> Self {
        match (version, side) {
            (Version::HTTP_2, Side::Provider) => Self::Origin,
            _ => Self::Absolute,
        }
    }
}

impl Destination {
    /// Reads it from the head, and makes the head that of a request to the server itself.
    pub(crate) fn of(here: &Here<'_>, head: &mut request::Parts) -> Result<Self, Refusal> {
        match here.port.side {
            Side::Consumer => {
                let mut destination = Self::named(here, head)?;
                if let Some(tunnel) = here.connection.inside() {
                    destination = tunnel.asked_inside(&destination, head.version);
                }
                let via = &here.worker.shared.marks.via;
                if head.headers.get_all(VIA).iter().any(|seen| seen == via) {
                    return Err(Refusal::Loop);
                }
                Ok(destination)
            }
            Side::Provider => {
                let mut destination = Self::named(here, head)?;
                if destination.form == Form::Absolute && !destination.is_us(here) {
                    let host = destination.host().into();
                    return Err(Refusal::PassthroughDenied(host));
                }
                destination.port = forwarded_port(head)?;
                Ok(destination)
            }
        }
    }

    fn named(here: &Here<'_>, head: &mut request::Parts) -> Result<Self, Refusal> {
        if head.method == Method::CONNECT {
            return Err(Refusal::Method);
        }
        let form = if let Some(authority) = head.uri.authority() {
            let mut form = Form::of_url(head.version, here.port.side);
            if form == Form::Absolute && head.uri.scheme() != Some(&Scheme::HTTP) {
                // In HTTP/2 the scheme may be that of the TLS session with us: then we are asked
                // as the server, for a service and not for what lies behind a proxy.
                let ours = here.port.tls && head.version == Version::HTTP_2;
                if !ours || head.uri.scheme() != Some(&Scheme::HTTPS) {
                    return Err(Refusal::Scheme);
                }
                form = Form::Origin;
            }
            // RFC 9112 §3.2.2: it replaces whatever Host says; RFC 9113 §8.3.1: `:authority` too.
            let same = head.headers.get(HOST).is_some_and(|host| host == authority.as_str());
            if !same {
                let host = HeaderValue::from_str(authority.as_str());
                head.headers.insert(HOST, host.map_err(|_| Refusal::NoDestination)?);
            }
            let path = head.uri.path_and_query().cloned();
            head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
            form
        } else {
            Form::Origin
        };
        let is_call = grpc::is_call(head.version, &head.headers);
        let protocol = if is_call { Protocol::Grpc } else { here.port.protocol };
        // HTTP/1.0 knows no Host.
        let authority = head.headers.get(HOST).cloned().unwrap_or(HeaderValue::from_static(""));
        Self::read(authority, form, protocol)
    }

    fn read(authority: HeaderValue, form: Form, protocol: Protocol) -> Result<Self, Refusal> {
        let text = str::from_utf8(authority.as_bytes()).map_err(|_| Refusal::NoDestination)?;
        if text.is_empty() {
            return Ok(Self { authority, host: 0..0, port: None, form, protocol });
        }
        let read = Authority::parse(text).map_err(Refusal::BadDestination)?;
        let start = usize::from(text.starts_with('['));
        let host = start..start + read.host.len();
        let port = read.port;
        Ok(Self { authority, host, port, form, protocol })
    }

    /// What a CONNECT is for: host and port, and nothing else.
    pub(crate) fn of_connect(uri: &Uri) -> Result<Self, Refusal> {
        let bare = uri.scheme().is_none() && uri.path_and_query().is_none();
        let authority = uri.authority().filter(|_| bare).ok_or(Refusal::NoDestination)?;
        let destination = HeaderValue::from_str(authority.as_str());
        let destination = destination.map_err(|_| Refusal::NoDestination)?;
        let destination = Self::read(destination, Form::Absolute, Protocol::Rest)?;
        // RFC 9110 §9.3.6: there is no default.
        destination.port.ok_or(Refusal::BadDestination(BadAuthority::Port))?;
        Ok(destination)
    }

    /// Whom a request within a tunnel to here is for: it was said already, whatever Host says. Only
    /// who writes `http://ServiceB/` asks for no port, and yet has to name one in a CONNECT. And
    /// what is spoken inside says more than the port that the tunnel came in at.
    fn asked_inside(&self, asked: &Self, version: Version) -> Self {
        let port = self.port.filter(|port| *port != HTTP || asked.port == self.port);
        let protocol = if version == Version::HTTP_2 { asked.protocol } else { Protocol::Rest };
        Self { port, protocol, ..self.clone() }
    }

    /// The host, without brackets.
    pub(crate) fn host(&self) -> &str {
        str::from_utf8(&self.authority.as_bytes()[self.host.clone()]).unwrap_or_default()
    }

    /// The port that was asked for.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// The way there.
    pub(crate) async fn route(
        &self,
        here: &Here<'_>,
        head: &request::Parts,
    ) -> Result<Arc<Route>, Refusal> {
        match here.port.side {
            Side::Consumer => self.service_route(here, head).await,
            Side::Provider => self.local_route(here),
        }
    }

    async fn service_route(
        &self,
        here: &Here<'_>,
        head: &request::Parts,
    ) -> Result<Arc<Route>, Refusal> {
        Ok(match self.find(here).await? {
            Found::Service(service) => {
                Arc::clone(service.route_of(self.protocol, self.port, &Head(head)))
            }
            Found::Outside(route) => route,
        })
    }

    /// What it names, on the consumer side.
    pub(crate) async fn find(&self, here: &Here<'_>) -> Result<Found, Refusal> {
        let shared = &here.worker.shared;
        let host = self.host();
        if let Some(service) = shared.plans.known(host) {
            return Ok(Found::Service(service));
        }
        if host.is_empty() {
            return Err(Refusal::NoDestination);
        }
        if self.is_us(here) {
            let absolute = self.form == Form::Absolute;
            return Err(if absolute { Refusal::Ourselves } else { Refusal::NoDestination });
        }
        // Who says by name that it may be called does not ask for a service, and needs no registry.
        if self.form != Form::Origin
            && let Some(port) = shared.settings().egress.port(host, self.port)
        {
            let secured = port.is_secured();
            let route = shared.plans.outside(host, port.number, self.protocol, secured);
            return Ok(Found::Outside(route));
        }
        let authority = Authority { host, port: self.port };
        let lookup = match (authority.is_address(), shared.plans.knows_addresses()) {
            (true, false) => Lookup::Unknown,
            (true, true) => match Box::pin(shared.plans.find(host)).await {
                // Nearly all addresses are no service's: they go on while nobody can be asked.
                Lookup::Unavailable => Lookup::Unknown,
                found => found,
            },
            (false, _) => Box::pin(shared.plans.find(host)).await,
        };
        match lookup {
            Lookup::Service(service) => return Ok(Found::Service(service)),
            Lookup::Unavailable => return Err(Refusal::DiscoveryUnavailable(host.into())),
            Lookup::Unknown if self.form == Form::Origin => return Err(Refusal::NoDestination),
            Lookup::Unknown => {}
        }
        let closed = shared.plans.is_closed();
        let policy = if closed { Passthrough::None } else { shared.settings().passthrough };
        self.outside(here, &authority, policy).map(Found::Outside)
    }

    fn outside(
        &self,
        here: &Here<'_>,
        authority: &Authority<'_>,
        policy: Passthrough,
    ) -> Result<Arc<Route>, Refusal> {
        let shared = &here.worker.shared;
        match ungoverned(authority, policy) {
            Unclaimed::PassThrough => {
                let port = self.port.unwrap_or(HTTP);
                Ok(shared.plans.outside(authority.host, port, self.protocol, false))
            }
            Unclaimed::NoInstance => {
                let key = ServiceKey::new(shared.settings().identity.app.as_str(), authority.host);
                Err(no_instance(&key, &Subset::default()))
            }
            Unclaimed::Denied => Err(Refusal::PassthroughDenied(authority.host.into())),
        }
    }

    fn local_route(&self, here: &Here<'_>) -> Result<Arc<Route>, Refusal> {
        let shared = &here.worker.shared;
        shared.local.route(self.protocol, self.port).map_err(|denied| match denied {
            PortDenied::Closed(port) => Refusal::PortDenied(port),
            PortDenied::Unnamed(protocol) => {
                let service = shared.settings().identity.service.as_str().into();
                Refusal::NoPort { protocol, service }
            }
        })
    }

    /// Whether it names this proxy, or the application it stands before.
    fn is_us(&self, here: &Here<'_>) -> bool {
        let shared = &here.worker.shared;
        if here.port.side == Side::Provider && self.host() == shared.settings().identity.service {
            return true;
        }
        let Ok(ip) = self.host().parse() else { return false };
        match here.port.side {
            Side::Consumer => shared.is_own(SocketAddr::new(ip, self.port.unwrap_or(HTTP))),
            Side::Provider => shared.settings().listeners.addresses.contains(&ip),
        }
    }
}

/// As the original names what has no instance.
fn no_instance(key: &ServiceKey, subset: &Subset) -> Refusal {
    let ServiceKey { scope, name } = key;
    Refusal::NoInstance(format!("{name}(app:{scope}|{subset})").into())
}

/// A head, as rules look at it.
pub(super) struct Head<'a>(pub(super) &'a request::Parts);

impl Asked for Head<'_> {
    fn method(&self) -> &str {
        self.0.method.as_str()
    }

    fn path(&self) -> &str {
        self.0.uri.path()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.headers.get(name).map(HeaderValue::as_bytes)
    }
}

impl Request for Head<'_> {
    fn authority(&self) -> &str {
        self.0.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
    }

    fn query(&self) -> Option<&str> {
        self.0.uri.query()
    }

    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.0.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let first = values.next()?;
        Some(match values.next() {
            None => Cow::Borrowed(first),
            Some(second) => {
                let all = [first, second].into_iter().chain(values);
                Cow::Owned(all.collect::<Vec<_>>().join(&b","[..]))
            }
        })
    }
}

/// Why there is nobody to send a request of `route` to.
pub(crate) fn nobody(route: &Route) -> Refusal {
    match route.kind {
        Kind::Service => no_instance(&route.state.key, &route.subset),
        Kind::Local => Refusal::LocalRefused,
        Kind::Outside => Refusal::ConnectRefused,
    }
}

/// What a consumer's proxy says was the URL's port.
fn forwarded_port(head: &request::Parts) -> Result<Option<u16>, Refusal> {
    let mut values = head.headers.get_all(FORWARDED_PORT).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let wrong = Refusal::ForwardedPort;
    if second.is_some() {
        return Err(wrong);
    }
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(port)),
        _ => Err(wrong),
    }
}
