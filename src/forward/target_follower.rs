//! Follows a target's object, and with it the set of its pods: where the object stands for other pods now, those become the set.
//!
//! The supervisors of the target know of none of this. They are told of one set of pods, which changes.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    clusters::{ClusterHandle, WatchedPods},
    live_pods::PodsSource,
    live_target::LiveTarget,
    prepared::PreparedTarget,
    reporter::Reporter,
};
use crate::{
    cluster::pods::{
        object::{TargetObject, is_followed},
        target::ResolvedTarget,
        watch::Snapshot,
    },
    model::{
        endpoint::{Endpoint, PodId},
        event::EventKind,
        ports::RemotePort,
        target::{Kind, TargetRef},
    },
};

/// An object that is gone for as long as this is told of. One that is replaced by a tool is back sooner.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// What becomes of connections meanwhile.
const LAST_PODS: &str = "connections still go to the pods that it selected last";

/// Follows one target.
pub(super) struct TargetFollower {
    cluster: Arc<ClusterHandle>,
    kind: Kind,
    name: String,
    live: Arc<LiveTarget>,
    reporter: Reporter,
    ports: Vec<RemotePort>,
    told: ToldOfObject,
    source: watch::Sender<PodsSource>,
}

/// Pods that a target stands for now, and that are not known yet.
struct NextPods {
    resolved: Arc<ResolvedTarget>,
    watched: Arc<WatchedPods>,
    pods: watch::Receiver<Snapshot>,
}

/// What has been told of the object.
#[derive(Default)]
struct ToldOfObject {
    /// When its absence is told.
    gone_due: Option<Instant>,
    gone: bool,
    unusable: Option<String>,
}

/// The pods of a target that were found when it was resolved; and what follows the target from then on, if its object may come to
/// stand for others.
pub(super) fn follow(target: &PreparedTarget) -> (watch::Receiver<PodsSource>, Option<TargetFollower>) {
    let watched = Arc::clone(&target.watched);
    let (source, pods) = watch::channel(PodsSource { watched, left_behind: Arc::default() });
    let request = &target.wanted.request;
    let follower = match &request.target.subject {
        TargetRef::Object(kind, name) if is_followed(*kind) => Some(TargetFollower {
            cluster: Arc::clone(&target.cluster),
            kind: *kind,
            name: name.clone(),
            live: Arc::clone(&target.chooser.resolved),
            reporter: target.reporter.clone(),
            ports: request.ports.iter().map(|port| port.remote.clone()).collect(),
            told: ToldOfObject::default(),
            source,
        }),
        _ => None,
    };
    (pods, follower)
}

impl TargetFollower {
    /// Follows the target for as long as it is polled, once it works: nobody is to wait for its object at the start.
    pub(super) async fn run(mut self, mut works: watch::Receiver<bool>) {
        if works.wait_for(|works| *works).await.is_err() {
            return;
        }
        let object = self.cluster.watch_object(&self.live.get().namespace, self.kind, &self.name);
        let mut state = object.state.clone();
        state.mark_changed();
        let mut next: Option<NextPods> = None;
        loop {
            tokio::select! {
                changed = state.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = state.borrow_and_update().clone();
                    match self.stands_for(now) {
                        None => {}
                        Some(resolved) if resolved.has_pods_of(&self.live.get()) => {
                            next = None;
                            if resolved != self.live.get() {
                                self.settle(resolved);
                                self.source.send_modify(|_| {});
                            }
                        }
                        Some(resolved) => {
                            let watched = self.cluster.watch(&resolved);
                            next = Some(NextPods { resolved, pods: watched.pods.clone(), watched });
                        }
                    }
                }
                () = known(&mut next) => if let Some(NextPods { resolved, watched, .. }) = next.take() {
                    self.settle(resolved);
                    let before = Arc::clone(&self.source.borrow().watched);
                    let left_behind = left_behind(&before.pods.borrow().pods, &watched.pods.borrow().pods);
                    // Nobody else may follow what was followed until now.
                    self.source.send_replace(PodsSource { watched, left_behind });
                },
                () = due(self.told.gone_due) => {
                    (self.told.gone_due, self.told.gone) = (None, true);
                    self.tell(format!("{} is gone; {LAST_PODS}", self.object()));
                }
            }
        }
    }

    /// What a state of the object comes to. What is told of it is told.
    fn stands_for(&mut self, now: TargetObject) -> Option<Arc<ResolvedTarget>> {
        match now {
            TargetObject::Unread => None,
            TargetObject::Gone => {
                if !self.told.gone {
                    self.told.gone_due.get_or_insert_with(|| Instant::now() + GONE_AFTER);
                }
                None
            }
            TargetObject::Unusable(why) => {
                self.told.gone_due = None;
                if self.told.unusable.as_ref() != Some(&why) {
                    self.tell(format!("{why}; {LAST_PODS}"));
                    self.told.unusable = Some(why);
                }
                None
            }
            TargetObject::Stands(resolved) => {
                (self.told.gone_due, self.told.unusable) = (None, None);
                if std::mem::take(&mut self.told.gone) {
                    self.tell(format!("{} is there again", self.object()));
                }
                Some(resolved)
            }
        }
    }

    /// From now on the target stands for this.
    fn settle(&self, resolved: Arc<ResolvedTarget>) {
        for text in resolved.moved_ports(&self.live.get(), &self.ports) {
            self.tell(text);
        }
        self.live.set(resolved);
    }

    fn object(&self) -> String {
        format!("{} {}", self.kind.singular(), self.name)
    }

    fn tell(&self, text: String) {
        self.reporter.emit(EventKind::Notice { text });
    }
}

/// The pods that are there and not to be deleted, and are not among the new ones.
fn left_behind(before: &[Endpoint], now: &[Endpoint]) -> Arc<[PodId]> {
    let stays = |pod: &&Endpoint| !pod.terminating && now.iter().all(|other| other.id != pod.id);
    before.iter().filter(stays).map(|pod| pod.id.clone()).collect()
}

/// Resolves once the pods are known that come next, if any are to.
async fn known(next: &mut Option<NextPods>) {
    let Some(next) = next else { return std::future::pending().await };
    if next.pods.wait_for(|pods| pods.synced).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
