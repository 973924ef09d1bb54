//! A page of the documentation, whose commands are run as they stand there.
//!
//! Its blocks of `sh` are run in bash, one after the other, with the variables that earlier ones
//! have set; each has to end well. A block of `text` behind one shows lines of its output, in their
//! order: `…` is any text, and lines may come in between.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use testbed::Cluster;

use crate::installation::checkout;

/// How long one block may take, in seconds: it would otherwise hang for ever.
const DEADLINE: &str = "300";
/// The variable that says where blocks leave their variables.
const STATE: &str = "WALKTHROUGH_STATE";

/// A page, and the folder in which its commands are run.
#[derive(Debug)]
pub struct Walkthrough {
    page: String,
    blocks: Vec<Block>,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// Commands, and what they print.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    /// The heading of the second level above it.
    section: String,
    /// The number of its first line in the page.
    line: usize,
    script: String,
    printed: Vec<String>,
}

impl Walkthrough {
    /// Reads `page` of the checkout. Its commands find `kubectl` for `cluster`, `sidecar-injector`,
    /// and the folders `manifests` and `examples` of the checkout, to change as they like.
    pub fn open(cluster: &Cluster, page: &str) -> Result<Self> {
        let text = fs::read_to_string(checkout(page))?;
        let folder = tempfile::tempdir()?;
        let programs = folder.path().join(".bin");
        fs::create_dir(&programs)?;
        for (name, program) in [
            ("kubectl", testbed::tools::program("kubectl")?),
            ("sidecar-injector", testbed::binary("sidecar-injector")?),
        ] {
            std::os::unix::fs::symlink(program, programs.join(name))?;
        }
        for name in ["manifests", "examples"] {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(checkout(name)).arg(folder.path());
            ensure!(copy.status()?.success(), "{name} cannot be copied");
        }
        let environment = vec![
            ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display())),
            ("HOME", folder.path().display().to_string()),
            ("KUBECONFIG", cluster.kubeconfig().display().to_string()),
            (STATE, folder.path().join(".state").display().to_string()),
        ];
        Ok(Self { page: page.to_owned(), blocks: blocks(&text)?, folder, environment })
    }

    /// The sections that have commands, in their order.
    pub fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<&str> = self.blocks.iter().map(|block| &*block.section).collect();
        sections.dedup();
        sections
    }

    /// Runs what stands under this heading.
    pub fn run(&self, section: &str) -> Result<()> {
        let mut run = 0;
        for block in self.blocks.iter().filter(|block| block.section == section) {
            let printed = self.run_block(block)?;
            let unmet = first_unmet(&block.printed, &printed);
            if let Some(line) = unmet {
                bail!("{}:{}: it does not print {line:?}:\n{printed}", self.page, block.line);
            }
            run += 1;
        }
        ensure!(run > 0, "{} has no commands under {section:?}", self.page);
        Ok(())
    }

    fn run_block(&self, block: &Block) -> Result<String> {
        let script = format!(
            "exec 2>&1\n[ ! -e \"${STATE}\" ] || . \"${STATE}\"\n\
             trap 'export -p > \"${STATE}\"' EXIT\nset -aeuo pipefail\n{}",
            block.script
        );
        let output = Command::new("timeout")
            .args([DEADLINE, "bash", "-c", &script])
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .context("bash cannot be run")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{}:{}: the commands fail ({}):\n{}\n{printed}",
            self.page,
            block.line,
            output.status,
            block.script
        );
        Ok(printed)
    }

    /// The folder in which commands are run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The blocks of a page.
fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().zip(1..);
    // Whether the last fence was one of commands.
    let mut behind_commands = false;
    while let Some((line, number)) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut section);
        }
        let Some(kind) = line.strip_prefix("```") else { continue };
        let content: Vec<String> = lines
            .by_ref()
            .map(|(line, _)| line)
            .take_while(|line| *line != "```")
            .map(str::to_owned)
            .collect();
        match kind {
            "sh" => blocks.push(Block {
                section: section.clone(),
                line: number,
                script: content.join("\n"),
                printed: Vec::new(),
            }),
            "text" => {
                let commands = blocks.last_mut().filter(|_| behind_commands);
                commands.with_context(|| format!("line {number}: of which commands?"))?.printed =
                    content;
            }
            _ => {}
        }
        behind_commands = kind == "sh";
    }
    Ok(blocks)
}

/// The first of these lines that is not in `printed`, behind those before it.
fn first_unmet<'l>(lines: &'l [String], printed: &str) -> Option<&'l str> {
    let mut printed = printed.lines();
    lines.iter().find(|line| !printed.any(|own| fits(line, own))).map(String::as_str)
}

/// Whether `line` is what `pattern` shows. Columns may be wider or narrower.
fn fits(pattern: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (pattern, line) = (words(pattern), words(line));
    let mut parts = pattern.split('…').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_what_they_print_are_found() -> Result<()> {
        let page = "# A\n```sh\nfirst\n```\n## B\ntext\n```sh\na \\\n  b\n```\n\nIt says:\n\
                    ```text\none …\ntwo\n```\n```yaml\nkey: value\n```\n";
        let found = blocks(page)?;
        let scripts: Vec<_> = found.iter().map(|block| (&*block.section, &*block.script)).collect();
        assert_eq!(scripts, [("", "first"), ("B", "a \\\n  b")]);
        assert_eq!(
            (found[1].line, &found[1].printed[..]),
            (7, &["one …".into(), "two".into()][..])
        );
        assert!(blocks("```yaml\n```\n```text\nx\n```\n").is_err(), "of which commands?");
        Ok(())
    }

    #[test]
    fn lines_are_found_in_their_order() {
        let lines = ["a … c".to_owned(), "pod/… created".to_owned()];
        assert_eq!(first_unmet(&lines, "x\na  b  c\ny\npod/web created\n"), None);
        assert_eq!(first_unmet(&lines, "pod/web created\na b c\n"), Some("pod/… created"));
        assert_eq!(first_unmet(&lines, "b c\n"), Some("a … c"));
        assert!(fits("whole line", "whole   line") && !fits("whole", "whole line"));
        assert!(fits("… end", "any end") && fits("start …", "start") && !fits("a … b", "a c"));
    }
}
