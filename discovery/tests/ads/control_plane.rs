//! A control plane that says what a test wants it to say.

use std::net::SocketAddr;
use std::time::Duration;

use discovery::ads::{Ads, Kind, Metrics, Node, Options};
use discovery::{Answer, Source};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::{
    Address, SocketAddress, address, socket_address::PortSpecifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster,
    route::Action, route_action::ClusterSpecifier, route_match::PathSpecifier,
    weighted_cluster::ClusterWeight,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::{Any, UInt32Value};
use futures::StreamExt;
use futures::channel::mpsc;
use mesh::{Service, ServiceKey};
use prost::{Message, Name};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What a test waits for comes within this time, however slow the machine.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A stream that a client has opened.
pub(crate) struct Opened<Asked, Said> {
    pub(crate) asked: Streaming<Asked>,
    pub(crate) say: mpsc::UnboundedSender<Result<Said, Status>>,
}

pub(crate) type Delta = Opened<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
pub(crate) type Whole = Opened<DiscoveryRequest, DiscoveryResponse>;

impl<Asked> Opened<Asked, DeltaDiscoveryResponse> {
    /// Sends resources, and names of some that are gone.
    pub(crate) fn send(&self, kind: Kind, nonce: &str, resources: Vec<Any>, removed: &[&str]) {
        let resource = |any| Resource { resource: Some(any), ..Resource::default() };
        let response = DeltaDiscoveryResponse {
            type_url: kind.type_url().to_owned(),
            nonce: nonce.to_owned(),
            system_version_info: format!("version of {nonce}"),
            resources: resources.into_iter().map(resource).collect(),
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaDiscoveryResponse::default()
        };
        self.say.unbounded_send(Ok(response)).unwrap();
    }
}

impl<Asked> Opened<Asked, DiscoveryResponse> {
    /// Sends resources.
    pub(crate) fn send(&self, kind: Kind, nonce: &str, resources: Vec<Any>) {
        let response = DiscoveryResponse {
            type_url: kind.type_url().to_owned(),
            nonce: nonce.to_owned(),
            version_info: format!("version of {nonce}"),
            resources,
            ..DiscoveryResponse::default()
        };
        self.say.unbounded_send(Ok(response)).unwrap();
    }
}

impl<Asked: Message + Default + 'static, Said> Opened<Asked, Said> {
    /// The next request.
    pub(crate) async fn hear(&mut self) -> Asked {
        let heard = timeout(SOON, self.asked.message()).await.expect("nothing is asked");
        heard.unwrap().expect("the client has closed the stream")
    }
}

/// The control plane. Dropped, its connections end.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    deltas: mpsc::UnboundedReceiver<Delta>,
    wholes: mpsc::UnboundedReceiver<Whole>,
    task: JoinHandle<()>,
}

struct Speaks {
    delta: Option<mpsc::UnboundedSender<Delta>>,
    whole: mpsc::UnboundedSender<Whole>,
}

