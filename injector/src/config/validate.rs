//! Rules that hold between values, and the way to the core's [`Policy`].

use std::time::Duration;

use super::{Config, ConfigError, NativeSidecar, TlsMode};
use crate::policy::{Hashes, Policy, Unannotated};
use crate::template::Templates;

/// Clocks overflow somewhere; nothing here is meant to take longer.
const LONGEST: Duration = Duration::from_hours(24);

impl Config {
    /// Checks what the types alone cannot.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: &str| {
            Err(ConfigError::Value { key: key.into(), problem: problem.into() })
        };
        let tls = &self.tls;
        match tls.mode {
            TlsMode::Files if tls.folder.is_none() => {
                wrong("tls.folder", "mode files needs it: name the folder of certificate and key")?;
            }
            TlsMode::SelfIssued if !self.kubernetes.enabled && tls.folder.is_none() => wrong(
                "tls.folder",
                "mode self without Kubernetes needs a folder to keep its authority in \
                 (or use mode files)",
            )?,
            _ => {}
        }
        match tls.terms().check() {
            Err(certs::Error::Terms { what, problem }) => wrong(&format!("tls.{what}"), &problem)?,
            Err(other) => wrong("tls", &other.to_string())?,
            Ok(()) => {}
        }
        if self.kubernetes.enabled && self.kubernetes.webhooks.is_empty() {
            wrong(
                "kubernetes.webhooks",
                "name at least one entry, or set kubernetes.enabled: false",
            )?;
        }
        if let Some(url) = &self.kubernetes.url
            && url_host(url).is_none()
        {
            wrong("kubernetes.url", "write https://HOST[:PORT]/mutate")?;
        }
        if let Err((key, problem)) = self.kubernetes.lease.check() {
            wrong(&format!("kubernetes.lease.{key}"), problem)?;
        }
        if let Err((key, problem)) = self.healing.check(self.kubernetes.enabled) {
            wrong(&format!("healing.{key}"), problem)?;
        }
        let limits = &self.limits;
        for (key, count) in [
            ("limits.connections", limits.connections),
            ("limits.inFlight", limits.in_flight),
            ("limits.streams", limits.streams as usize),
            ("limits.body", limits.body.bytes()),
        ] {
            if count == 0 {
                wrong(key, "has to be more than 0")?;
            }
        }
        if limits.memory < limits.body {
            wrong("limits.memory", "has to be at least limits.body")?;
        }
        if u32::try_from(limits.memory.bytes()).is_err() {
            wrong("limits.memory", "has to be below 4Gi")?;
        }
        for (key, duration) in [
            ("limits.handshakeTimeout", limits.handshake_timeout),
            ("limits.headerTimeout", limits.header_timeout),
            ("limits.bodyTimeout", limits.body_timeout),
            ("limits.requestTimeout", limits.request_timeout),
            ("limits.idleTimeout", limits.idle_timeout),
        ] {
            if duration < Duration::from_millis(10) || duration > LONGEST {
                wrong(key, "has to be from 10ms to 1day")?;
            }
        }
        for (key, duration) in
            [("drain.delay", self.drain.delay), ("drain.deadline", self.drain.deadline)]
        {
            if duration > LONGEST {
                wrong(key, "has to be at most 1day")?;
            }
        }
        Ok(())
    }

    /// What the core decides by. `templates` come from [`load_templates`](super::load_templates),
    /// `native` is what the API server's version allows, `own_namespace` where the injector runs.
    pub fn policy(
        &self,
        templates: Templates,
        native: bool,
        own_namespace: Option<&str>,
    ) -> Result<Policy, ConfigError> {
        let section = &self.policy;
        section.sidecar.validate().map_err(|e| ConfigError::Value {
            key: format!("policy.sidecar.{}", e.key),
            problem: e.problem,
        })?;
        if !templates.contains_key(&section.default_template) {
            let known: Vec<_> = templates.keys().map(String::as_str).collect();
            return Err(ConfigError::Value {
                key: "policy.defaultTemplate".into(),
                problem: format!(
                    "there is no template {:?}, only {}",
                    section.default_template,
                    known.join(", "),
                ),
            });
        }
        Ok(Policy {
            version: env!("CARGO_PKG_VERSION").into(),
            templates,
            default_template: section.default_template.clone(),
            native_by_default: match section.native_sidecar {
                NativeSidecar::Auto => native,
                NativeSidecar::True => true,
                NativeSidecar::False => false,
            },
            ignored_namespaces: section
                .ignored_namespaces
                .iter()
                .map(String::as_str)
                .chain(own_namespace)
                .map(String::from)
                .collect(),
            invalid_annotation: section.invalid_annotation,
            on_error: section.on_error,
            unannotated: Unannotated::Skip,
            renew: false,
            sidecar: section.sidecar.clone(),
            hashes: Hashes::default(),
        })
    }
}

