//! The pods of a target, followed.
//!
//! The normal way is a list and then a watch (`watcher`). Where `watch` is forbidden the list is read again and
//! again; where `list` is forbidden too and the target is one pod by name, that pod is. A service without a selector
//! is followed by its EndpointSlices, and the pods they name are read one by one.
//!
//! A failure keeps the last good set and sets `problem`: pods do not vanish because the API server restarts.

use std::{collections::BTreeMap, future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::future::join_all;
use kube::{Api, Client, ResourceExt as _};
use tokio::{
    sync::watch::{Receiver, Sender, channel},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use super::watcher::Relist;
use super::{
    endpoint::{WatchedPod, from_pod},
    list_watch::{ListWatch, Watched},
    slices::{self, SliceMember},
    target::{PodQuery, ResolvedTarget},
    watcher::{CollectionChange, WatchBackoff, WatchVerb, Watcher},
};
use crate::{
    cluster::{
        client::Cluster,
        error::reason::reason,
        objects::{EndpointSlice, Pod},
    },
    model::endpoint::{Endpoint, PodId},
};

/// How often pods are read where they may not be watched: soon enough for a person, cheap enough for a server.
const POLL: Duration = Duration::from_secs(2);

/// How long pods are polled before watching is tried again: rights may have been granted meanwhile.
const POLL_BEFORE_RETRY: Duration = Duration::from_secs(300);

/// How often the pods that EndpointSlices name are read again without a sign: their own changes (a deletion, a
/// container's restart) reach the slices only as far as their author cares.
const MEMBERS_REREAD: Duration = Duration::from_secs(10);

/// Pods read for one service without a selector. Further ones with the same ports are as good as these.
const MEMBERS_READ: usize = 50;

/// How many pods that are not of a set any more are remembered: what became of the one in use is asked at once.
const UNSELECTED: usize = 16;

/// The pods of a target at one moment.
///
/// Those who read it copy it, which costs nothing while they have the copy only for a moment. A copy that is kept has the whole
/// set copied at the next change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// False until the first full list.
    pub synced: bool,
    /// The pods, in the order of their names.
    pub pods: Arc<Vec<Endpoint>>,
    /// Pods that were of the set and are not any more, although they are there: their labels are others now. The latest
    /// `UNSELECTED` of them, since the set was read whole.
    pub unselected: Vec<PodId>,
    /// Why the set cannot be read at the moment, if so. `pods` is the last good set then.
    pub problem: Option<String>,
}

/// What an event says of one pod.
enum PodChange {
    Apply(Endpoint),
    Delete(PodId),
    /// It is there, and of the set no more.
    Unselect(PodId),
}

impl PodChange {
    fn apply(pod: WatchedPod) -> Option<Self> {
        pod.endpoint.map(Self::Apply)
    }

    /// A watch tells of a pod whose labels are others now as of one that is deleted, but without the time of its deletion.
    fn delete(pod: WatchedPod) -> Option<Self> {
        pod.endpoint.map(|pod| if pod.terminating { Self::Delete(pod.id) } else { Self::Unselect(pod.id) })
    }
}

impl Snapshot {
    /// Makes one change in place; whether it is one. A name has one pod at a time.
    fn change(&mut self, change: PodChange) -> bool {
        let at = |name: &str| self.pods.binary_search_by(|pod| pod.id.name.as_str().cmp(name));
        match change {
            PodChange::Apply(pod) => match at(&pod.id.name) {
                Ok(at) if self.pods[at] == pod => return false,
                Ok(at) => Arc::make_mut(&mut self.pods)[at] = pod,
                Err(at) => {
                    self.unselected.retain(|id| *id != pod.id);
                    Arc::make_mut(&mut self.pods).insert(at, pod);
                }
            },
            PodChange::Unselect(id) => {
                if !self.change(PodChange::Delete(id.clone())) {
                    return false;
                }
                if self.unselected.len() == UNSELECTED {
                    self.unselected.remove(0);
                }
                self.unselected.push(id);
            }
            PodChange::Delete(id) => match at(&id.name) {
                // A StatefulSet's pod may be back under its name before the old one's end is told.
                Ok(at) if self.pods[at].id.uid == id.uid => _ = Arc::make_mut(&mut self.pods).remove(at),
                _ => return false,
            },
        }
        true
    }
}

/// Follows the pod set until `stop`; spawned on `tracker`.
///
/// `relist` has the set listed anew. `notice` is called with what is worth telling once: that pods are polled because they
/// may not be watched, or that watching them fails.
pub fn follow(
    cluster: &Cluster,
    resolved: &ResolvedTarget,
    tracker: &TaskTracker,
    stop: CancellationToken,
    relist: Relist,
    notice: impl Fn(String) + Send + Sync + 'static,
) -> Receiver<Snapshot> {
    let (sender, receiver) = channel(Snapshot::default());
    let follower = PodFollower {
        client: cluster.api.clone(),
        namespace: resolved.namespace.clone(),
        list_time: cluster.list_time,
        relist,
        feed: SnapshotSender { sender },
        notice: Box::new(notice),
    };
    let pods = resolved.pods.clone();
    tracker.spawn(async move {
        stop.run_until_cancelled(async move {
            match pods {
                PodQuery::Name(name) => follower.pods(None, Some(name)).await,
                PodQuery::Labels(labels) => follower.pods(Some(labels), None).await,
                PodQuery::Slices { service } => follower.slices(&service).await,
            }
        })
        .await;
    });
    receiver
}

/// Where snapshots go. Only what changed is published.
struct SnapshotSender {
    sender: Sender<Snapshot>,
}

impl SnapshotSender {
    /// A good reading: the set is this. Of two pods of one name the last counts.
    fn swap(&self, pods: impl IntoIterator<Item = Endpoint>) {
        let mut pods: Vec<Endpoint> = pods.into_iter().collect();
        pods.sort_by(|one, other| one.id.name.cmp(&other.id.name));
        pods.dedup_by(|later, kept| {
            let same = later.id.name == kept.id.name;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        pods.shrink_to_fit();
        let next = Snapshot { synced: true, pods: Arc::new(pods), unselected: Vec::new(), problem: None };
        self.sender.send_if_modified(|now| {
            let changed = *now != next;
            if changed {
                *now = next;
            }
            changed
        });
    }

    /// Changes of the set that make one picture; and it can be read.
    fn change(&self, changes: &mut Vec<PodChange>) {
        self.sender.send_if_modified(|now| {
            let mut changed = now.problem.take().is_some();
            for change in changes.drain(..) {
                changed |= now.change(change);
            }
            changed
        });
    }

    fn problem(&self, problem: Option<String>) {
        self.sender.send_if_modified(|now| {
            let changed = now.problem != problem;
            now.problem = problem;
            changed
        });
    }
}

struct PodFollower {
    client: Client,
    namespace: String,
    /// How long a whole list may take.
    list_time: Duration,
    relist: Relist,
    feed: SnapshotSender,
    notice: Box<dyn Fn(String) + Send + Sync>,
}

impl PodFollower {
    /// Follows pods by labels or by name.
    async fn pods(&self, labels: Option<String>, name: Option<String>) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let fields = name.as_ref().map(|name| format!("metadata.name={name}"));
        let mut watcher = self.watcher::<WatchedPod>(api.clone(), labels, fields);
        // Those that are not published yet. No more than one turn of the watch's reader gives.
        let mut changes = Vec::new();
        let (mut untold, mut unwatched) = (true, false);
        loop {
            match watcher.next().await {
                CollectionChange::Swap(pods) => {
                    changes.clear();
                    self.feed.swap(pods.into_iter().filter_map(|pod| pod.endpoint));
                }
                CollectionChange::Apply(pod) => changes.extend(PodChange::apply(pod)),
                CollectionChange::Delete(pod) => changes.extend(PodChange::delete(pod)),
                CollectionChange::Alive => {}
                CollectionChange::Problem(why) => {
                    self.feed.problem(Some(why));
                    continue;
                }
                CollectionChange::Unwatched(why) => {
                    self.report_unwatched(&mut unwatched, "pods", &why);
                    continue;
                }
                CollectionChange::Denied(WatchVerb::Watch, _) => {
                    let list_watch = &watcher.list_watch;
                    let read = || async { list_watch.list().await.map(|(pods, _)| pods) };
                    self.poll(read, &mut untold, "watching pods is forbidden here, so they are listed").await;
                    watcher.restart();
                    continue;
                }
                CollectionChange::Denied(WatchVerb::List, why) => {
                    if let Some(name) = &name {
                        let read = || async {
                            let pod = api.get_opt(name).await?;
                            Ok(pod.map(WatchedPod::read).into_iter().collect())
                        };
                        self.poll(read, &mut untold, "listing pods is forbidden here, so this one is read")
                            .await;
                        watcher.restart();
                    } else {
                        self.feed.problem(Some(why));
                    }
                    continue;
                }
            }
            // What is there already belongs to the same picture.
            if !watcher.has_more() {
                self.feed.change(&mut changes);
            }
        }
    }

    fn watcher<T: Watched>(
        &self,
        api: Api<T::Object>,
        labels: Option<String>,
        fields: Option<String>,
    ) -> Watcher<T> {
        Watcher::new(ListWatch::new(api, labels, fields, self.list_time), self.relist.clone())
    }

    /// Says once that watching fails and listing does not.
    fn report_unwatched(&self, told: &mut bool, what: &str, why: &str) {
        if !std::mem::replace(told, true) {
            (self.notice)(format!(
                "watching {what} fails ({why}), so they are listed again and again instead"
            ));
        }
    }

    /// Reads the set every [`POLL`], until it is time to see whether it may be watched, or reading is forbidden too.
    ///
    /// The first reading that shows a pod is the moment to say that this is how it goes from now on.
    async fn poll<F, R>(&self, read: F, untold: &mut bool, how: &str)
    where
        F: Fn() -> R,
        R: Future<Output = kube::Result<Vec<WatchedPod>>>,
    {
        let until = Instant::now() + POLL_BEFORE_RETRY;
        let mut pauses = WatchBackoff::default();
        while Instant::now() < until {
            let pause = match read().await {
                Ok(pods) => {
                    if !pods.is_empty() && std::mem::take(untold) {
                        (self.notice)(format!("{how} every {} s instead", POLL.as_secs()));
                    }
                    self.feed.swap(pods.into_iter().filter_map(|pod| pod.endpoint));
                    pauses.reset();
                    POLL
                }
                Err(error) => {
                    self.feed.problem(Some(reason(&error)));
                    if matches!(&error, kube::Error::Api(status) if status.code == 403) {
                        tokio::time::sleep(POLL).await;
                        return;
                    }
                    pauses.next().max(POLL)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Follows the EndpointSlices of a service, and reads the pods that they name.
    async fn slices(&self, service: &str) {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut watcher = self.watcher::<EndpointSlice>(api, Some(slices::label(service)), None);
        let mut members: BTreeMap<String, Vec<SliceMember>> = BTreeMap::new();
        let (mut synced, mut told, mut unwatched) = (false, false, false);
        loop {
            let change = {
                let mut next = pin!(watcher.next());
                loop {
                    tokio::select! {
                        change = &mut next => break change,
                        () = tokio::time::sleep(MEMBERS_REREAD), if synced => {
                            self.read_members(members.values().flatten()).await;
                        }
                    }
                }
            };
            match change {
                CollectionChange::Swap(slices) => {
                    synced = true;
                    members =
                        slices.iter().map(|s| (s.name_any(), slices::members(s, &self.namespace))).collect();
                }
                CollectionChange::Apply(slice) => {
                    members.insert(slice.name_any(), slices::members(&slice, &self.namespace));
                }
                CollectionChange::Delete(slice) => {
                    members.remove(&slice.name_any());
                }
                CollectionChange::Denied(WatchVerb::Watch, _) => {
                    if !std::mem::replace(&mut told, true) {
                        let every = POLL.as_secs();
                        (self.notice)(format!(
                            "watching EndpointSlices is forbidden here, so they are listed every {every} s instead"
                        ));
                    }
                    tokio::time::sleep(POLL).await;
                    watcher.restart();
                    continue;
                }
                CollectionChange::Problem(why) | CollectionChange::Denied(WatchVerb::List, why) => {
                    self.feed.problem(Some(why));
                    continue;
                }
                CollectionChange::Unwatched(why) => {
                    self.report_unwatched(&mut unwatched, "EndpointSlices", &why);
                    continue;
                }
                CollectionChange::Alive => {}
            }
            if synced && !watcher.has_more() {
                self.read_members(members.values().flatten()).await;
            }
        }
    }

    async fn read_members(&self, members: impl Iterator<Item = &SliceMember>) {
        let mut wanted: BTreeMap<&str, Vec<&SliceMember>> = BTreeMap::new();
        for member in members {
            wanted.entry(member.pod.name.as_str()).or_default().push(member);
        }
        let reads = slices::picked(wanted, MEMBERS_READ).into_iter().map(|(name, members)| async move {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &members[0].pod.namespace);
            let pod = api.get_opt(name).await?;
            Ok::<_, kube::Error>(pod.and_then(|pod| slices::endpoint(from_pod(&pod)?, &members)))
        });
        let pods: Result<Vec<Option<Endpoint>>, kube::Error> = join_all(reads).await.into_iter().collect();
        match pods {
            Ok(pods) => self.feed.swap(pods.into_iter().flatten()),
            Err(error) => self.feed.problem(Some(reason(&error))),
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "watch_selection_tests.rs"]
mod selection_tests;

#[cfg(test)]
#[path = "watch_cost_tests.rs"]
mod cost_tests;
