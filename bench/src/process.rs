//! What the kernel tells of a process: CPU time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// CPU time of all threads of a process. The kernel counts in ticks of 10 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl Cpu {
    /// So far, from `/proc/PID/stat`.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} is gone"))?;
        let hertz = sysconf(SysconfVar::CLK_TCK)?.context("the kernel tells no clock tick")?;
        parse(&stat, u32::try_from(hertz)?)
    }

    /// The same of several processes.
    pub fn of_all(pids: &[u32]) -> Result<Self> {
        pids.iter().try_fold(Self::default(), |sum, pid| {
            let one = Self::of(*pid)?;
            Ok(Self { user: sum.user + one.user, system: sum.system + one.system })
        })
    }

    /// What came since it was `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    /// Program and kernel.
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

/// proc(5): `utime` and `stime` are the fields 14 and 15; the second is a name in parentheses,
/// which may hold anything.
fn parse(stat: &str, hertz: u32) -> Result<Cpu> {
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let time = |field: usize| -> Result<Duration> {
        let ticks: u64 = fields.get(field - 3).context("the stat line is short")?.parse()?;
        Ok(Duration::from_secs(ticks) / hertz)
    };
    Ok(Cpu { user: time(14)?, system: time(15)? })
}

/// A process and all that it has started.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut pids = vec![pid];
    let mut at = 0;
    while let Some(pid) = pids.get(at).copied() {
        at += 1;
        // Who has just ended has no children.
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        pids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    pids
}

/// Memory of several processes that is in RAM, in bytes. What they share counts once, which is
/// less than the sum of what each has.
pub fn proportional(pids: &[u32]) -> Result<u64> {
    pids.iter().try_fold(0, |sum, pid| {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = line.context("the kernel tells no Pss")?.trim().trim_end_matches(" kB");
        Ok(sum + (kilobytes.parse::<u64>()? << 10))
    })
}

/// Memory of a process that is in RAM, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// The most it ever was.
    pub peak: u64,
}

impl Memory {
    /// From `/proc/PID/status`.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        let bytes = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let line = line.with_context(|| format!("the kernel tells no {key}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
        };
        Ok(Self { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() -> Result<()> {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 0 0";
        let cpu = parse(stat, 100)?;
        assert_eq!((cpu.user.as_millis(), cpu.system.as_millis()), (2500, 500));
        assert!(parse("7 (a) S 1", 100).is_err());
        Ok(())
    }

    #[test]
    fn this_process_has_memory() -> Result<()> {
        let memory = Memory::of(std::process::id())?;
        assert!(memory.resident > 0 && memory.resident <= memory.peak);
        Ok(())
    }
}
