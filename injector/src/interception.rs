//! How the pod's own containers are led to the proxy: variables that HTTP clients read.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::content::{Literal, Node};

/// What the proxy variables leave alone: the pod itself, and the clouds' metadata servers, which
/// answer only the pod's own address.
pub const NO_PROXY: &str =
    "localhost,127.0.0.1,::1,169.254.169.254,169.254.170.2,metadata.google.internal";

const HTTP_PROXY: &str = "http://127.0.0.1:30101";
const GRPC_PROXY: &str = "http://127.0.0.1:40101";

/// Containers of other meshes and agents: their traffic is not the application's.
const KNOWN_SIDECARS: [&str; 18] = [
    "istio-proxy",
    "istio-init",
    "istio-validation",
    "linkerd-proxy",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-debug",
    "daprd",
    "consul-dataplane",
    "consul-connect-inject-init",
    "kuma-sidecar",
    "kuma-init",
    "envoy-sidecar",
    "vault-agent",
    "vault-agent-init",
    "cloud-sql-proxy",
    "gke-gcsfuse-sidecar",
    "otc-container",
];

/// The value of `sidecar.mesher.io/interception`: `none`, or `env` with opt-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
#[expect(clippy::struct_excessive_bools, reason = "four words of a list, each there or not")]
pub struct Interception {
    /// The plain proxy variables.
    pub env: bool,
    /// `JAVA_TOOL_OPTIONS` with the proxy properties.
    pub java: bool,
    /// `NODE_USE_ENV_PROXY=1`.
    pub node: bool,
    /// `HTTPS_PROXY`, the only variable grpc-go reads.
    pub https: bool,
}

impl Default for Interception {
    fn default() -> Self {
        Self { env: true, java: false, node: false, https: false }
    }
}

impl FromStr for Interception {
    type Err = String;

    /// An opt-in alone implies `env`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut read = Self { env: false, ..Self::default() };
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        if words == ["none"] {
            return Ok(read);
        }
        for word in words {
            match word {
                "env" => {}
                "java" => read.java = true,
                "node" => read.node = true,
                "https" => read.https = true,
                _ => {
                    return Err(format!(
                        "\"{text}\": use none, or env with any of java, node, https"
                    ));
                }
            }
        }
        read.env = true;
        Ok(read)
    }
}

impl fmt::Display for Interception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.env { "env" } else { "none" })?;
        for (on, word) in [(self.java, ",java"), (self.node, ",node"), (self.https, ",https")] {
            f.write_str(if on { word } else { "" })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Interception {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Interception> for String {
    fn from(value: Interception) -> Self {
        value.to_string()
    }
}

/// A variable for containers, as it stands in a patch.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) item: Literal,
}

impl Variable {
    fn new(name: &'static str, value: &str) -> Self {
        Self { name, item: Literal::new(json!({"name": name, "value": value})) }
    }
}

/// What every container gets that is led to the proxy.
static PLAIN: LazyLock<[Variable; 5]> = LazyLock::new(|| {
    [
        Variable::new("http_proxy", HTTP_PROXY),
        Variable::new("HTTP_PROXY", HTTP_PROXY),
        Variable::new("grpc_proxy", GRPC_PROXY),
        Variable::new("no_proxy", NO_PROXY),
        Variable::new("NO_PROXY", NO_PROXY),
    ]
});
static HTTPS: LazyLock<Variable> = LazyLock::new(|| Variable::new("HTTPS_PROXY", HTTP_PROXY));
/// Without and with `https`.
static JAVA: LazyLock<[Variable; 2]> = LazyLock::new(|| {
    [false, true].map(|https| Variable::new("JAVA_TOOL_OPTIONS", &java_options(https)))
});
static NODE: LazyLock<Variable> = LazyLock::new(|| Variable::new("NODE_USE_ENV_PROXY", "1"));

/// What one container gets.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    pub(crate) add: Vec<&'static Variable>,
    pub(crate) warnings: Vec<String>,
}

/// Whether `container` belongs to another mesh or agent.
pub(crate) fn is_known_sidecar(container: Node<'_>) -> bool {
    KNOWN_SIDECARS.contains(&container.name())
}

