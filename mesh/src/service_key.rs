//! The name of a service.

use std::fmt;
use std::sync::Arc;

/// Which service is meant. Cheap to clone; compares by both parts, with case as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// What names are unique in: the application (`appId`) of service-center, the namespace of
    /// Kubernetes.
    pub scope: Arc<str>,
    /// The service's own name.
    pub name: Arc<str>,
}

impl ServiceKey {
    /// The service `name` of `scope`.
    pub fn new(scope: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { scope: scope.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.name)
    }
}
