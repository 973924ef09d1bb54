//! Files that change while it runs.

use std::sync::Arc;
use std::time::Duration;

use discovery::Fixed;
use tokio::time::{sleep, timeout};

use super::authority::{Authority, Dialer, Mount};
use super::{VERSIONS, metric, metric_becomes, provider, secured_service};
use crate::app::App;
use crate::world::{Client, PATIENCE, settings, start};

const FAULTY: &str = "mesher_tls_files_faulty{tag=\"ServiceB.rest.Provider\"}";
const EXPIRY: &str =
    "mesher_tls_certificate_expiry_timestamp_seconds{tag=\"ServiceB.rest.Provider\"}";
const RELOADS: &str = "mesher_tls_reloads_total{result=\"ok\"}";

/// Waits until a new session shows this certificate.
async fn shows(dialer: &Dialer, address: std::net::SocketAddr, wanted: &[u8]) {
    let shown = async {
        loop {
            let client = dialer.dial(address, "ServiceB").await.expect("a session");
            let (_, session) = client.stream().get_ref();
            if session.peer_certificates().expect("it shows one")[0].as_ref() == wanted {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, shown).await.expect("the new certificate is taken up");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_no_connection_is_dropped() {
    let authority = Authority::new();
    let leaf = authority.issue(&["ServiceB"]);
    let mut mount = Mount::new(&authority, &leaf);
    let app = App::saying("b").await;
    let proxy = provider(app.address.port(), mount.shown());
    let provider = proxy.addresses().provider[0];
    let dialer = Dialer::new(&authority, &VERSIONS);
    shows(&dialer, provider, &leaf.chain()[0]).await;
    let mut kept = dialer.dial(provider, "ServiceB").await.expect("a session");
    assert_eq!(kept.get("/").await.body, "b");
    assert!(metric(&proxy, EXPIRY).await.expect("it ends") > 1e9, "seconds since 1970");

    // What can't be used changes nothing, and is to be seen.
    let renewed = authority.issue(&["ServiceB"]);
    let cut = &renewed.certificate[..renewed.certificate.len() / 2];
    for (certificate, key) in [(renewed.certificate.as_str(), &leaf.key), (cut, &renewed.key)] {
        mount.write(&authority.pem, certificate, key);
        metric_becomes(&proxy, FAULTY, 1.0).await;
        shows(&dialer, provider, &leaf.chain()[0]).await;
        mount.write(&authority.pem, &leaf.certificate, &leaf.key);
        metric_becomes(&proxy, FAULTY, 0.0).await;
    }
    assert_eq!(metric(&proxy, "mesher_tls_reloads_total{result=\"failed\"}").await, Some(2.0));
    assert_eq!(metric(&proxy, RELOADS).await, Some(0.0), "nothing else was in force meanwhile");

    mount.write(&authority.pem, &renewed.certificate, &renewed.key);
    shows(&dialer, provider, &renewed.chain()[0]).await;
    assert_eq!(kept.get("/").await.body, "b", "it goes on as it began");
    assert_eq!(metric(&proxy, RELOADS).await, Some(1.0));
}

#[tokio::test]
async fn an_encrypted_key_and_its_password_are_replaced_together_or_not_at_all() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| authority.issue(&["ServiceB"]));
    let mut mount = Mount::new(&authority, &old);
    mount.write_locked(&old.certificate, &old.locked_key("one"), "one\n");
    let app = App::saying("b").await;
    let proxy = provider(app.address.port(), mount.locked());
    let provider = proxy.addresses().provider[0];
    let dialer = Dialer::new(&authority, &VERSIONS);
    shows(&dialer, provider, &old.chain()[0]).await;
    let mut kept = dialer.dial(provider, "ServiceB").await.expect("a session");
    assert_eq!(kept.get("/").await.body, "b");

    // The one without the other, either first, and no password at all.
    let (locked, plain) = (new.locked_key("two"), &new.key);
    for (key, password) in [(&locked, "one"), (&locked, ""), (&old.locked_key("one"), "two")] {
        mount.write_locked(&new.certificate, key, password);
        metric_becomes(&proxy, FAULTY, 1.0).await;
        shows(&dialer, provider, &old.chain()[0]).await;
        mount.write_locked(&old.certificate, &old.locked_key("one"), "one");
        metric_becomes(&proxy, FAULTY, 0.0).await;
    }
    assert_eq!(metric(&proxy, RELOADS).await, Some(0.0), "nothing else was in force meanwhile");

    mount.write_locked(&new.certificate, &locked, "two");
    shows(&dialer, provider, &new.chain()[0]).await;
    assert_eq!(kept.get("/").await.body, "b", "it goes on as it began");
    assert_eq!(metric(&proxy, RELOADS).await, Some(1.0));
    // Without a password, the file of the password has nothing to say.
    mount.write_locked(&old.certificate, &old.key, "");
    shows(&dialer, provider, &old.chain()[0]).await;
    mount.write(&authority.pem, &new.certificate, plain);
    shows(&dialer, provider, &new.chain()[0]).await;
    assert_eq!(metric(&proxy, FAULTY).await, Some(0.0));
}

#[tokio::test]
async fn another_ca_lets_other_clients_in() {
    let (old, new) = (Authority::new(), Authority::new());
    let leaf = old.issue(&["ServiceB"]);
    let mut mount = Mount::new(&old, &leaf);
    let app = App::saying("b").await;
    let proxy = provider(app.address.port(), mount.mutual());
    let provider = proxy.addresses().provider[0];
    let before = Dialer::showing(&old, &old.issue(&["ServiceA"]));
    let after = Dialer::showing(&old, &new.issue(&["ServiceA"]));
    let enters = async |dialer: &Dialer| match dialer.dial(provider, "ServiceB").await {
        Ok(mut client) => {
            client.send("GET / HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n").await;
            !client.is_reset().await
        }
        Err(_) => false,
    };
    assert!(enters(&before).await);
    assert!(!enters(&after).await);
    let mut kept = before.dial(provider, "ServiceB").await.expect("a session");

    mount.write(&new.pem, &leaf.certificate, &leaf.key);
    metric_becomes(&proxy, RELOADS, 1.0).await;
    assert!(enters(&after).await);
    assert!(!enters(&before).await, "also not by resuming its session");
    assert_eq!(kept.get("/").await.body, "b");
}

#[tokio::test]
async fn other_settings_are_taken_over_with_their_files() {
    let authority = Authority::new();
    let mount = Mount::new(&authority, &authority.issue(&["ServiceB"]));
    let app = App::saying("b").await;
    let provider = provider(app.address.port(), mount.shown());
    let service = secured_service("ServiceB", &[provider.addresses().provider[0]]);
    let (proxy, address) = start(settings("ServiceA"), Arc::new(Fixed::new([service])));
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("http://ServiceB/").await.error(), Some("tls_failed"));

    let mut other = settings("ServiceA");
    other.listeners.http = Some(address);
    other.tls.insert("rest.Consumer".to_owned(), mount.trusted());
    proxy.reconfigure(other.clone());
    assert_eq!(client.get("http://ServiceB/").await.body, "b");
    // What may not be read is not in force; what was before it stays.
    let broken = other.tls.get_mut("rest.Consumer").expect("it is there");
    broken.ca = Some("/nowhere/ca.crt".into());
    proxy.reconfigure(other.clone());
    assert_eq!(client.get("http://ServiceB/").await.body, "b");
    let faulty = "mesher_tls_files_faulty{tag=\"rest.Consumer\"}";
    assert_eq!(metric(&proxy, faulty).await, Some(1.0));
    // A listener that speaks plain text goes on to, whoever was told so.
    other.tls.insert("mesher.Provider".to_owned(), mount.shown());
    assert!(proxy.reconfigure(other).contains(&"whether TLS is spoken"));
    assert_eq!(client.get("http://ServiceB/").await.body, "b");
}
