//! What is known changes, and who says so comes and goes.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::mesh::{Load, eventually};

use super::{Town, all_to};

/// A change of what istiod sends that no client can use: it is for one cluster only.
const CORRUPT: &str = "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: corrupt, namespace: shop}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND, cluster: {service: reviews.shop.svc.cluster.local, subset: v3}}
    patch: {operation: MERGE, value: {connect_timeout: -1s}}
";

#[tokio::test]
async fn endpoints_and_routes_change_and_istiod_is_killed() -> Result<()> {
    let mut town = Town::start()?;
    let url = "http://reviews:8080/";
    town.until_only(url, &["v1", "v2", "v3"]).await?;
    town.apply_rules(&all_to("v1"))?;
    town.until_only(url, &["v1"]).await?;
    town.apply_rules(&all_to("v2"))?;
    town.until_only(url, &["v2"]).await?;
    town.apply_services(&["v2"])?;
    town.until_only(url, &["v2"]).await?;

    // While it is away nothing changes, and no request fails.
    let load = Load::start(town.caller.consumer, url, 4);
    load.more(2_000).await?;
    let Town { istiod, cluster, caller, mesh, versions } = town;
    let istiod = istiod.restart(&cluster)?;
    load.more(4_000).await?;
    town = Town { caller, istiod, versions, mesh, cluster };
    town.apply_services(&["v2", "v3"])?;
    load.more(2_000).await?;
    // Rules for what has come, which only the new one can have told.
    town.apply_rules(&all_to("v3"))?;
    town.until_only(url, &["v3"]).await?;
    load.more(2_000).await?;
    let tally = load.finish().await;
    ensure!(tally.failures.is_empty(), "{:?}", tally.failures);
    ensure!(tally.answered >= 10_000, "{} requests", tally.answered);
    Ok(())
}

#[tokio::test]
async fn what_is_corrupt_is_refused_and_all_else_is_in_force() -> Result<()> {
    let town = Town::start()?;
    let url = "http://reviews:8080/";
    town.until_only(url, &["v1", "v2", "v3"]).await?;
    town.cluster.apply(CORRUPT)?;
    let refused = async || {
        let told = town.discovery().await?;
        let kinds = told["xds"]["subscriptions"].as_array().cloned().unwrap_or_default();
        let clusters = kinds.into_iter().find(|it| it["kind"] == "CDS").unwrap_or_default();
        let reason = clusters["nackReason"].as_str().unwrap_or_default();
        let named = reason.contains("outbound|8080|v3|") && reason.contains("connect_timeout");
        Ok(if named { Ok(()) } else { Err(told.to_string()) })
    };
    eventually("a refusal that names cluster and field", refused).await?;
    // What was known of it holds, and what comes with it and after it is taken.
    town.apply_rules(&all_to("v3"))?;
    town.until_only(url, &["v3"]).await?;
    town.apply_rules(&all_to("v1"))?;
    town.until_only(url, &["v1"]).await?;
    // istiod was told, in its own words.
    let server = town.istiod.server();
    server.wait_until("told of the refusal", Duration::from_mins(1), || {
        server.log().contains("ACK ERROR")
    })?;
    Ok(())
}
