//! The forwards of a process: they come one by one or in groups, are listed, and go one by one.
//!
//! A forward is one port of one target. Those that were asked for together as one target share a supervisor, which
//! ends with the last of them; what forwards share beyond that is in `clusters`.

use std::{
    future::Future,
    process,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::join_all;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    ForwardOptions, GRACE,
    clusters::{ClusterHandle, Clusters},
    live_pods::PodsSource,
    live_target::LiveTarget,
    reporter::{EventSender, ForwardedPort, Reporter},
    takeover::UserForwards,
};
use crate::{
    cluster::{
        config::flags::{ClusterEnvironment, Flags},
        wait_notifier::{WaitNotifier, WaitReceiver},
    },
    error::Fatal,
    model::{
        event::{Event, EventKind, LocalAddress, StopReason},
        forward::{ForwardId, ForwardState, PortForward},
        target::{Target, TargetRef},
    },
    policy::translate::ServicePort,
    spdy::session::CreditMode,
};

/// Forwards of a process, those that are about to start among them. Each has a listener or two; this many leave most of
/// the descriptors that a system gives to connections.
pub const MAX_FORWARDS: usize = 1000;

/// Events that a slow subscriber may fall behind by: about one for each of [`MAX_FORWARDS`] that move together.
const EVENTS: usize = 1024;

/// The code of the error of an id that no forward has.
pub const UNKNOWN_ID: &str = "fwd::control::unknown_id";

/// The code of the error of one more.
pub const TOO_MANY: &str = "fwd::control::too_many";

/// How long sessions have to close in order once their connections were ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The forwards of a program. It starts them, lists them, tells what happens to them and stops them.
///
/// Clones are the same registry. When the last one is dropped every forward ends at once, with its connections;
/// [`shutdown`](Self::shutdown) lets them finish.
#[derive(Clone)]
pub struct Registry {
    pub(super) shared: Arc<RegistryInner>,
}

pub(super) struct RegistryInner {
    pub clusters: Clusters,
    pub events: EventSender,
    /// Tells of long waits before there are forwards to tell of.
    pub notifier: WaitNotifier,
    /// Supervisors, watches, sessions.
    pub tracker: TaskTracker,
    /// Forwards that end: each for its grace at most.
    endings: TaskTracker,
    /// The process ends.
    pub stop: CancellationToken,
    /// By the order in which they were started.
    forwards: Mutex<Vec<RunningForward>>,
    /// One for each that may be there.
    permits: Arc<Semaphore>,
    outcome: watch::Sender<RegistryOutcome>,
    /// The forwards of the user in all processes, where these can be asked.
    pub user_forwards: OnceLock<Arc<dyn UserForwards>>,
}

/// What has become of it all.
#[derive(Default)]
struct RegistryOutcome {
    /// Forwards there are.
    forwards: usize,
    /// The last one that was given up.
    gave_up: Option<Fatal>,
}

/// A forward at work, or about to be.
pub(super) struct RunningForward {
    pub port: Arc<ForwardedPort>,
    /// Where it listens, as `--address` takes it.
    pub address: String,
    pub run: Arc<TargetRun>,
    /// No new connections.
    pub stop: CancellationToken,
    /// No connections at all.
    pub kill: CancellationToken,
    /// One of [`MAX_FORWARDS`].
    pub _permit: OwnedSemaphorePermit,
    /// The accept loops.
    pub accepting: TaskTracker,
    pub connections: TaskTracker,
}

/// A target at work. It ends when the last of its forwards is gone.
pub(super) struct TargetRun {
    pub target: Target,
    pub live: Arc<LiveTarget>,
    pub reporter: Reporter,
    pub cluster: Arc<ClusterHandle>,
    pub options: ForwardOptions,
    pub pods: watch::Receiver<PodsSource>,
    /// Ends the supervisor with it.
    pub _stop: DropGuard,
}

