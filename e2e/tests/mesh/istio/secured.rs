//! istiod behind TLS, which wants to know who asks; and which ends streams.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::mesh::{Load, eventually};
use serde_json::Value;

use super::Town;

#[tokio::test]
async fn streams_are_opened_again_by_tls_and_with_the_token_of_then() -> Result<()> {
    let town = Town::with(Some(Duration::from_secs(2)), |setup| setup)?;
    let folder = town.mesh.guard().folder().to_owned();
    let token = folder.join("istio-token");
    let with_token = |audience: &str| -> Result<()> {
        let audience = format!("--audience={audience}");
        let create = ["create", "token", "caller", "--namespace=shop", "--duration=1h", &audience];
        Ok(fs::write(&token, town.cluster.run(&create)?)?)
    };
    town.cluster.run(&["create", "serviceaccount", "caller", "--namespace=shop"])?;
    with_token("somebody-else")?;
    let by_tls = super::caller(&town.mesh, "by-tls", &town.istiod)
        .variable("ISTIO_PILOT_ADDR", &format!("https://{}", town.istiod.secure_address()))
        .variable("SERVICE_ACCOUNT", "caller")
        .key("mesher.pilot.rootCert", &town.istiod.ca().display().to_string())
        .key("mesher.pilot.token", &token.display().to_string());
    let town = Town { caller: by_tls.start()?, ..town };

    // Who shows a token that is for another is not answered, and says so.
    let stale = async || {
        let told = town.discovery().await?;
        let error = told["error"].as_str().unwrap_or_default().to_ascii_lowercase();
        Ok(if error.contains("authenticat") { Ok(()) } else { Err(told.to_string()) })
    };
    eventually("istiod refusing the token", stale).await?;
    // The kubelet writes another in its place.
    let create = ["create", "token", "caller", "--namespace=shop", "--audience=istio-ca"];
    fs::write(&token, town.cluster.run(&create)?)?;
    let url = "http://reviews:8080/";
    town.until_only(url, &["v1", "v2", "v3"]).await?;

    // Streams end one after the other, by GOAWAY, and nobody notices.
    let streams =
        async || Ok::<_, anyhow::Error>(town.discovery().await?["xds"]["streams"].clone());
    let load = Load::start(town.caller.consumer, url, 2);
    let before = streams().await?.as_u64().unwrap_or_default();
    eventually("another stream", async || {
        let now = streams().await?;
        Ok(if now.as_u64() >= Some(before + 1) { Ok(()) } else { Err(now.to_string()) })
    })
    .await?;
    load.more(100).await?;
    let tally = load.finish().await;
    ensure!(tally.failures.is_empty(), "{:?}", tally.failures);
    Ok(())
}

#[tokio::test]
async fn a_dump_says_what_istiod_would_send() -> Result<()> {
    let town = Town::start()?;
    town.until_only("http://reviews:8080/", &["v1", "v2", "v3"]).await?;
    let address = format!("--address={}", town.istiod.address());
    let output = town.caller.beside(&["xds", "dump", &address])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dump: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(dump["complete"] == true, "{dump}");
    let count = |kind: &str| dump[kind].as_array().map_or(0, Vec::len);
    // Three versions and all of them, and the API server.
    ensure!(count("clusters") >= 5 && count("endpoints") == 5, "{dump}");
    ensure!(count("routes") == 1 && count("refused") == 0, "{dump}");
    Ok(())
}
