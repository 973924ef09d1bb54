//! The process around the API: its port, connections, signals, logs and numbers.

mod accept;
mod connections;
mod lifecycle;
mod logging;
mod metrics;
mod run;
mod tls;

pub use connections::Held;
pub use lifecycle::{Lifecycle, Phase};
pub use logging::{LogFormat, start as start_logging};
pub use metrics::Metrics;
pub use run::{Config, run};
pub use tls::Tls;
