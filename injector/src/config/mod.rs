//! What the operator decides, parsed once at the edge into typed values.
//!
//! Every value may come from four places, the first wins: a flag, an environment variable, the
//! configuration file, what is built in. The file is YAML; `config schema` prints its JSON Schema,
//! which is generated from the types below.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::policy::{OnError, OnInvalid, SidecarDefaults};

mod duration;
mod file;
mod healing;
mod lease;
mod overrides;
mod size;
mod templates;
mod tls;
mod validate;

pub use file::ConfigError;
pub use healing::{Heal, Healing};
pub use lease::Lease;
pub use overrides::Overrides;
pub use size::Size;
pub use templates::load_templates;
pub(crate) use templates::templates_of;
pub use tls::{Life, Tls, TlsMode};
pub use validate::url_host;

/// The whole configuration.
///
/// `templates` and `policy` are taken over while the injector runs, as soon as the file changes;
/// everything else needs a restart, and the log says so when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The HTTPS port that the API server calls.
    pub webhook: Webhook,
    /// The plain HTTP port for probes and metrics.
    pub operations: Operations,
    /// Where the webhook's certificate comes from.
    pub tls: Tls,
    /// The cluster that calls this injector.
    pub kubernetes: Kubernetes,
    /// What is done about pods that asked for a sidecar and have none.
    pub healing: Healing,
    /// A folder of templates (`NAME.yaml` each) or one file; absent: only the built-in template
    /// `mesher`. Taken over while running.
    pub templates: Option<PathBuf>,
    /// What happens to pods. Taken over while running.
    pub policy: PolicySection,
    /// Bounds of what one injector process takes on.
    pub limits: Limits,
    /// How the injector stops.
    pub drain: Drain,
    /// What is written to standard error.
    pub log: Log,
}

/// The HTTPS port that the API server calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Webhook {
    /// Address and port, for example `0.0.0.0:9443`, or `[::]:9443` for IPv6 and IPv4.
    pub listen: SocketAddr,
}

impl Default for Webhook {
    fn default() -> Self {
        Self { listen: ([0, 0, 0, 0], 9443).into() }
    }
}

/// The plain HTTP port for `/healthz`, `/readyz`, `/status` and `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Operations {
    /// Address and port.
    pub listen: SocketAddr,
}

impl Default for Operations {
    fn default() -> Self {
        Self { listen: ([0, 0, 0, 0], 9090).into() }
    }
}

/// The cluster that calls this injector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Kubernetes {
    /// `false`: talk to no API server. Certificates then come from files or a folder, nobody
    /// fills in `caBundle`, and `nativeSidecar: auto` means what `policy.nativeSidecar` says.
    pub enabled: bool,
    /// The namespace the injector runs in; absent: `POD_NAMESPACE`, else that of the kubeconfig's
    /// context. Its pods are never touched.
    pub namespace: Option<String>,
    /// Name of the Service in front of the injector: the certificate is issued for it.
    pub service: String,
    /// Name of the MutatingWebhookConfiguration whose `caBundle` the injector keeps.
    pub webhook_configuration: String,
    /// The entries in it that are this injector's: by name, or by what follows a dot in it.
    pub webhooks: Vec<String>,
    /// Where the API server calls by URL instead of through a Service: the same URL, for example
    /// `https://127.0.0.1:9443/mutate`. The certificate is issued for its host too.
    pub url: Option<String>,
    /// How replicas elect the one that writes.
    pub lease: Lease,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            enabled: true,
            namespace: None,
            service: "sidecar-injector".into(),
            webhook_configuration: "sidecar-injector".into(),
            webhooks: vec!["sidecar-injector.mesher.io".into()],
            url: None,
            lease: Lease::default(),
        }
    }
}

