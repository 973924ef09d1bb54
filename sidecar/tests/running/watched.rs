//! What is to be seen of a proxy: the application's health in the registry, and metrics.

use std::fs;

use anyhow::Result;

use crate::mesh::{Arguments, Mesh};

/// `mesher.yaml` in a folder of its own, and the flag that names it.
fn configured(text: &str) -> Result<(tempfile::TempDir, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mesher.yaml");
    fs::write(&path, text)?;
    Ok((folder, format!("--config={}", path.display())))
}

#[tokio::test]
async fn an_application_that_fails_its_check_takes_the_instance_down_and_up_again() -> Result<()> {
    let mut folder = None;
    let mesh = Mesh::start_with(|port| {
        let text = format!(
            "localHealthCheck:\n  - {{port: {port}, protocol: rest, uri: /health, interval: 300ms, match: {{status: 200}}}}\n"
        );
        let (kept, flag) = configured(&text).expect("a folder");
        folder = Some(kept);
        Arguments { provider: vec![flag], ..Arguments::default() }
    })?;
    mesh.wait_for_statuses(&["STARTING"]).await?;
    for _ in 0..2 {
        let service = mesh.start_service()?;
        mesh.wait_for_statuses(&["UP"]).await?;
        mesh.answers(200).await?;
        drop(service);
        mesh.wait_for_statuses(&["DOWN"]).await?;
        mesh.answers(502).await?;
    }
    Ok(())
}

#[tokio::test]
async fn metrics_tell_of_the_registry_and_of_the_configuration() -> Result<()> {
    let (folder, flag) = configured("mesher:\n  passthrough: none\n")?;
    // Whole at once: a file that is cut off first may be read empty, and that is a change too.
    let write = |text: &str| {
        let next = folder.path().with_extension("next");
        fs::write(&next, text)?;
        fs::rename(next, folder.path().join("mesher.yaml"))
    };
    let mesh = Mesh::start_with(|_| Arguments { provider: vec![flag], ..Arguments::default() })?;
    let _service = mesh.start_service()?;
    mesh.wait_for_statuses(&["UP"]).await?;
    mesh.wait_for_metrics(&[
        "service_center_calls_total{operation=\"register service\",result=\"ok\"} 1",
        "service_center_calls_total{operation=\"register instance\",result=\"ok\"} 1",
        "service_center_watches_total 1",
        "mesher_config_last_reload_successful 1",
        "mesher_config_restart_needed 0",
        "mesher_discovery_stale_since_timestamp_seconds 0.0",
    ])
    .await?;
    write("mesher:\n  passthrough: perhaps\n")?;
    mesh.wait_for_metrics(&[
        "mesher_config_last_reload_successful 0",
        "mesher_config_reloads_total{result=\"refused\"} 1",
        "mesher_config_reloads_total{result=\"taken_over\"} 0",
    ])
    .await?;
    write("mesher:\n  passthrough: all\n  workers: 3\n")?;
    mesh.wait_for_metrics(&[
        "mesher_config_last_reload_successful 1",
        "mesher_config_restart_needed 1",
        "mesher_config_reloads_total{result=\"taken_over\"} 1",
    ])
    .await
}
