//! The example manifest: a template that is filled in by `sed`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

#[test]
fn the_template_renders_with_sed() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mockserver/service.yaml");
    // As its own first lines say, placeholders in those included.
    let sed = Command::new("sed").arg("s/${mockserver}/reviews/").arg(&file).output()?;
    let text = String::from_utf8(sed.stdout)?;
    assert!(!text.contains("${"), "{text}");
    assert!(fs::read_to_string(&file)?.contains("sed 's/${mockserver}/reviews/'"));

    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let [deployment, service] = &documents[..] else {
        anyhow::bail!("{} documents", documents.len());
    };
    for document in [deployment, service] {
        assert_eq!(document["metadata"]["name"], "reviews");
    }
    assert_eq!(service["spec"]["selector"], json!({"app": "reviews"}));
    assert_eq!(service["spec"]["ports"][0]["port"], 8080);
    let pod = &deployment["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["app"], "reviews");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["ports"], json!([{"name": "http", "containerPort": 8080}]));
    for probe in ["readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"], json!({"path": "/health", "port": "http"}));
    }

    // And what it passes to the program is understood: help is given after all else was read.
    let arguments = container["args"].as_array().context("args")?;
    let arguments = arguments.iter().filter_map(Value::as_str);
    let output = crate::mock::program()?.args(arguments).arg("--help").output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}
