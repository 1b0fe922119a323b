//! Starting forwards, all of a group or none: every target is resolved, every local address bound, and only then anything
//! runs. What goes wrong before all of it works undoes the rest.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ForwardOptions, ForwardSpec,
    chooser::PodChooser,
    clusters::{ClusterHandle, WatchedPods},
    connection::ConnectionContext,
    listener::{self, BoundListener, PortReplacement, TakenPort},
    no_pod::{no_port, pods_unread},
    registry::{Registry, RegistryInner, RunningForward, TargetRun},
    reporter::{ForwardedPort, Reporter},
    route::RouteReceiver,
    start_progress::StartProgress,
    supervisor::{self, Supervisor},
};
use crate::{
    cluster::pods::{
        examine::examine,
        namesake::with_namesake,
        target::{self, ResolvedTarget},
        watch::Snapshot,
    },
    error::Fatal,
    model::{
        event::{EventKind, StopReason},
        forward::ForwardId,
        ports::{Address, LocalPort, PortSpec, RemotePort},
        target::Target,
    },
};

/// Questions to an API server at a time while a group starts. Each takes a connection of its own.
const AT_ONCE: usize = 8;

/// A target on its way to being forwarded.
struct PreparedTarget {
    wanted: ForwardSpec,
    cluster: Arc<ClusterHandle>,
    resolved: Arc<ResolvedTarget>,
    chooser: Arc<PodChooser>,
    watched: Arc<WatchedPods>,
    reporter: Reporter,
    ports: Vec<BoundPort>,
}

/// One port of it, bound.
struct BoundPort {
    remote: RemotePort,
    listening: Vec<BoundListener>,
    replacement: Option<PortReplacement>,
    address: String,
}

/// How one target's start goes on.
struct PendingStart {
    ready: watch::Receiver<bool>,
    failed: oneshot::Receiver<Fatal>,
}

/// The forwards of a group that does not work yet. They end with it.
struct StartGroup<'a> {
    shared: &'a RegistryInner,
    ids: Vec<ForwardId>,
}

