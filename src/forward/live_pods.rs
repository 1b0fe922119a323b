//! The pods of a target, whichever set that is at the time.

use std::{future::pending, sync::Arc};

use tokio::sync::watch;

use super::clusters::WatchedPods;
use crate::{cluster::pods::watch::Snapshot, model::endpoint::PodId};

/// The set of pods that a target stands for.
#[derive(Clone)]
pub(super) struct PodsSource {
    /// Followed for as long as this is there.
    pub watched: Arc<WatchedPods>,
    /// Pods of the set before that are there, and are not of this one.
    pub left_behind: Arc<[PodId]>,
}

/// A set of pods that changes, and that may be another one from some time on. The set is read where it is: a copy that is kept
/// would be made anew at each of its changes.
#[derive(Clone)]
pub(super) struct LivePods {
    source: watch::Receiver<PodsSource>,
    set: watch::Receiver<Snapshot>,
}

impl LivePods {
    pub(super) fn new(source: watch::Receiver<PodsSource>) -> Self {
        let set = source.borrow().watched.pods.clone();
        Self { source, set }
    }

    /// Waits until the set has changed, or is another one. One that is no longer followed never does: its error comes at once
    /// each time, and a loop that took it for a change would spin.
    pub(super) async fn changed(&mut self) {
        let Self { source, set } = self;
        tokio::select! {
            () = is_changed(set) => return,
            () = is_changed(source) => {}
        }
        self.follow_source();
    }

    /// The set, of which all changes until now are seen.
    pub(super) fn borrow_and_update(&mut self) -> watch::Ref<'_, Snapshot> {
        if self.source.has_changed().unwrap_or(false) {
            self.follow_source();
        }
        self.set.borrow_and_update()
    }

    /// The set, as it was followed last.
    pub(super) fn borrow(&self) -> watch::Ref<'_, Snapshot> {
        self.set.borrow()
    }

    /// Waits until the set is as wanted.
    pub(super) async fn wait_for(&mut self, enough: impl Fn(&Snapshot) -> bool) {
        while !enough(&self.borrow_and_update()) {
            self.changed().await;
        }
    }

    /// Has the set listed anew.
    pub(super) fn relist(&self) {
        self.source.borrow().watched.relist.request();
    }

    /// Has the set followed over another connection, from where it is.
    pub(super) fn reconnect(&self) {
        self.source.borrow().watched.relist.reconnect();
    }

    /// Whether a pod is there that was of the set, and is not any more.
    pub(super) fn is_unselected(&self, snapshot: &Snapshot, pod: &PodId) -> bool {
        snapshot.unselected.contains(pod) || self.source.borrow().left_behind.contains(pod)
    }

    fn follow_source(&mut self) {
        let set = self.source.borrow_and_update().watched.pods.clone();
        self.set = set;
    }
}

async fn is_changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_set_that_is_no_longer_followed_does_not_change() {
        let (publish, mut pods) = watch::channel(Snapshot::default());
        publish.send_replace(Snapshot::default());
        assert!(is_changed(&mut pods).now_or_never().is_some());
        drop(publish);
        assert!(is_changed(&mut pods).now_or_never().is_none());
    }
}
