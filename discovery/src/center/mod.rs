//! Configuration centers: servers that hold keys of the configuration for many services at once.
//!
//! A [`Center`] is asked layer by layer. A layer is what holds for an application, for a service of
//! it, or for one of its versions; of two that say something about one key, the later wins. What a
//! center holds is followed by [`follow`], which keeps the last answer while there is no new one.

mod config_center;
mod error;
mod following;
mod held;
mod kie;
mod metrics;
mod sign_in;

use std::fmt;
use std::time::Duration;

pub use config_center::{ApiVersion, ConfigCenter};
pub use error::Error;
pub use following::{Following, follow};
pub use held::{Held, Item, Layer};
pub use kie::Kie;
pub use metrics::Metrics;
pub use sign_in::SignIn;

/// A server that holds keys of the configuration.
pub trait Center: Send + Sync + 'static {
    /// What it is and where, for people: `servicecomb-kie at http://kie:30110`.
    fn name(&self) -> String;

    /// What its layers are called, the most general first.
    fn layers(&self) -> Vec<String>;

    /// What a layer holds now, unless it is as at `since`. With `wait`, a center that can answers as
    /// soon as something changes, and after that time at the latest; another one at once.
    fn ask(
        &self,
        layer: usize,
        since: Option<&Revision>,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<Answer, Error>> + Send;

    /// Whether it can answer as soon as something changes.
    fn waits(&self) -> bool;
}

/// A state of a center, as it calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(pub String);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a center says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing else than at the revision that was named.
    Unchanged,
    /// All that the layer holds.
    Holds {
        /// What to name with the next question; without it everything is sent again.
        revision: Option<Revision>,
        /// The keys, in the order in which they are to be read: of two alike the later wins.
        items: Vec<Item>,
    },
}

/// Who asks: what is held for others is not for us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The application.
    pub app: String,
    /// The service.
    pub service: String,
    /// Its version.
    pub version: String,
    /// Its environment; empty is one of its own.
    pub environment: String,
}
