//! The keys of the access log.

use sidecar::settings::{AccessLog, LogTarget};

use crate::support::World;

#[test]
fn it_is_off_until_somebody_says_where_it_goes() {
    let world = World::new();
    assert_eq!(world.settings().access_log, AccessLog::default());
    assert_eq!(world.settings().access_log.to, LogTarget::Off);
    let to = |word| World::new().variable("MESHER_ACCESS_LOG", word).settings().access_log.to;
    assert_eq!(to("stdout"), LogTarget::Stdout);
    assert_eq!(to("OFF"), LogTarget::Off);
    assert_eq!(
        to("/var/log/mesher/access.log"),
        LogTarget::File("/var/log/mesher/access.log".into())
    );
}

#[test]
fn every_key_has_its_effect() {
    let text = "mesher:\n  accessLog:\n    to: access.log\n    format: JSON\n    sample: 0.05\n    \
                errors: false\n    query: true\n";
    let world = World::new().file("conf/mesher.yaml", text);
    let expected = AccessLog {
        to: LogTarget::File("access.log".into()),
        json: true,
        sample: 50_000,
        errors: false,
        query: true,
    };
    assert_eq!(world.settings().access_log, expected);
    assert_eq!(world.problems(), [""; 0]);
    let world = world.variable("MESHER_ACCESS_LOG_FORMAT", "text");
    assert!(!world.settings().access_log.json, "the environment wins over files");
}

#[test]
fn what_is_no_share_is_refused() {
    for wrong in ["5", "-0.1", "half", "5%"] {
        let world = World::new().flag("mesher.accessLog.sample", wrong);
        let problems = world.problems().join("\n");
        assert!(problems.contains("write a number from 0 to 1"), "{wrong}: {problems}");
    }
}
