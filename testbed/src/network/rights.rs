//! Whether this machine lets us make networks, and how.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use crate::tools::on_path;

/// What every namespace of ours has of its own, besides the users.
pub(super) const KINDS: [&str; 2] = ["--net", "--mount"];
/// Everything that is done later, done once: a namespace in which something is refused is of no use.
const TRIAL: &str = "\"$0\" link set lo up && \"$0\" link add name mesh type bridge && \
    \"$0\" link add name port type veth peer name eth0 && mount --bind \"$1\" /etc";
/// What helps where the kernel refuses.
const REMEDY: &str = "run this as root, or let users make namespaces \
    (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces=10000, \
    kernel.apparmor_restrict_unprivileged_userns=0)";

/// How namespaces are made on this machine.
#[derive(Debug, Clone)]
pub(super) struct Rights {
    pub(super) ip: PathBuf,
    pub(super) unshare: PathBuf,
    pub(super) nsenter: PathBuf,
    /// Whether they belong to a user namespace of ours. Only root can do without one.
    pub(super) users: bool,
}

impl Rights {
    /// Tries it; the error says why nobody gets a network here, and what helps.
    pub(super) fn of_this_machine() -> Result<Self, String> {
        let find = |program: &str, package: &str| {
            let missing = || format!("{program} is not installed: apt-get install {package}");
            on_path(program).ok_or_else(missing)
        };
        let mut rights = Self {
            ip: find("ip", "iproute2")?,
            unshare: find("unshare", "util-linux")?,
            nsenter: find("nsenter", "util-linux")?,
            users: true,
        };
        let Err(refusal) = rights.try_out() else { return Ok(rights) };
        // Where users may make no namespaces, root still may.
        rights.users = false;
        if Uid::effective().is_root() && rights.try_out().is_ok() {
            return Ok(rights);
        }
        Err(format!("network namespaces cannot be made here ({refusal}): {REMEDY}"))
    }

    /// The flags of `unshare` for a namespace that needs no other.
    pub(super) fn flags(&self) -> Vec<&'static str> {
        let users: &[_] = if self.users { &["--user", "--map-root-user"] } else { &[] };
        users.iter().chain(&KINDS).copied().collect()
    }

    fn try_out(&self) -> Result<(), String> {
        let mut trial = Command::new(&self.unshare);
        trial.args(self.flags()).args(["--", "bash", "-c", TRIAL]);
        trial.arg(&self.ip).arg(env::temp_dir()).stdin(Stdio::null());
        let output = trial.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().last().map_or_else(|| output.status.to_string(), str::to_owned))
    }
}
