//! What a target stands for at the moment.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::cluster::pods::target::ResolvedTarget;

/// A target whose object may change. It is asked for each connection, so a service's port leads where the service says now.
pub(super) struct LiveTarget(RwLock<Arc<ResolvedTarget>>);

impl LiveTarget {
    pub(super) fn new(resolved: Arc<ResolvedTarget>) -> Self {
        Self(RwLock::new(resolved))
    }

    pub(super) fn get(&self) -> Arc<ResolvedTarget> {
        Arc::clone(&self.0.read())
    }

    pub(super) fn set(&self, resolved: Arc<ResolvedTarget>) {
        *self.0.write() = resolved;
    }
}
