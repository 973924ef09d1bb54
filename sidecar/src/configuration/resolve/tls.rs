//! `tls.yaml`: certificates by tag, `[tag.]role.key`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::{NamedFiles, Reader};
use crate::configuration::kind::{self, CIPHER_SUITES};
use crate::configuration::problem::Severity;
use crate::configuration::values::Entry;
use crate::settings::{Tls, TlsVersion};

/// The tags, each with what is said for it; `""` is the fallback that bare keys make. A tag whose
/// values are all empty is none.
pub(super) fn tags(reader: &mut Reader<'_>, own_name: &str) -> BTreeMap<String, Tls> {
    let mut said: BTreeMap<String, BTreeMap<&str, &Entry>> = BTreeMap::new();
    let values = reader.values;
    for (rest, entry) in values.below("ssl") {
        let (tag, key) = rest.rsplit_once('.').unwrap_or(("", rest));
        said.entry(tag.to_owned()).or_default().insert(key, entry);
    }
    let mut tags = BTreeMap::new();
    for (tag, said) in said {
        let files = ["certFile", "keyFile", "caFile"].iter().any(|key| said.contains_key(key));
        let tls = read(reader, &said);
        if !files && tls == Tls::default() {
            continue;
        }
        consistent(reader, &tag, &tls, &said);
        // Another service's listener: the file is shared, its certificates are not.
        let elsewhere = tag.strip_suffix(".rest.Provider").is_some_and(|name| name != own_name);
        if !elsewhere {
            present(reader, &said);
        }
        tags.insert(tag, tls);
    }
    tags
}

fn read(reader: &mut Reader<'_>, said: &BTreeMap<&str, &Entry>) -> Tls {
    let text = |key: &str| said.get(key).and_then(|entry| entry.text());
    let path = |key: &str| text(key).map(PathBuf::from);
    let mut oldest_version = TlsVersion::Tls12;
    if let Some(entry) = said.get("protocol") {
        match entry.text().map(str::to_ascii_lowercase).as_deref() {
            Some("tlsv1.3") => oldest_version = TlsVersion::Tls13,
            Some("tlsv1.0" | "tlsv1.1") => {
                reader.warning(entry, "is not spoken any more: TLSv1.2 is the oldest version");
            }
            _ => {}
        }
    }
    let mut cipher_suites = Vec::new();
    if let Some(entry) = said.get("cipherSuits") {
        for word in entry.text().into_iter().flat_map(kind::words) {
            if CIPHER_SUITES.contains(&word) {
                cipher_suites.push(word.to_owned());
            } else {
                let allowed = kind::Kind::CipherSuites.allowed();
                let message =
                    format!("unknown cipher suite \"{}\": write {allowed}", kind::short(word));
                reader.error(entry, message);
            }
        }
    }
    Tls {
        certificate: path("certFile"),
        key: path("keyFile"),
        key_password: path("certPwdFile"),
        ca: path("caFile"),
        verify_peer: text("verifyPeer").and_then(kind::flag).unwrap_or(false),
        server_name: text("serverName").map(str::to_owned),
        oldest_version,
        cipher_suites,
    }
}

/// What does not go together.
fn consistent(reader: &mut Reader<'_>, tag: &str, tls: &Tls, said: &BTreeMap<&str, &Entry>) {
    let mut lacks = |key: &str, other: &str| {
        if let Some(entry) = said.get(key) {
            reader.error(entry, format!("needs {other} beside it"));
        }
    };
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => lacks("certFile", "keyFile"),
        (None, Some(_)) => lacks("keyFile", "certFile"),
        _ => {}
    }
    if tls.verify_peer && tls.ca.is_none() {
        lacks("verifyPeer", "caFile, whom to trust");
    }
    let provider = tag == "Provider" || tag.ends_with(".Provider");
    if provider && tls.certificate.is_none() {
        lacks("caFile", "certFile and keyFile: a listener has to show a certificate");
    }
}

/// Names files that cannot be read.
fn present(reader: &mut Reader<'_>, said: &BTreeMap<&str, &Entry>) {
    let severity = match reader.named_files {
        NamedFiles::MustExist => Severity::Error,
        NamedFiles::MayBeElsewhere => Severity::Warning,
    };
    for key in ["certFile", "keyFile", "certPwdFile", "caFile"] {
        let Some(entry) = said.get(key) else { continue };
        let path = entry.text().unwrap_or_default();
        let opened = File::open(Path::new(path)).and_then(|file| file.metadata());
        let problem = match opened {
            Ok(metadata) if metadata.is_file() => continue,
            Ok(_) => "is no file".to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("{path}: {problem}: check that it exists and may be read");
        reader.say(severity, entry, message);
    }
}