impl Registry {
    /// Starts all of `wanted`, or none. When it returns every port is bound, and connections to it reach a pod. Returns the
    /// ids of the forwards, in the order of their ports; one that was stopped meanwhile is left out.
    ///
    /// # Errors
    ///
    /// The first reason why one of them does not work: the kubeconfig, the API server, a target that is not there or has no
    /// pod that is ready in time, a local port that is taken. Nothing is left behind then, and neither is where the future is
    /// dropped before it is ready.
    pub async fn start(&self, wanted: Vec<ForwardSpec>) -> Result<Vec<ForwardId>, Fatal> {
        let permits = self.shared.acquire_permits(wanted.iter().map(|one| one.request.ports.len()).sum())?;
        let over = || {
            Fatal::new("fwd::forward::exit", "cannot start a forward: this process is about to exit")
                .help("start it in another process")
        };
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => Err(over()),
            started = Box::pin(self.start_group(wanted, permits)) => started,
        }
    }

    async fn start_group(
        &self,
        wanted: Vec<ForwardSpec>,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<Vec<ForwardId>, Fatal> {
        let mut prepared = self.prepare(wanted).await?;
        stream::iter(prepared.iter_mut().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |target| {
                let cluster = Arc::clone(&target.cluster.client);
                let asked = format!("the pods of {}", target.reporter.target());
                let looking = target.check_pods();
                async move { self.shared.notifier.watch(|| cluster.waiting_for(&asked), looking).await }
            })
            .await?;
        for target in &mut prepared {
            target.bind().await?;
        }
        let mut group = StartGroup { shared: &self.shared, ids: Vec::new() };
        let starting: Vec<_> =
            prepared.into_iter().map(|target| self.spawn(target, &mut permits, &mut group.ids)).collect();
        if let Err(fatal) = try_join_all(starting.into_iter().map(PendingStart::finished)).await {
            let ids = std::mem::take(&mut group.ids);
            self.shared.undo(&ids, &StopReason::GaveUp { why: fatal.to_string() }).await;
            return Err(fatal);
        }
        match self.shared.still_running(&std::mem::take(&mut group.ids)) {
            none if none.is_empty() => {
                Err(Fatal::new("fwd::forward::stopped", "it was stopped before it worked")
                    .because("by 'kubectl fwd stop' or another program"))
            }
            ids => Ok(ids),
        }
    }

    /// Finds clusters and targets, each once.
    async fn prepare(&self, wanted: Vec<ForwardSpec>) -> Result<Vec<PreparedTarget>, Fatal> {
        let mut clusters: HashMap<Option<String>, Arc<ClusterHandle>> = HashMap::new();
        let mut distinct: Vec<(Arc<ClusterHandle>, Target)> = Vec::new();
        let mut places = Vec::new();
        for one in &wanted {
            let cluster = match clusters.get(&one.context) {
                Some(cluster) => Arc::clone(cluster),
                None => self.shared.clusters.cluster(one.context.as_deref()).await?,
            };
            clusters.insert(one.context.clone(), Arc::clone(&cluster));
            let target = &one.request.target;
            let same = |(s, t): &(Arc<ClusterHandle>, Target)| Arc::ptr_eq(s, &cluster) && t == target;
            places.push(distinct.iter().position(same).unwrap_or(distinct.len()));
            if places.last() == Some(&distinct.len()) {
                distinct.push((cluster, target.clone()));
            }
        }
        let resolve = |(cluster, target): (Arc<ClusterHandle>, Target)| async move {
            let asked = target.to_string();
            let finding = target::resolve(&cluster.client, &target);
            let resolved = self.shared.notifier.watch(|| cluster.client.waiting_for(&asked), finding).await?;
            Ok::<_, Fatal>((cluster, Arc::new(resolved)))
        };
        let found: Vec<_> = stream::iter(distinct).map(resolve).buffered(AT_ONCE).try_collect().await?;
        let mut prepared = Vec::new();
        for (wanted, place) in wanted.into_iter().zip(places) {
            let (cluster, resolved) = found[place].clone();
            resolved.check(&wanted.request.ports)?;
            let reporter = Reporter::new(
                self.shared.events.clone(),
                wanted.request.target.to_string(),
                wanted.label.clone(),
            );
            let watched = cluster.watch(&resolved);
            let ports = wanted.request.ports.iter().map(|port| port.remote.clone()).collect();
            let chooser = PodChooser::new(Arc::clone(&resolved), &wanted.options, ports);
            let chooser = Arc::new(chooser);
            prepared.push(PreparedTarget {
                wanted,
                cluster,
                resolved,
                chooser,
                watched,
                reporter,
                ports: Vec::new(),
            });
        }
        Ok(prepared)
    }

    /// Starts one target's supervisor and the accept loops of its local addresses.
    fn spawn(
        &self,
        target: PreparedTarget,
        permits: &mut OwnedSemaphorePermit,
        ids: &mut Vec<ForwardId>,
    ) -> PendingStart {
        let PreparedTarget { wanted, cluster, resolved, chooser, watched, reporter, ports: ends } = target;
        let stop = CancellationToken::new();
        let run = Arc::new(TargetRun {
            target: wanted.request.target,
            resolved: Arc::clone(&resolved),
            reporter: reporter.clone(),
            cluster: Arc::clone(&cluster),
            options: wanted.options.clone(),
            _watched: Arc::clone(&watched),
            _stop: stop.clone().drop_guard(),
        });
        for BoundPort { remote, listening, replacement: instead, address } in ends {
            let bound = listening.iter().map(|listening| listening.bound.clone()).collect();
            let end = Arc::new(ForwardedPort::new(self.shared.new_id(), remote, bound));
            // There is one for each port.
            let Some(permit) = permits.split(1) else { break };
            ids.push(end.id);
            let forward = RunningForward {
                port: Arc::clone(&end),
                address,
                run: Arc::clone(&run),
                stop: CancellationToken::new(),
                kill: CancellationToken::new(),
                _permit: permit,
                accepting: TaskTracker::new(),
                connections: TaskTracker::new(),
            };
            let context = ConnectionContext::new(
                RouteReceiver::new(&end.route),
                Arc::clone(&resolved),
                Arc::clone(&end),
                wanted.options.hold,
                reporter.for_port(&end),
                forward.stop.clone(),
            );
            let context = Arc::new(context);
            for listening in listening {
                let (connections, context) = (forward.connections.clone(), Arc::clone(&context));
                let (stop, kill) = (forward.stop.clone(), forward.kill.clone());
                forward.accepting.spawn(listener::accept(listening, context, connections, stop, kill));
            }
            self.shared.add(forward);
            if let Some(PortReplacement { wanted, bound }) = instead {
                reporter.for_port(&end).emit(EventKind::OtherPort { wanted, bound });
            }
        }
        self.shared.tracker.spawn(
            stop.clone().run_until_cancelled_owned(forward_notices(Arc::clone(&watched), reporter.clone())),
        );
        let (works, opened) = watch::channel(false);
        let supervisor = Supervisor {
            pods: watched.pods.clone(),
            relist: watched.relist.clone(),
            cluster,
            chooser,
            reporter: reporter.for_first_subset(),
            started: Arc::new(StartProgress::new(Instant::now() + wanted.options.pod_running_timeout, works)),
            options: wanted.options,
        };
        let (fail, failed) = oneshot::channel();
        let (worked, registry) = (opened.clone(), Arc::downgrade(&self.shared));
        self.shared.tracker.spawn(async move {
            // A target without a supervisor would look as if it worked, and never reach another pod.
            let run = AssertUnwindSafe(supervisor::run(supervisor)).catch_unwind();
            let Some(ended) = stop.run_until_cancelled(run).await else { return };
            let fatal = ended.unwrap_or_else(|_| {
                let what = format!("{}: forwarding ended because of a bug in kubectl fwd", reporter.target());
                Fatal::new("fwd::internal", what)
                    .help("start it again, and please report the bug with the output of -v 4")
            });
            if !*worked.borrow() {
                // The caller that starts it gets the error.
                let _ = fail.send(fatal);
            } else if let Some(registry) = Weak::upgrade(&registry) {
                registry.gave_up(&reporter, fatal).await;
            }
        });
        PendingStart { ready: opened, failed }
    }
}

