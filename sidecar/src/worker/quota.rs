//! How many threads a container's share of the processors is worth.

use std::fs;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// Without a quota: the sidecar is a guest on the host.
const WITHOUT_QUOTA: usize = 2;
/// Beyond, a sidecar carries more than its application could.
const MOST: usize = 4;

/// The number of workers: what was `asked` for, else by the quota, one to four.
pub(crate) fn workers(asked: Option<NonZeroUsize>) -> usize {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    asked.map_or_else(|| for_quota(quota(), cores), NonZeroUsize::get)
}

fn for_quota(quota: Option<f64>, cores: usize) -> usize {
    let Some(quota) = quota else { return WITHOUT_QUOTA.min(cores) };
    (1..MOST)
        .find(|count| f64::from(u8::try_from(*count).unwrap_or(u8::MAX)) >= quota)
        .unwrap_or(MOST)
}

/// Processors that the cgroup allows; `None`: as many as there are.
fn quota() -> Option<f64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    if let Some(text) = read("/sys/fs/cgroup/cpu.max") {
        return version_2(&text);
    }
    let dir = "/sys/fs/cgroup/cpu,cpuacct";
    let quota = read(&format!("{dir}/cpu.cfs_quota_us"))?;
    version_1(&quota, &read(&format!("{dir}/cpu.cfs_period_us"))?)
}

/// `cpu.max`: quota and period in microseconds, or `max`.
fn version_2(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    version_1(quota, period)
}

/// `cpu.cfs_quota_us` is -1 where there is no quota.
fn version_1(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok().filter(|quota| *quota > 0.0)?;
    let period: f64 = period.trim().parse().ok().filter(|period| *period > 0.0)?;
    Some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::{for_quota, version_1, version_2};

    #[test]
    fn workers_by_quota() {
        for (text, workers) in [
            ("max 100000\n", 2),
            ("5000 100000\n", 1),
            ("50000 100000\n", 1),
            ("100000 100000\n", 1),
            ("150000 100000\n", 2),
            ("250000 100000\n", 3),
            ("1000000 100000\n", 4),
            ("garbage", 2),
        ] {
            assert_eq!(for_quota(version_2(text), 8), workers, "{text:?}");
        }
        assert_eq!(for_quota(version_1("-1\n", "100000\n"), 8), 2);
        assert_eq!(for_quota(None, 1), 1, "no more than there are cores");
    }
}
