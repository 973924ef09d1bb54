//! A request through two proxies, as in a real mesh.

use crate::app::App;
use crate::world::{Client, mesh_of_two};

#[tokio::test]
async fn from_one_application_to_another() {
    let app = App::echo().await;
    let (_provider, _consumer, address) = mesh_of_two(app.address.port());
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