impl Registry {
    /// A registry without forwards. Which clusters its forwards are of, `flags` and `environment` say as they do to kubectl.
    /// Kubeconfigs are read by [`start`](Self::start).
    pub fn new(flags: Flags, environment: ClusterEnvironment) -> Self {
        Self::with_credit(flags, environment, CreditMode::On)
    }

    /// The same, where pods are reached with or without credit (PROTOCOL §2.8).
    #[doc(hidden)]
    pub fn with_credit(flags: Flags, environment: ClusterEnvironment, credit: CreditMode) -> Self {
        let events = EventSender::new(EVENTS);
        let tracker = TaskTracker::new();
        let notifier = notice_sender(events.clone());
        let shared = RegistryInner {
            clusters: Clusters::new(flags, environment, credit, notifier.clone(), tracker.clone()),
            events,
            notifier,
            tracker,
            endings: TaskTracker::new(),
            stop: CancellationToken::new(),
            forwards: Mutex::default(),
            permits: Arc::new(Semaphore::new(MAX_FORWARDS)),
            outcome: watch::Sender::default(),
            user_forwards: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Lets the registry know of the user's forwards in other processes: whose a local address is that is taken, and how
    /// it is taken over. Once.
    #[doc(hidden)]
    pub fn know_user_forwards(&self, forwards: Arc<dyn UserForwards>) {
        let _ = self.shared.user_forwards.set(forwards);
    }

    /// The events of all forwards from now on. Forwards do not wait for who receives them: one that falls behind loses the
    /// oldest and is told how many ([`Lagged`](broadcast::error::RecvError::Lagged)). They end
    /// ([`Closed`](broadcast::error::RecvError::Closed)) once the registry was dropped and nothing of its forwards is left.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.events.subscribe()
    }

    /// What a start waits for at every moment.
    #[doc(hidden)]
    pub fn waits(&self) -> WaitReceiver {
        self.shared.notifier.waits()
    }

    /// Every forward, in the order in which they were started.
    pub fn list(&self) -> Vec<PortForward> {
        self.shared.forwards.lock().iter().map(RunningForward::snapshot).collect()
    }

    /// The local addresses of a forward, in the order in which they were asked for; none where there is no such forward.
    #[doc(hidden)]
    pub fn local_addresses(&self, id: ForwardId) -> Vec<LocalAddress> {
        let forwards = self.shared.forwards.lock();
        forwards.iter().find(|one| one.port.id == id).map(|one| one.port.bound.clone()).unwrap_or_default()
    }

    /// What the service of a forward says about its port.
    #[doc(hidden)]
    pub fn service_port(&self, id: ForwardId) -> Option<ServicePort> {
        let forwards = self.shared.forwards.lock();
        let forward = forwards.iter().find(|one| one.port.id == id)?;
        forward.run.live.get().service_port(&forward.port.remote).cloned()
    }

    /// Stops forwards: they no longer accept when this returns, and the connections that they have may go on for `grace`
    /// ([`GRACE`] is the command line's).
    ///
    /// # Errors
    ///
    /// One of them is not there. Then none is stopped.
    pub async fn stop(&self, ids: &[ForwardId], grace: Duration) -> Result<(), Fatal> {
        let gone = {
            let mut forwards = self.shared.forwards.lock();
            if let Some(unknown) = ids.iter().find(|id| !forwards.iter().any(|one| one.port.id == **id)) {
                return Err(Fatal::new(UNKNOWN_ID, format!("there is no forward {unknown}"))
                    .help("list the forwards to see their ids"));
            }
            take(&mut forwards, |one| ids.contains(&one.port.id))
        };
        self.shared.end(gone, &StopReason::Asked, grace).await;
        Ok(())
    }

    /// Stops every forward, and says how many.
    pub async fn stop_all(&self, grace: Duration) -> usize {
        let gone = take(&mut self.shared.forwards.lock(), |_| true);
        let count = gone.len();
        self.shared.end(gone, &StopReason::Asked, grace).await;
        count
    }

    /// Waits until no forward is left.
    ///
    /// # Errors
    ///
    /// One was given up, which ends the waiting as well: why.
    pub async fn finished(&self) -> Result<(), Fatal> {
        let mut outcome = self.shared.outcome.subscribe();
        let over = outcome.wait_for(|now| now.forwards == 0 || now.gave_up.is_some()).await;
        over.ok().and_then(|now| now.gave_up.clone()).map_or(Ok(()), Err)
    }

    /// Ends everything: no forward accepts any more, connections may go on for `grace`, then every task ends. Nothing can
    /// be started afterwards.
    pub async fn shutdown(&self, grace: Duration) {
        let shared = &self.shared;
        shared.stop.cancel();
        let gone = take(&mut shared.forwards.lock(), |_| true);
        shared.end(gone, &StopReason::Exit, grace).await;
        shared.endings.close();
        shared.endings.wait().await;
        shared.tracker.close();
        // Sessions say good-bye once their last stream is gone. A dial that hangs is not waited for.
        let _ = timeout(CLOSE_TIMEOUT, shared.tracker.wait()).await;
    }
}

impl Drop for RegistryInner {
    /// Accept loops and connections know their forward, not the registry.
    fn drop(&mut self) {
        for forward in self.forwards.lock().iter() {
            forward.stop.cancel();
            forward.kill.cancel();
        }
    }
}

impl RegistryInner {
    /// Permits for so many forwards, taken before anything is done for them: of those that start at once no more come
    /// about than may.
    pub(super) fn acquire_permits(&self, count: usize) -> Result<OwnedSemaphorePermit, Fatal> {
        let permits = u32::try_from(count).ok();
        let permits = permits.and_then(|count| Arc::clone(&self.permits).try_acquire_many_owned(count).ok());
        permits.ok_or_else(|| {
            let there = MAX_FORWARDS - self.permits.available_permits();
            let what = match there {
                _ if count > MAX_FORWARDS => format!("{count} forwards are too many for one process"),
                MAX_FORWARDS => format!("this process has {MAX_FORWARDS} forwards already"),
                _ => format!("this process has {there} forwards already, and {count} more were requested"),
            };
            Fatal::new(TOO_MANY, what)
                .because(format!("a process has {MAX_FORWARDS} at most"))
                .help("stop some, or start these in another process")
        })
    }

