//! Flags and environment variables: what stands above the configuration file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, FromArgMatches};

use super::{Config, ConfigError, Heal, LogFormat, LogLevel, NativeSidecar, TlsMode};

/// Flags that override the configuration file; each has an environment variable, over which the
/// flag wins.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Overrides {
    /// Configuration file (YAML); `sidecar-injector config schema` describes it
    #[arg(long, value_name = "FILE", env = "SIDECAR_INJECTOR_CONFIG")]
    pub config: Option<PathBuf>,

    /// Address of the HTTPS port the API server calls [default: 0.0.0.0:9443]
    #[arg(long, value_name = "ADDRESS", env = "SIDECAR_INJECTOR_LISTEN", help_heading = "Ports")]
    listen: Option<SocketAddr>,
    /// Address of the plain HTTP port for probes and metrics [default: 0.0.0.0:9090]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SIDECAR_INJECTOR_OPERATIONS_LISTEN",
        help_heading = "Ports"
    )]
    operations_listen: Option<SocketAddr>,

    /// Who issues the certificate [default: self]
    #[arg(
        long,
        value_name = "MODE",
        env = "SIDECAR_INJECTOR_TLS_MODE",
        help_heading = "Certificate"
    )]
    tls_mode: Option<TlsMode>,
    /// The folder with certificate and key; with --tls-mode self, where to keep them instead of a
    /// Secret
    #[arg(
        long,
        value_name = "FOLDER",
        env = "SIDECAR_INJECTOR_TLS_FOLDER",
        help_heading = "Certificate"
    )]
    tls_folder: Option<PathBuf>,
    /// File of the certificate chain, with --tls-mode files [default: tls.crt]
    #[arg(
        long,
        value_name = "NAME",
        env = "SIDECAR_INJECTOR_TLS_CERTIFICATE",
        help_heading = "Certificate"
    )]
    tls_certificate: Option<String>,
    /// File of the private key, with --tls-mode files [default: tls.key]
    #[arg(
        long,
        value_name = "NAME",
        env = "SIDECAR_INJECTOR_TLS_KEY",
        help_heading = "Certificate"
    )]
    tls_key: Option<String>,
    /// File of the authority for caBundle, with --tls-mode files [default: caBundle is left alone]
    #[arg(
        long,
        value_name = "NAME",
        env = "SIDECAR_INJECTOR_TLS_CA",
        help_heading = "Certificate"
    )]
    tls_ca: Option<String>,
    /// Secret that keeps authority and certificate, with --tls-mode self
    /// [default: sidecar-injector-certificates]
    #[arg(
        long,
        value_name = "NAME",
        env = "SIDECAR_INJECTOR_TLS_SECRET",
        help_heading = "Certificate"
    )]
    tls_secret: Option<String>,

    /// Talk to no API server: for local trials and tests
    #[arg(long, env = "SIDECAR_INJECTOR_NO_KUBERNETES", help_heading = "Cluster")]
    no_kubernetes: bool,
    /// The injector's own namespace
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", help_heading = "Cluster")]
    namespace: Option<String>,
    /// What this replica calls itself in the Lease [default: the host's name; outside of a pod
    /// with the process id]
    #[arg(long, value_name = "NAME", env = "POD_NAME", help_heading = "Cluster")]
    identity: Option<String>,
    /// The Service in front of the injector [default: sidecar-injector]
    #[arg(long, value_name = "NAME", env = "SIDECAR_INJECTOR_SERVICE", help_heading = "Cluster")]
    service: Option<String>,
    /// The MutatingWebhookConfiguration whose caBundle the injector keeps [default: sidecar-injector]
    #[arg(
        long,
        value_name = "NAME",
        env = "SIDECAR_INJECTOR_WEBHOOK_CONFIGURATION",
        help_heading = "Cluster"
    )]
    webhook_configuration: Option<String>,
    /// The URL the API server calls, where it does not go through the Service
    #[arg(long, value_name = "URL", env = "SIDECAR_INJECTOR_URL", help_heading = "Cluster")]
    url: Option<String>,

    /// What to do about pods that asked for a sidecar and have none, as no injector answered when
    /// they were created [default: off]
    #[arg(long, value_name = "MODE", env = "SIDECAR_INJECTOR_HEAL", help_heading = "Pods")]
    heal: Option<Heal>,
    /// Folder of templates, or one file [default: only the built-in template]
    #[arg(long, value_name = "PATH", env = "SIDECAR_INJECTOR_TEMPLATES", help_heading = "Pods")]
    templates: Option<PathBuf>,
    /// Image of the sidecar
    #[arg(long, value_name = "IMAGE", env = "SIDECAR_INJECTOR_IMAGE", help_heading = "Pods")]
    image: Option<String>,
    /// Whether sidecars are native (init containers that keep running) [default: auto]
    #[arg(long, value_name = "WHEN", env = "SIDECAR_INJECTOR_NATIVE", help_heading = "Pods")]
    native: Option<NativeSidecar>,

    /// How long to go on serving after SIGTERM, for example 5s [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, env = "SIDECAR_INJECTOR_DRAIN_DELAY", help_heading = "Running")]
    drain_delay: Option<Duration>,
    /// How much to log [default: info]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "SIDECAR_INJECTOR_LOG_LEVEL",
        help_heading = "Running"
    )]
    log_level: Option<LogLevel>,
    /// Shape of log lines [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "SIDECAR_INJECTOR_LOG_FORMAT",
        help_heading = "Running"
    )]
    log_format: Option<LogFormat>,
}

