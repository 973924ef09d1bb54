//! A registry that is spoken to with TLS: by calls, and by the watch.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use discovery::servicecenter::{Options, Tls};
use discovery::{Answer, Source, State};
use mesh::Status;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::registry::{LONG, Registry, key, registered, sees, start, state};

/// A CA.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A chain and its key.
type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    fn issue(&self, name: &str) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new([name.to_owned()])?.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok((vec![certificate.der().clone()], key))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        Ok(roots)
    }

    /// A server's configuration; `mutual`: for clients of this CA.
    fn server(&self, name: &str, mutual: bool) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let roots = Arc::new(self.roots()?);
        let builder = if mutual {
            let clients = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
            builder.with_client_cert_verifier(clients)
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = self.issue(name)?;
        Ok(Arc::new(builder.with_single_cert(chain, key)?))
    }

    /// A client's configuration; `shown`: its own certificate.
    fn client(&self, shown: Option<Pair>) -> Result<Arc<ClientConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        Ok(Arc::new(match shown {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        }))
    }
}

/// What stands before the registry and speaks TLS.
struct Front {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    open: Arc<Mutex<JoinSet<()>>>,
}

impl Front {
    async fn start(registry: &Registry, config: Arc<ServerConfig>) -> Result<Self> {
        let behind = registry.address().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let config = Arc::new(Mutex::new(config));
        let open = Arc::new(Mutex::new(JoinSet::new()));
        let (current, connections) = (Arc::clone(&config), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&current.lock().expect("a lock")));
                let behind = behind.clone();
                connections.lock().expect("a lock").spawn(async move {
                    let Ok(mut session) = acceptor.accept(tcp).await else { return };
                    let Ok(mut plain) = TcpStream::connect(behind).await else { return };
                    let _ = copy_bidirectional(&mut session, &mut plain).await;
                });
            }
        });
        Ok(Self { address, config, open })
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Shows something else from now on, and ends what is open.
    fn replace(&self, config: Arc<ServerConfig>) {
        *self.config.lock().expect("a lock") = config;
        self.open.lock().expect("a lock").abort_all();
    }
}

/// Options for these addresses, and how to change what TLS is made with.
fn options(
    registry: &Registry,
    name: &str,
    addresses: &[&Front],
    config: Arc<ClientConfig>,
) -> (Options, watch::Sender<Arc<ClientConfig>>) {
    let (sender, config) = watch::channel(config);
    let mut options = registry.options(name, None);
    options.addresses = addresses.iter().map(|front| front.url()).collect();
    options.tls = Some(Tls { config, server_name: None });
    (options, sender)
}

/// Waits for a failure, and returns what is said of it.
async fn failure(client: &discovery::servicecenter::ServiceCenter) -> Result<String> {
    client.demand(&key("orders"));
    state(client, |state| matches!(state, State::Stale { .. })).await?;
    match &*client.state().borrow() {
        State::Stale { error, .. } => Ok(error.clone()),
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_and_the_watch_go_through_tls() -> Result<()> {
    let (registry, authority) = (Registry::start()?, Authority::new()?);
    let first = registry.provider("orders", 8080).await?;
    for (mutual, shown) in [(false, None), (true, Some(authority.issue("frontend")?))] {
        let front = Front::start(&registry, authority.server("127.0.0.1", mutual)?).await?;
        let (options, _sender) =
            options(&registry, "frontend", &[&front], authority.client(shown)?);
        let client = start(options)?;
        registered(&client, None).await?;
        assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
        sees(&client, "orders", &["8080 Up"]).await?;
        // It polls once an hour: only the watch can tell of this.
        first.set_status(Status::Down);
        sees(&client, "orders", &["8080 Down"]).await?;
        first.set_status(Status::Up);
        sees(&client, "orders", &["8080 Up"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_is_not_believed_is_not_spoken_to() -> Result<()> {
    let registry = Registry::start()?;
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let _provider = registry.provider("orders", 8080).await?;
    let stranger = Front::start(&registry, other.server("127.0.0.1", false)?).await?;
    let elsewhere = Front::start(&registry, authority.server("registry.example", false)?).await?;
    let mutual = Front::start(&registry, authority.server("127.0.0.1", true)?).await?;
    for (front, words) in
        [(&stranger, "invalid peer certificate"), (&elsewhere, "not valid for name"), (&mutual, "")]
    {
        let (options, _sender) = options(&registry, "frontend", &[front], authority.client(None)?);
        let client = start(options)?;
        let error = failure(&client).await?;
        assert!(error.contains(words), "{words}: {error}");
        assert!(error.contains(&front.address.to_string()), "{error}");
        assert_eq!(client.standing().borrow().service_id, None);
    }

    // The name that was asked for, not the address's.
    let (mut named, _sender) = options(&registry, "named", &[&elsewhere], authority.client(None)?);
    let tls = named.tls.as_mut().context("it is there")?;
    tls.server_name = Some("registry.example".to_owned());
    let named = start(named)?;
    registered(&named, None).await?;
    assert_eq!(named.demand(&key("orders")).within(LONG).await, Answer::Known);

    // Of several addresses, the one that proves itself.
    let right = Front::start(&registry, authority.server("127.0.0.1", false)?).await?;
    let fronts = [&stranger, &elsewhere, &right];
    let (several, _sender) = options(&registry, "several", &fronts, authority.client(None)?);
    let several = start(several)?;
    registered(&several, None).await?;
    assert_eq!(several.demand(&key("orders")).within(LONG).await, Answer::Known);
    Ok(())
}

#[tokio::test]
async fn other_certificates_are_taken_up_on_both_sides() -> Result<()> {
    let registry = Registry::start()?;
    let (old, new) = (Authority::new()?, Authority::new()?);
    let provider = registry.provider("orders", 8080).await?;
    let front = Front::start(&registry, old.server("127.0.0.1", true)?).await?;
    let shown = old.client(Some(old.issue("frontend")?))?;
    let (mut options, sender) = options(&registry, "frontend", &[&front], shown);
    options.refresh_interval = std::time::Duration::from_millis(200);
    let client = start(options)?;
    registered(&client, None).await?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);

    front.replace(new.server("127.0.0.1", true)?);
    state(&client, |state| matches!(state, State::Stale { .. })).await?;
    sees(&client, "orders", &["8080 Up"]).await?;
    sender.send(new.client(Some(new.issue("frontend")?))?)?;
    state(&client, |state| *state == State::Connected).await?;
    provider.set_status(Status::Down);
    sees(&client, "orders", &["8080 Down"]).await
}
