//! What the process takes, by the names that every exporter has for it, and what it is.

use std::fmt;
use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use super::family::Writer;
use super::seconds;
use crate::shared::Shared;

/// What the build was made of, where whoever built it said so.
const COMMIT: Option<&str> = option_env!("MESHER_COMMIT");

pub(super) fn write(writer: &mut Writer<'_>, shared: &Shared) -> fmt::Result {
    let help = "1, with what was built";
    writer.gauge("mesher_build_info", help, |family| {
        let commit = COMMIT.unwrap_or_default();
        family.value(&[("version", env!("CARGO_PKG_VERSION")), ("commit", commit)], 1_i64)
    })?;
    writer.one_gauge("mesher_workers", "Threads that carry traffic", whole(shared.workers))?;
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        let micros = u64::try_from(micros).unwrap_or_default();
        let spent = std::time::Duration::from_micros(micros).as_secs_f64();
        let help = "Seconds of processor time, of the user and of the system";
        writer.counter("process_cpu_seconds", help, |family| family.seconds(spent))?;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (field, name, help) in [
        ("VmRSS:", "process_resident_memory_bytes", "Memory that is in use"),
        ("VmSize:", "process_virtual_memory_bytes", "Addresses that are in use"),
    ] {
        if let Some(kilobytes) = field_of(&status, field) {
            writer.one_gauge(name, help, kilobytes << 10)?;
        }
    }
    if let Some(threads) = field_of(&status, "Threads:") {
        writer.one_gauge("process_threads", "Threads", threads)?;
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is what is read here.
        let open = whole(open.count().saturating_sub(1));
        writer.one_gauge("process_open_fds", "Open files and sockets", open)?;
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let help = "The most files and sockets that may be open";
        writer.one_gauge("process_max_fds", help, most)?;
    }
    let help = "When the process started, in seconds since 1970";
    writer.one_gauge("process_start_time_seconds", help, seconds(shared.started))
}

/// A number of `/proc/self/status`, without its unit.
fn field_of(status: &str, field: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::field_of;

    #[test]
    fn fields_of_the_status() {
        let status = "Name:\tmesher\nVmRSS:\t   8192 kB\nThreads:\t4\n";
        assert_eq!(field_of(status, "VmRSS:"), Some(8192));
        assert_eq!(field_of(status, "Threads:"), Some(4));
        assert_eq!(field_of(status, "VmSize:"), None);
    }
}
