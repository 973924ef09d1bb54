//! What the demonstration prints, and how fast.

use std::cell::Cell;
use std::env;
use std::io::{IsTerminal, Write, stdout};
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::Cluster;

use crate::cargo;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Standard output: in colour and at reading pace on a terminal, plain and at once elsewhere.
#[derive(Debug)]
pub(super) struct Screen {
    colour: bool,
    pace: Duration,
    chapter: Cell<u32>,
}

impl Screen {
    pub(super) fn new(fast: bool) -> Self {
        let terminal = stdout().is_terminal();
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour: terminal && wanted,
            pace: Duration::from_millis(if terminal && !fast { 700 } else { 0 }),
            chapter: Cell::new(0),
        }
    }

    /// The first line of an act.
    pub(super) fn title(&self, text: &str) {
        if self.chapter.replace(0) > 0 {
            put("");
            thread::sleep(self.pace);
        }
        put(&self.paint(BOLD, text));
    }

    /// A numbered heading.
    pub(super) fn chapter(&self, text: &str) {
        thread::sleep(self.pace);
        let number = self.chapter.get() + 1;
        self.chapter.set(number);
        put("");
        put(&self.paint(BOLD, &format!("{number}. {text}")));
    }

    /// A sentence, or an empty line.
    pub(super) fn say(&self, text: &str) {
        put(&format!("   {text}"));
        thread::sleep(self.pace / 2);
    }

    /// Something found, with its name in a column before it.
    pub(super) fn fact(&self, name: &str, text: &str) {
        put(&format!("   {} {text}", self.paint(GREEN, &format!("{name:<20}"))));
    }

    /// Commands for the user to type.
    pub(super) fn lines(&self, lines: &[&str]) {
        for line in lines {
            put(&format!("   {}", self.paint(CYAN, line)));
        }
    }

    /// Runs kubectl and shows the command and what it printed.
    pub(super) fn kubectl(&self, cluster: &Cluster, line: &str) -> Result<()> {
        let output = self.show(cluster, line)?;
        ensure!(output.status.success(), "`kubectl {line}` failed");
        Ok(())
    }

    /// [`Screen::kubectl`], where a refusal may be what is to be shown.
    pub(super) fn kubectl_succeeds(&self, cluster: &Cluster, line: &str) -> Result<bool> {
        Ok(self.show(cluster, line)?.status.success())
    }

    fn show(&self, cluster: &Cluster, line: &str) -> Result<Output> {
        self.typed(&format!("kubectl {}", quoted(line)));
        let output = cluster
            .kubectl()?
            .args(line.split_whitespace())
            .current_dir(cargo::root())
            .stdin(Stdio::null())
            .output()
            .context("cannot run kubectl")?;
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            let colour = if line.starts_with("Warning") { YELLOW } else { RED };
            put(&format!("     {}", self.paint(colour, line)));
        }
        self.printed(&String::from_utf8_lossy(&output.stdout));
        thread::sleep(self.pace);
        Ok(output)
    }

    /// A command that is run.
    pub(super) fn typed(&self, line: &str) {
        put(&format!("   {}", self.paint(CYAN, &format!("$ {line}"))));
    }

    /// What a command printed.
    pub(super) fn printed(&self, text: &str) {
        for line in text.lines() {
            put(&format!("     {}", self.paint(DIM, line)));
        }
    }

    /// A line of a drawing: `drawn` stands back behind `text`.
    pub(super) fn drawn(&self, drawn: &str, text: &str, about: &str) {
        put(&format!("     {}{text} {}", self.paint(DIM, drawn), self.paint(DIM, about)));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Prints a line. Nobody may be reading any more, as with `| head`: that is their choice.
fn put(line: &str) {
    let _ = writeln!(stdout(), "{}", line.trim_end());
}

/// The words as one would have to type them in a shell.
fn quoted(line: &str) -> String {
    let word = |word: &str| {
        if word.contains(['[', '*', '\\']) { format!("'{word}'") } else { word.to_owned() }
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("get pods -n chassis"), "get pods -n chassis");
        assert_eq!(quoted(r"-o a=.b[*].c\.d"), r"-o 'a=.b[*].c\.d'");
    }
}
