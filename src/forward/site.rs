//! What all forwards of a process share: one pair of clients a cluster, one watch a set of pods, one tunnel a pod. Each
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

use super::shelf::Shelf;
use crate::{
    cluster::{
        awaited::Awaited,
        client::{Cluster, Found},
        config::flags::{Environment, Flags},
        pods::{
            target::{PodQuery, Resolved},
            watch::{Snapshot, Wish, follow},
        },
    },
    error::Fatal,
    model::endpoint::PodId,
    tunnel::{
        dial::{Dialer, Tunnel},
        error::DialError,
        limits::Limits,
    },
};

/// The clusters of a process.
pub(super) struct Sites {
    flags: Flags,
    environment: Environment,
    credit: bool,
    awaited: Awaited,
    tracker: TaskTracker,
    limits: Arc<Limits>,
    known: Shelf<[u8; 32], Site, Fatal>,
}

/// One cluster.
pub(super) struct Site {
    pub cluster: Arc<Cluster>,
    /// The kubeconfig it was found in, where one was named.
    pub kubeconfig: Option<String>,
    /// Tells of long waits.
    pub awaited: Awaited,
    dialer: Dialer,
    /// Of all tunnels of the process.
    pub limits: Arc<Limits>,
    tracker: TaskTracker,
    watches: Mutex<HashMap<(String, PodQuery), Weak<Watched>>>,
    tunnels: Shelf<PodId, Tunnel, DialError>,
}

/// A set of pods, followed for as long as this is there.
pub(super) struct Watched {
    pub pods: watch::Receiver<Snapshot>,
    /// Has the set listed anew.
    pub wish: Wish,
    /// What is worth telling once: how the set is followed, where that is not by a watch.
    pub notice: watch::Receiver<Option<String>>,
    _stop: DropGuard,
}

impl Sites {
    /// Clusters as these words mean them, but for the context. What they need runs on `tracker`.
    pub(super) fn new(
        flags: Flags,
        environment: Environment,
        credit: bool,
        awaited: Awaited,
        tracker: TaskTracker,
    ) -> Self {
        let (limits, known) = (Arc::default(), Shelf::default());
        Self { flags, environment, credit, awaited, tracker, limits, known }
    }

    /// The cluster of a context; without one, that of the flags, or else the kubeconfig's current one. The files are
    /// read each time: they may have changed, and then it is another cluster.
    pub(super) async fn site(&self, context: Option<&str>) -> Result<Arc<Site>, Fatal> {
        let mut flags = self.flags.clone();
        if let Some(context) = context {
            flags.context = Some(context.to_owned());
        }
        let environment = self.environment.clone();
        // Whoever is told of it may be in another directory.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let kubeconfig = flags.kubeconfig.as_ref().map(|path| absolute(path).display().to_string());
        let found = Found::find(flags, environment, &self.awaited).await?;
        let (key, tracker, credit) = (found.fingerprint(), self.tracker.clone(), self.credit);
        let (awaited, limits) = (self.awaited.clone(), Arc::clone(&self.limits));
        let connect = async move {
            let cluster = Arc::new(found.connect(&awaited).await?);
            // Whoever needs a cluster needs a tunnel, once its pod is known.
            cluster.dial_ahead();
            let dialer = Dialer::new(Arc::clone(&cluster), tracker.clone(), credit, Arc::clone(&limits));
            let (watches, tunnels) = (Mutex::default(), Shelf::default());
            Ok(Site { cluster, kubeconfig, awaited, dialer, limits, tracker, watches, tunnels })
        };
        let connect = connect.boxed();
        self.known.get(key, |_| true, || connect).await
    }
}

impl Site {
    /// Follows the pods of a target.
    pub(super) fn watch(&self, resolved: &Resolved) -> Arc<Watched> {
        let mut watches = self.watches.lock();
        let key = (resolved.namespace.clone(), resolved.pods.clone());
        if let Some(watched) = watches.get(&key).and_then(Weak::upgrade) {
            return watched;
        }
        watches.retain(|_, watched| watched.strong_count() > 0);
        let stop = CancellationToken::new();
        let (told, notice) = watch::channel(None);
        let wish = Wish::default();
        let pods = follow(&self.cluster, resolved, &self.tracker, stop.clone(), wish.clone(), move |text| {
            told.send_replace(Some(text));
        });
        let watched = Arc::new(Watched { pods, wish, notice, _stop: stop.drop_guard() });
        watches.insert(key, Arc::downgrade(&watched));
        watched
    }

    /// Reaches a pod; `probe` is a port of it ([`Dialer::dial`]).
    pub(super) async fn reach(&self, pod: &PodId, probe: u16) -> Result<Arc<Tunnel>, DialError> {
        let (dialer, wanted) = (self.dialer.clone(), pod.clone());
        let works = |tunnel: &Tunnel| tunnel.closed().now_or_never().is_none();
        let dial = async move { dialer.dial(&wanted, probe).await }.boxed();
        self.tunnels.get(pod.clone(), works, || dial).await
    }

    /// Lets nobody else use a tunnel that leads nowhere.
    pub(super) fn forget(&self, pod: &PodId, tunnel: &Arc<Tunnel>) {
        self.tunnels.forget(pod, tunnel);
    }
}