/// Tells how the pods are followed, once there is something to tell.
async fn forward_notices(watched: Arc<WatchedPods>, reporter: Reporter) {
    let mut notice = watched.notice.clone();
    loop {
        let text = notice.borrow_and_update().clone();
        if let Some(text) = text {
            reporter.emit(EventKind::Notice { text });
        }
        if notice.changed().await.is_err() {
            return;
        }
    }
}

impl PendingStart {
    /// Waits until it works, or will not. One that was stopped meanwhile is no failure of the others.
    async fn finished(mut self) -> Result<(), Fatal> {
        if self.ready.wait_for(|works| *works).await.is_ok() {
            return Ok(());
        }
        self.failed.await.map_or(Ok(()), Err)
    }
}

impl Drop for StartGroup<'_> {
    fn drop(&mut self) {
        // The caller that waited for it is gone.
        if !self.ids.is_empty() {
            drop(self.shared.undo(&self.ids, &StopReason::Exit));
        }
    }
}

impl PreparedTarget {
    /// Waits for the first word about the pods. Where it is not a good one for every port, finds out whether there is hope.
    async fn check_pods(&mut self) -> Result<(), Fatal> {
        let mut pods = self.watched.pods.clone();
        let waited = self.wanted.options.pod_running_timeout;
        let word = pods.wait_for(|set| set.synced || set.problem.is_some());
        let Ok(told) = timeout(waited, word).await else {
            let cluster = &self.cluster.client;
            return Err(pods_unread(self.reporter.target(), cluster, waited, "it does not answer"));
        };
        let ports: Vec<RemotePort> =
            self.wanted.request.ports.iter().map(|port| port.remote.clone()).collect();
        if told.is_ok_and(|set| self.chooser.without_pod(&set.pods, &ports).is_none()) {
            return Ok(());
        }
        let (cluster, request) = (&self.cluster.client, &self.wanted.request);
        match examine(cluster, &self.resolved).await {
            Err(fatal) => Err(with_namesake(fatal, cluster, &request.target, &request.ports).await),
            fine => fine,
        }
    }

