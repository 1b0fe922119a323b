//! What all forwards of a process share: one pair of clients per cluster, one watch per set of pods, one tunnel per pod. Each
//! is made for its first user, and gone with its last.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Weak},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{disturbances, once_map::OnceMap};
use crate::{
    cluster::{
        client::{Cluster, ClusterConfig},
        config::flags::{ClusterEnvironment, Flags},
        pods::{
            object::{TargetObject, follow_object},
            target::{PodQuery, ResolvedTarget},
            watch::{Relist, Snapshot, follow},
        },
        wait_notifier::WaitNotifier,
    },
    error::Fatal,
    model::{endpoint::PodId, target::Kind},
    spdy::session::CreditMode,
    tunnel::{
        dial::{PodDialer, Tunnel},
        error::DialError,
        limits::Limits,
    },
};

/// The clusters of a process.
pub(super) struct Clusters {
    flags: Flags,
    environment: ClusterEnvironment,
    credit: CreditMode,
    notifier: WaitNotifier,
    tracker: TaskTracker,
    limits: Arc<Limits>,
    handles: OnceMap<[u8; 32], ClusterHandle, Fatal>,
}

/// One cluster.
pub(super) struct ClusterHandle {
    pub client: Arc<Cluster>,
    /// The kubeconfig it was found in, where one was named.
    pub kubeconfig: Option<String>,
    /// Tells of long waits.
    pub notifier: WaitNotifier,
    dialer: PodDialer,
    /// Of all tunnels of the process.
    pub limits: Arc<Limits>,
    tracker: TaskTracker,
    watches: Arc<Watches>,
    /// By namespace, kind and name.
    objects: Mutex<HashMap<(String, Kind, String), Weak<WatchedObject>>>,
    tunnels: OnceMap<PodId, Tunnel, DialError>,
    /// Ends what watches for disturbances.
    _disturbances: DropGuard,
}

/// The sets of pods that are followed on a cluster.
#[derive(Default)]
pub(super) struct Watches(Mutex<HashMap<(String, PodQuery), Weak<WatchedPods>>>);

impl Watches {
    /// Has each go on over another connection.
    pub(super) fn reconnect(&self) {
        for watched in self.0.lock().values().filter_map(Weak::upgrade) {
            watched.relist.reconnect();
        }
    }
}

/// A set of pods, followed for as long as this is there.
pub(super) struct WatchedPods {
    pub pods: watch::Receiver<Snapshot>,
    /// Has the set listed anew.
    pub relist: Relist,
    /// What is worth telling once: how the set is followed, where that is not by a watch.
    pub notice: watch::Receiver<Option<String>>,
    _stop: DropGuard,
}

/// The object of a target, followed for as long as this is there.
pub(super) struct WatchedObject {
    pub state: watch::Receiver<TargetObject>,
    _stop: DropGuard,
}

impl Clusters {
    /// Clusters as these words mean them, but for the context. What they need runs on `tracker`.
    pub(super) fn new(
        flags: Flags,
        environment: ClusterEnvironment,
        credit: CreditMode,
        notifier: WaitNotifier,
        tracker: TaskTracker,
    ) -> Self {
        let (limits, known) = (Arc::default(), OnceMap::default());
        Self { flags, environment, credit, notifier, tracker, limits, handles: known }
    }