/// The host of an `https` URL, without brackets; `None` for anything else.
///
/// ```
/// use injector::config::url_host;
/// assert_eq!(url_host("https://127.0.0.1:9443/mutate"), Some("127.0.0.1"));
/// assert_eq!(url_host("https://[::1]:9443/mutate"), Some("::1"));
/// assert_eq!(url_host("http://example"), None);
/// ```
pub fn url_host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    (!host.is_empty() && !host.contains('@')).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_templates;
    use std::path::Path;

    fn checked(text: &str) -> Result<Config, String> {
        let config = Config::parse(Path::new("f"), text).map_err(|e| e.to_string())?;
        config.validate().map(|()| config).map_err(|e| e.to_string())
    }

    #[test]
    fn each_rule_names_its_key() {
        let cases = [
            ("tls: {mode: files}", "tls.folder: "),
            ("kubernetes: {enabled: false}", "tls.folder: "),
            ("kubernetes: {webhooks: []}", "kubernetes.webhooks: "),
            ("kubernetes: {url: 'http://x'}", "kubernetes.url: "),
            ("kubernetes: {lease: {duration: 1500ms}}", "kubernetes.lease.duration: "),
            ("kubernetes: {lease: {duration: 10s}}", "kubernetes.lease.renew: "),
            ("kubernetes: {lease: {retry: 10s}}", "kubernetes.lease.retry: "),
            ("kubernetes: {lease: {identity: ''}}", "kubernetes.lease.identity: "),
            (
                "healing: {mode: report}\nkubernetes: {enabled: false}\n\
                 tls: {mode: files, folder: f}",
                "healing.mode: ",
            ),
            ("healing: {settle: 2days}", "healing.settle: "),
            ("healing: {interval: 10ms}", "healing.interval: "),
            ("healing: {backoff: 2h}", "healing.backoff: "),
            ("tls: {leaf: {lifetime: 1h, renewAfter: 1h}}", "tls.leaf: "),
            ("tls: {leaf: {lifetime: 1000years, renewAfter: 1h}}", "tls.leaf: "),
            ("tls: {authority: {lifetime: 2days, renewAfter: 30h}}", "tls.authority: "),
            ("tls: {settle: 9h}", "tls.settle: "),
            ("limits: {connections: 0}", "limits.connections: "),
            ("limits: {memory: 1Mi}", "limits.memory: "),
            ("limits: {idleTimeout: 1ms}", "limits.idleTimeout: "),
            ("limits: {idleTimeout: 1000years}", "limits.idleTimeout: "),
            ("drain: {delay: 2days}", "drain.delay: "),
        ];
        for (text, key) in cases {
            let error = checked(text).unwrap_err();
            assert!(error.starts_with(key), "{text}: {error}");
        }
        checked("").unwrap();
        checked("healing: {mode: off, settle: 0s}").unwrap();
        let seconds = "tls: {authority: {lifetime: 30s, renewAfter: 20s}, \
                       leaf: {lifetime: 8s, renewAfter: 3s}, settle: 2s}";
        let terms = checked(seconds).unwrap().tls.terms();
        assert_eq!(Config::default().tls.terms(), certs::Terms::default());
        assert_eq!(terms.leaf.renew_after, Duration::from_secs(3));
        checked("tls: {mode: files, folder: f}\nkubernetes: {enabled: false}").unwrap();
    }

    #[test]
    fn the_own_namespace_is_ignored_too() {
        let config = checked("policy: {ignoredNamespaces: [a]}").unwrap();
        let policy = config.policy(load_templates(None).unwrap(), false, Some("mesh")).unwrap();
        assert_eq!(policy.ignored_namespaces.iter().collect::<Vec<_>>(), ["a", "mesh"]);
        assert!(!policy.native_by_default);
    }

    #[test]
    fn an_unknown_default_template_is_refused() {
        let config = checked("policy: {defaultTemplate: envoy}").unwrap();
        let error = config.policy(load_templates(None).unwrap(), true, None).unwrap_err();
        assert!(error.to_string().contains("only mesher"), "{error}");
    }

    #[test]
    fn the_built_in_section_is_the_built_in_policy() {
        let policy = Config::default().policy(load_templates(None).unwrap(), true, None).unwrap();
        let builtin = Policy::builtin();
        assert_eq!(policy.ignored_namespaces, builtin.ignored_namespaces);
        assert_eq!(policy.default_template, builtin.default_template);
        assert_eq!(policy.sidecar, builtin.sidecar);
    }
}
