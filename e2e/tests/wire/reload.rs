//! R35: configuration and templates change as a whole or not at all.

use std::fs;

use anyhow::Result;
use e2e::injector::{Injector, PATIENCE, configuration_file};
use e2e::mount::mount;
use serde_json::Value;

use crate::data::{V1, patch, response};

/// Image and memory request of the sidecar that the injector adds now.
fn sidecar(injector: &Injector) -> Result<(String, String)> {
    let operations = patch(&response(injector, V1)?)?.unwrap_or_default();
    let text = Value::from(operations);
    let mut found = None;
    visit(&text, &mut |value| {
        if value["name"] == "sidecar-mesher" && value.get("image").is_some() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            found = Some((text(&value["image"]), text(&value["resources"]["requests"]["memory"])));
        }
    });
    found.ok_or_else(|| anyhow::anyhow!("no sidecar in {text}"))
}

fn visit(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        Value::Object(map) => map.values().for_each(|item| visit(item, see)),
        _ => {}
    }
}

fn configured(number: usize) -> String {
    format!("policy: {{sidecar: {{image: 'mesher:{number}', memory: {number}Mi}}}}\n")
}

#[test]
fn r35_a_swapped_configmap_is_taken_over_as_a_whole() -> Result<()> {
    let injector = Injector::start(&configured(1))?;
    let etc = injector.folder().join("etc");
    assert_eq!(sidecar(&injector)?, ("mesher:1".into(), "1Mi".into()));
    for number in 2..6 {
        mount(&etc, &format!("v{number}"), &[("config.yaml", &configured(number))])?;
        let image = format!("mesher:{number}");
        injector.server().wait_until("the new configuration is in force", PATIENCE, || {
            // Whatever is in force, its two values belong together.
            let (image_now, memory) = sidecar(&injector).expect("a sidecar");
            assert_eq!(image_now.strip_prefix("mesher:"), memory.strip_suffix("Mi"));
            image_now == image
        })?;
    }
    assert_eq!(injector.metric("sidecar_injector_configuration_generation")?, 5);
    Ok(())
}

#[test]
fn r35_a_faulty_configuration_leaves_the_last_good_one() -> Result<()> {
    let injector = Injector::start(&configured(1))?;
    let file = configuration_file(injector.folder());
    fs::write(&file, "policy:\n  sidecar: {image: 'mesher:2', memroy: 2Mi}\n")?;
    injector.server().wait_until("told of the fault", PATIENCE, || {
        injector.metric("sidecar_injector_configuration_reload_failed").is_ok_and(|v| v == 1)
    })?;
    assert_eq!(sidecar(&injector)?.0, "mesher:1");
    let status = injector.status()?;
    let error = status["configuration"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("config.yaml:2:") && error.contains("memory"), "{error}");
    assert_eq!(status["ready"], true, "the last good one serves");
    injector.server().wait_until("telling of the fault", PATIENCE, || {
        injector.log().iter().any(|line| line["level"] == "ERROR")
    })?;

    fs::write(&file, configured(3))?;
    injector.server().wait_until("the fault is mended", PATIENCE, || {
        injector.metric("sidecar_injector_configuration_reload_failed").is_ok_and(|v| v == 0)
    })?;
    assert_eq!(sidecar(&injector)?.0, "mesher:3");
    Ok(())
}

#[test]
fn r35_a_faulty_template_leaves_the_last_good_one() -> Result<()> {
    let shipped = fs::read_to_string(e2e::installation::checkout("templates/mesher.yaml"))?;
    let injector = Injector::start_with("", |command, folder| {
        let templates = folder.join("templates");
        fs::create_dir_all(&templates)?;
        fs::write(templates.join("mesher.yaml"), &shipped)?;
        command.arg("--templates").arg(templates);
        Ok(())
    })?;
    let before = sidecar(&injector)?;
    fs::write(injector.folder().join("templates/mesher.yaml"), "containers: {{ nonsense")?;
    injector.server().wait_until("told of the fault", PATIENCE, || {
        injector.metric("sidecar_injector_configuration_reload_failed").is_ok_and(|v| v == 1)
    })?;
    assert_eq!(sidecar(&injector)?, before);
    // A second, good one comes with the first mended.
    fs::write(injector.folder().join("templates/other.yaml"), &shipped)?;
    fs::write(injector.folder().join("templates/mesher.yaml"), &shipped)?;
    injector.server().wait_until("the fault is mended", PATIENCE, || {
        injector.status().is_ok_and(|status| {
            let configuration = &status["configuration"];
            configuration["error"].is_null()
                && configuration["templates"] == serde_json::json!(["mesher", "other"])
        })
    })
}

#[test]
fn r35_what_needs_a_restart_is_said() -> Result<()> {
    let injector = Injector::start(&configured(1))?;
    let changed = format!("{}drain: {{delay: 7s}}\n", configured(2));
    fs::write(configuration_file(injector.folder()), changed)?;
    injector.server().wait_until("taken over", PATIENCE, || {
        injector.status().is_ok_and(|status| status["configuration"]["generation"] == 2)
    })?;
    assert_eq!(injector.status()?["configuration"]["restartNeeded"], serde_json::json!(["drain"]));
    assert_eq!(sidecar(&injector)?.0, "mesher:2");
    Ok(())
}
