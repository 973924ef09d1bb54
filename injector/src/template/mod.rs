//! Sidecar templates: YAML whose leaves may hold minijinja expressions.
//!
//! The tree is the author's: a pod's values enter only as scalar leaves, so no annotation can add
//! a key, an item or a document. A leaf that is one whole expression keeps its type; `omit`
//! removes its key or list item. A node may carry `$if: <expression>`, a list item also
//! `$each: <expression>` (`$as` names the variable, `item` by default).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::content::{Content, Node as View, Object};
use crate::template::expression::Place;
use crate::template::node::Node;
pub(crate) use crate::template::variable::{Fact, Variable};

mod expression;
mod node;
mod variable;

/// The template that ships, also `templates/mesher.yaml` of the source tree.
pub const BUILTIN: &str = include_str!("../../../templates/mesher.yaml");

/// Templates by name.
pub type Templates = BTreeMap<String, Arc<Template>>;

/// A template that was parsed, compiled and tried on sample pods.
pub struct Template {
    name: String,
    hash: String,
    sidecar_name: String,
    container_names: Vec<String>,
    volume_names: Vec<String>,
    ports: Vec<(u64, String)>,
    environment: minijinja::Environment<'static>,
    tree: Node,
}

/// What the variables hold.
pub(crate) trait Scope<'p> {
    /// What `variable` holds.
    fn get(&self, variable: Variable) -> Fact<'_, 'p>;
}

/// What a template made for one pod.
#[derive(Debug)]
pub(crate) struct Rendered<'a> {
    /// An object.
    pub(crate) sidecar: Content<'a>,
    pub(crate) containers: Vec<Content<'a>>,
    pub(crate) init_containers: Vec<Content<'a>>,
    pub(crate) volumes: Vec<Content<'a>>,
    pub(crate) image_pull_secrets: Vec<Content<'a>>,
    /// Strings.
    pub(crate) labels: Object<'a>,
    /// Strings.
    pub(crate) annotations: Object<'a>,
}

/// The keys of a template, and what each holds.
const SECTIONS: [(&str, &str); 7] = [
    ("sidecar", "a container"),
    ("containers", "a list of containers"),
    ("initContainers", "a list of containers"),
    ("volumes", "a list of volumes"),
    ("imagePullSecrets", "a list of {name}"),
    ("labels", "a map of strings"),
    ("annotations", "a map of strings"),
];

impl Template {
    /// The template that ships in the binary.
    pub fn builtin() -> Self {
        Self::parse("mesher", BUILTIN).expect("the tests parse the shipped template")
    }

    /// Parses and compiles a template. Whether its pods are valid only a trial tells:
    /// [`crate::load_template`].
    pub(crate) fn parse(name: &str, yaml: &str) -> Result<Self, TemplateError> {
        let error = |at: &str, problem: String| TemplateError {
            template: name.to_owned(),
            at: at.to_owned(),
            problem,
        };
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let tree: Value = serde_saphyr::from_str_with_options(yaml, options)
            .map_err(|e| error("document", e.to_string()))?;
        let Value::Object(sections) = &tree else {
            return Err(error("document", "expected a map with the key sidecar".into()));
        };
        for key in sections.keys() {
            if !SECTIONS.iter().any(|(known, _)| known == key) {
                let known: Vec<&str> = SECTIONS.iter().map(|(known, _)| *known).collect();
                return Err(error(key, format!("unknown key: use {}", known.join(", "))));
            }
        }
        let literal_name = |at: &str, item: &Value| match item.get("name").and_then(Value::as_str) {
            Some(name) if !name.is_empty() && !name.contains("{{") => Ok(name.to_owned()),
            _ => Err(error(&format!("{at}.name"), "expected a name without expression".into())),
        };
        let sidecar = sections.get("sidecar").filter(|s| s.is_object());
        let sidecar = sidecar.ok_or_else(|| error("sidecar", "expected a container".into()))?;
        let sidecar_name = literal_name("sidecar", sidecar)?;
        let (mut volume_names, mut container_names) = (Vec::new(), vec![sidecar_name.clone()]);
        for key in ["volumes", "containers", "initContainers"] {
            for (i, item) in crate::pod::list(&tree, key).iter().enumerate() {
                let name = literal_name(&format!("{key}[{i}]"), item)?;
                let names = if key == "volumes" { &mut volume_names } else { &mut container_names };
                names.push(name);
            }
        }
        let ports = crate::pod::list(sidecar, "ports")
            .iter()
            .filter_map(|p| {
                Some((p.get("containerPort")?.as_u64()?, crate::pod::name(p).to_owned()))
            })
            .collect();
        let mut environment = minijinja::Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.set_formatter(expression::format);
        environment.add_global("omit", expression::omit());
        let tree = Node::compile(&tree, String::new(), &mut environment)
            .map_err(|(at, problem)| error(&at, problem))?;
        let hash = hex(&Sha256::digest(yaml.as_bytes()));
        let name = name.to_owned();
        Ok(Self {
            name,
            hash,
            sidecar_name,
            container_names,
            volume_names,
            ports,
            environment,
            tree,
        })
    }

