//! What is done to the installation, and what that excuses. Nothing else is.

/// Something that goes wrong.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What happens.
    pub(crate) name: &'static str,
    /// A pod may be let through without a sidecar, as the API server cannot call anybody.
    pub(crate) lets_pods_through: bool,
    /// A creation may fail, as there is no API server to ask.
    pub(crate) refuses_pods: bool,
    /// A living replica's certificate may be refused.
    pub(crate) refuses_certificates: bool,
}

impl Fault {
    const fn named(name: &'static str) -> Self {
        Self { name, lets_pods_through: false, refuses_pods: false, refuses_certificates: false }
    }
}

/// A new one stands beside the old, signs, and stays alone.
pub(crate) const A_CA_IS_REPLACED: Fault = Fault::named("a CA is replaced");

/// SIGKILL: reviews under way are lost, and connections meet nobody until the Service has noticed.
pub(crate) const THE_LEADER_IS_KILLED: Fault =
    Fault { lets_pods_through: true, ..Fault::named("the leader is killed") };

/// Its Lease has to run out before another takes its place: nobody writes certificates.
pub(crate) const NOBODY_LEADS: Fault = Fault::named("nobody leads");

/// SIGTERM, as in every rollout.
pub(crate) const THE_LEADER_LEAVES: Fault = Fault::named("the leader leaves");

pub(crate) const THE_SECRET_IS_DELETED: Fault = Fault::named("the Secret is deleted");

/// The Secret holds a leaf that has ended.
pub(crate) const THE_LEAF_HAS_RUN_OUT: Fault = Fault::named("the leaf has run out");

pub(crate) const THE_TEMPLATE_IS_BROKEN: Fault = Fault::named("the template is broken");

/// Nobody is asked to call us then; and what is applied again names no CA at first, so that the API
/// server rejects whatever we show.
pub(crate) const THE_CONFIGURATION_IS_DELETED: Fault = Fault {
    lets_pods_through: true,
    refuses_certificates: true,
    ..Fault::named("the configuration is deleted and applied again")
};

/// SIGKILL, in the middle of whatever it was doing. Once it is back it waits until it knows whom to
/// call.
pub(crate) const THE_API_SERVER_RESTARTS: Fault =
    Fault { refuses_pods: true, ..Fault::named("the API server restarts") };

/// All of them.
pub(crate) const ALL: [&Fault; 9] = [
    &A_CA_IS_REPLACED,
    &THE_LEADER_IS_KILLED,
    &NOBODY_LEADS,
    &THE_LEADER_LEAVES,
    &THE_SECRET_IS_DELETED,
    &THE_LEAF_HAS_RUN_OUT,
    &THE_TEMPLATE_IS_BROKEN,
    &THE_CONFIGURATION_IS_DELETED,
    &THE_API_SERVER_RESTARTS,
];
