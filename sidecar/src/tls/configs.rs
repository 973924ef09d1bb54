//! From what `tls.yaml` says, and what its files hold, to what rustls is told.

use std::sync::{Arc, OnceLock};

use certs::{AnyServer, Identity};
use mesh::Protocol;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

use super::credentials::Credentials;
use super::tags;
use crate::settings::{Tls, TlsVersion};

/// What can be spoken inside, the best first.
const SERVED: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// As the server. A client has to prove who it is where `verifyPeer` says so.
///
/// Sessions are resumed, but not where clients are verified: a resumed session would go on with a
/// client whose certificate has ended meanwhile. With other files comes another configuration, and
/// with it an empty store of sessions.
pub(super) fn server(terms: &Tls, held: &Credentials) -> Result<ServerConfig, rustls::Error> {
    let provider = provider(terms);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(terms))?;
    let mutual = terms.verifies_clients();
    let builder = if mutual {
        let roots = Arc::new(roots(held)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        builder.with_client_cert_verifier(verifier.map_err(general)?)
    } else {
        builder.with_no_client_auth()
    };
    let shown = shown(held).ok_or_else(|| general("there is no certificate to show"))?;
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = SERVED.map(<[u8]>::to_vec).into();
    if mutual {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// As the client of those that `tag` is about, to speak `protocol`. Sessions are resumed while the
/// files stay the same.
pub(super) fn client(
    tag: &str,
    terms: &Tls,
    held: &Credentials,
    protocol: Protocol,
) -> Result<ClientConfig, rustls::Error> {
    let provider = provider(terms);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(terms))?;
    let outside = tags::is_outside(tag) && terms.verify_peer != Some(false);
    let builder = if outside || terms.verifies_servers() {
        let roots = match &held.trust {
            None if outside => public_roots(),
            _ => Arc::new(roots(held)?),
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        builder.dangerous().with_custom_certificate_verifier(verifier.map_err(general)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(AnyServer::new(provider))
    };
    let mut config = match shown(held) {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::Rest => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// TLS 1.3 has its own suites, which are all safe; what is said restricts TLS 1.2.
fn provider(terms: &Tls) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    if !terms.cipher_suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            let name = format!("{:?}", suite.suite());
            suite.version().version == ProtocolVersion::TLSv1_3
                || terms.cipher_suites.contains(&name)
        });
    }
    Arc::new(provider)
}

fn versions(terms: &Tls) -> &'static [&'static SupportedProtocolVersion] {
    static NEWEST_FIRST: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match terms.oldest_version {
        TlsVersion::Tls12 => &NEWEST_FIRST,
        TlsVersion::Tls13 => &NEWEST_FIRST[..1],
    }
}

fn roots(held: &Credentials) -> Result<RootCertStore, rustls::Error> {
    match &held.trust {
        Some(bundle) => bundle.roots().map_err(general),
        None => Ok(RootCertStore::empty()),
    }
}

/// Mozilla's CAs, made once.
fn public_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let made = || {
        let mut store = RootCertStore::empty();
        let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
        store.add_parsable_certificates(all);
        Arc::new(store)
    };
    Arc::clone(ROOTS.get_or_init(made))
}

fn shown(held: &Credentials) -> Option<Arc<CertifiedKey>> {
    held.identity.as_ref().map(Identity::certified_key)
}

fn general(error: impl std::fmt::Display) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

#[cfg(test)]
mod tests {
    use rustls::ProtocolVersion;

    use super::{provider, public_roots};
    use crate::settings::Tls;

    #[test]
    fn all_public_cas_can_be_read() {
        assert_eq!(public_roots().len(), webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
    }

    #[test]
    fn named_suites_restrict_tls_1_2_alone() {
        let count = |terms: &Tls, version| {
            let suites = provider(terms).cipher_suites.clone();
            suites.iter().filter(|suite| suite.version().version == version).count()
        };
        let all = Tls::default();
        let named = Tls {
            cipher_suites: vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()],
            ..Tls::default()
        };
        let newest = ProtocolVersion::TLSv1_3;
        assert_eq!(count(&named, newest), count(&all, newest));
        assert_eq!(count(&named, ProtocolVersion::TLSv1_2), 1);
    }
}
