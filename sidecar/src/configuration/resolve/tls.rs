//! `tls.yaml`: certificates by tag, `[tag.]role.key`.
//!
//! What a tag does not say, a more general one may: `rest.Consumer` for the services' own
//! `SERVICE.rest.Consumer`, and bare keys for every tag, each key by itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use certs::{Error, OpenedKeys};

use super::{NamedFiles, Reader};
use crate::configuration::kind::{self, CIPHER_SUITES};
use crate::configuration::problem::Severity;
use crate::configuration::values::Entry;
use crate::settings::{Tls, TlsVersion};
use crate::tls::{Credentials, tags};

/// The keys that name files.
const FILES: [&str; 4] = ["certFile", "keyFile", "certPwdFile", "caFile"];

/// What is said for one tag, by key.
type Said<'a> = BTreeMap<&'a str, &'a Entry>;

/// The tags, each with what holds for it. A tag that says nothing of its own but what is built in
/// is none.
pub(super) fn tags(reader: &mut Reader<'_>, own_name: &str) -> BTreeMap<String, Tls> {
    let mut all: BTreeMap<&str, Said<'_>> = BTreeMap::new();
    let values = reader.values;
    for (rest, entry) in values.below("ssl") {
        let (tag, key) = rest.rsplit_once('.').unwrap_or(("", rest));
        all.entry(tag).or_default().insert(key, entry);
    }
    let mut tags = BTreeMap::new();
    let mut opened = OpenedKeys::new();
    for (tag, own) in &all {
        let said = inherited(tag, &all);
        let tls = read(&said);
        complain(reader, own);
        // "No" is what is built in; but that any server is believed is something to say.
        let mut alone = read(own);
        alone.verify_peer = alone.verify_peer.filter(|yes| *yes || tags::is_consumer(tag));
        // A password is of a key.
        alone.password = None;
        if alone == Tls::default() {
            continue;
        }
        consistent(reader, tag, &tls, own);
        // Another service's listener: the file is shared, its certificates are not.
        if !tags::is_of_another(tag, own_name) {
            let read = present(reader, own);
            // Who starts reads them anyway, and follows them by itself.
            if read && reader.named_files == NamedFiles::MayBeElsewhere {
                usable(reader, &tls, own, &mut opened);
            }
        }
        tags.insert((*tag).to_owned(), tls);
    }
    tags
}

/// What `tag` says, and where it does not, what holds for more than it.
fn inherited<'a>(tag: &str, all: &BTreeMap<&str, Said<'a>>) -> Said<'a> {
    let mut said = Said::new();
    for general in tags::more_general(tag).into_iter().chain([tag]) {
        said.extend(all.get(general).into_iter().flatten());
    }
    said
}

fn read(said: &Said<'_>) -> Tls {
    let text = |key: &str| said.get(key).and_then(|entry| entry.text());
    let path = |key: &str| text(key).map(PathBuf::from);
    let newest = text("protocol").is_some_and(|text| text.eq_ignore_ascii_case("TLSv1.3"));
    let suites = text("cipherSuits").into_iter().flat_map(kind::words);
    Tls {
        certificate: path("certFile"),
        key: path("keyFile"),
        password: path("certPwdFile"),
        ca: path("caFile"),
        verify_peer: text("verifyPeer").and_then(kind::flag),
        server_name: text("serverName").map(str::to_owned),
        oldest_version: if newest { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
        cipher_suites: suites.filter(|word| CIPHER_SUITES.contains(word)).map(Into::into).collect(),
    }
}

/// Values that mean nothing, or not what they say.
fn complain(reader: &mut Reader<'_>, said: &Said<'_>) {
    let old = |text: &str| ["tlsv1.0", "tlsv1.1"].contains(&text.to_ascii_lowercase().as_str());
    if let Some(entry) = said.get("protocol")
        && entry.text().is_some_and(old)
    {
        reader.warning(entry, "is not spoken any more: TLSv1.2 is the oldest version");
    }
    if let Some(entry) = said.get("cipherSuits") {
        for word in entry.text().into_iter().flat_map(kind::words) {
            if !CIPHER_SUITES.contains(&word) {
                let allowed = kind::Kind::CipherSuites.allowed();
                let message =
                    format!("unknown cipher suite \"{}\": write {allowed}", kind::short(word));
                reader.error(entry, message);
            }
        }
    }
}

/// What does not go together.
fn consistent(reader: &mut Reader<'_>, tag: &str, tls: &Tls, said: &Said<'_>) {
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
    // Public CAs vouch for hosts outside.
    let outside = tags::is_outside(tag);
    if tls.verify_peer == Some(true) && tls.ca.is_none() && !outside {
        lacks("verifyPeer", "caFile, whom to trust");
    }
    if tags::is_provider(tag) && tls.certificate.is_none() {
        lacks("caFile", "certFile and keyFile: a listener has to show a certificate");
    }
    let believes = if outside { tls.verify_peer == Some(false) } else { !tls.verifies_servers() };
    if tags::is_consumer(tag)
        && believes
        && let Some(entry) = said.get("verifyPeer").or_else(|| said.get("certFile"))
    {
        reader.warning(
            entry,
            "whoever answers is believed to be the server: give caFile, and no verifyPeer: false",
        );
    }
}

/// Says what is wrong with what the files hold.
fn usable(reader: &mut Reader<'_>, tls: &Tls, said: &Said<'_>, opened: &mut OpenedKeys) {
    let first = |keys: &[&str]| keys.iter().find_map(|key| said.get(key).copied());
    let Some(entry) = first(&FILES) else { return };
    match Credentials::load(tls, opened) {
        Ok(held) if held.leaf().is_some_and(|leaf| leaf.not_after() < SystemTime::now()) => {
            reader.warning(entry, "the certificate has expired: peers will refuse it");
        }
        Ok(_) => {}
        Err(error) => {
            let nearest = match &error {
                Error::Password { .. } | Error::WrongPassword { .. } => {
                    first(&["certPwdFile", "keyFile"])
                }
                Error::NoPassword { .. } | Error::KeyCipher { .. } | Error::KeyCost { .. } => {
                    first(&["keyFile"])
                }
                _ => None,
            };
            reader.warning(nearest.unwrap_or(entry), error.to_string());
        }
    }
}

/// Names files that cannot be read; `false`: there is one.
fn present(reader: &mut Reader<'_>, said: &Said<'_>) -> bool {
    let mut all = true;
    let severity = match reader.named_files {
        NamedFiles::MustExist => Severity::Error,
        NamedFiles::MayBeElsewhere => Severity::Warning,
    };
    for key in FILES {
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
        all = false;
    }
    all
}
