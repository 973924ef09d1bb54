//! Warnings as `kubectl` prints them.

/// The longest warning in characters: what the Kubernetes API reference asks webhooks to keep to.
pub const LONGEST_WARNING: usize = 120;

/// Makes `text` fit for `response.warnings`: one line, no control characters, at most
/// [`LONGEST_WARNING`] characters, without the `Warning:` that the client prints itself.
///
/// ```
/// assert_eq!(injector::warning("Warning: a\nb"), "a b");
/// ```
pub fn warning(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("Warning:").unwrap_or(text).trim_start();
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= LONGEST_WARNING {
        plain.collect()
    } else {
        plain.take(LONGEST_WARNING - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_becomes_one_short_line(text in any::<String>()) {
            let line = warning(&text);
            prop_assert!(line.chars().count() <= LONGEST_WARNING);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }

    #[test]
    fn a_short_text_stays_as_it_is() {
        assert_eq!(warning("no sidecar: host_network"), "no sidecar: host_network");
    }

    #[test]
    fn a_long_text_ends_in_an_ellipsis() {
        let line = warning(&"é".repeat(300));
        assert_eq!(line.chars().count(), LONGEST_WARNING);
        assert!(line.ends_with('…'));
    }
}