    /// Its name: what `sidecar.mesher.io/template` selects.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its text, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Name of the container it adds.
    pub fn sidecar_name(&self) -> &str {
        &self.sidecar_name
    }

    /// Names of every container it may add.
    pub(crate) fn container_names(&self) -> &[String] {
        &self.container_names
    }

    /// Numbers and names of the ports the sidecar listens on.
    pub(crate) fn ports(&self) -> &[(u64, String)] {
        &self.ports
    }

    /// Names of every volume it may add.
    pub(crate) fn volume_names(&self) -> &[String] {
        &self.volume_names
    }

    /// Fills in the leaves.
    pub(crate) fn render<'t>(
        &'t self,
        scope: &dyn Scope<'t>,
    ) -> Result<Rendered<'t>, TemplateError> {
        let error = |at: String, problem: String| TemplateError {
            template: self.name.clone(),
            at,
            problem,
        };
        let place = Place::new(&self.environment, scope);
        let tree = self.tree.render(&place).map_err(|(at, problem)| error(at, problem))?;
        let Some(sections) = tree.and_then(Content::into_members) else {
            return Err(error("document".into(), "rendered to nothing".into()));
        };
        let mut rendered = Rendered {
            sidecar: Content::Null,
            containers: Vec::new(),
            init_containers: Vec::new(),
            volumes: Vec::new(),
            image_pull_secrets: Vec::new(),
            labels: Vec::new(),
            annotations: Vec::new(),
        };
        for (key, value) in sections {
            let holds = SECTIONS.iter().find(|(known, _)| *known == key).map_or("", |s| s.1);
            let wrong = || error(key.to_string(), format!("expected {holds}"));
            match &*key {
                "sidecar" => rendered.sidecar = value,
                _ if value.node().is_null() => {}
                "containers" => rendered.containers = value.into_items().ok_or_else(wrong)?,
                "initContainers" => {
                    rendered.init_containers = value.into_items().ok_or_else(wrong)?;
                }
                "volumes" => rendered.volumes = value.into_items().ok_or_else(wrong)?,
                "imagePullSecrets" => {
                    rendered.image_pull_secrets = value.into_items().ok_or_else(wrong)?;
                }
                "labels" => rendered.labels = strings(value).ok_or_else(wrong)?,
                "annotations" => rendered.annotations = strings(value).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        if !rendered.sidecar.node().is_object() {
            return Err(error("sidecar".into(), "rendered to no container".into()));
        }
        Ok(rendered)
    }
}

/// Bytes of a digest as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).expect("half a byte is a digit");
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15].map(digit)).collect()
}

/// A map of strings, if it is one.
fn strings(content: Content<'_>) -> Option<Object<'_>> {
    let members = content.into_members()?;
    members.iter().all(|(_, value)| matches!(value.node(), View::Text(_))).then_some(members)
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("name", &self.name)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template}: {at}: {problem}")]
pub struct TemplateError {
    /// Name of the template.
    pub template: String,
    /// Path of the node, for example `sidecar.env[3].value`, or `document`.
    pub at: String,
    /// What is wrong and what is expected.
    pub problem: String,
}
