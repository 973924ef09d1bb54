//! Images on a node: there is no registry, so they are brought as files.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::components::{self, PAUSE};
use super::entrance::Entrance;
use crate::cluster::DEADLINE;

/// containerd's mark on what the kubelet can use.
const KNOWN: &str = "io.cri-containerd.image=managed";

/// Brings the images of one archive, an OCI layout or what `docker save` writes, and waits until the
/// kubelet knows them.
pub(super) fn import(entrance: &Entrance, archive: &Path) -> Result<()> {
    let file =
        File::open(archive).with_context(|| format!("cannot read image {}", archive.display()))?;
    // Some folders of the machine look different from within, so it comes as a stream.
    let mut import = ctr(entrance);
    import.args(["images", "import", "-"]).stdin(Stdio::from(file));
    run(&mut import).with_context(|| format!("cannot import {}", archive.display()))?;
    let started = Instant::now();
    loop {
        let list = list(entrance)?;
        let Some(unknown) = list.iter().find(|line| is_named(line) && !line.contains(KNOWN)) else {
            return Ok(());
        };
        ensure!(started.elapsed() < DEADLINE, "the kubelet does not get to know {unknown}");
        thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// That every pod can have its sandbox.
pub(super) fn expect_pause(entrance: &Entrance) -> Result<()> {
    let there = list(entrance)?.iter().any(|line| line.split(' ').next() == Some(PAUSE));
    ensure!(there, "none of the images is {PAUSE}, which every pod needs: give its archive too");
    Ok(())
}

/// Whether containerd answers.
pub(super) fn is_ready(entrance: &Entrance) -> bool {
    run(ctr(entrance).arg("version")).is_ok()
}

/// One image a line: its name first, its marks last.
fn list(entrance: &Entrance) -> Result<Vec<String>> {
    let output = run(ctr(entrance).args(["images", "list"]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().skip(1).map(str::to_owned).collect())
}

/// Each image is there once more by its digest.
fn is_named(line: &str) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    !name.contains('@') && !name.starts_with("sha256:")
}

fn ctr(entrance: &Entrance) -> Command {
    entrance.around(&components::ctr(entrance.machine()))
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().context("cannot run ctr")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "containerd refused: {}", said.trim());
    Ok(output)
}