impl ControlPlane {
    /// One that speaks both variants, or none but state of the world.
    pub(crate) async fn start(delta: bool) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), delta).await
    }

    pub(crate) async fn start_at(address: SocketAddr, delta: bool) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (delta_opened, deltas) = mpsc::unbounded();
        let (whole_opened, wholes) = mpsc::unbounded();
        let speaks = Speaks { delta: delta.then_some(delta_opened), whole: whole_opened };
        let serving = Server::builder()
            .add_service(AggregatedDiscoveryServiceServer::new(speaks))
            .serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, deltas, wholes, task }
    }

    pub(crate) async fn delta(&mut self) -> Delta {
        timeout(SOON, self.deltas.next()).await.expect("nobody comes").unwrap()
    }

    pub(crate) async fn whole(&mut self) -> Whole {
        timeout(SOON, self.wholes.next()).await.expect("nobody comes").unwrap()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Ads {
        let options = Options {
            address: self.address.to_string(),
            security: None,
            node: Node {
                addresses: vec!["10.0.0.9".to_owned()],
                pod: "web-0".to_owned(),
                namespace: "shop".to_owned(),
                ..Node::default()
            },
        };
        Ads::start(options, &Metrics::default()).unwrap()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Speaks {
    type StreamAggregatedResourcesStream =
        mpsc::UnboundedReceiver<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream =
        mpsc::UnboundedReceiver<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (say, said) = mpsc::unbounded();
        let _ = self.whole.unbounded_send(Opened { asked: request.into_inner(), say });
        Ok(Response::new(said))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let Some(opened) = &self.delta else {
            return Err(Status::unimplemented("unknown method"));
        };
        let (say, said) = mpsc::unbounded();
        let _ = opened.unbounded_send(Opened { asked: request.into_inner(), say });
        Ok(Response::new(said))
    }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

pub(crate) fn cluster_name(label: &str) -> String {
    format!("outbound|8080|{label}|reviews.shop.svc.cluster.local")
}

/// A cluster whose endpoints are told.
pub(crate) fn cluster(label: &str) -> Any {
    any(&Cluster {
        name: cluster_name(label),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig::default()),
        ..Cluster::default()
    })
}

/// One that can't be taken.
pub(crate) fn broken_cluster(label: &str) -> Any {
    any(&Cluster { name: cluster_name(label), lb_policy: 99, ..Cluster::default() })
}

/// Endpoints at these ports of this host.
pub(crate) fn endpoints(label: &str, ports: &[u16]) -> Any {
    let endpoint = |port: &u16| {
        let socket = SocketAddress {
            address: "127.0.0.1".to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(*port))),
            ..SocketAddress::default()
        };
        let address = Address { address: Some(address::Address::SocketAddress(socket)) };
        let endpoint = Endpoint { address: Some(address), ..Endpoint::default() };
        LbEndpoint {
            host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
            ..LbEndpoint::default()
        }
    };
    let group = LocalityLbEndpoints {
        lb_endpoints: ports.iter().map(endpoint).collect(),
        ..LocalityLbEndpoints::default()
    };
    any(&ClusterLoadAssignment {
        cluster_name: cluster_name(label),
        endpoints: vec![group],
        ..ClusterLoadAssignment::default()
    })
}

/// The routes of an HTTP proxy: requests to reviews are shared out between subsets.
pub(crate) fn routes(weights: &[(&str, u32)]) -> Any {
    let clusters = weights.iter().map(|(label, weight)| ClusterWeight {
        name: cluster_name(label),
        weight: Some(UInt32Value { value: *weight }),
        ..ClusterWeight::default()
    });
    let weighted = WeightedCluster { clusters: clusters.collect(), ..WeightedCluster::default() };
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::WeightedClusters(weighted)),
        ..RouteAction::default()
    };
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(action)),
        ..Route::default()
    };
    let names = ["reviews:8080", "reviews.shop:8080", "reviews.shop.svc.cluster.local:8080"];
    let host = VirtualHost {
        name: "reviews.shop.svc.cluster.local:8080".to_owned(),
        domains: names.map(ToOwned::to_owned).to_vec(),
        routes: vec![route],
        ..VirtualHost::default()
    };
    any(&RouteConfiguration {
        name: "http_proxy".to_owned(),
        virtual_hosts: vec![host],
        ..RouteConfiguration::default()
    })
}

/// The one service.
pub(crate) fn reviews() -> ServiceKey {
    ServiceKey::new("shop", "reviews.shop.svc.cluster.local")
}

/// Waits until a service is as `wanted` says.
pub(crate) async fn until(source: &impl Source, wanted: impl Fn(Option<&Arc<Service>>) -> bool) {
    let mut snapshots = source.snapshots();
    let seen = snapshots.wait_for(|snapshot| wanted(snapshot.get(&reviews())));
    timeout(SOON, seen).await.expect("the service never is as it should be").unwrap();
}

/// The ports of the endpoints of one subset.
pub(crate) fn ports(service: Option<&Arc<Service>>, label: &str) -> Option<Vec<u16>> {
    let routing = service?.routing.as_ref()?;
    let cluster = routing.cluster(&cluster_name(label))?;
    Some(cluster.members.iter().map(|it| it.instance.endpoints[0].address.port()).collect())
}

/// Asks for a name until the source knows it or knows better.
pub(crate) async fn answer(source: &impl Source, name: &str) -> Answer {
    source.demand(&ServiceKey::new("shop", name)).within(SOON).await
}
