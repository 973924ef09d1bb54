//! chassis.yaml, auth.yaml, monitoring.yaml.

use super::File::{Auth, Chassis, Monitoring};
use super::{Key, Kind, key};

const TYPES: Kind = Kind::Choice(&["servicecenter", "sc", "pilot", "pilotv2"]);
const APOLLO: &str = "apollo is not part of mesher: use servicecomb-kie or config_center, or files, which are reread while it runs";
const DUBBO: &str = "dubbo is not part of mesher: offer the service as rest or grpc";
const AKSK: &str =
    "signing by access key is not part of mesher: use servicecomb.account.name and password";
const CSE: &str =
    "the CSE monitoring agent is not part of mesher: scrape /metrics on the admin port";
const SCHEMAS: &str = "Schemas are not registered.";

pub(super) static KEYS: &[Key] = &[
    key(
        "servicecomb.protocols.http.listenAddress",
        Chassis,
        Kind::Listen,
        "HTTP, for the application on loopback. Another address is the provider side's.",
    )
    .restart("127.0.0.1:30101"),
    key("servicecomb.protocols.grpc.listenAddress", Chassis, Kind::Listen, "gRPC, likewise.")
        .restart("127.0.0.1:40101"),
    key(
        "servicecomb.protocols.rest-admin.listenAddress",
        Chassis,
        Kind::Listen,
        "Health, metrics and admin. Beyond loopback, the page and drain are public too.",
    )
    .restart("127.0.0.1:30102"),
    key(
        "servicecomb.protocols.http.advertiseAddress",
        Chassis,
        Kind::Listen,
        "What is registered instead of the pod's address.",
    )
    .restart(""),
    key(
        "servicecomb.protocols.grpc.advertiseAddress",
        Chassis,
        Kind::Listen,
        "What is registered instead of the pod's address.",
    )
    .restart(""),
    key(
        "servicecomb.protocols.rest-admin.advertiseAddress",
        Chassis,
        Kind::Text,
        "The admin port is not registered.",
    ),
    key("servicecomb.protocols.dubbo", Chassis, Kind::Tree, "Dubbo.").gone(DUBBO),
    key("servicecomb.protocols.*.workerNumber", Chassis, Kind::Text, "See mesher.workers."),
    key("servicecomb.protocols.*.transport", Chassis, Kind::Text, "TCP."),
    key(
        "servicecomb.protocols.*.cors",
        Chassis,
        Kind::Tree,
        "The admin port answers no other origin.",
    ),
    key("servicecomb.registry.type", Chassis, TYPES, "Where services are learned of.").restart(""),
    key(
        "servicecomb.registry.serviceDiscovery.type",
        Chassis,
        TYPES,
        "Where services are learned of.",
    )
    .restart(""),
    key(
        "servicecomb.registry.registrator.type",
        Chassis,
        TYPES,
        "Where the instance is registered: as services are learned of.",
    ),
    key("servicecomb.registry.contractDiscovery.type", Chassis, Kind::Text, SCHEMAS),
    key(
        "servicecomb.registry.address",
        Chassis,
        Kind::Urls,
        "service-center; several are tried in order.",
    )
    .restart("http://127.0.0.1:30100")
    .variables(&["PAAS_CSE_SC_ENDPOINT", "PAAS_CSE_ENDPOINT", "CSE_REGISTRY_ADDR"]),
    key(
        "servicecomb.registry.serviceDiscovery.address",
        Chassis,
        Kind::Urls,
        "The same, before the other.",
    )
    .restart(""),
    key(
        "servicecomb.registry.registrator.address",
        Chassis,
        Kind::Urls,
        "The same; one registry serves both.",
    )
    .restart(""),
    key("servicecomb.registry.contractDiscovery.address", Chassis, Kind::Text, SCHEMAS),
    key(
        "servicecomb.registry.scope",
        Chassis,
        Kind::Text,
        "full: other applications may find the service.",
    )
    .restart(""),
    key("servicecomb.registry.registrator.scope", Chassis, Kind::Text, "The same.").restart(""),
    key(
        "servicecomb.registry.refreshInterval",
        Chassis,
        Kind::Duration,
        "How often the registry is asked.",
    )
    .restart("30s")
    .variables(&["REFRESH_INTERVAL"]),
    key(
        "servicecomb.registry.serviceDiscovery.refreshInterval",
        Chassis,
        Kind::Duration,
        "The same, before the other.",
    )
    .restart(""),
    key(
        "servicecomb.registry.watch",
        Chassis,
        Kind::Flag,
        "Whether changes are also listened for.",
    )
    .restart("true"),
    key(
        "servicecomb.registry.serviceDiscovery.watch",
        Chassis,
        Kind::Flag,
        "The same, before the other.",
    )
    .restart(""),
    key(
        "servicecomb.registry.register",
        Chassis,
        Kind::Choice(&["auto", "manual"]),
        "manual: nothing is registered.",
    )
    .restart("auto"),
    key(
        "servicecomb.registry.registrator.register",
        Chassis,
        Kind::Choice(&["auto", "manual"]),
        "The same, before the other.",
    )
    .restart(""),
    key("servicecomb.registry.disabled", Chassis, Kind::Flag, "Whether nothing is registered.")
        .restart("false"),
    key(
        "servicecomb.registry.registrator.disabled",
        Chassis,
        Kind::Flag,
        "The same, before the other.",
    )
    .restart(""),
    key("servicecomb.registry.tenant", Chassis, Kind::Text, "The domain (X-Domain-Name).")
        .restart("default"),
    key(
        "servicecomb.registry.serviceDiscovery.tenant",
        Chassis,
        Kind::Text,
        "The same, before the other.",
    )
    .restart(""),
    key("servicecomb.registry.registrator.tenant", Chassis, Kind::Text, "The same.").restart(""),
    key(
        "servicecomb.registry.project",
        Chassis,
        Kind::Text,
        "The project in the registry's paths.",
    )
    .restart("default")
    .variables(&["CSE_PROJECT_ID"]),
    key(
        "servicecomb.registry.heartbeat.interval",
        Chassis,
        Kind::Duration,
        "How often the instance says that it lives; at least 10s.",
    )
    .restart("30s"),
    key("servicecomb.registry.heartbeat.mode", Chassis, Kind::Text, "Heartbeats are requests."),
    key(
        "servicecomb.registry.**.autodiscovery",
        Chassis,
        Kind::Flag,
        "Name all addresses of the registry instead.",
    ),
    key("servicecomb.registry.**.autoIPIndex", Chassis, Kind::Flag, "Callers say who they are."),
    key("servicecomb.registry.**.autoSchemaIndex", Chassis, Kind::Flag, SCHEMAS),
    key("servicecomb.registry.**.cacheIndex", Chassis, Kind::Flag, "It is always indexed."),
    key("servicecomb.registry.**.healthCheck", Chassis, Kind::Flag, "Failing connections tell."),
    key("servicecomb.registry.**.api.version", Chassis, Kind::Text, "v4."),
    key("servicecomb.registry.**.uploadSchema", Chassis, Kind::Flag, SCHEMAS),
    key("servicecomb.registry.**.configPath", Chassis, Kind::Path, "No source reads a kubeconfig."),
    key(
        "servicecomb.registry.serviceDiscovery.disabled",
        Chassis,
        Kind::Flag,
        "A proxy without discovery has nothing to do.",
    ),
    key(
        "servicecomb.registry.discovery.disabled",
        Chassis,
        Kind::Flag,
        "A proxy without discovery has nothing to do.",
    ),
    key("servicecomb.registry.contractDiscovery.disabled", Chassis, Kind::Flag, SCHEMAS),
    key("servicecomb.registry.contractDiscovery.*", Chassis, Kind::Text, SCHEMAS),
    key("servicecomb.noRefreshSchema", Chassis, Kind::Flag, SCHEMAS),
    key("servicecomb.schema", Chassis, Kind::Tree, SCHEMAS),
    key(
        "servicecomb.config.client.type",
        Chassis,
        Kind::Choice(&["servicecomb-kie", "kie", "config_center", "apollo"]),
        "What kind of configuration center there is; apollo is none of those that are spoken to.",
    )
    .restart("servicecomb-kie"),
    key(
        "servicecomb.config.client.serverUri",
        Chassis,
        Kind::Urls,
        "A configuration center, whose keys win over all others; several addresses are tried in order.",
    )
    .restart("")
    .variables(&["PAAS_CSE_CC_ENDPOINT", "CSE_CONFIG_CENTER_ADDR"]),
    key(
        "servicecomb.config.client.enabled",
        Chassis,
        Kind::Flag,
        "Whether the configuration center is asked.",
    )
    .restart("true"),
    key(
        "servicecomb.config.client.refreshMode",
        Chassis,
        Kind::Whole(0, 1),
        "0: servicecomb-kie answers as soon as something changes; 1: it is asked each refreshInterval.",
    )
    .restart("0"),
    key(
        "servicecomb.config.client.refreshInterval",
        Chassis,
        Kind::Whole(1, 3600),
        "Seconds between two questions, or until the center has to answer one.",
    )
    .restart("30"),
    key(
        "servicecomb.config.client.dimensionsInfo",
        Chassis,
        Kind::Text,
        "What config_center is asked for; SERVICE@APP#VERSION without.",
    )
    .restart(""),
    key(
        "servicecomb.config.client.tenantName",
        Chassis,
        Kind::Text,
        "The tenant of config_center.",
    )
    .restart("default"),
    key(
        "servicecomb.config.client.api.version",
        Chassis,
        Kind::Choice(&["v2", "v3"]),
        "The API of config_center.",
    )
    .restart("v3"),
    key(
        "servicecomb.config.client.autodiscovery",
        Chassis,
        Kind::Flag,
        "Name all addresses of the center instead.",
    ),
    key("servicecomb.config.client.refreshPort", Chassis, Kind::Text, "config_center is asked."),
    key(
        "servicecomb.config.client.dimension",
        Chassis,
        Kind::Tree,
        "The labels are app, environment, service and version.",
    ),
    key("servicecomb.config.client.serviceName", Chassis, Kind::Text, "Of apollo.").gone(APOLLO),
    key("servicecomb.config.client.env", Chassis, Kind::Text, "Of apollo.").gone(APOLLO),
    key("servicecomb.config.client.cluster", Chassis, Kind::Text, "Of apollo.").gone(APOLLO),
    key("servicecomb.config.client.namespace", Chassis, Kind::Text, "Of apollo.").gone(APOLLO),
    key("servicecomb.config.client.token", Chassis, Kind::Secret, "Of apollo.").gone(APOLLO),
    key(
        "servicecomb.handler.chain.Consumer.outgoing",
        Chassis,
        Kind::Handlers,
        "What calls of the application pass.",
    )
    .restart(
        "traffic-marker,router,fault-inject,ratelimiter-consumer,bizkeeper-consumer,tracing-consumer,loadbalance,transport",
    )
    .variables(&["OUTGOING_HANDLER"]),
    key(
        "servicecomb.handler.chain.Provider.incoming",
        Chassis,
        Kind::Handlers,
        "What calls to the application pass.",
    )
    .restart("traffic-marker,ratelimiter-provider,rate-limiter,tracing-provider,transport")
    .variables(&["INCOMING_HANDLER"]),
    key("servicecomb.handler.chain.*", Chassis, Kind::Handlers, "Chains of other servers."),
    key("servicecomb.references", Chassis, Kind::Tree, "Versions are chosen by route rules."),
    key(
        "servicecomb.transport.failure.*",
        Chassis,
        Kind::Words,
        "Statuses that count as failures, as in http_500.",
    )
    .live(""),
    key(
        "servicecomb.transport.maxIdleCon.rest",
        Chassis,
        Kind::Whole(1, 1 << 20),
        "See mesher.limits.idleUpstream.",
    )
    .live(""),
    key(
        "servicecomb.transport.maxBodyBytes.rest",
        Chassis,
        Kind::Whole(1, u64::MAX),
        "See mesher.limits.bodyBytes.",
    )
    .live(""),
    key(
        "servicecomb.transport.maxHeaderBytes.rest",
        Chassis,
        Kind::Whole(1024, 16 << 20),
        "See mesher.limits.headerBytes.",
    )
    .live(""),
    key(
        "servicecomb.transport.timeout.rest",
        Chassis,
        Kind::Duration,
        "See mesher.limits.requestTimeout.",
    )
    .live(""),
    key("servicecomb.transport.*", Chassis, Kind::Text, "Of protocols there are no more."),
    key("servicecomb.metrics.enable", Chassis, Kind::Flag, "Metrics are always served."),
    key(
        "servicecomb.metrics.apiPath",
        Chassis,
        Kind::Text,
        "They are at /metrics and /v1/mesher/metrics.",
    ),
    key("servicecomb.metrics.*", Chassis, Kind::Text, "Metrics are counted as they happen."),
    key("servicecomb.profile.*", Chassis, Kind::Text, "See /v1/mesher on the admin port."),
    key(
        "servicecomb.account.name",
        Auth,
        Kind::Text,
        "Who speaks to a service-center that asks for it.",
    )
    .restart(""),
    key("servicecomb.account.password", Auth, Kind::Secret, "Its password.").restart(""),
    key("servicecomb.credentials.account.name", Auth, Kind::Text, "The same.").restart(""),
    key("servicecomb.credentials.account.password", Auth, Kind::Secret, "The same.").restart(""),
    key("servicecomb.credentials.accessKey", Auth, Kind::Secret, "An access key.").gone(AKSK),
    key("servicecomb.credentials.secretKey", Auth, Kind::Secret, "A secret key.").gone(AKSK),
    key("servicecomb.credentials.project", Auth, Kind::Text, "See servicecomb.registry.project."),
    key("servicecomb.credentials.akskCustomCipher", Auth, Kind::Text, "Keys are read as they are."),
    key("servicecomb.credentials.cipher", Auth, Kind::Text, "Keys are read as they are."),
    key("servicecomb.region.name", Chassis, Kind::Text, "The data center's name.").restart(""),
    key("servicecomb.region.region", Chassis, Kind::Text, "Its region.").restart(""),
    key("servicecomb.region.availableZone", Chassis, Kind::Text, "Its zone.").restart(""),
    key("servicecomb.dataCenter.name", Chassis, Kind::Text, "The data center's name.").restart(""),
    key("servicecomb.quota", Chassis, Kind::Tree, "The registry keeps quotas."),
    key("servicecomb.codec", Chassis, Kind::Tree, "Bodies are not read."),
    key("servicecomb.control", Chassis, Kind::Tree, "There is one kind of governance."),
    key("servicecomb.monitor", Monitoring, Kind::Tree, "CSE monitoring.")
        .gone(CSE)
        .variables(&["CSE_MONITOR_SERVER_ADDR"]),
];
