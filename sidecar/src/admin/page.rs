//! The live page: one document that asks nobody but the proxy it came from.
//!
//! It is written as a few files, for whoever works on it, and compiled in as one. Its policy names
//! the one style and the one script by their digests: whatever else might get into the document,
//! through the name of a service say, is neither applied nor run.

use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    include_str!("page/style.css"),
    "</style>\n</head>\n",
    include_str!("page/body.html"),
    "<script>",
    include_str!("page/elements.js"),
    include_str!("page/numbers.js"),
    include_str!("page/services.js"),
    include_str!("page/panels.js"),
    include_str!("page/main.js"),
    "</script>\n</body>\n</html>\n",
);

/// What browsers allow the document.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(inside("style")),
        digest(inside("script"))
    )
});

/// The text of the one element of this name.
fn inside(element: &str) -> &'static str {
    let behind = PAGE.split_once(&format!("<{element}>")).map(|(_, behind)| behind);
    let text = behind.and_then(|behind| behind.split_once(&format!("</{element}>")));
    text.map(|(text, _)| text).unwrap_or_default()
}

/// The page.
pub(super) fn page() -> Response {
    let kind = (CONTENT_TYPE, "text/html; charset=utf-8");
    ([kind, (CONTENT_SECURITY_POLICY, POLICY.as_str())], PAGE).into_response()
}

#[cfg(test)]
mod tests {
    use super::{PAGE, POLICY, inside};

    /// Bytes: it lies in every sidecar, and comes through a port-forward.
    const MOST: usize = 48 << 10;

    #[test]
    fn it_is_small_and_asks_nobody_else() {
        assert!(PAGE.len() <= MOST, "{} bytes", PAGE.len());
        for foreign in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        // Names are text. What would read them as HTML is not used at all.
        for way in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("] {
            assert!(!PAGE.contains(way), "{way}");
        }
    }

    #[test]
    fn its_policy_names_the_one_style_and_the_one_script() {
        for (element, ours) in
            [("style", include_str!("page/style.css")), ("script", include_str!("page/main.js"))]
        {
            assert_eq!(PAGE.matches(&format!("<{element}>")).count(), 1, "{element}");
            assert_eq!(PAGE.matches(&format!("</{element}>")).count(), 1, "{element}");
            assert!(inside(element).ends_with(ours), "{element}");
        }
        assert_eq!(POLICY.matches("'sha256-").count(), 2);
        assert!(!POLICY.contains("unsafe"), "{}", *POLICY);
    }
}
