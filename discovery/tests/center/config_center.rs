//! `config_center`, whose protocol is that of java-chassis and of the original.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use discovery::center::{ApiVersion, ConfigCenter, Metrics, follow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{holds, identity};

/// Answers every request with what `respond` makes of its head; each connection takes one.
pub(super) async fn server(
    respond: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let respond = Arc::new(respond);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let respond = Arc::clone(&respond);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let answer = respond(&String::from_utf8_lossy(&head));
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    Ok(address)
}

/// An answer with a body.
pub(super) fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn dimensions_count_from_the_general_to_the_particular() -> Result<()> {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let address = server(move |head| {
        let mut heads = seen.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push(head.to_lowercase());
        if head.contains("revision=7") {
            return "HTTP/1.1 304 -\r\nConnection: close\r\n\r\n".to_owned();
        }
        let app = identity("cc").app;
        answer(
            200,
            &format!(
                r#"{{"revision":{{"version":"7"}},
                "front@{app}#1.0.0":{{"one":3}},
                "application":{{"one":"1","all":true}},
                "front@{app}":{{"one":"2"}},
                "other@{app}":{{"no":"1"}}}}"#
            ),
        )
    })
    .await?;
    let who = identity("cc");
    let api = (ApiVersion::V3, "default");
    let client = ConfigCenter::new(&[address], None, api, "tenant-a", &who, None, None)?;
    let following = follow(client, true, Duration::from_millis(100), &Metrics::default());
    holds(&following, &["all=true", "one=1", "one=2", "one=3"]).await?;
    // Asked again, with the revision, although it is not one that waits.
    let again = || {
        let heads = heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().find(|head| head.contains("revision=7")).cloned()
    };
    while again().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let head = again().context("asked again")?;
    let path =
        format!("get /v3/default/configuration/items?dimensionsinfo=front%40{}%231.0.0", who.app);
    assert!(head.starts_with(&path), "{head}");
    assert!(head.contains("x-tenant-name: tenant-a"), "{head}");
    Ok(())
}

#[tokio::test]
async fn the_second_version_of_its_api_has_another_path_and_a_dimension_may_be_given() -> Result<()>
{
    let address = server(|head| {
        let right = head.starts_with("GET /configuration/v2/items?dimensionsInfo=all%40shop ");
        if right { answer(200, r#"{"all@shop":{"one":"1"}}"#) } else { answer(400, head) }
    })
    .await?;
    let api = (ApiVersion::V2, "default");
    let who = identity("cc2");
    let client = ConfigCenter::new(&[address], None, api, "default", &who, Some("all@shop"), None)?;
    let following = follow(client, false, Duration::from_mins(1), &Metrics::default());
    holds(&following, &["one=1"]).await?;
    Ok(())
}
