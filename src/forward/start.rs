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
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ForwardSpec,
    chooser::PodChooser,
    clusters::ClusterHandle,
    connection::ConnectionContext,
    listener::{self, PortReplacement},
    live_pods::LivePods,
    live_target::LiveTarget,
    prepared::{BoundPort, PreparedTarget},
    registry::{Registry, RegistryInner, RunningForward, TargetRun},
    reporter::{ForwardedPort, Reporter},
    route::RouteReceiver,
    start_progress::StartProgress,
    supervisor::{self, Supervisor},
    takeover::{self, Holding},
    target_follower,
};
use crate::{
    cluster::pods::target,
    error::Fatal,
    model::{
        event::{EventKind, StopReason},
        forward::ForwardId,
        target::Target,
    },
};

/// Questions to an API server at a time while a group starts. Each takes a connection of its own.
const AT_ONCE: usize = 8;

/// How one target's start goes on.
struct PendingStart {
    ready: watch::Receiver<bool>,
    failed: oneshot::Receiver<Fatal>,
    /// Where it was asked for.
    origin: Option<String>,
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
                let origin = target.wanted.origin.clone();
                let looking = target.check_pods();
                async move {
                    let looked = self.shared.notifier.watch(|| cluster.waiting_for(&asked), looking).await;
                    looked.map_err(|fatal| fatal.asked_by(origin.as_deref()))
                }
            })
            .await?;
        self.bind(&mut prepared).await?;
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

    /// Binds every local address of a group. What other forwards of the user hold is taken over last, where that is
    /// wanted: nothing else stands against the start by then.
    async fn bind(&self, prepared: &mut [PreparedTarget]) -> Result<(), Fatal> {
        let mut conflicts = Vec::new();
        for target in &mut *prepared {
            target.bind(&mut conflicts).await?;
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        if conflicts.iter().any(|conflict| conflict.holding == Holding::End) {
            for target in &*prepared {
                let what = || format!("waiting for a ready pod of {}", target.reporter.target());
                self.shared.notifier.watch(what, target.wait_ready()).await?;
            }
        }
        takeover::release(self.shared.user_forwards.get(), conflicts).await?;
        for target in prepared {
            target.bind_released().await?;
        }
        Ok(())
    }

    /// Finds clusters and targets, each once.
    async fn prepare(&self, wanted: Vec<ForwardSpec>) -> Result<Vec<PreparedTarget>, Fatal> {
        let mut clusters: HashMap<Option<String>, Arc<ClusterHandle>> = HashMap::new();
        let mut distinct: Vec<(Arc<ClusterHandle>, Target, Option<String>)> = Vec::new();
        let mut places = Vec::new();
        for one in &wanted {
            let cluster = if let Some(cluster) = clusters.get(&one.context) {
                Arc::clone(cluster)
            } else {
                let found = self.shared.clusters.cluster(one.context.as_deref()).await;
                found.map_err(|fatal| fatal.asked_by(one.origin.as_deref()))?
            };
            clusters.insert(one.context.clone(), Arc::clone(&cluster));
            let target = &one.request.target;
            let same = |(s, t, _): &(Arc<ClusterHandle>, Target, Option<String>)| {
                Arc::ptr_eq(s, &cluster) && t == target
            };
            places.push(distinct.iter().position(same).unwrap_or(distinct.len()));
            if places.last() == Some(&distinct.len()) {
                distinct.push((cluster, target.clone(), one.origin.clone()));
            }
        }
        let resolve = |(cluster, target, origin): (Arc<ClusterHandle>, Target, Option<String>)| async move {
            let asked = target.to_string();
            let finding = target::resolve(&cluster.client, &target);
            let resolved = self.shared.notifier.watch(|| cluster.client.waiting_for(&asked), finding).await;
            let resolved = resolved.map_err(|fatal| fatal.asked_by(origin.as_deref()))?;
            Ok::<_, Fatal>((cluster, Arc::new(resolved)))
        };
        let found: Vec<_> = stream::iter(distinct).map(resolve).buffered(AT_ONCE).try_collect().await?;
        let mut prepared = Vec::new();
        for (wanted, place) in wanted.into_iter().zip(places) {
            let (cluster, resolved) = found[place].clone();
            let checked = resolved.check(&wanted.request.ports);
            checked.map_err(|fatal| fatal.asked_by(wanted.origin.as_deref()))?;
            let reporter = Reporter::new(
                self.shared.events.clone(),
                wanted.request.target.to_string(),
                wanted.label.clone(),
            );
            let watched = cluster.watch(&resolved);
            let ports = wanted.request.ports.iter().map(|port| port.remote.clone()).collect();
            let live = Arc::new(LiveTarget::new(Arc::clone(&resolved)));
            let chooser = PodChooser::new(live, &wanted.options, ports);
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
        let (pods, follower) = target_follower::follow(&target);
        let PreparedTarget { wanted, cluster, chooser, watched, reporter, ports: ends, .. } = target;
        let stop = CancellationToken::new();
        let run = Arc::new(TargetRun {
            target: wanted.request.target,
            live: Arc::clone(&chooser.resolved),
            reporter: reporter.clone(),
            cluster: Arc::clone(&cluster),
            options: wanted.options.clone(),
            pods: pods.clone(),
            _stop: stop.clone().drop_guard(),
        });
        for BoundPort { remote, listening, replacement: instead, address } in ends.into_iter().flatten() {
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
                Arc::clone(&chooser.resolved),
                Arc::clone(&end),
                wanted.options.hold,
                wanted.options.retry,
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
            stop.clone().run_until_cancelled_owned(forward_notices(watched.notice.clone(), reporter.clone())),
        );
        let (works, opened) = watch::channel(false);
        if let Some(follower) = follower {
            let following = follower.run(opened.clone());
            self.shared.tracker.spawn(stop.clone().run_until_cancelled_owned(following));
        }
        let supervisor = Supervisor {
            pods: LivePods::new(pods),
            cluster,
            chooser,
            reporter: reporter.for_first_subset(),
            started: Arc::new(StartProgress::new(Instant::now() + wanted.options.pod_running_timeout, works)),
            options: wanted.options,
        };
        let (fail, failed) = oneshot::channel();
        let origin = wanted.origin;
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
        PendingStart { ready: opened, failed, origin }
    }
}

/// Tells how the pods are followed, once there is something to tell.
async fn forward_notices(mut notice: watch::Receiver<Option<String>>, reporter: Reporter) {
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
        self.failed.await.map_or(Ok(()), |fatal| Err(fatal.asked_by(self.origin.as_deref())))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::config::flags::{ClusterEnvironment, Flags},
        forward::registry::{MAX_FORWARDS, TOO_MANY},
        model::{ports::PortSpec, target::Kind},
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
