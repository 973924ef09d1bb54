//! Reading the configuration file.

use std::path::{Path, PathBuf};

use super::Config;
use crate::suggestion::closest;
use crate::template::TemplateError;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("{}: {source}: check that it exists and may be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that does not fit the schema.
    #[error("{}:{line}:{column}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A value that does not fit the others.
    #[error("{key}: {problem}")]
    Value {
        /// The key in the file, for example `tls.certificate`.
        key: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A template that cannot be used.
    #[error("{}: {source}", path.display())]
    Template {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        source: TemplateError,
    },
    /// Two templates of one name, or none of the name that is asked for.
    #[error("templates: {0}")]
    Templates(String),
}

impl Config {
    /// Reads the file at `path`; keys that it leaves out have their built-in values. It may be
    /// empty.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// Parses `text`; `path` is for messages only.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let parsed: Result<Option<Self>, _> = serde_saphyr::from_str(text);
        parsed.map(Option::unwrap_or_default).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
            ConfigError::Parse { path: path.into(), line, column, problem: explain(&error) }
        })
    }
}

/// The parser's complaint in one line.
fn explain(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error::{SerdeUnknownField, SerdeUnknownVariant};
    let allowed = |list: &[&str]| list.join(", ");
    match error.without_snippet() {
        SerdeUnknownField { field, expected, .. } => {
            let hint = closest(field, expected.iter().copied())
                .map_or_else(String::new, |meant| format!(": did you mean \"{meant}\"?"));
            format!("unknown key \"{field}\"{hint} (allowed here: {})", allowed(expected))
        }
        SerdeUnknownVariant { variant, expected, .. } => {
            format!("\"{variant}\" is not allowed here: write one of {}", allowed(expected))
        }
        other => {
            // The place stands at the start of our message already.
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.split_once(" at line ").map_or(line, |(problem, _)| problem).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("injector.yaml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_is_the_built_in_configuration() {
        for text in ["", "\n", "# nothing\n", "{}", "---\n"] {
            assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
        }
    }

    #[test]
    fn values_are_typed() {
        let config = parse(
            "webhook: {listen: '[::]:8443'}\n\
             limits: {memory: 64Mi, body: 1048576, headerTimeout: 1m 30s}\n\
             policy:\n  nativeSidecar: true\n  sidecar: {image: 'registry.example/mesher:2'}\n",
        )
        .unwrap();
        assert_eq!(config.webhook.listen.port(), 8443);
        assert_eq!(config.limits.memory.bytes(), 64 << 20);
        assert_eq!(config.limits.body.bytes(), 1 << 20);
        assert_eq!(config.limits.header_timeout, Duration::from_secs(90));
        assert_eq!(config.policy.native_sidecar, super::super::NativeSidecar::True);
        assert_eq!(config.policy.sidecar.image, "registry.example/mesher:2");
        assert_eq!(config.policy.sidecar.cpu, "50m", "the rest of a section keeps its defaults");
    }

    #[test]
    fn a_written_configuration_reads_back() {
        let text = serde_saphyr::to_string(&Config::default()).unwrap();
        assert_eq!(parse(&text), Ok(Config::default()), "{text}");
    }

    #[test]
    fn errors_name_file_line_key_and_what_is_allowed() {
        let cases = [
            (
                "log:\n  levle: info\n",
                "injector.yaml:2:3: unknown key \"levle\": did you mean \"level\"?",
            ),
            (
                "log:\n  level: loud\n",
                "injector.yaml:2:10: \"loud\" is not allowed here: write one of",
            ),
            ("policy:\n  onError: panic\n", "write one of allow, deny"),
            ("limits:\n  body: 6MB\n", "injector.yaml:2:9: \"6MB\" is no size"),
            (
                "limits:\n  idleTimeout: 90\n",
                ":2:16: \"90\" is no duration: write numbers with units",
            ),
            ("webhook:\n  listen: everywhere\n", "injector.yaml:2:11: "),
            ("log: [\n", "injector.yaml:"),
            ("log: {level: info}\nlog: {level: warn}\n", "duplicate"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
