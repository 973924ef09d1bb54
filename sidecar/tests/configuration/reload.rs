//! The configuration changes while `mesher` runs.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;
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

/// Emptied, written in pieces with and without pauses, and closed, again and again: no configuration
/// is ever in force that was not written whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_rewritten_in_place_counts_when_it_is_whole() {
    const ROUNDS: u64 = 40;
    let world = World::new();
    let path = world.path("conf").join("mesher.yaml");
    // What is cut off anywhere is in order too, and says something else.
    let pieces = |round: u64| {
        ["mesher:\\n", "  limits:\\n", "    connectTimeout: Xs\\n", "    requestTimeout: Xs\\n"]
            .map(|piece| piece.replace('X', &(100 + round).to_string()))
    };
    fs::write(&path, pieces(0).concat().replace("\\n", "\n")).unwrap();
    let started = Reload::starting(&world.read());
    let (mut settings, mut reload) = follow(world.inputs.clone(), world.settings(), started, None);
    // In a process of its own, as a file that is written here is held open by whatever is started
    // here meanwhile.
    let mut script = String::new();
    for round in 1..=ROUNDS {
        script += "{\n";
        for (at, piece) in pieces(round).iter().enumerate() {
            // Longer than any change is waited for, at a different place each time.
            if round % 8 == 2 * at as u64 {
                script += "sleep 0.7\n";
            }
            writeln!(script, "printf '{piece}'").unwrap();
        }
        // Some are overtaken by the next, others not.
        writeln!(script, "}} > \"$0\"\nsleep 0.{:02}", round % 5 * 6).unwrap();
    }
    let mut writer = Command::new("sh").args(["-c", &script]).arg(&path).spawn().unwrap();
    let mut found = 0;
    let last = Duration::from_secs(100 + ROUNDS);
    let all = async {
        while settings.borrow().limits.connect_timeout != last {
            settings.changed().await.unwrap();
            let limits = settings.borrow_and_update().limits;
            assert_eq!(limits.connect_timeout, limits.request_timeout, "after {found} changes");
            assert!(limits.connect_timeout > Duration::from_secs(100), "{limits:?}");
            found += 1;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert!(writer.wait().unwrap().success());
    // None was in force that was not looked at here.
    let counted = reload.wait_for(|state| state.taken_over >= found);
    let state = tokio::time::timeout(PATIENCE, counted).await.unwrap().unwrap().clone();
    assert_eq!((state.taken_over, state.refused), (found, 0));
}

/// Who writes to a file and never closes it is heard all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_stays_open_counts_after_a_while() {
    let world = World::new();
    let path = world.path("conf").join("chassis.yaml");
    fs::write(&path, chassis("1s", 30101)).unwrap();
    let started = Reload::starting(&world.read());
    let (mut settings, _reload) = follow(world.inputs.clone(), world.settings(), started, None);
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(chassis("2s", 30101).as_bytes()).unwrap();
    let two = settings.wait_for(|it| it.limits.connect_timeout == Duration::from_secs(2));
    tokio::time::timeout(PATIENCE, two).await.unwrap().unwrap();
    drop(file);
}
