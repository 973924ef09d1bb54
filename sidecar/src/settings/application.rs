//! The application: who it is, what it serves, and whether it is well.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh::Protocol;

/// Who the application is, to the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The application (`appId`) in service-center, the namespace in Kubernetes.
    pub app: String,
    /// The service's name, as it was given.
    pub service: String,
    /// Its version, as it was given.
    pub version: String,
    /// `development`, `testing`, `acceptance`, `production` or empty.
    pub environment: String,
    /// What the instance is called: the pod, or the host; empty where nobody said.
    pub host: String,
    /// The pod, where there is one.
    pub pod: Option<Pod>,
    /// `instance_properties` and what the environment adds to them.
    pub instance_properties: BTreeMap<String, String>,
    /// `properties` of the service.
    pub service_properties: BTreeMap<String, String>,
}

/// What the downward API says of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// `POD_NAME`.
    pub name: String,
    /// `POD_NAMESPACE`.
    pub namespace: String,
    /// `POD_UID`.
    pub uid: String,
    /// `NODE_NAME`, where known.
    pub node: String,
    /// `HOSTING_SERVER_IP`, where known.
    pub node_ip: String,
    /// `SERVICE_ACCOUNT`, where known.
    pub service_account: String,
    /// From `/etc/mesher/podinfo/labels`.
    pub labels: BTreeMap<String, String>,
}

/// One entry of `SERVICE_PORTS`: `protocol[-suffix]:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// What is spoken there; `http` is another word for `rest`.
    pub protocol: Protocol,
    /// The whole name, as in `rest-admin`.
    pub name: String,
    /// Where.
    pub port: u16,
}

/// The ports of the application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalPorts {
    /// `SERVICE_PORTS`, in the order written.
    pub service: Vec<ServicePort>,
    /// `APP_PORTS`: what the pod declares.
    pub app: Vec<u16>,
}

/// One entry of `localHealthCheck`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port of the application.
    pub port: u16,
    /// GET this path; `None`: connect, no more.
    pub path: Option<String>,
    /// How often.
    pub interval: Duration,
    /// The status wanted; `None`: any.
    pub status: Option<u16>,
    /// A regular expression the body has to match; `None`: any.
    pub body: Option<String>,
}
