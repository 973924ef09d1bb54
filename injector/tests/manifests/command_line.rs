//! `sidecar-injector inject` and `uninject` as a user calls them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::kubectl;
use crate::program::run;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: app\n    image: app:1\n";

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Standard output of a run that has to succeed.
fn printed(arguments: &[&str], folder: &Path, input: &str) -> String {
    let output = run(arguments, folder, input);
    assert!(output.status.success(), "{arguments:?}: {}", err(&output));
    out(&output).to_owned()
}

/// Standard error of a run that has to fail with 1 and print nothing.
fn complaint(arguments: &[&str], folder: &Path, input: &str) -> String {
    let output = run(arguments, folder, input);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", err(&output));
    assert_eq!(out(&output), "", "{arguments:?}");
    err(&output).to_owned()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn standard_input_is_injected_and_restored() {
    let empty = folder(&[]);
    let output = run(&["inject"], empty.path(), POD);
    assert!(output.status.success());
    assert_eq!(
        err(&output),
        "pod/web  injected (native, template mesher, proxy variables in app)\n"
    );
    let injected = out(&output);
    assert_ne!(injected, POD);
    let output = run(&["uninject", "-f", "-"], empty.path(), injected);
    assert_eq!((out(&output), err(&output)), (POD, "pod/web  uninjected\n"));
}

#[test]
fn in_place_changes_files_keeps_their_mode_and_leaves_no_others() {
    let files = folder(&[("a.yaml", POD), ("b.yml", "a: 1 # no object\n"), ("notes.txt", "x")]);
    let a = files.path().join("a.yaml");
    std::fs::set_permissions(&a, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("a.yaml", files.path().join("link.yaml")).unwrap();
    assert_eq!(printed(&["inject", "--in-place", "link.yaml", "b.yml"], files.path(), ""), "");
    assert!(std::fs::read_to_string(&a).unwrap().contains("sidecar-mesher"));
    assert_eq!(a.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(files.path().join("link.yaml").is_symlink());
    assert_eq!(printed(&["uninject", "--in-place", "."], files.path(), ""), "");
    assert_eq!(std::fs::read_to_string(&a).unwrap(), POD);
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 4);
}

#[test]
fn one_bad_file_keeps_all_from_being_changed_or_printed() {
    let files = folder(&[("a.yaml", POD), ("b.yaml", "a: 1\nb: [\n")]);
    let error = complaint(&["inject", "--in-place", "."], files.path(), "");
    assert!(error.contains("./b.yaml:2:4: "), "{error}");
    assert_eq!(std::fs::read_to_string(files.path().join("a.yaml")).unwrap(), POD);
    complaint(&["inject", "."], files.path(), "");
    complaint(&["uninject", "."], files.path(), "");
}

#[test]
fn inputs_that_cannot_be_read_are_named() {
    let files = folder(&[("deep/a.yaml", POD)]);
    std::fs::write(files.path().join("latin.yaml"), b"a: b\nc: h\xe4\n").unwrap();
    for (arguments, expected) in [
        (&["inject", "none.yaml"][..], "none.yaml: cannot be read: No such file or directory"),
        (&["inject", "-f", "latin.yaml"], "latin.yaml:2:5: this is not UTF-8"),
        (&["inject", "--in-place", "-"], "--in-place cannot change standard input"),
    ] {
        let error = complaint(arguments, files.path(), POD);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    std::fs::remove_file(files.path().join("latin.yaml")).unwrap();
    let error = complaint(&["inject", "."], files.path(), "");
    assert!(error.contains("no *.yaml, *.yml or *.json in this folder (-R looks"), "{error}");
    let text = printed(&["inject", "-R", "-f", "."], files.path(), "");
    assert!(text.contains("sidecar-mesher"));
}

#[test]
fn a_pod_that_asks_for_nonsense_fails_the_run_and_names_the_field() {
    let files = folder(&[]);
    let pod = POD.replace("spec:", "  annotations: {sidecar.mesher.io/inject: yse}\nspec:");
    let error = complaint(&["inject"], files.path(), &format!("{POD}---\n{pod}"));
    let expected = "<stdin>:10: pod/web  rejected: invalid_inject: sidecar.mesher.io/inject: ";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn several_files_are_one_stream_to_kubectl() {
    let json = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "j"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}"#;
    let files = folder(&[
        ("1.yaml", POD.trim_end()),
        ("2.yaml", &format!("# head\n---\n{POD}---\n")),
        ("3.json", json),
        ("4.yaml", &format!("\u{feff}{POD}...\n")),
        ("5.yaml", ""),
        ("6.yaml", POD),
    ]);
    let all = printed(&["inject", "."], files.path(), "");
    let documents = kubectl::read(&all).unwrap();
    assert_eq!(documents.len(), 5, "{all}");
    assert!(documents.iter().all(|d| d["spec"]["initContainers"][0]["name"] == "sidecar-mesher"));
    let jsons = printed(&["inject", "3.json", "3.json"], files.path(), "");
    assert_eq!(kubectl::read(&jsons).unwrap().len(), 2);
}

#[test]
fn the_other_format_says_the_same() {
    let files = folder(&[]);
    let text = format!(
        "# lost\n{POD}---\napiVersion: v1\nkind: ConfigMap\ndata: {{a: \"yes\", b: '0644', c: \"x\\ny\\n\"}}\n"
    );
    let same = printed(&["inject"], files.path(), &text);
    assert_eq!(printed(&["inject", "-o", "yaml"], files.path(), &text), same);
    let expected = kubectl::read(&same).unwrap();
    let json = printed(&["inject", "-o", "json"], files.path(), &text);
    assert!(json.starts_with("{\n    \"apiVersion\": \"v1\","), "{json}");
    assert_eq!(kubectl::read(&json).unwrap(), expected);
    // A file in that format already is not printed anew.
    std::fs::write(files.path().join("pod.json"), "{\"kind\": 1}  \n").unwrap();
    let both = printed(&["inject", "-o", "json", "-", "pod.json"], files.path(), &text);
    assert_eq!(both, format!("{json}{{\"kind\": 1}}  \n"));
    // Printed anew it has no bytes to restore, but the values.
    let yaml = printed(&["uninject", "-o", "yaml"], files.path(), &json);
    assert_eq!(kubectl::read(&yaml).unwrap(), kubectl::read(&text).unwrap());
}

#[test]
fn flags_decide_what_the_pod_does_not() {
    let files = folder(&[("other.yaml", injector::template::BUILTIN)]);
    let inject = |arguments: &[&str]| {
        let output = run(&[&["inject"], arguments].concat(), files.path(), POD);
        assert!(output.status.success(), "{}", err(&output));
        (out(&output).to_owned(), err(&output).to_owned())
    };
    let (text, log) = inject(&["--only-annotated"]);
    assert_eq!(text, POD);
    assert!(log.starts_with("pod/web  skipped: not_requested"), "{log}");
    let (text, log) = inject(&["--namespace", "kube-system"]);
    assert_eq!(text, POD);
    assert!(log.starts_with("pod/web  skipped: ignored_namespace"), "{log}");
    let (text, log) = inject(&["--native", "false"]);
    assert!(!text.contains("initContainers"), "{text}");
    assert!(log.contains("injected (plain, template mesher"), "{log}");
    let (text, _) = inject(&["--default-discovery", "pilot"]);
    assert!(text.contains("istio-ca"), "{text}");
    let (_, log) = inject(&["--template", "other.yaml"]);
    assert!(log.contains("template other"), "{log}");
}

#[test]
fn the_configuration_of_a_cluster_decides_and_flags_win() {
    let config = "policy:\n  nativeSidecar: false\n  sidecar: {image: \"registry/mesher:9\"}\n";
    let files = folder(&[("config.yaml", config)]);
    let text = printed(&["inject", "--config", "config.yaml"], files.path(), POD);
    assert!(
        text.contains("image: registry/mesher:9") && !text.contains("initContainers"),
        "{text}"
    );
    let flags = ["inject", "--config", "config.yaml", "--native", "true"];
    assert!(printed(&flags, files.path(), POD).contains("initContainers"));
}

#[test]
fn a_sidecar_of_another_version_is_made_anew_over_the_original_bytes() {
    let config = "policy: {sidecar: {image: \"mesher:old\"}}\n";
    let files = folder(&[("config.yaml", config)]);
    let pod = POD.replace("    image", "    env: ~ # none\n    image");
    let old = printed(&["inject", "--config", "config.yaml"], files.path(), &pod);
    assert!(old.contains("image: mesher:old"));
    let new = printed(&["inject"], files.path(), &old);
    assert_eq!(new, printed(&["inject"], files.path(), &pod));
    assert_eq!(printed(&["uninject"], files.path(), &new), pod);
}

#[test]
fn an_annotation_on_the_workload_is_warned_about() {
    let files = folder(&[]);
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\n  annotations: {sidecar.mesher.io/logLevel: debug}\nspec:\n  template:\n    spec:\n      containers: [{name: a, image: a}]\n";
    let output = run(&["inject"], files.path(), text);
    let expected = "deployment/d  warning: sidecar.mesher.io/logLevel has no effect on the Deployment; move it to spec.template.metadata.annotations\n";
    assert!(err(&output).contains(expected), "{}", err(&output));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sidecar-injector"))
        .arg("inject")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(POD.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(
        !err(&output).contains("panicked") && !err(&output).contains("rror"),
        "{}",
        err(&output)
    );
}

#[test]
fn completions_and_manual_pages_know_the_subcommands() {
    let files = folder(&[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell], files.path(), "");
        assert!(script.contains("uninject") && script.contains("in-place"), "{shell}");
    }
    assert!(printed(&["man"], files.path(), "").contains(".SH SUBCOMMANDS"));
    let page = printed(&["man", "uninject"], files.path(), "");
    assert!(page.contains("sidecar\\-injector uninject \\-f deploy.yaml"), "{page}");
    printed(&["man", "--folder", "."], files.path(), "");
    assert!(files.path().join("sidecar-injector-inject.1").is_file());
    assert!(complaint(&["man", "none"], files.path(), "").contains("no subcommand \"none\""));
}