    /// The cluster of a context; without one, that of the flags, or else the kubeconfig's current one. The files are
    /// read each time: they may have changed, and then it is another cluster.
    pub(super) async fn cluster(&self, context: Option<&str>) -> Result<Arc<ClusterHandle>, Fatal> {
        let mut flags = self.flags.clone();
        if let Some(context) = context {
            flags.context = Some(context.to_owned());
        }
        let environment = self.environment.clone();
        // The reader of a message may be in another directory.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let kubeconfig = flags.kubeconfig.as_ref().map(|path| absolute(path).display().to_string());
        let found = ClusterConfig::find(flags, environment, &self.notifier).await?;
        let (key, tracker, credit) = (found.fingerprint(), self.tracker.clone(), self.credit);
        let (notifier, limits) = (self.notifier.clone(), Arc::clone(&self.limits));
        let connect = async move {
            let cluster = Arc::new(found.connect(&notifier).await?);
            // A user of a cluster needs a tunnel, once its pod is known.
            cluster.preconnect();
            let dialer = PodDialer::new(Arc::clone(&cluster), tracker.clone(), credit, Arc::clone(&limits));
            let (watches, objects, tunnels) =
                (Arc::<Watches>::default(), Mutex::default(), OnceMap::default());
            let end = CancellationToken::new();
            let watched = Arc::clone(&watches);
            let disturbances = disturbances::follow(Arc::clone(&cluster), Arc::clone(&limits), move || {
                watched.reconnect();
            });
            tracker.spawn(end.clone().run_until_cancelled_owned(disturbances));
            Ok(ClusterHandle {
                client: cluster,
                kubeconfig,
                notifier,
                dialer,
                limits,
                tracker,
                watches,
                objects,
                tunnels,
                _disturbances: end.drop_guard(),
            })
        };
        let connect = connect.boxed();
        self.handles.get(key, |_| true, || connect).await
    }

    /// Those that somebody uses.
    pub(super) fn all(&self) -> Vec<Arc<ClusterHandle>> {
        self.handles.all().into_iter().map(|(_, cluster)| cluster).collect()
    }
}

impl ClusterHandle {
    /// Follows the pods of a target.
    pub(super) fn watch(&self, resolved: &ResolvedTarget) -> Arc<WatchedPods> {
        let mut watches = self.watches.0.lock();
        let key = (resolved.namespace.clone(), resolved.pods.clone());
        if let Some(watched) = watches.get(&key).and_then(Weak::upgrade) {
            return watched;
        }
        watches.retain(|_, watched| watched.strong_count() > 0);
        let stop = CancellationToken::new();
        let (told, notice) = watch::channel(None);
        let relist = Relist::default();
        let pods = follow(&self.client, resolved, &self.tracker, stop.clone(), relist.clone(), move |text| {
            told.send_replace(Some(text));
        });
        let watched = Arc::new(WatchedPods { pods, relist, notice, _stop: stop.drop_guard() });
        watches.insert(key, Arc::downgrade(&watched));
        watched
    }

    /// Follows the object of a target, of a kind that `is_followed`.
    pub(super) fn watch_object(&self, namespace: &str, kind: Kind, name: &str) -> Arc<WatchedObject> {
        let mut objects = self.objects.lock();
        let key = (namespace.to_owned(), kind, name.to_owned());
        if let Some(watched) = objects.get(&key).and_then(Weak::upgrade) {
            return watched;
        }
        objects.retain(|_, watched| watched.strong_count() > 0);
        let stop = CancellationToken::new();
        let state = follow_object(&self.client, (namespace, kind, name), &self.tracker, stop.clone());
        let watched = Arc::new(WatchedObject { state, _stop: stop.drop_guard() });
        objects.insert(key, Arc::downgrade(&watched));
        watched
    }

    /// Reaches a pod; `probe` is a port of it ([`PodDialer::dial`]).
    pub(super) async fn dial(&self, pod: &PodId, probe: u16) -> Result<Arc<Tunnel>, DialError> {
        let (dialer, wanted) = (self.dialer.clone(), pod.clone());
        let works = |tunnel: &Tunnel| tunnel.closed().now_or_never().is_none();
        let dial = async move { dialer.dial(&wanted, probe).await }.boxed();
        self.tunnels.get(pod.clone(), works, || dial).await
    }

    /// The sets of pods that are followed, by their namespace and what they are.
    pub(super) fn watched(&self) -> Vec<((String, PodQuery), Arc<WatchedPods>)> {
        let watches = self.watches.0.lock();
        watches.iter().filter_map(|(key, watched)| Some((key.clone(), watched.upgrade()?))).collect()
    }

    /// The tunnels that somebody uses.
    pub(super) fn tunnels(&self) -> Vec<(PodId, Arc<Tunnel>)> {
        self.tunnels.all()
    }

    /// Lets nobody else use a tunnel that leads nowhere.
    pub(super) fn forget(&self, pod: &PodId, tunnel: &Arc<Tunnel>) {
        self.tunnels.forget(pod, tunnel);
    }
}