    /// The forwards, while nobody else changes them.
    pub(super) fn forwards(&self) -> MutexGuard<'_, Vec<RunningForward>> {
        self.forwards.lock()
    }

    /// An id that no forward here has.
    pub(super) fn new_id(&self) -> ForwardId {
        let forwards = self.forwards.lock();
        loop {
            let id = ForwardId::from_bits(fastrand::u64(..));
            if !forwards.iter().any(|one| one.port.id == id) {
                return id;
            }
        }
    }

    /// Takes a forward in.
    pub(super) fn add(&self, forward: RunningForward) {
        let reporter = forward.run.reporter.for_port(&forward.port);
        forward.run.reporter.add(Arc::clone(&forward.port));
        self.forwards.lock().push(forward);
        self.count();
        reporter.emit(EventKind::Started);
    }

    fn count(&self) {
        // Read inside, so that the last one to tell is right.
        self.outcome.send_modify(|outcome| outcome.forwards = self.forwards.lock().len());
    }

    /// Which of these are still there.
    pub(super) fn still_running(&self, ids: &[ForwardId]) -> Vec<ForwardId> {
        let forwards = self.forwards.lock();
        ids.iter().copied().filter(|id| forwards.iter().any(|one| one.port.id == *id)).collect()
    }

    /// Ends a group that did not come about: at once, for it has no connections that work.
    pub(super) fn undo(&self, ids: &[ForwardId], by: &StopReason) -> impl Future<Output = ()> + use<> {
        let gone = take(&mut self.forwards.lock(), |one| ids.contains(&one.port.id));
        self.end(gone, by, Duration::ZERO)
    }

