//! What happens when the injector or its webhook configuration goes away and comes back, and to the
//! pods that missed their sidecar meanwhile. Each scenario has a cluster of its own to break.

mod evict;
mod installed;
mod leader;
mod outage;
mod report;
mod rights;