/// What happens to pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicySection {
    /// Namespaces whose pods are never touched. The injector's own is always among them.
    pub ignored_namespaces: Vec<String>,
    /// A pod whose annotations cannot be used: `reject` it, or `skip` the sidecar with a warning.
    pub invalid_annotation: OnInvalid,
    /// A pod on an error of the injector: `allow` it without a sidecar, with a warning, or `deny`.
    pub on_error: OnError,
    /// Name of the template for pods that name none.
    pub default_template: String,
    /// What the annotation `nativeSidecar: auto` means: `auto` asks the API server for its version
    /// (native from 1.32 on), `true` and `false` decide it here.
    pub native_sidecar: NativeSidecar,
    /// Defaults of the sidecar; annotations of the pod win over them.
    pub sidecar: SidecarDefaults,
}

impl Default for PolicySection {
    fn default() -> Self {
        Self {
            ignored_namespaces: ["kube-system", "kube-public", "kube-node-lease"]
                .map(String::from)
                .into(),
            invalid_annotation: OnInvalid::default(),
            on_error: OnError::default(),
            default_template: "mesher".into(),
            native_sidecar: NativeSidecar::default(),
            sidecar: SidecarDefaults::default(),
        }
    }
}

/// Whether sidecars are init containers with `restartPolicy: Always`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum NativeSidecar {
    /// What the API server's version allows
    #[default]
    Auto,
    /// Always
    True,
    /// Never
    False,
}

impl JsonSchema for NativeSidecar {
    fn schema_name() -> Cow<'static, str> {
        "NativeSidecar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": ["auto", "true", "false", true, false]})
    }
}

/// YAML reads a bare `true` as a boolean: both spellings are meant.
impl<'de> Deserialize<'de> for NativeSidecar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "auto" => Ok(Self::Auto),
            "true" => Ok(Self::True),
            "false" => Ok(Self::False),
            other => Err(serde::de::Error::unknown_variant(other, &["auto", "true", "false"])),
        }
    }
}

/// Bounds of what one injector process takes on. Beyond them it answers quickly that it cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once; one more closes the one that was idle longest.
    pub connections: usize,
    /// Reviews at once.
    pub in_flight: usize,
    /// Memory for reviews at once, counted before parsing: bytes of the bodies and what their
    /// values take. One review that needs more is refused with 413, one that does not fit at the
    /// moment with 503.
    pub memory: Size,
    /// The longest body of a review.
    pub body: Size,
    /// A TLS handshake has to end within it.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub handshake_timeout: Duration,
    /// The head of a request has to arrive within it.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub header_timeout: Duration,
    /// The body of a request has to arrive within it.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub body_timeout: Duration,
    /// A request has to be read and answered within it; `?timeout=` of the API server may shorten
    /// it.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub request_timeout: Duration,
    /// A connection without a request is closed after it.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub idle_timeout: Duration,
    /// Concurrent requests on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            in_flight: 512,
            memory: Size::mebibytes(32),
            body: Size::mebibytes(6),
            handshake_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(2),
            streams: 200,
        }
    }
}

/// How the injector stops, after SIGTERM or SIGINT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// `/readyz` fails at once, but new connections are served this long: until every API server
    /// has learned that this replica is gone.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub delay: Duration,
    /// After that, requests under way have this long to finish.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), deadline: Duration::from_secs(15) }
    }
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// The least urgent level that is written.
    pub level: LogLevel,
    /// `text` for people, `json` for collectors.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what is broken
    Error,
    /// And what may break
    Warn,
    /// And one line for each decision
    #[default]
    Info,
    /// And connections
    Debug,
    /// And what libraries do
    Trace,
}

/// Shape of a log line.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

impl Config {
    /// Names of the sections that differ from `running` and are read only at the start.
    pub fn restart_needed(&self, running: &Self) -> Vec<&'static str> {
        let sections = [
            ("webhook", self.webhook != running.webhook),
            ("operations", self.operations != running.operations),
            ("tls", self.tls != running.tls),
            ("kubernetes", self.kubernetes != running.kubernetes),
            ("healing", self.healing != running.healing),
            ("limits", self.limits != running.limits),
            ("drain", self.drain != running.drain),
            ("log", self.log != running.log),
        ];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// The JSON Schema of the configuration file.
    pub fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Self);
        schema.insert("title".into(), "Configuration of sidecar-injector".into());
        schema.to_value()
    }
}
