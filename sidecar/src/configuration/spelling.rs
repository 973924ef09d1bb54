//! One spelling for every key: both generations of go-chassis, and what was misspelt for years.

/// Keys of files that name no generation, and where they went in the second.
const ROOTS: &[(&str, &str)] = &[
    ("APPLICATION_ID", "servicecomb.service.app"),
    ("service_description", "servicecomb.service"),
    ("routeRule", "servicecomb.routeRule"),
    ("sourceTemplate", "servicecomb.sourceTemplate"),
    ("router", "servicecomb.router"),
    ("tracing", "servicecomb.tracing"),
    ("region", "servicecomb.region"),
    // lager.yaml
    ("writers", "logWriters"),
    ("logger_level", "logLevel"),
    ("logger_file", "logFile"),
    ("log_format_text", "logFormatText"),
    ("log_rotate_date", "logRotateAge"),
    ("log_rotate_size", "logRotateSize"),
    ("log_backup_count", "logBackupCount"),
];

/// The one spelling of `written`: that of the second generation (`servicecomb.*`).
///
/// `cse.` is `servicecomb.`, `service.registry` (in any case) is `registry`, and the shipped
/// `refeshInterval` is `refreshInterval`.
pub(super) fn canonical(written: &str) -> String {
    let (root, rest) = match written.split_once('.') {
        Some((root, rest)) => (root, Some(rest)),
        None => (written, None),
    };
    let root = if root == "cse" { "servicecomb" } else { root };
    let root = ROOTS.iter().find(|(old, _)| *old == root).map_or(root, |(_, new)| new);
    let mut key = rest.map_or_else(|| root.to_owned(), |rest| format!("{root}.{rest}"));

    if let Some(rest) = strip(&key, "servicecomb.service.registry") {
        key = format!("servicecomb.registry{rest}");
    } else if let Some(rest) = strip(&key, "servicecomb.registry") {
        key = format!("servicecomb.registry{rest}");
    }
    if let Some(rest) = key.strip_suffix(".refeshInterval") {
        key = format!("{rest}.refreshInterval");
    }
    if let Some(rest) = key.strip_prefix("servicecomb.service.instance_properties") {
        key = format!("servicecomb.service.instanceProperties{rest}");
    }
    key
}

/// What follows `prefix` in any case, if a whole segment ends there.
fn strip<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = key.get(prefix.len()..)?;
    let same = key[..prefix.len()].eq_ignore_ascii_case(prefix);
    (same && (rest.is_empty() || rest.starts_with('.'))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::canonical;

    #[test]
    fn both_generations_are_one() {
        for (written, key) in [
            ("cse.service.registry.address", "servicecomb.registry.address"),
            ("cse.service.Registry.address", "servicecomb.registry.address"),
            ("servicecomb.registry.address", "servicecomb.registry.address"),
            ("servicecomb.Registry.watch", "servicecomb.registry.watch"),
            ("cse.service.registry.refeshInterval", "servicecomb.registry.refreshInterval"),
            ("cse.protocols.http.listenAddress", "servicecomb.protocols.http.listenAddress"),
            ("APPLICATION_ID", "servicecomb.service.app"),
            ("service_description.name", "servicecomb.service.name"),
            (
                "service_description.instance_properties.a.b",
                "servicecomb.service.instanceProperties.a.b",
            ),
            ("servicecomb.service.registryOfShips", "servicecomb.service.registryOfShips"),
            ("routeRule", "servicecomb.routeRule"),
            ("logger_level", "logLevel"),
            ("ssl.mesher.Provider.certFile", "ssl.mesher.Provider.certFile"),
        ] {
            assert_eq!(canonical(written), key, "{written}");
        }
    }

    proptest! {
        #[test]
        fn the_one_spelling_stays(written in "(cse|servicecomb|APPLICATION_ID|x)(\\.(service|Registry|registry|refeshInterval|é)){0,4}") {
            let once = canonical(&written);
            // A nested `service.registry` may lose one level at each call; it is not a real key.
            prop_assume!(!written.to_lowercase().contains("registry.service"));
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
