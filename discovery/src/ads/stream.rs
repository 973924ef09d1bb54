//! A stream of either variant, as one.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use futures::channel::mpsc;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::channel::bearer;
use super::options::Options;
use super::protocol::{Kind, Said, Variant};

/// The largest response that is taken: a mesh of tens of thousands of services fits.
const LARGEST: usize = 256 << 20;

/// A response, of either variant.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) type_url: String,
    pub(super) version: String,
    pub(super) nonce: String,
    pub(super) resources: Vec<Vec<u8>>,
    /// Names of what is gone.
    pub(super) removed: Vec<String>,
    /// Whether what is not in it is gone.
    pub(super) whole: bool,
}

/// An open stream.
pub(super) struct Stream {
    node: Node,
    both: Both,
}

enum Both {
    Delta(mpsc::UnboundedSender<DeltaDiscoveryRequest>, Streaming<DeltaDiscoveryResponse>),
    Whole(mpsc::UnboundedSender<DiscoveryRequest>, Streaming<DiscoveryResponse>),
}

impl Stream {
    /// Opens a stream and says `first` on it: a server may wait for that before it answers at all.
    pub(super) async fn open(
        channel: Channel,
        options: &Options,
        variant: Variant,
        first: Vec<Said>,
    ) -> Result<Self, Status> {
        let node = options.node.to_wire();
        let mut client =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(LARGEST);
        let both = match variant {
            Variant::Delta => {
                let (sender, requests) = mpsc::unbounded();
                for said in first {
                    let _ = sender.unbounded_send(said.delta(&node));
                }
                let request = authorized(Request::new(requests), options);
                let responses = client.delta_aggregated_resources(request).await?;
                Both::Delta(sender, responses.into_inner())
            }
            Variant::Whole => {
                let (sender, requests) = mpsc::unbounded();
                for said in first {
                    let _ = sender.unbounded_send(said.whole(&node));
                }
                let request = authorized(Request::new(requests), options);
                let responses = client.stream_aggregated_resources(request).await?;
                Both::Whole(sender, responses.into_inner())
            }
        };
        Ok(Self { node, both })
    }

    /// Says something. On a stream that has ended that is of no account: its end is heard.
    pub(super) fn say(&self, said: Said) {
        match &self.both {
            Both::Delta(sender, _) => drop(sender.unbounded_send(said.delta(&self.node))),
            Both::Whole(sender, _) => drop(sender.unbounded_send(said.whole(&self.node))),
        }
    }

    /// The next response; `None`: the stream has ended without an error. What was not heard when
    /// this is dropped is heard by the next call.
    pub(super) async fn hear(&mut self) -> Result<Option<Heard>, Status> {
        Ok(match &mut self.both {
            Both::Delta(_, responses) => responses.message().await?.map(of_delta),
            Both::Whole(_, responses) => responses.message().await?.map(of_whole),
        })
    }
}

fn authorized<T>(mut request: Request<T>, options: &Options) -> Request<T> {
    if let Some(bearer) = bearer(options) {
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

fn of_delta(response: DeltaDiscoveryResponse) -> Heard {
    let resources = response.resources.into_iter().filter_map(|it| it.resource);
    Heard {
        version: response.system_version_info,
        nonce: response.nonce,
        resources: resources.map(|any| any.value).collect(),
        removed: response.removed_resources,
        type_url: response.type_url,
        whole: false,
    }
}

fn of_whole(response: DiscoveryResponse) -> Heard {
    Heard {
        version: response.version_info,
        nonce: response.nonce,
        resources: response.resources.into_iter().map(|any| any.value).collect(),
        removed: Vec::new(),
        // Of endpoints and routes, what was not asked for lately is missing too.
        whole: response.type_url == Kind::Clusters.type_url(),
        type_url: response.type_url,
    }
}