    /// Binds every local address of the target.
    async fn bind(&mut self) -> Result<(), Fatal> {
        let ForwardOptions { addresses, auto_port, .. } = &self.wanted.options;
        let taken = if *auto_port { TakenPort::Replace } else { TakenPort::Refuse };
        for port in &self.wanted.request.ports {
            let same = match (&port.local, self.resolved.same_local(&port.remote)) {
                (LocalPort::Same, Some(number)) => number,
                (LocalPort::Same, None) => self.same_in_pod(&port.remote).await?,
                _ => 0,
            };
            let addresses = match &port.address {
                Some(address) => std::slice::from_ref(address),
                None => addresses.as_slice(),
            };
            let (listening, instead) = listener::bind(&port.local, same, addresses, taken).await?;
            let address = address(port, addresses);
            self.ports.push(BoundPort {
                remote: port.remote.clone(),
                listening,
                replacement: instead,
                address,
            });
        }
        Ok(())
    }

    /// The number of a pod's named port, where the local port is to be the same: known only from a pod.
    async fn same_in_pod(&self, remote: &RemotePort) -> Result<u16, Fatal> {
        let unknown = |why: String| {
            Fatal::new("fwd::port::unknown", format!("cannot choose a local port for '{remote}'"))
                .because(why)
                .help(format!(
                    "name the local port as well, for example 8080:{remote}, or :{remote} for any free one"
                ))
        };
        let patience = self.wanted.options.pod_running_timeout;
        let mut pods = self.watched.pods.clone();
        let wanted = std::slice::from_ref(remote);
        let (target, cluster) = (self.reporter.target(), &self.cluster.client);
        let settled = |set: &Snapshot| {
            let pods = &set.pods;
            self.chooser.without_pod(pods, wanted).is_none()
                || self.chooser.never(target, cluster, pods, wanted).is_some()
        };
        let Ok(Ok(set)) = timeout_at(Instant::now() + patience, pods.wait_for(settled)).await else {
            return Err(unknown(format!("no pod was ready within {patience:?}")));
        };
        if let Some(never) = self.chooser.never(target, cluster, &set.pods, wanted) {
            return Err(never);
        }
        match self.chooser.choose(&set.pods, None, wanted) {
            Some(pod) => self
                .resolved
                .pod_port(remote, pod)
                .map_err(|why| no_port(target, cluster, &pod.id, remote, why)),
            None => Err(unknown("no pod is ready".to_owned())),
        }
    }
}

/// Where a port listens, as `--address` takes it; nowhere for a Unix socket.
fn address(port: &PortSpec, addresses: &[Address]) -> String {
    match port.local {
        LocalPort::Unix(_) => String::new(),
        _ => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::config::flags::{ClusterEnvironment, Flags},
        forward::registry::{MAX_FORWARDS, TOO_MANY},
        model::target::Kind,
    };

    /// Those that are about to start count, before anybody is asked about them, and until their start has failed.
    #[tokio::test]
    async fn no_more_than_may_be() {
        let registry = Registry::new(Flags::default(), ClusterEnvironment::default());
        let wanted = |count: usize| {
            let ports = vec![PortSpec::parse(":80").unwrap(); count];
            vec![ForwardSpec::new(Target::object(Kind::Service, "api"), ports)]
        };
        let too_many = registry.start(wanted(MAX_FORWARDS + 1)).await.unwrap_err();
        assert_eq!(too_many.code(), TOO_MANY);
        let most = registry.shared.acquire_permits(MAX_FORWARDS - 1).unwrap();
        let two = registry.start(wanted(2)).await.unwrap_err();
        assert_eq!(
            (two.code(), two.to_string().as_str()),
            (TOO_MANY, "this process has 999 forwards already, and 2 more were requested")
        );
        // There is no cluster, and a start that failed is none that is about to be.
        for _ in 0..3 {
            assert_ne!(registry.start(wanted(1)).await.unwrap_err().code(), TOO_MANY);
        }
        drop(most);
        assert_ne!(registry.start(wanted(MAX_FORWARDS)).await.unwrap_err().code(), TOO_MANY);
    }
}
