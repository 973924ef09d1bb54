//! Who asks, as xDS and Istio write it.

use envoy_types::pb::envoy::config::core::v3::{
    Locality, Node as Wire, node::UserAgentVersionType,
};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};

use super::options::Node;

/// The version of Istio whose behaviour is expected; istiod looks at it for what to send.
const ISTIO: &str = "1.31.0";
/// Istio's name for a cluster that has not been given another.
const CLUSTER: &str = "Kubernetes";

impl Node {
    /// `sidecar~IP~POD.NAMESPACE~NAMESPACE.svc.cluster.local`: istiod ends the stream of whoever
    /// writes it otherwise.
    ///
    /// ```
    /// use discovery::ads::Node;
    /// let node = Node { pod: "web-0".into(), namespace: "shop".into(), ..Node::default() };
    /// assert_eq!(node.id(), "sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local");
    /// ```
    pub fn id(&self) -> String {
        let (pod, namespace) = (self.pod(), self.namespace());
        let address = self.addresses.first().map_or("127.0.0.1", String::as_str);
        format!("sidecar~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local")
    }

    fn pod(&self) -> &str {
        if self.pod.is_empty() { "mesher" } else { &self.pod }
    }

    fn namespace(&self) -> &str {
        if self.namespace.is_empty() { "default" } else { &self.namespace }
    }

    /// It as a message.
    pub(super) fn to_wire(&self) -> Wire {
        let mut metadata = Struct::default();
        let mut put = |name: &str, value: Kind| {
            metadata.fields.insert(name.to_owned(), Value { kind: Some(value) });
        };
        let text = |text: &str| Kind::StringValue(text.to_owned());
        put("NAMESPACE", text(self.namespace()));
        put("NAME", text(self.pod()));
        put("CLUSTER_ID", text(CLUSTER));
        put("ISTIO_VERSION", text(ISTIO));
        put("INTERCEPTION_MODE", text("NONE"));
        let known = [
            ("INSTANCE_IPS", self.addresses.join(",")),
            ("SERVICE_ACCOUNT", self.service_account.clone()),
            ("NODE_NAME", self.host.clone()),
        ];
        for (name, value) in known.into_iter().filter(|(_, value)| !value.is_empty()) {
            put(name, text(&value));
        }
        let labels = self.labels.iter().map(|(name, value)| {
            (name.clone(), Value { kind: Some(Kind::StringValue(value.clone())) })
        });
        put("LABELS", Kind::StructValue(Struct { fields: labels.collect() }));
        let [region, zone, sub_zone] = self.locality.clone();
        let named = self.locality.iter().any(|part| !part.is_empty());
        let service = if self.service.is_empty() { self.pod() } else { &self.service };
        Wire {
            id: self.id(),
            cluster: format!("{service}.{}", self.namespace()),
            metadata: Some(metadata),
            locality: named.then_some(Locality { region, zone, sub_zone }),
            user_agent_name: "mesher".to_owned(),
            user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion(
                env!("CARGO_PKG_VERSION").to_owned(),
            )),
            ..Wire::default()
        }
    }
}
