//! Containers as processes: what they run, and what they are told.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Place;
use super::pod::{Pod, text};

/// What the container of a pod is to run, with everything resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name in the pod.
    pub name: String,
    /// Its program: the first word of its command, else its image's name without registry and tag.
    pub program: String,
    /// All that follows the program.
    pub arguments: Vec<String>,
    /// Its whole environment, in order.
    pub environment: Vec<(String, String)>,
    /// When it counts as there.
    pub ready: Option<Probe>,
}

/// A GET that has to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The port of the pod.
    pub port: u16,
    /// The path.
    pub path: String,
}

impl Pod {
    /// Its containers, where it runs at `place`: those that keep running beside the others first,
    /// as they are started.
    pub fn containers(&self, place: &impl Place) -> Result<Vec<Container>> {
        let init = list(&self.spec["initContainers"]);
        let mut containers = Vec::new();
        for container in init {
            let name = text(&container["name"]);
            ensure!(
                container["restartPolicy"] == "Always",
                "{name} of {}: init containers that end are not imitated",
                self.name
            );
            containers.push(self.container(container, "startupProbe", place)?);
        }
        for container in list(&self.spec["containers"]) {
            containers.push(self.container(container, "readinessProbe", place)?);
        }
        Ok(containers)
    }

    fn container(&self, spec: &Value, probe: &str, place: &impl Place) -> Result<Container> {
        let name = text(&spec["name"]);
        let about = || format!("container {name} of {}", self.name);
        let mut command = list(&spec["command"]).iter().map(|word| text(word).to_owned());
        let program = command.next().unwrap_or_else(|| program_of(text(&spec["image"])));
        let arguments = list(&spec["args"]).iter().map(|word| text(word).to_owned());
        let arguments: Vec<_> = command.chain(arguments).collect();
        ensure!(
            arguments.iter().all(|word| !word.contains("$(")),
            "{}: variables in arguments are not imitated",
            about()
        );
        let environment = list(&spec["env"]).iter().map(|variable| {
            let name = text(&variable["name"]);
            let value = self.value(variable, place).with_context(|| format!("variable {name}"))?;
            Ok((name.to_owned(), value))
        });
        let environment = environment.collect::<Result<_>>().with_context(about)?;
        let ready = probe_of(spec, probe).with_context(about)?;
        Ok(Container { name: name.to_owned(), program, arguments, environment, ready })
    }

    fn value(&self, variable: &Value, place: &impl Place) -> Result<String> {
        let Some(source) = variable.get("valueFrom") else {
            return Ok(text(&variable["value"]).to_owned());
        };
        let path = source["fieldRef"]["fieldPath"].as_str();
        let path = path.with_context(|| format!("this is not imitated: {source}"))?;
        self.field(path, place.address(), place.node())
    }

    /// A field of the pod that the downward API shows.
    fn field(&self, path: &str, address: IpAddr, node: IpAddr) -> Result<String> {
        let account = self.spec["serviceAccountName"].as_str().unwrap_or("default");
        Ok(match path {
            "metadata.name" => self.name.clone(),
            "metadata.namespace" => self.namespace.clone(),
            // The same for the same pod, and different for others.
            "metadata.uid" => format!("uid-of-{}-{}", self.namespace, self.name),
            "status.podIP" | "status.podIPs" => address.to_string(),
            "status.hostIP" | "status.hostIPs" => node.to_string(),
            "spec.nodeName" => "node".to_owned(),
            "spec.serviceAccountName" => account.to_owned(),
            _ => bail!("the field {path} is not imitated"),
        })
    }
}

/// `registry:5000/team/mockserver:0.1.0` → `mockserver`
fn program_of(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split([':', '@']).next().unwrap_or(name).to_owned()
}

/// The probe of this kind, if there is one.
fn probe_of(container: &Value, kind: &str) -> Result<Option<Probe>> {
    let Some(probe) = container.get(kind) else { return Ok(None) };
    let get = probe.get("httpGet").with_context(|| format!("a {kind} without httpGet"))?;
    let port = match &get["port"] {
        Value::String(name) => {
            let ports = list(&container["ports"]);
            let named = ports.iter().find(|port| port["name"] == name.as_str());
            named.and_then(|port| port["containerPort"].as_u64())
        }
        number => number.as_u64(),
    };
    let port = port.with_context(|| format!("no such port for the {kind}"))?;
    let path = get["path"].as_str().unwrap_or("/").to_owned();
    Ok(Some(Probe { port: u16::try_from(port)?, path }))
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    struct Somewhere;

    impl Place for Somewhere {
        fn address(&self) -> IpAddr {
            Ipv4Addr::new(10, 0, 0, 7).into()
        }

        fn node(&self) -> IpAddr {
            Ipv4Addr::new(10, 0, 0, 1).into()
        }

        fn command(&self, program: &Path) -> Command {
            Command::new(program)
        }

        fn status_of(&self, _: u16, _: &str) -> Option<u16> {
            None
        }
    }

    fn containers(spec: &str) -> Result<Vec<Container>> {
        let manifest = format!("kind: Pod\nmetadata: {{name: web, namespace: shop}}\nspec: {spec}");
        Pod::read(&manifest)?[0].containers(&Somewhere)
    }

    #[test]
    fn everything_is_resolved() -> Result<()> {
        let containers = containers(
            r#"{
              initContainers: [{name: proxy, image: "reg:5000/a/mesher:1", restartPolicy: Always,
                startupProbe: {httpGet: {path: /healthz, port: 30102}}, env: [
                {name: A, value: b}, {name: EMPTY},
                {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIPs}}},
                {name: NODE, valueFrom: {fieldRef: {fieldPath: status.hostIP}}},
                {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}],
              containers: [{name: app, image: "x@sha256:1", command: [serve, one], args: [two],
                ports: [{name: http, containerPort: 8080}],
                readinessProbe: {httpGet: {port: http}}}]}"#,
        )?;
        let [proxy, app] = &containers[..] else { bail!("{containers:?}") };
        assert_eq!((&*proxy.name, &*proxy.program), ("proxy", "mesher"));
        let environment: Vec<_> =
            proxy.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(environment, ["A=b", "EMPTY=", "IP=10.0.0.7", "NODE=10.0.0.1", "POD=web"]);
        assert_eq!(proxy.ready, Some(Probe { port: 30102, path: "/healthz".into() }));
        assert_eq!(
            (&*app.program, &app.arguments[..]),
            ("serve", &["one".into(), "two".into()][..])
        );
        assert_eq!(app.ready, Some(Probe { port: 8080, path: "/".into() }));
        Ok(())
    }

    #[test]
    fn what_is_not_imitated_is_named() {
        for (spec, words) in [
            ("{initContainers: [{name: i, image: a}], containers: []}", "i of web"),
            ("{containers: [{name: a, image: a, args: [\"$(X)\"]}]}", "variables in arguments"),
            (
                "{containers: [{name: a, image: a, env: [{name: S, valueFrom: \
                 {secretKeyRef: {name: s, key: k}}}]}]}",
                "secretKeyRef",
            ),
            (
                "{containers: [{name: a, image: a, env: [{name: S, valueFrom: \
                 {fieldRef: {fieldPath: status.phase}}}]}]}",
                "status.phase",
            ),
            (
                "{containers: [{name: a, image: a, readinessProbe: {tcpSocket: {port: 1}}}]}",
                "readinessProbe",
            ),
        ] {
            let error = containers(spec).map(drop).expect_err(spec);
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
    }
}
