//! mesher.yaml, and what only the environment says.

use super::File::{Lager, Mesher};
use super::{Key, Kind, key};

const BYTES: Kind = Kind::Whole(1, u64::MAX);
const COUNT: Kind = Kind::Whole(1, 1 << 20);

const EDGE: &str = "edge mode is not part of mesher: use an ingress gateway in front of the mesh";

pub(super) static KEYS: &[Key] = &[
    key("mesher.mode", Mesher, Kind::Choice(&["sidecar", "per-host"]), "Beside one application, or one for all of a host (consumer side only).")
        .restart("sidecar"),
    key("mesher.discoveryType", Mesher, Kind::Choice(&["sc", "servicecenter", "pilot", "pilotv2"]), "Where services are learned of: sc (service-center) or pilot (Istio).")
        .restart("sc")
        .variables(&["DISCOVERY_TYPE"]),
    key("mesher.pilot.address", Mesher, Kind::Urls, "istiod: host:port; 15012 speaks TLS, 15010 does not.")
        .restart("istiod.istio-system.svc:15010")
        .variables(&["ISTIO_PILOT_ADDR"]),
    key("mesher.pilot.rootCert", Mesher, Kind::Text, "The certificates that istiod has to prove itself to where TLS is spoken, PEM.")
        .restart("/var/run/secrets/istio/root-cert.pem"),
    key("mesher.pilot.token", Mesher, Kind::Text, "The token that istiod is shown where TLS is spoken, for the audience istio-ca.")
        .restart("/var/run/secrets/tokens/istio-token"),
    key("mesher.servicePorts", Mesher, Kind::ServicePorts, "What the application serves, and where.")
        .restart("")
        .variables(&["SERVICE_PORTS"]),
    key("mesher.appPorts", Mesher, Kind::Ports, "Ports that the pod declares; requests may go to them too.")
        .restart("")
        .variables(&["APP_PORTS"]),
    key("mesher.instanceIps", Mesher, Kind::Addresses, "The pod's addresses, where the provider side listens. None: consumer only.")
        .restart("")
        .variables(&["INSTANCE_IPS", "INSTANCE_IP", "POD_IP"]),
    key("mesher.pod.name", Mesher, Kind::Text, "The pod.").restart("").variables(&["POD_NAME"]),
    key("mesher.pod.namespace", Mesher, Kind::Text, "Its namespace.")
        .restart("")
        .variables(&["POD_NAMESPACE"]),
    key("mesher.pod.uid", Mesher, Kind::Text, "Its UID.").restart("").variables(&["POD_UID"]),
    key("mesher.pod.node", Mesher, Kind::Text, "The node's name.").restart("").variables(&["NODE_NAME"]),
    key("mesher.pod.nodeIp", Mesher, Kind::Text, "The node's address; the instance property nodeIP.")
        .restart("")
        .variables(&["HOSTING_SERVER_IP", "NODE_IP"]),
    key("mesher.pod.serviceAccount", Mesher, Kind::Text, "The pod's service account.")
        .restart("")
        .variables(&["SERVICE_ACCOUNT"]),
    key("mesher.passthrough", Mesher, Kind::Choice(&["external", "all", "none"]), "Calls to hosts that no source knows: outside addresses (external), every name (all), nowhere (none). Built in: external; with Istio all, as its outboundTrafficPolicy decides then.")
        .live("")
        .variables(&["MESHER_PASSTHROUGH"]),
    key("mesher.headerCase", Mesher, Kind::Choice(&["lower", "title"]), "How header names are written to HTTP/1 peers.")
        .live("lower"),
    key("mesher.workers", Mesher, Kind::Whole(1, 256), "Threads that carry traffic. Absent: by the CPU quota, 1 to 4; 2 without one.")
        .restart(""),
    key("mesher.limits.headerBytes", Mesher, Kind::Whole(1024, 16 << 20), "Bytes of a request's head.").live("65536"),
    key("mesher.limits.headerFields", Mesher, Kind::Whole(1, 10_000), "Header fields of a message.").live("100"),
    key("mesher.limits.bodyBytes", Mesher, BYTES, "Bytes of a request's body. Absent: any.").live(""),
    key("mesher.limits.headerTimeout", Mesher, Kind::Duration, "To read a request's head, from its first byte.").live("30s"),
    key("mesher.limits.idleTimeout", Mesher, Kind::Duration, "A kept-alive connection without a request, on either side.").live("5m"),
    key("mesher.limits.connectTimeout", Mesher, Kind::Duration, "To connect to an instance.").live("3s"),
    key("mesher.limits.handshakeTimeout", Mesher, Kind::Duration, "To make a TLS session, on either side.").live("10s"),
    key("mesher.limits.requestTimeout", Mesher, Kind::Duration, "From a request to the end of its response's head.").live("30s"),
    key("mesher.limits.bodyTimeout", Mesher, Kind::Duration, "A response on its way, without a byte in either direction.").live("5m"),
    key("mesher.limits.tunnelTimeout", Mesher, Kind::Duration, "A tunnel (CONNECT, WebSocket) without a byte in either direction.").live("1h"),
    key("mesher.limits.drainTimeout", Mesher, Kind::Duration, "From SIGTERM to the end of what is in flight.").live("30s"),
    key("mesher.limits.connections", Mesher, COUNT, "Connections of callers at once.").live("16384"),
    key("mesher.limits.idleUpstream", Mesher, COUNT, "Idle connections for each instance and worker.").live("512"),
    key("mesher.limits.inFlight", Mesher, COUNT, "Requests under way at once, on each side; beyond, they wait or are refused with 503. Absent: any number.").live(""),
    key("mesher.limits.queue", Mesher, Kind::Whole(0, 1 << 20), "Requests that wait where as many are under way as may be. 0: they are refused at once.").live("1024"),
    key("mesher.limits.queueTimeout", Mesher, Kind::Duration, "How long one waits there.").live("100ms"),
    key("mesher.accessLog.to", Mesher, Kind::Text, "A line for each request: off, stdout, or the path of a file.")
        .live("off")
        .variables(&["MESHER_ACCESS_LOG"]),
    key("mesher.accessLog.format", Mesher, Kind::Choice(&["text", "json"]), "Lines for people, or one JSON object a line.")
        .live("text")
        .variables(&["MESHER_ACCESS_LOG_FORMAT"]),
    key("mesher.accessLog.sample", Mesher, Kind::Share, "The share of requests that are logged however they end.").live("1"),
    key("mesher.accessLog.errors", Mesher, Kind::Flag, "Whether those that failed are logged whatever the share.").live("true"),
    key("mesher.accessLog.query", Mesher, Kind::Flag, "Whether lines show what follows the ? of a URL.").live("false"),
    key("admin.enable", Mesher, Kind::Flag, "Whether there is more on the admin port than health and metrics.").restart("false"),
    key("admin.goRuntimeMetrics", Mesher, Kind::Flag, "There is no Go runtime to measure."),
    key("admin.serverUri", Mesher, Kind::Text, "Never had an effect."),
    key("pprof.enable", Mesher, Kind::Flag, "Whether CPU profiles are served, at /debug/pprof/.").restart("false"),
    key("pprof.listen", Mesher, Kind::Text, "Where they are: an IP address and a port.").restart("127.0.0.1:6060"),
    key("localHealthCheck", Mesher, Kind::List, "Whether the application is well: port or portName, protocol, uri, interval, match.").live(""),
    key("plugin.destinationResolver.*", Mesher, Kind::Choice(&["host", "authority", "ip"]), "How the destination is found: by the request's host."),
    key("plugin.destinationResolver", Mesher, Kind::Choice(&["host", "authority", "ip"]), "As the oldest files have it."),
    key("plugin.sourceResolver", Mesher, Kind::Text, "Never had an effect."),
    key("proxyedProtocol", Mesher, Kind::Text, "Never had an effect."),
    key("mesher.ingress", Mesher, Kind::Tree, "Edge mode.").gone(EDGE),
    key("servicecomb.apm", Mesher, Kind::Tree, "SkyWalking.")
        .gone("SkyWalking is not part of mesher: collect spans with Zipkin or OpenTelemetry"),
    key("logLevel", Lager, Kind::Choice(&["error", "fatal", "warn", "warning", "info", "debug", "trace"]), "The least urgent level that is written.")
        .restart("info")
        .variables(&["LOG_LEVEL"]),
    key("logFormatText", Lager, Kind::Flag, "Lines for people (true), or one JSON object a line (false).").restart("true"),
    key("logWriters", Lager, Kind::Words, "Everything goes to standard error."),
    key("logFile", Lager, Kind::Path, "Everything goes to standard error."),
    key("logRotateAge", Lager, Kind::Text, "Whoever collects standard error rotates."),
    key("logRotateSize", Lager, Kind::Text, "Whoever collects standard error rotates."),
    key("logBackupCount", Lager, Kind::Text, "Whoever collects standard error rotates."),
    key("rollingPolicy", Lager, Kind::Text, "Whoever collects standard error rotates."),
    key("logRotateDisable", Lager, Kind::Flag, "Whoever collects standard error rotates."),
    key("logRotateCompress", Lager, Kind::Flag, "Whoever collects standard error rotates."),
    key("logColorMode", Lager, Kind::Text, "Colour is for terminals."),
];
