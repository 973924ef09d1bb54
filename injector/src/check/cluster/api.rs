//! Reading from the API server: what it says, and what it does not say to this reader.

use std::time::Duration;

use certs::store::explain;
use kube::Client;
use serde_json::Value;

use super::SOURCE;
use crate::check::findings::{Draft, Findings, Remedy};
use crate::check::{Code, NotChecked, Report};
use crate::kubernetes::{get, post};

/// How long one call may take: a page of a list takes the API server a while.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why a check cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server does not know the reader.
    #[error(
        "the API server does not accept these credentials: {0}; log in again, or choose a context that may"
    )]
    Unauthorized(String),
    /// The API server does not answer. [`check`](super::check) makes it a finding.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    /// The namespace to look at is not there.
    #[error("there is no namespace {0} in this cluster: `kubectl get namespaces` lists them")]
    NoNamespace(String),
}

/// What the API server said of an object.
#[derive(Debug)]
pub(super) enum Reply<T> {
    Found(T),
    Absent,
    /// It did not tell; that stands in the report.
    Unknown,
}

impl<T> Reply<T> {
    pub(super) fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }
}

/// A question: what a reader would call it, and the right it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) what: &'a str,
    pub(super) needs: &'a str,
}

/// A check under way.
pub(super) struct Inspection<'a> {
    pub(super) client: Client,
    pub(super) findings: Findings,
    pub(super) progress: &'a mut (dyn FnMut(&str, usize) + Send),
    not_checked: Vec<NotChecked>,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(client: Client, progress: &'a mut (dyn FnMut(&str, usize) + Send)) -> Self {
        Self { client, findings: Findings::default(), progress, not_checked: Vec::new() }
    }

    pub(super) fn report(self) -> Report {
        Report { findings: self.findings.finish(), not_checked: self.not_checked }
    }

    /// A finding about an object of the installation; `namespace` is empty where it has none.
    pub(super) fn found(
        &mut self,
        code: Code,
        namespace: &str,
        object: impl Into<String>,
        problem: impl Into<String>,
        remedy: Remedy,
    ) {
        self.findings.push(Draft {
            code,
            source: SOURCE.to_owned(),
            namespace: namespace.to_owned(),
            object: object.into(),
            aspect: String::new(),
            pods: 0,
            problem: problem.into(),
            remedy,
        });
    }

    /// Something that could not be looked at, though no right is missing.
    pub(super) fn not_checked(&mut self, what: &str, reason: impl Into<String>) {
        self.note(what, reason.into(), None);
    }

    /// Something that could not be looked at for lack of a right.
    pub(super) fn denied(&mut self, about: About<'_>, reason: impl Into<String>) {
        self.note(about.what, reason.into(), Some(about.needs.to_owned()));
    }

    fn note(&mut self, what: &str, reason: String, needs: Option<String>) {
        self.not_checked.push(NotChecked { what: what.to_owned(), reason, needs });
    }

    /// Major and minor version of the API server. The first question: everybody may ask it.
    pub(super) async fn version(&mut self) -> Result<Option<(u32, u32)>, Error> {
        let client = self.client.clone();
        let about = About { what: "the API server's version", needs: "get on the URL /version" };
        let info = self.ask(about, client.apiserver_version()).await?.found();
        Ok(info.as_ref().and_then(crate::kubernetes::api_server::version_of))
    }

    /// The object at a path of the API.
    pub(super) async fn get(
        &mut self,
        about: About<'_>,
        path: &str,
    ) -> Result<Reply<Value>, Error> {
        let client = self.client.clone();
        self.ask(about, client.request(get(path))).await
    }

    /// The answer to an object posted to a path of the API.
    pub(super) async fn post(
        &mut self,
        about: About<'_>,
        path: &str,
        body: &Value,
    ) -> Result<Reply<Value>, Error> {
        let client = self.client.clone();
        self.ask(about, client.request(post(path, body))).await
    }

    /// Asks, and sorts the answer: only what nobody could go on after is an error.
    pub(super) async fn ask<T>(
        &mut self,
        about: About<'_>,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<Reply<T>, Error> {
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(value)) => Ok(Reply::Found(value)),
            Ok(Err(error)) => self.sort(about, &error),
            Err(_) => Err(Error::Unreachable(format!("no answer within {DEADLINE:?}"))),
        }
    }

    fn sort<T>(&mut self, about: About<'_>, error: &kube::Error) -> Result<Reply<T>, Error> {
        let said = explain(error);
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Err(Error::Unauthorized(said)),
                403 => {
                    self.denied(about, said);
                    Ok(Reply::Unknown)
                }
                404 => Ok(Reply::Absent),
                _ => {
                    self.not_checked(about.what, said);
                    Ok(Reply::Unknown)
                }
            },
            kube::Error::Auth(_) => Err(Error::Unauthorized(said)),
            kube::Error::SerdeError(_) => {
                self.not_checked(about.what, said);
                Ok(Reply::Unknown)
            }
            _ => Err(Error::Unreachable(said)),
        }
    }
}

/// `text` as one word of a shell's command line.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_what_was_quoted() {
        for text in ["plain", "it's", "$HOME `x` \"y\" \\"] {
            let line = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}
