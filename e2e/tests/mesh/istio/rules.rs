//! What a VirtualService says becomes of requests.

use anyhow::{Result, ensure};
use e2e::mesh::{Client, eventually};

use super::{HOST, Town, all_to};

const RULES: &str = "
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews.shop.svc.cluster.local, subset: v2}}]
  - match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
    headers: {response: {set: {x-teapot: 'yes'}}}
  - match: [{uri: {prefix: /elsewhere}}]
    redirect: {uri: /there, redirectCode: 302}
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: reviews.example.test}
    headers:
      request: {set: {x-set: '50%%'}, add: {x-added: more}, remove: [x-secret]}
      response: {set: {x-answered: by-rule}}
    route:
    - destination: {host: reviews.shop.svc.cluster.local, subset: v3}
      headers: {request: {set: {x-of-destination: v3}}}
  - match: [{uri: {prefix: /broken}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    route: [{destination: {host: reviews.shop.svc.cluster.local, subset: v1}}]
  - match: [{uri: {prefix: /from-elsewhere}}]
    corsPolicy: {allowOrigins: [{exact: 'https://www.example.test'}]}
    route: [{destination: {host: reviews.shop.svc.cluster.local, subset: v1}}]
  - route:
    - {destination: {host: reviews.shop.svc.cluster.local, subset: v1}, weight: 25}
    - {destination: {host: reviews.shop.svc.cluster.local, subset: v2}, weight: 25}
    - {destination: {host: reviews.shop.svc.cluster.local, subset: v3}, weight: 50}
";

#[tokio::test]
async fn a_virtual_service_decides_where_requests_go() -> Result<()> {
    let town = Town::start()?;
    // Before there are rules, everybody takes requests.
    let url = "http://reviews:8080/";
    town.until_only(url, &["v1", "v2", "v3"]).await?;

    // The main scenario: a quarter, a quarter, a half.
    town.apply_rules(&all_to("v1"))?;
    town.until_only(url, &["v1"]).await?;
    town.apply_rules(RULES)?;
    eventually("v3 answering", async || {
        let shares = town.shares(url, 8).await;
        Ok(match shares {
            Ok(shares) if shares.contains_key("v3") => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;
    let shares = town.shares(url, 4_000).await?;
    for (version, expected) in [("v1", 1_000), ("v2", 1_000), ("v3", 2_000_u32)] {
        // Six standard deviations of a draw by chance: some 200. In turn, it is less.
        let taken = shares.get(version).copied().unwrap_or_default();
        ensure!(taken.abs_diff(expected) <= 200, "{version}: {taken} of 4000: {shares:?}");
    }

    // By a header.
    let mut jason = Client::new(town.caller.consumer);
    for _ in 0..20 {
        let reply = jason.get(url, &[("end-user", "jason")]).await?;
        let told = reply.json()?;
        ensure!(told["Instance"] == "v2", "{told}");
    }
    // Without anybody.
    let reply = town.caller.get("http://reviews:8080/teapot").await?;
    ensure!((reply.status, reply.text().as_str()) == (418, "short and stout"), "{reply:?}");
    ensure!(reply.header("x-teapot") == Some("yes"), "{reply:?}");
    let reply = town.caller.get("http://reviews:8080/elsewhere/x?a=b").await?;
    let place = reply.header("location").unwrap_or_default().to_owned();
    ensure!((reply.status, place.as_str()) == (302, "http://reviews:8080/there?a=b"), "{reply:?}");
    let reply = town.caller.get("http://reviews:8080/broken").await?;
    ensure!(reply.status == 503, "{reply:?}");
    ensure!(reply.header("x-mesher-error") == Some("fault_injected"), "{reply:?}");

    // As another request, with another response.
    let mut client = Client::new(town.caller.consumer);
    let headers = [("x-secret", "word"), ("x-set", "before"), ("x-added", "some")];
    let reply = client.get("http://reviews:8080/old/a?b=c", &headers).await?;
    ensure!(reply.status == 200, "{reply:?}");
    ensure!(reply.header("x-answered") == Some("by-rule"), "{reply:?}");
    let seen = reply.text().to_ascii_lowercase();
    for wanted in ["/new/a?b=c", "reviews.example.test", "50%", "some", "more", "x-of-destination"]
    {
        ensure!(seen.contains(wanted), "{wanted} is not in {seen}");
    }
    ensure!(!seen.contains("x-secret") && !seen.contains("before"), "{seen}");

    // How that went is shown, and what is not carried out yet.
    ensure!(town.caller.get("http://reviews:8080/from-elsewhere").await?.status == 200);
    let told = town.discovery().await?;
    ensure!(told["backend"] == "pilot" && told["state"] == "connected", "{told}");
    ensure!(told["xds"]["variant"] == "delta", "{told}");
    let kinds = told["xds"]["subscriptions"].as_array().cloned().unwrap_or_default();
    ensure!(kinds.len() == 3 && kinds.iter().all(|it| it["lastAck"].is_string()), "{told}");
    ensure!(kinds.iter().all(|it| it["refusals"] == 0), "{told}");
    let named = told["xds"]["unsupported"].as_array().cloned().unwrap_or_default();
    let cors = named.iter().find(|it| it["resource"] == HOST);
    ensure!(cors.is_some_and(|it| it["fields"].to_string().contains("cors")), "{told}");
    Ok(())
}
