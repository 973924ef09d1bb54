//! A center that asks who is there.

use std::time::Duration;

use anyhow::Result;
use discovery::center::{Kie, Metrics, SignIn, follow};

use super::config_center::{answer, server};
use super::{LONG, holds, identity};

/// Lets in whoever has the token of service-center.
fn guarded(head: &str) -> String {
    if !head.to_lowercase().contains("authorization: bearer let-me-in") {
        return answer(401, r#"{"errorCode":"401001","errorMessage":"no token","detail":"none"}"#);
    }
    let body = if head.contains("service:front&") || head.contains("version") {
        r#"{"data":[]}"#.to_owned()
    } else {
        r#"{"data":[{"key":"one","value":"1"}]}"#.to_owned()
    };
    answer(200, &body).replacen("\r\n", "\r\nX-Kie-Revision: 1\r\n", 1)
}

#[tokio::test]
async fn a_token_is_fetched_where_one_is_asked_for() -> Result<()> {
    let registry = server(|head| {
        let right = head.starts_with("POST /v4/token ");
        if right { answer(200, r#"{"token":"let-me-in"}"#) } else { answer(404, "no") }
    })
    .await?;
    let kie = server(guarded).await?;
    let account = ("front".to_owned(), "secret".to_owned());
    let sign_in = SignIn::new(&[registry], None, account)?;
    assert!(!format!("{sign_in:?}").contains("secret"));
    let who = identity("rbac");
    let client = Kie::new(&[kie], None, "default", &who, Some(sign_in))?;
    let following = follow(client, false, Duration::from_mins(1), &Metrics::default());
    let held = holds(&following, &["one=1", "one=1"]).await?;
    assert!(held.stale().is_none(), "{held:?}");
    Ok(())
}

#[tokio::test]
async fn who_has_no_account_is_told_what_to_do() -> Result<()> {
    let kie = server(guarded).await?;
    let client = Kie::new(&[kie], None, "default", &identity("rbac"), None)?;
    let following = follow(client, false, Duration::from_mins(1), &Metrics::default());
    let held = following.first(LONG).await;
    let why = held.stale().map(|(_, why)| why.clone()).unwrap_or_default();
    assert!(why.contains("401: no token") && why.contains("account.name"), "{why}");
    Ok(())
}
