//! What the Kubernetes API said, for people.

use std::error::Error as _;

use kube::Error;

/// One line: the API server's own message, or why it was not reached, down to the first cause.
pub fn explain(error: &Error) -> String {
    if let Error::Api(status) = error {
        return if status.message.is_empty() {
            format!("{} {}", status.code, status.reason)
        } else {
            status.message.clone()
        };
    }
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Wrappers often repeat what they wrap.
        if !line.contains(&said) {
            line = format!("{line}: {said}");
        }
        cause = error.source();
    }
    line
}

/// What a user can do about it; may be empty.
pub(crate) fn remedy(error: &Error) -> &'static str {
    match error {
        Error::Api(status) => match status.code {
            401 => "; check the token or client certificate",
            403 => {
                "; give the service account get, list, watch and patch on this Secret, and create \
                 on secrets"
            }
            404 => "; create the namespace",
            422 => "; if the Secret is immutable, delete it: it is made anew",
            _ => "",
        },
        _ => "; check that the API server can be reached from here",
    }
}
