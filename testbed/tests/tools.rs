//! The pinned tools are there and are what they say.

use std::process::Command;

use anyhow::Result;
use testbed::tools::{self, Purpose, Recipe, TOOLS, Tool};

#[test]
fn every_tool_of_the_tests_is_built() -> Result<()> {
    for tool in TOOLS.iter().filter(|tool| tool.purpose == Purpose::Test) {
        for program in tool.recipe.programs() {
            assert!(tools::program(program)?.is_file(), "{program}");
        }
    }
    Ok(())
}

#[test]
fn programs_carry_the_pinned_version() -> Result<()> {
    for (program, wanted) in [("kube-apiserver", "Kubernetes v1.36.3"), ("etcd", "3.7.3")] {
        let output = Command::new(tools::program(program)?).arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(wanted), "{program} says {text}");
    }
    Ok(())
}

#[test]
fn an_unknown_program_names_the_table() {
    let error = tools::program("kube-apisever").expect_err("misspelt").to_string();
    assert!(error.contains("testbed/src/tools/mod.rs"), "{error}");
    let error = tools::named("etdc").expect_err("misspelt").to_string();
    assert!(error.contains("etcd, kubernetes"), "{error}");
}

#[test]
fn a_program_that_the_distribution_has_is_found() -> Result<()> {
    let shell = Tool {
        name: "shell",
        about: "any shell",
        purpose: Purpose::Test,
        recipe: Recipe::Debian { package: "dash", programs: &["sh"] },
    };
    shell.ensure()?;
    let path = shell.locate("sh")?.expect("every system has a shell");
    assert!(path.ends_with("sh"), "{}", path.display());
    Ok(())
}

#[test]
fn names_are_unique() {
    let mut programs: Vec<&str> = TOOLS.iter().flat_map(|tool| tool.recipe.programs()).collect();
    let count = programs.len();
    programs.sort_unstable();
    programs.dedup();
    assert_eq!(programs.len(), count, "two tools hold a program of the same name");
}