impl Overrides {
    /// The configuration in force: the file (if one is named) under these overrides, checked.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let mut config =
            self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
        self.apply(&mut config);
        config.validate()?;
        Ok(config)
    }

    /// The folder or file to watch for changes of the configuration.
    pub fn config_path(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The overrides of an injector that runs elsewhere, by the arguments behind `serve` and the
    /// environment of its container. This process's own environment has no say.
    pub(crate) fn of_container(
        arguments: &[&str],
        environment: &BTreeMap<&str, &str>,
    ) -> Result<Self, clap::Error> {
        let command = Self::augment_args(clap::Command::new("serve").no_binary_name(true));
        let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        for flag in command.get_arguments() {
            let (Some(long), Some(name)) = (flag.get_long(), flag.get_env()) else {
                continue;
            };
            let long = format!("--{long}");
            let said = |argument: &&str| argument.split('=').next() == Some(long.as_str());
            match name.to_str().and_then(|name| environment.get(name)) {
                // Flags win over variables.
                Some(_) if arguments.iter().any(said) => {}
                Some(value) if flag.get_action().takes_values() => {
                    all.push(format!("{long}={value}"));
                }
                Some(value) if *value != "false" => all.push(long),
                _ => {}
            }
        }
        let command = command.mut_args(|flag| flag.env(None::<&str>));
        Self::from_arg_matches(&command.try_get_matches_from(all)?)
    }

    pub(crate) fn apply(&self, config: &mut Config) {
        set(&mut config.webhook.listen, self.listen.as_ref());
        set(&mut config.operations.listen, self.operations_listen.as_ref());
        set(&mut config.tls.mode, self.tls_mode.as_ref());
        set_option(&mut config.tls.folder, self.tls_folder.as_ref());
        set(&mut config.tls.certificate, self.tls_certificate.as_ref());
        set(&mut config.tls.key, self.tls_key.as_ref());
        set_option(&mut config.tls.ca, self.tls_ca.as_ref());
        set(&mut config.tls.secret, self.tls_secret.as_ref());
        if self.no_kubernetes {
            config.kubernetes.enabled = false;
        }
        set_option(&mut config.kubernetes.namespace, self.namespace.as_ref());
        set_option(&mut config.kubernetes.lease.identity, self.identity.as_ref());
        set(&mut config.kubernetes.service, self.service.as_ref());
        set(&mut config.kubernetes.webhook_configuration, self.webhook_configuration.as_ref());
        set_option(&mut config.kubernetes.url, self.url.as_ref());
        set(&mut config.healing.mode, self.heal.as_ref());
        set_option(&mut config.templates, self.templates.as_ref());
        set(&mut config.policy.sidecar.image, self.image.as_ref());
        set(&mut config.policy.native_sidecar, self.native.as_ref());
        set(&mut config.drain.delay, self.drain_delay.as_ref());
        set(&mut config.log.level, self.log_level.as_ref());
        set(&mut config.log.format, self.log_format.as_ref());
    }
}

fn set<T: Clone>(value: &mut T, over: Option<&T>) {
    if let Some(over) = over {
        *value = over.clone();
    }
}

fn set_option<T: Clone>(value: &mut Option<T>, over: Option<&T>) {
    if over.is_some() {
        *value = over.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_as_it_would_start() {
        let environment = BTreeMap::from([
            ("SIDECAR_INJECTOR_TLS_MODE", "files"),
            ("SIDECAR_INJECTOR_TLS_FOLDER", "/tls"),
            ("SIDECAR_INJECTOR_IMAGE", "mesher:1"),
            ("SIDECAR_INJECTOR_NO_KUBERNETES", "true"),
            ("PATH", "/bin"),
        ]);
        let arguments = ["--config=/etc/sidecar-injector/config.yaml", "--image=mesher:2"];
        let mut config = Config::default();
        Overrides::of_container(&arguments, &environment).unwrap().apply(&mut config);
        assert_eq!(config.tls.mode, TlsMode::Files);
        assert_eq!(config.tls.folder.as_deref(), Some(Path::new("/tls")));
        assert_eq!(config.policy.sidecar.image, "mesher:2");
        assert!(!config.kubernetes.enabled);
        assert!(Overrides::of_container(&["--of-another-version"], &environment).is_err());
    }
}
