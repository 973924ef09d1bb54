//! The built program, as a user calls it.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::World;

fn mesher(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mesher"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn folder(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configuration").join(name);
    path.display().to_string()
}

#[test]
fn help_version_and_wrong_flags() {
    let help = mesher(&["--help"], &[]);
    assert!(help.status.success());
    for word in [
        "config",
        "drain",
        "--service-ports",
        "CHASSIS_CONF_DIR",
        "--servicecomb.registry.address=",
    ] {
        assert!(out(&help).contains(word), "{word}");
    }
    assert!(out(&mesher(&["version"], &[])).starts_with("mesher "));
    let wrong = mesher(&["--confg", "x"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("--config"), "{}", err(&wrong));
    let edge = mesher(&["--mode", "edge"], &[]);
    assert!(err(&edge).contains("per-host"), "{}", err(&edge));
}

#[test]
fn dump_says_where_each_value_comes_from() {
    let world = World::new().file("mesher.yaml", "mesher: {passthrough: all}\n").file(
        "chassis.yaml",
        "\ncse: {service: {registry: {address: 'http://file:1', tenant: t}}}\n",
    );
    let config = world.path("mesher.yaml").display().to_string();
    let arguments =
        ["--config", &config, "config", "dump", "--cse.service.registry.tenant=flagged"];
    let dump = mesher(&arguments, &[("CSE_REGISTRY_ADDR", "http://variable:1")]);
    assert!(dump.status.success(), "{}", err(&dump));
    for line in [
        "servicecomb.registry.address: \"http://variable:1\"  # environment CSE_REGISTRY_ADDR\n",
        "servicecomb.registry.tenant: \"flagged\"  # flag --cse.service.registry.tenant\n",
        &format!("mesher.passthrough: \"all\"  # {config}:1\n"),
        "servicecomb.service.name: \"mesher\"  # built in\n",
    ] {
        assert!(out(&dump).contains(line), "{line}{}", out(&dump));
    }
    let json = mesher(&["config", "dump", "-o", "json", "--mode", "per-host"], &[]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        json["mesher.mode"],
        serde_json::json!({"value": "per-host", "origin": "flag --mode"})
    );
}

#[test]
fn check_gives_a_verdict() {
    for name in ["shipped/sc", "shipped/pilot", "samples"] {
        let check =
            mesher(&["config", "check", &folder(name)], &[("CSE_REGISTRY_ADDR", "ftp://x")]);
        assert_eq!(check.status.code(), Some(0), "{name}: {}", out(&check));
    }
    assert_eq!(mesher(&["check", "--strict", &folder("samples")], &[]).status.code(), Some(3));
    let world = World::new()
        .file("other/chassis.yaml", "cse: {service: {registry: {watch: 2}}}\n")
        .file("other/chasis.yml", "");
    let check = mesher(&["check", &world.path("other").display().to_string()], &[]);
    assert_eq!(check.status.code(), Some(3));
    assert!(
        out(&check).contains("chassis.yaml:1: cse.service.registry.watch: \"2\""),
        "{}",
        out(&check)
    );
    assert!(out(&check).contains("is not read: did you mean chassis.yaml?"), "{}", out(&check));
    let nowhere = mesher(&["check", "/nowhere"], &[]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(err(&nowhere).contains("/nowhere: name a folder"), "{}", err(&nowhere));
}

#[test]
fn a_schema_for_each_file() {
    let one = mesher(&["config", "schema", "chassis.yaml"], &[]);
    let schema: serde_json::Value = serde_json::from_slice(&one.stdout).unwrap();
    let properties = &schema["properties"];
    let old = &properties["cse"]["properties"]["service"]["properties"]["registry"]["properties"]["watch"];
    let new = &properties["servicecomb"]["properties"]["registry"]["properties"]["watch"];
    assert_eq!(old, new);
    assert!(new["description"].is_string());
    let all = mesher(&["config", "schema"], &[]);
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 14);
    assert_eq!(mesher(&["config", "schema", "chasis.yaml"], &[]).status.code(), Some(2));
}

#[test]
fn nothing_starts_on_a_faulty_configuration() {
    let missing = mesher(&["--config", "/nowhere/mesher.yaml"], &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(err(&missing).contains("/nowhere/mesher.yaml: No such file"), "{}", err(&missing));
    let wrong = mesher(&["--service-ports", "rest:0,tcp:1"], &[]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(err(&wrong).contains("error: flag --service-ports: \"rest:0\""), "{}", err(&wrong));
    assert!(err(&wrong).contains("error: flag --service-ports: \"tcp:1\""), "both at once");
    let lacking = mesher(&["--servicecomb.registry.address"], &[]);
    assert!(
        err(&lacking).contains("write --servicecomb.registry.address=VALUE"),
        "{}",
        err(&lacking)
    );
}
