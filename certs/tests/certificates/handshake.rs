//! Real handshakes: a server over loopback, and clients that trust a bundle.

use std::net::SocketAddr;
use std::sync::Arc;

use certs::{Bundle, Certificate, Resolver, server_config};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Echoes every byte.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serve(resolver: Arc<Resolver>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(Arc::new(server_config(resolver)));
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let (mut read, mut write) = tokio::io::split(tls);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    Server { address, task }
}

fn client(bundle: &Bundle, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(bundle.roots().expect("roots"))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

pub(crate) async fn connect(
    server: &Server,
    bundle: &Bundle,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_with(server, client(bundle, rustls::ALL_VERSIONS), name).await
}

async fn connect_with(
    server: &Server,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// The certificate the server presented.
pub(crate) fn presented(stream: &TlsStream<TcpStream>) -> Certificate {
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    Certificate::from_der(chain[0].clone().into_owned(), "peer").expect("X.509")
}

pub(crate) async fn echo(stream: &mut TlsStream<TcpStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("written");
    stream.flush().await.expect("flushed");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.expect("echoed");
    assert_eq!(back, text.as_bytes());
}

mod tests {
    use std::time::SystemTime;

    use certs::{Authority, Identity, Terms};

    use super::*;
    use crate::names;

    fn issue() -> (Authority, Identity, Bundle) {
        let (terms, now) = (Terms::default(), SystemTime::now());
        let authority = Authority::generate("test CA", &terms, now).expect("a CA");
        let identity = authority.issue(&names(), &terms, now).expect("a leaf");
        let bundle = Bundle::of(authority.certificate().clone());
        (authority, identity, bundle)
    }

    /// R6: TLS 1.2 and 1.3, h2 first, by every name, by IP too; nothing older, no other name.
    #[tokio::test]
    async fn r6_clients_of_either_version_by_every_name() {
        let (_, identity, bundle) = issue();
        let resolver = Resolver::empty();
        resolver.publish(&identity);
        let server = serve(resolver).await;
        for name in names().to_vec() {
            for (version, spoken) in [
                (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
                (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
            ] {
                let mut stream = connect_with(&server, client(&bundle, &[version]), &name)
                    .await
                    .expect("a handshake");
                assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                echo(&mut stream, "hello").await;
            }
        }
        let error = connect(&server, &bundle, "other.default.svc").await.expect_err("not its name");
        assert!(error.to_string().contains("not valid for name"), "{error}");
        let (_, _, stranger) = issue();
        let error = connect(&server, &stranger, "web.default.svc").await.expect_err("another CA");
        assert!(
            error.to_string().contains("UnknownIssuer")
                || error.to_string().contains("BadSignature"),
            "{error}"
        );
    }

    /// B7: the original went on serving the certificate it had started with.
    #[tokio::test]
    async fn b7_a_new_leaf_serves_the_next_handshake_and_old_connections_live_on() {
        let (authority, old, bundle) = issue();
        let resolver = Resolver::empty();
        resolver.publish(&old);
        let server = serve(Arc::clone(&resolver)).await;
        let mut early = connect(&server, &bundle, "web.default.svc").await.expect("a handshake");
        echo(&mut early, "before").await;

        let new = authority.issue(&names(), &Terms::default(), SystemTime::now()).expect("a leaf");
        resolver.publish(&new);
        let late = connect(&server, &bundle, "web.default.svc").await.expect("a handshake");
        assert_eq!(presented(&late), *new.leaf());
        assert_eq!(presented(&early), *old.leaf());
        echo(&mut early, "after").await;
    }

    #[tokio::test]
    async fn without_an_identity_handshakes_fail_and_later_succeed() {
        let (_, identity, bundle) = issue();
        let resolver = Resolver::empty();
        let server = serve(Arc::clone(&resolver)).await;
        assert!(!resolver.is_ready());
        assert!(connect(&server, &bundle, "web.default.svc").await.is_err());
        resolver.publish(&identity);
        assert!(resolver.is_ready());
        assert!(connect(&server, &bundle, "web.default.svc").await.is_ok());
    }
}