/// The variables that lead `container` to the proxy. A container that already names a proxy keeps
/// its own and gets none.
pub(crate) fn variables(mode: Interception, container: Node<'_>) -> Variables {
    let mut found = Variables::default();
    if !mode.env || is_known_sidecar(container) {
        return found;
    }
    let container_name = container.name();
    let env = container.list("env");
    if let Some(own) = env.iter().map(Node::name).find(|n| is_proxy_variable(n)) {
        found.warnings.push(format!(
            "container {container_name} sets {own} itself: it gets no proxy variables"
        ));
        return found;
    }
    if !container.list("envFrom").is_empty() {
        found.warnings.push(format!(
            "container {container_name} has envFrom: our proxy variables win over proxy keys there"
        ));
    }
    found.add.extend(&*PLAIN);
    if mode.https {
        found.add.push(&HTTPS);
    }
    let sets = |name| env.named(name).is_some();
    if mode.java {
        if sets("JAVA_TOOL_OPTIONS") {
            found.warnings.push(format!(
                "container {container_name} sets JAVA_TOOL_OPTIONS itself: add the proxy properties there"
            ));
        } else {
            found.add.push(&JAVA[usize::from(mode.https)]);
        }
    }
    if mode.node && !sets("NODE_USE_ENV_PROXY") {
        found.add.push(&NODE);
    }
    found
}

fn java_options(https: bool) -> String {
    let mut options = format!(
        "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=30101 -Dhttp.nonProxyHosts={}",
        NO_PROXY.replace(',', "|").replace("::1", "[::1]")
    );
    if https {
        options.push_str(" -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=30101");
    }
    options
}

/// `http_proxy`, `ALL_PROXY`, `no_proxy`, … in any case. Node's switch only ends alike.
fn is_proxy_variable(name: &str) -> bool {
    name != "NODE_USE_ENV_PROXY"
        && name.len() > 6
        && name.as_bytes()[name.len() - 6..].eq_ignore_ascii_case(b"_proxy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn names(mode: &str, container: &Value) -> Vec<&'static str> {
        let found = variables(mode.parse().unwrap(), container.into());
        found.add.into_iter().map(|variable| variable.name).collect()
    }

    #[test]
    fn modes_read_and_print() {
        for (text, normal) in [
            ("env", "env"),
            ("none", "none"),
            ("java", "env,java"),
            ("env, https ,node", "env,node,https"),
        ] {
            assert_eq!(text.parse::<Interception>().unwrap().to_string(), normal);
        }
        for bad in ["", "redirect", "none,java", "ENV", "env,,java"] {
            assert!(bad.parse::<Interception>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_container_gets_the_variables_once() {
        let plain = ["http_proxy", "HTTP_PROXY", "grpc_proxy", "no_proxy", "NO_PROXY"];
        assert_eq!(names("env", &json!({"name": "app"})), plain);
        assert_eq!(names("none", &json!({"name": "app"})), [""; 0]);
        assert_eq!(names("env", &json!({"name": "istio-proxy"})), [""; 0]);
        for own in ["http_proxy", "Https_Proxy", "NO_PROXY", "all_proxy"] {
            let found = variables(
                Interception::default(),
                Node::from(&json!({"name": "app", "env": [{"name": "A"}, {"name": own}]})),
            );
            assert!(found.add.is_empty() && found.warnings[0].contains(own), "{own}");
        }
        let with_from = json!({"name": "app", "envFrom": [{"configMapRef": {"name": "c"}}]});
        let found = variables(Interception::default(), Node::from(&with_from));
        assert_eq!((found.add.len(), found.warnings.len()), (5, 1));
    }

    #[test]
    fn opt_ins_respect_what_is_there() {
        let app = json!({"name": "app"});
        assert!(names("https,node", &app).ends_with(&["HTTPS_PROXY", "NODE_USE_ENV_PROXY"]));
        let java =
            json!({"name": "app", "env": [{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx1g"}]});
        let found = variables("java".parse().unwrap(), Node::from(&java));
        assert!(!found.add.iter().any(|variable| variable.name == "JAVA_TOOL_OPTIONS"));
        assert!(found.warnings[0].contains("JAVA_TOOL_OPTIONS"));
    }
}
