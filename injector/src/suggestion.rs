//! "Did you mean …?"

use strsim::osa_distance as distance;

/// The candidate that `word` most likely was meant to be: equal but for case, `-` and `_`, or at
/// most two letters (one, in a short word) apart: added, taken out, exchanged or swapped.
///
/// ```
/// use injector::closest;
/// assert_eq!(closest("ignored_namespaces", ["ignoredNamespaces"]), Some("ignoredNamespaces"));
/// assert_eq!(closest("lisen", ["listen", "limits"]), Some("listen"));
/// assert_eq!(closest("colour", ["listen", "limits"]), None);
/// ```
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let word = plain(word);
    let most = if word.chars().count() < 5 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
