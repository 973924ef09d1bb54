//! Where built tools lie, and how one gets there without half a build ever being seen.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Tool, recipe};
use crate::progress::Step;

/// Starts the name of a folder that is being filled.
const BUILDING: &str = ".building-";

/// `$MESHER_CACHE`, else `$XDG_CACHE_HOME/mesher`, else `~/.cache/mesher`.
///
/// Inside: `NAME/KEY/bin/PROGRAM`. Nothing is ever changed in place, so any
/// folder in it may be deleted while no test runs; it is built again.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("MESHER_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("mesher")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/mesher")))
        .context("no cache folder for built tools: set MESHER_CACHE, XDG_CACHE_HOME or HOME")
}

impl Tool {
    /// The path of one of its programs, or `None` when it was not built yet.
    pub fn locate(&self, program: &str) -> Result<Option<PathBuf>> {
        if !self.recipe.is_cached() {
            return Ok(recipe::on_path(program));
        }
        let path = self.destination()?.join("bin").join(program);
        Ok(path.is_file().then_some(path))
    }

    /// Builds the tool unless the cache holds it. Any number of processes may
    /// ask at once: one builds, the others wait for it.
    pub fn ensure(&self) -> Result<()> {
        if self.is_there()? {
            return Ok(());
        }
        let provide = |folder: &Path| {
            self.recipe.build(self, folder).with_context(|| format!("cannot provide {}", self.name))
        };
        if !self.recipe.is_cached() {
            return provide(Path::new("/"));
        }
        fill(&self.destination()?, || self.is_there().unwrap_or(false), provide)
    }

    /// Whether every program of the tool can be run.
    pub fn is_there(&self) -> Result<bool> {
        for program in self.recipe.programs() {
            if self.locate(program)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The folder under `testbed/tools/` that pins the tool; not every recipe has one.
    pub(super) fn pins(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(self.name)
    }

    /// The folder in the cache that holds exactly this version, built this way.
    fn destination(&self) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        hash.update(format!("{:?}\n{}\n", self.recipe, self.recipe.toolchain(self)?));
        let pins = self.pins();
        if pins.is_dir() {
            let mut files: Vec<PathBuf> =
                fs::read_dir(&pins)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
            files.retain(|path| path.is_file());
            files.sort();
            for file in files {
                let content = fs::read(&file)?;
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                hash.update(format!("{name}\0{}\0", content.len()));
                hash.update(content);
            }
        }
        let digest = hash.finalize();
        let (first, _) = digest.split_first_chunk().context("a digest is longer than its key")?;
        let key = format!("{:016x}", u64::from_be_bytes(*first));
        Ok(cache_folder()?.join(self.name).join(key))
    }
}

/// Lets `build` fill a folder and moves it to `destination`, unless somebody did
/// so while we waited for the lock and it `is_complete`.
fn fill(
    destination: &Path,
    is_complete: impl Fn() -> bool,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = destination.parent().context("a destination lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| {
        format!("cannot create {}; MESHER_CACHE names another folder", folder.display())
    })?;
    let _lock = lock(&folder.join("lock"))?;
    if is_complete() {
        return Ok(());
    }
    // We hold the lock: whoever filled these was killed.
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(BUILDING) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let building = tempfile::Builder::new().prefix(BUILDING).tempdir_in(folder)?;
    build(building.path())?;
    // It is there when somebody deleted a part of it.
    let _ = fs::remove_dir_all(destination);
    fs::rename(building.keep(), destination)
        .with_context(|| format!("cannot move what was built to {}", destination.display()))
}

/// Holds a lock file; the kernel gives it back when we die.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let step =
                Step::start(&format!("waiting for another build, which holds {}", path.display()));
            file.lock()?;
            step.done();
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use anyhow::bail;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("the folder can be read")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn of_many_builders_one_builds() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let destination = cache.path().join("tool/key");
        let builds = AtomicU32::new(0);
        let build = |folder: &Path| {
            builds.fetch_add(1, Ordering::SeqCst);
            // The others must not take a part for the whole.
            fs::write(folder.join("first"), "")?;
            thread::yield_now();
            Ok(fs::write(folder.join("second"), "")?)
        };
        thread::scope(|scope| {
            let builders: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| fill(&destination, || destination.exists(), build)))
                .collect();
            builders.into_iter().try_for_each(|one| one.join().expect("no panic"))
        })?;
        assert_eq!(builds.into_inner(), 1);
        assert_eq!(names(&destination), ["first", "second"]);
        assert_eq!(names(&cache.path().join("tool")), ["key", "lock"]);
        Ok(())
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_can_be_tried_again() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let destination = cache.path().join("tool/key");
        let error = fill(
            &destination,
            || false,
            |folder| {
                fs::write(folder.join("half"), "")?;
                bail!("the disk is full")
            },
        )
        .expect_err("the build failed");
        assert_eq!(error.to_string(), "the disk is full");
        assert_eq!(names(&cache.path().join("tool")), ["lock"]);

        // As a killed builder leaves it.
        fs::create_dir(cache.path().join("tool/.building-abc"))?;
        fill(&destination, || false, |folder| Ok(fs::write(folder.join("whole"), "")?))?;
        assert_eq!(names(&destination), ["whole"]);
        assert_eq!(names(&cache.path().join("tool")), ["key", "lock"]);
        Ok(())
    }
}
