//! The configuration changes while `mesher` runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use sidecar::configuration::{Reload, follow};

use crate::support::World;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

fn chassis(time: &str, port: u16) -> String {
    format!(
        "mesher: {{limits: {{connectTimeout: {time}}}}}\ncse: {{protocols: {{http: {{listenAddress: '127.0.0.1:{port}'}}}}}}\n"
    )
}

#[tokio::test]
async fn a_configmap_is_followed_and_a_faulty_one_is_not() {
    let world = World::new();
    // As kubelet mounts it: files are links through ..data, which is replaced by a rename.
    let conf = world.path("conf");
    let version = |name: &str, text: &str| {
        fs::create_dir(conf.join(name)).unwrap();
        fs::write(conf.join(name).join("chassis.yaml"), text).unwrap();
        symlink(name, conf.join("..data_tmp")).unwrap();
        fs::rename(conf.join("..data_tmp"), conf.join("..data")).unwrap();
    };
    version("..1", &chassis("1s", 30101));
    symlink("..data/chassis.yaml", conf.join("chassis.yaml")).unwrap();
    let started = Reload::starting(&world.read());
    let (mut settings, mut reload) = follow(world.inputs.clone(), world.settings(), started, None);
    let connect = |seconds| {
        move |settings: &std::sync::Arc<sidecar::settings::Settings>| {
            settings.limits.connect_timeout == Duration::from_secs(seconds)
        }
    };
    assert!(connect(1)(&settings.borrow()));
    let shown = |reload: &Reload| {
        let line = reload.values.to_json()["mesher.limits.connectTimeout"].clone();
        let origin = line["origin"].as_str().unwrap_or_default().to_owned();
        (line["value"].as_str().unwrap_or_default().to_owned(), origin)
    };
    assert_eq!(shown(&reload.borrow()).0, "1s");

    version("..2", &chassis("2s", 30101));
    tokio::time::timeout(PATIENCE, settings.wait_for(connect(2))).await.unwrap().unwrap();

    version("..3", &chassis("soon", 30101));
    let refused = reload.wait_for(|state| state.refused == 1);
    let faults = tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap().faults.clone();
    assert!(faults[0].to_string().contains("\"soon\" is not allowed here"), "{faults:?}");
    assert!(connect(2)(&settings.borrow()), "the last good one stays in force");
    let (value, origin) = shown(&reload.borrow());
    assert_eq!(value, "2s", "and is what is shown");
    assert!(origin.ends_with("/conf/chassis.yaml:1"), "{origin}");

    version("..4", &chassis("4s", 30999));
    tokio::time::timeout(PATIENCE, settings.wait_for(connect(4))).await.unwrap().unwrap();
    assert_eq!(settings.borrow().listeners.http.unwrap().port(), 30101, "until a restart");
    let healed = reload.wait_for(|state| state.taken_over == 2 && state.faults.is_empty());
    let state = tokio::time::timeout(PATIENCE, healed).await.unwrap().unwrap().clone();
    assert_eq!(state.restart_needed, ["listeners"]);
}
