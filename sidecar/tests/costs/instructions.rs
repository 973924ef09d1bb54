//! Counts the instructions of a proxy in user space, with valgrind.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::syscalls;

/// What a proxy takes from its start until after `load`. The error says what this machine lacks.
pub(crate) fn count(application: SocketAddr, load: impl FnOnce(SocketAddr)) -> Result<u64, String> {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Err("valgrind is not installed".to_owned());
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let file = folder.path().join("callgrind");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().expect("this program's path"));
    let (mut served, address) = syscalls::start(application, &mut valgrind);
    load(address);
    served.end();
    let text = fs::read_to_string(&file).expect("callgrind's result");
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.and_then(|count| count.trim().parse().ok()).expect("a count of callgrind"))
}
