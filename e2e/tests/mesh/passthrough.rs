//! Hosts that are no service.

use anyhow::Result;
use e2e::mesh::Mesh;

#[tokio::test]
async fn other_hosts_are_let_out_as_the_policy_says() -> Result<()> {
    let mesh = Mesh::start()?;
    let outside = mesh.mockserver("outside", &[])?;
    let address = format!("http://127.0.0.1:{}/", outside.port);
    let word = format!("http://localhost:{}/", outside.port);
    for (policy, address_status, word_status) in
        [("external", 200, 502), ("all", 200, 200), ("none", 403, 502)]
    {
        let caller = mesh.sidecar(policy).variable("MESHER_PASSTHROUGH", policy).start()?;
        let reply = caller.get(&address).await?;
        assert_eq!(reply.status, address_status, "{policy}: {}", reply.text());
        if address_status == 200 {
            let seen = reply.text();
            assert!(!seen.contains("x-mesher-via"), "the mesh is none of its business: {seen}");
            assert!(!seen.contains("x-cse-context"), "{seen}");
        }
        let reply = caller.get(&word).await?;
        assert_eq!(reply.status, word_status, "{policy}: {}", reply.text());
    }
    Ok(())
}

/// What the rules name is let out on their ports where nothing else is, and needs no registry.
#[tokio::test]
async fn hosts_that_egress_rules_name_are_let_out() -> Result<()> {
    let mesh = Mesh::start()?;
    let outside = mesh.mockserver("outside", &[])?;
    let rules = format!(
        "egressRule:\n  some:\n    - hosts: ['*calhost']\n      ports: [{{port: {}, protocol: HTTP}}]\n",
        outside.port
    );
    let caller = mesh.sidecar("caller").variable("MESHER_PASSTHROUGH", "none");
    let caller = caller.file("egress.yaml", &rules).start()?;
    mesh.registry.kill()?;
    // The port is the rule's, as in the original, where the URL's is none of them.
    for (url, status) in
        [("http://localhost/", 200), ("http://LOCALHOST:81/", 200), ("http://127.0.0.1/", 403)]
    {
        let reply = caller.get(url).await?;
        assert_eq!(reply.status, status, "{url}: {}", reply.text());
    }
    Ok(())
}

/// A name that was a service once stays in the mesh, whatever a resolver says of it.
#[tokio::test]
async fn a_service_is_never_taken_for_another_host() -> Result<()> {
    let mesh = Mesh::start()?;
    let outside = mesh.mockserver("outside", &[])?;
    let caller = mesh.sidecar("caller").variable("MESHER_PASSTHROUGH", "all").start()?;
    let application = mesh.mockserver("localhost", &[])?;
    let service = mesh.sidecar("localhost").serving("localhost", application.port).start()?;
    mesh.registry.wait_for("localhost", &["UP"]).await?;
    assert_eq!(caller.get("http://localhost/").await?.status, 200);
    service.server.signal(nix::sys::signal::Signal::SIGTERM)?;
    service.server.wait_for_exit(e2e::mesh::PATIENCE)?;
    let url = format!("http://localhost:{}/", outside.port);
    e2e::mesh::eventually("no instance", async || {
        let reply = caller.get(&url).await?;
        assert_ne!(reply.status, 200, "{}", reply.text());
        let gone = reply.header("x-mesher-error") == Some("no_instance");
        Ok(if gone { Ok(()) } else { Err(reply.text()) })
    })
    .await
}