    /// A target was given up.
    pub(super) async fn gave_up(&self, reporter: &Reporter, fatal: Fatal) {
        let ids: Vec<_> = reporter.ports().iter().map(|end| end.id).collect();
        let gone = take(&mut self.forwards.lock(), |one| ids.contains(&one.port.id));
        let by = StopReason::GaveUp { why: fatal.to_string() };
        self.outcome.send_modify(|outcome| outcome.gave_up = Some(fatal));
        self.end(gone, &by, GRACE).await;
    }

    /// Ends forwards that were taken out: returns once they no longer accept.
    fn end(
        &self,
        gone: Vec<RunningForward>,
        by: &StopReason,
        grace: Duration,
    ) -> impl Future<Output = ()> + use<> {
        let mut closing = Vec::new();
        for forward in gone {
            forward.run.reporter.for_port(&forward.port).emit(EventKind::Stopped { by: by.clone() });
            forward.run.reporter.remove(forward.port.id);
            forward.stop.cancel();
            forward.accepting.close();
            closing.push(forward.accepting.clone());
            // What is under way has its tunnel, and needs no supervisor.
            let RunningForward { kill, connections, .. } = forward;
            self.endings.spawn(async move {
                connections.close();
                if timeout(grace, connections.wait()).await.is_err() {
                    kill.cancel();
                    connections.wait().await;
                }
            });
        }
        self.count();
        async move {
            join_all(closing.iter().map(TaskTracker::wait)).await;
        }
    }
}

/// Long waits, as notices that are about no forward.
fn notice_sender(events: EventSender) -> WaitNotifier {
    WaitNotifier::new(move |text| {
        let (forwards, target, ports) = ([].into(), String::new(), Vec::new());
        let (label, what) = (None, EventKind::Notice { text });
        // Nobody listening is no trouble.
        let _ =
            events.send(Arc::new(Event { at: Timestamp::now(), forwards, target, ports, label, kind: what }));
    })
}

fn take(forwards: &mut Vec<RunningForward>, which: impl Fn(&RunningForward) -> bool) -> Vec<RunningForward> {
    forwards.extract_if(.., |forward| which(forward)).collect()
}

impl RunningForward {
    pub(super) fn snapshot(&self) -> PortForward {
        let Self { port: end, run, .. } = self;
        let status = end.status();
        let (resource_type, name) = match &run.target.subject {
            TargetRef::Object(kind, name) => (kind.singular(), name),
            TargetRef::Selector(selector) => (SELECTOR, selector),
        };
        let port = end.bound.iter().find_map(|bound| match bound {
            LocalAddress::Tcp(address) => Some(address.port()),
            LocalAddress::Unix(_) => None,
        });
        let local = end.bound.iter().find_map(|bound| match bound {
            LocalAddress::Unix(path) => Some(format!("unix:{}", path.display())),
            LocalAddress::Tcp(_) => None,
        });
        PortForward {
            id: end.id,
            resource_type: resource_type.to_owned(),
            name: name.clone(),
            namespace: run.live.get().namespace.clone(),
            local_port: port,
            remote_port: end.remote.clone(),
            active: status.state == ForwardState::Active,
            context: run.cluster.client.context.clone(),
            address: self.address.clone(),
            local,
            pod: status.pod.as_ref().map(|pod| pod.id.name.clone()),
            pod_port: status.pod.as_ref().and_then(|pod| run.live.get().pod_port(&end.remote, pod).ok()),
            state: status.state,
            since: status.since,
            connections: end.counters.connections(),
            bytes: end.counters.bytes(),
            restarts: status.restarts,
            pid: process::id(),
            last_error: status.last_error,
            label: run.reporter.label().map(str::to_owned),
            target: run.reporter.target().to_owned(),
            kubeconfig: run.cluster.kubeconfig.clone(),
            hold_ms: millis(run.options.hold),
            pod_running_timeout_ms: millis(run.options.pod_running_timeout),
            auto_port: run.options.auto_port,
            allow_unready: run.options.allow_unready,
            retry: run.options.retry,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// The `resourceType` of forwards to the pods of a label selector.
pub const SELECTOR: &str = "selector";
