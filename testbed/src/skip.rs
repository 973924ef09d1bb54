//! Tests that cannot run on this machine.

use std::env;
use std::fs::File;
use std::io::Write;
use std::thread;

/// The environment variable that names the file in which skipped tests are noted.
pub const SKIPS: &str = "MESHER_SKIPS";

/// Says that the running test is skipped and why; the test then returns.
///
/// The test harness has no word for a test that finds out while it runs that the
/// machine lacks something, and counts it as passed. `cargo xtask test` reads the
/// notes and counts it as skipped, with the reason in its summary. Only what the
/// machine lacks (root, a kernel feature) is a reason; something that was not
/// built is a failure.
///
/// ```
/// fn redirects_traffic() {
///     if !std::path::Path::new("/proc/self/net/netfilter").exists() {
///         return testbed::skip("the kernel has no netfilter");
///     }
/// }
/// # redirects_traffic();
/// ```
pub fn skip(reason: &str) {
    println!("skipped: {reason}");
    let Some(path) = env::var_os(SKIPS) else {
        return;
    };
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let note = format!("{test}\t{}\n", reason.replace(['\n', '\t'], " "));
    // One write of one line: tests of several processes append to the same file.
    let noted = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(note.as_bytes()));
    if let Err(error) = noted {
        panic!("cannot note the skipped test in {}: {error}", path.display());
    }
}
