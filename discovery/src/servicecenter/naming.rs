//! Names and versions as service-center takes them.
//!
//! Its rules, as the real one states them when it refuses:
//!
//! | field | rule |
//! |---|---|
//! | `serviceName` | 1 to 128 characters: letters, digits, `_`, `-`, `.`; a letter or digit at both ends |
//! | `appId` | the same, to 160 |
//! | `version` | one to four numbers, as in `1.0.2` |
//! | `environment` | empty, `development`, `testing`, `acceptance` or `production` |
//! | `hostName` | 1 to 64 characters without white space |
//! | `dataCenterInfo` | 1 to 128 characters each: letters, digits, `_`, `-`, `.` |
//!
//! Kubernetes allows more: a label `version: v1`, a pod's name of 253 characters.

use std::collections::BTreeMap;

use mesh::Version;
use sha2::{Digest, Sha256};

/// The environments there are; empty is the one without a name.
pub const ENVIRONMENTS: [&str; 5] = ["", "development", "testing", "acceptance", "production"];

/// The version of a service that names none, or none that can be counted.
const NO_VERSION: &str = "0.0.1";

/// Who a service is, as its owner says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Given<'a> {
    /// The application.
    pub app: &'a str,
    /// The service.
    pub service: &'a str,
    /// The version.
    pub version: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The host or pod.
    pub host: &'a str,
}

/// The same, as service-center takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// `appId`
    pub app: String,
    /// `serviceName`
    pub service: String,
    /// `version`
    pub version: String,
    /// `environment`
    pub environment: &'static str,
    /// `hostName`
    pub host: String,
    /// What had to be changed, as it was given, for the properties of service and instance:
    /// `app_label`, `service_label`, `version_label`, `environment_label`, `host_label`.
    pub raw: BTreeMap<&'static str, String>,
}

/// Makes any identity acceptable to service-center. What is acceptable stays as it is; what had to
/// be changed is kept in [`Accepted::raw`].
///
/// - **Names:** a character that is not allowed becomes `-`, the ends are trimmed to letters and
///   digits, and `-` and eight hex digits of the original's SHA-256 follow: two names never become
///   one, as callers of the one would then reach the other. An empty name is `default`, of a
///   service `mesher`.
/// - **Version:** letters before the number go (`v1.2` is `1.2`), and so does what follows a `-`,
///   `+`, `_` or space (`1.2.3-rc.1` is `1.2.3`); a part is at most 65535. Anything else is `0.0.1`.
/// - **Environment:** the short words `dev`, `test` and `prod` in any case are understood; any
///   other becomes the empty one.
/// - **Host:** characters that are no visible ASCII become `-`, and its end is kept where it is too
///   long: there stands what tells one replica from another. An empty one is `unknown`.
///
/// ```
/// use discovery::servicecenter::{Given, acceptable};
/// let accepted = acceptable(Given { service: "web", version: "v1", ..Given::default() });
/// assert_eq!((accepted.service.as_str(), accepted.version.as_str()), ("web", "1"));
/// assert_eq!(accepted.raw["version_label"], "v1");
/// ```
pub fn acceptable(given: Given<'_>) -> Accepted {
    let accepted = Accepted {
        app: name(given.app, 160, "default"),
        service: name(given.service, 128, "mesher"),
        version: version(given.version),
        environment: environment(given.environment),
        host: host(given.host),
        raw: BTreeMap::new(),
    };
    let raw = [
        ("app_label", given.app, accepted.app.as_str()),
        ("service_label", given.service, accepted.service.as_str()),
        ("version_label", given.version, accepted.version.as_str()),
        ("environment_label", given.environment, accepted.environment),
        ("host_label", given.host, accepted.host.as_str()),
    ]
    .into_iter()
    .filter(|(_, given, accepted)| !given.is_empty() && given != accepted)
    .map(|(key, given, _)| (key, given.to_owned()))
    .collect();
    Accepted { raw, ..accepted }
}

/// Whether service-center takes it as the name of a data center, region or zone.
pub fn is_place(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=128).contains(&name.len()) && name.chars().all(allowed)
}

fn name(given: &str, longest: usize, absent: &str) -> String {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let fits = given.len() <= longest && given.chars().all(allowed);
    if fits && end(given.chars().next()) && end(given.chars().next_back()) {
        return given.to_owned();
    }
    if given.is_empty() {
        return absent.to_owned();
    }
    let digest = Sha256::digest(given);
    let hash = format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
    let plain: String = given.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    // What is left is ASCII, so bytes are characters.
    let plain = plain.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let plain = &plain[..plain.len().min(longest - hash.len() - 1)];
    if plain.is_empty() { format!("{absent}-{hash}") } else { format!("{plain}-{hash}") }
}

