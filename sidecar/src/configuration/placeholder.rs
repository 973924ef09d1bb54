//! `${NAME||default}` in files.

/// Puts variables in: `${NAME}` is the variable or nothing, `${NAME||default}` the default where
/// it is unset or empty. Anything else stays as it is.
pub(super) fn fill<'a>(text: &str, variable: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            filled.push_str("${");
            rest = after;
            continue;
        };
        let (name, default) = inside.split_once("||").unwrap_or((inside, ""));
        let value = variable(name.trim()).filter(|value| !value.is_empty());
        filled.push_str(value.unwrap_or(default));
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn variables_and_their_defaults() {
        let variable = |name: &str| match name {
            "HOST" => Some("registry"),
            "EMPTY" => Some(""),
            _ => None,
        };
        for (text, filled) in [
            ("plain", "plain"),
            ("${HOST}", "registry"),
            ("http://${HOST||localhost}:${PORT||30100}/", "http://registry:30100/"),
            ("${EMPTY||x}", "x"),
            ("${NONE}", ""),
            ("${HOST", "${HOST"),
            ("a ${ b ${HOST}", "a "),
            ("$HOST $INTERNAL_IP", "$HOST $INTERNAL_IP"),
        ] {
            assert_eq!(fill(text, variable), filled, "{text}");
        }
    }
}
