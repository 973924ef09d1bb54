//! Where the servers of a control plane run.

use std::process::Command;

use anyhow::Result;

use super::{ALONE, Ports};
use crate::node::Entrance;

/// A place for the servers of a control plane, and the way to them.
#[derive(Debug)]
pub(crate) struct Site {
    /// Where they listen. Clients on this machine reach the API server at the same port.
    pub(crate) ports: Ports,
    /// What the API server is told besides.
    pub(crate) api_flags: Vec<String>,
    /// The node that they run on; `None`: on this machine, beside everything else.
    pub(crate) inside: Option<Entrance>,
}

impl Site {
    /// This machine.
    pub(super) fn here() -> Result<Self> {
        let api_flags = ALONE.map(str::to_owned).into();
        Ok(Self { ports: Ports::free()?, api_flags, inside: None })
    }

    /// The command that runs another one there.
    pub(super) fn place(&self, command: Command) -> Command {
        match &self.inside {
            Some(node) => node.around(&command),
            None => command,
        }
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }
}