fn version(given: &str) -> String {
    let number = given.trim().trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let number = number.split(['-', '+', '_', ' ']).next().unwrap_or_default();
    let counts = number.parse::<Version>().is_ok();
    if counts { number.to_owned() } else { NO_VERSION.to_owned() }
}

fn environment(given: &str) -> &'static str {
    match given.trim().to_ascii_lowercase().as_str() {
        "development" | "dev" => "development",
        "testing" | "test" => "testing",
        "acceptance" => "acceptance",
        "production" | "prod" => "production",
        _ => "",
    }
}

fn host(given: &str) -> String {
    let plain: String = given.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect();
    let start = plain.len().saturating_sub(64);
    if plain.is_empty() { "unknown".to_owned() } else { plain[start..].to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ENVIRONMENTS, Given, acceptable};

    /// service-center's own expression, spelled out.
    fn is_name(text: &str, longest: usize) -> bool {
        let bytes = text.as_bytes();
        let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        (1..=longest).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b))
            && end(bytes.first())
            && end(bytes.last())
    }

    fn is_version(text: &str) -> bool {
        let parts: Vec<&str> = text.split('.').collect();
        let number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        parts.len() <= 4 && parts.iter().all(number)
    }

    fn is_host(text: &str) -> bool {
        (1..=64).contains(&text.chars().count()) && !text.contains(char::is_whitespace)
    }

    proptest! {
        #[test]
        fn anything_becomes_acceptable(
            app in any::<String>(),
            service in prop_oneof![any::<String>(), "[-a-zA-Z0-9_. /]{0,300}"],
            version in prop_oneof![any::<String>(), "v?[0-9]{1,6}(\\.[0-9]{1,6}){0,5}(-[a-z.]+)?"],
            environment in any::<String>(),
            host in prop_oneof![any::<String>(), "[-a-z0-9.]{0,253}"],
        ) {
            let given = Given {
                app: &app,
                service: &service,
                version: &version,
                environment: &environment,
                host: &host,
            };
            let accepted = acceptable(given);
            prop_assert!(is_name(&accepted.app, 160), "{}", accepted.app);
            prop_assert!(is_name(&accepted.service, 128), "{}", accepted.service);
            prop_assert!(is_version(&accepted.version), "{}", accepted.version);
            prop_assert!(ENVIRONMENTS.contains(&accepted.environment));
            prop_assert!(is_host(&accepted.host), "{}", accepted.host);

            for (key, given, became) in [
                ("service_label", &service, &accepted.service),
                ("version_label", &version, &accepted.version),
            ] {
                let kept = became != given && !given.is_empty();
                prop_assert_eq!(accepted.raw.get(key), kept.then_some(given));
            }

            // What is acceptable is left alone.
            let again = acceptable(Given {
                app: &accepted.app,
                service: &accepted.service,
                version: &accepted.version,
                environment: accepted.environment,
                host: &accepted.host,
            });
            prop_assert_eq!(&again.service, &accepted.service);
            prop_assert!(again.raw.is_empty(), "{:?}", again.raw);
        }

        #[test]
        fn two_names_never_become_one(a in "[-a-z_. ]{1,12}", b in "[-a-z_. ]{1,12}") {
            prop_assume!(a != b);
            let service = |name| acceptable(Given { service: name, ..Given::default() }).service;
            prop_assert_ne!(service(&a), service(&b));
        }
    }

    #[test]
    fn versions() {
        for (given, accepted) in [
            ("1", "1"),
            ("1.0.2", "1.0.2"),
            ("1.2.3.4", "1.2.3.4"),
            ("v1", "1"),
            ("release2.1", "2.1"),
            ("1.2.3-rc.1", "1.2.3"),
            ("1.2.3+build", "1.2.3"),
            ("", "0.0.1"),
            ("latest", "0.0.1"),
            ("v1beta2", "0.0.1"),
            ("9f8e7d", "0.0.1"),
            ("1.2.3.4.5", "0.0.1"),
            ("20240101", "0.0.1"),
        ] {
            let version = acceptable(Given { version: given, ..Given::default() }).version;
            assert_eq!(version, accepted, "{given:?}");
        }
    }

    #[test]
    fn names_hosts_and_environments() {
        let long = "x".repeat(200);
        let accepted = acceptable(Given {
            app: "shop",
            service: "web/front",
            version: "1",
            environment: "Prod",
            host: &format!("{long}-7d9f-abcde"),
        });
        assert_eq!(accepted.app, "shop");
        assert!(accepted.service.starts_with("web-front-"), "{}", accepted.service);
        assert_eq!(accepted.environment, "production");
        assert!(accepted.host.ends_with("x-7d9f-abcde"), "{}", accepted.host);
        let keys: Vec<_> = accepted.raw.keys().copied().collect();
        assert_eq!(keys, ["environment_label", "host_label", "service_label"]);
    }
}
