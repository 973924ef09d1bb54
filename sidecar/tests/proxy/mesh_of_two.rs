//! A request through two proxies, as in a real mesh.

use std::sync::Arc;

use discovery::Fixed;
use sidecar::Proxy;

use crate::app::App;
use crate::world::{Client, consumer, provider_settings, service};

#[tokio::test]
async fn from_one_application_to_another() {
    let app = App::echo().await;
    let settings = provider_settings("ServiceB", app.address.port());
    let provider = Proxy::start(settings, Arc::new(Fixed::new([]))).expect("a provider");
    let services = [service("ServiceB", &[provider.addresses().provider[0]])];
    let (_consumer, address) = consumer(services);
    let mut client = Client::connect(address).await;
    let url = format!("http://ServiceB:{}/api", app.address.port());
    let answer = client.request("POST", &url, "cookie: a\r\ncookie: b\r\n", "hello").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for line in [
        "POST /api HTTP/1.1\r\n".to_owned(),
        format!("host: ServiceB:{}\r\n", app.address.port()),
        format!("x-forwarded-host: ServiceB:{}\r\n", app.address.port()),
        format!("x-forwarded-port: {}\r\n", app.address.port()),
        "cookie: a\r\ncookie: b\r\n".to_owned(),
        "\r\n\r\nhello".to_owned(),
    ] {
        assert!(answer.body.contains(&line), "{line:?} is not in {}", answer.body);
    }
    let denied = client.get("http://ServiceB:1/").await;
    assert_eq!((denied.status, denied.error()), (403, Some("port_denied")));
}
