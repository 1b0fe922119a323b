//! The supervisor of a target's ports: watches the pods, keeps a tunnel to the chosen one, publishes the route.
//!
//! Mostly one pod has all ports. Where none has, the ports that the chosen one lacks are split off and get a supervisor
//! of their own, which looks for another pod; once it finds itself on the pod of other ports of the target, it joins
//! them. Tunnels are shared, so two supervisors on one pod have one tunnel.
//!
//! ```text
//!              a pod is usable                   dialled
//!  Waiting ───────────────────> reaching it ──────────────────> Active
//!     ^                          │      ^                        │
//!     │ none is                  │      │ cool-down,             │ the pod goes, the session ends,
//!     │                          v      │ a change in the set    │ a connection finds the sandbox gone
//!     └──────────── any ──────  Lost ───┘      <─────────────────┘
//! ```
//!
//! While it is reaching a pod, connections are held; when a round of attempts failed they are refused until the next.
//! It ends only to give up: at the start, where a user waits for an answer, or with `--give-up`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    ForwardOptions,
    chooser::PodChooser,
    clusters::ClusterHandle,
    live_pods::LivePods,
    no_pod::{no_port, none_ready, pods_unread},
    reporter::{ForwardedPort, Reporter},
    route::{Backend, Route},
    start_progress::StartProgress,
};
use crate::{
    cluster::pods::watch::Snapshot,
    error::Fatal,
    model::{
        endpoint::{Endpoint, Phase, PodId},
        event::{EventKind, RetargetReason, Unreachable},
        ports::RemotePort,
    },
    tunnel::{dial::Tunnel, error::DialError, limits::Limits},
};

/// A reason for waiting that lasts this long is told although another was told before. Shorter ones are the ordinary
/// steps of a starting pod.
const REPEAT_AFTER: Duration = Duration::from_secs(3);

/// How long nothing is told of blocked connections once that was told: a client that reads now and then would have it told
/// again each time.
const BLOCKED_AGAIN: Duration = Duration::from_secs(60);

/// A backend that fails younger than this is not replaced at once: a sandbox that is gone and a watch that is late would
/// make us dial without pause.
const MIN_BACKEND_AGE: Duration = Duration::from_millis(500);

/// What a supervisor needs.
#[derive(Clone)]
pub(super) struct Supervisor {
    pub pods: LivePods,
    pub cluster: Arc<ClusterHandle>,
    pub chooser: Arc<PodChooser>,
    /// Speaks of the ports that this supervises.
    pub reporter: Reporter,
    pub options: ForwardOptions,
    pub started: Arc<StartProgress>,
}

/// How supervising some ports ended.
pub(super) enum SupervisorEnd {
    GaveUp(Fatal),
    /// The ports are another supervisor's now.
    Joined,
    /// Some ports have to look for another pod: both halves go on.
    Split(Box<[(Supervisor, SupervisorState); 2]>),
}

/// How reaching a pod went.
pub(super) enum DialOutcome {
    Connected(Arc<Backend>),
    /// Another pod is the one now, or none.
    Changed,
    Failed(DialError),
}

/// What a supervisor remembers from turn to turn.
#[derive(Default, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is remembered by itself")]
pub(super) struct SupervisorState {
    pub(super) backend: Option<Arc<Backend>>,
    /// The pod of the last backend that was open.
    pub(super) last_pod: Option<PodId>,
    /// The pod to stay with although there is no backend to it at the moment.
    pub(super) preferred_pod: Option<PodId>,
    /// The pod of the present round of attempts, and how many of them failed.
    pub(super) dialled_pod: Option<PodId>,
    pub(super) attempts: u32,
    /// Failed rounds in a row.
    pub(super) rounds: u32,
    /// The backend has still to show that it works ([`Tunnel::proven`]).
    pub(super) unproven: bool,
    /// The one before did not: that there is another one is no news until that has.
    pub(super) replaces_unproven: bool,
    /// Trouble was told that an end of it must follow.
    pub(super) recovery_due: bool,
    /// The pod of which was told that it is used although it is not ready.
    pub(super) reported_unready: Option<PodId>,
    /// Somebody asked for the pod that is opened next.
    pub(super) requested: bool,
}

/// Supervises all ports of a target, until there is nothing left to do but to give up.
pub(super) async fn run(all: Supervisor) -> Fatal {
    // One for each subset of the ports, so never more than there are ports.
    let mut subsets = FuturesUnordered::new();
    subsets.push(all.run(SupervisorState::default()));
    loop {
        match subsets.next().await {
            Some(SupervisorEnd::GaveUp(fatal)) => return fatal,
            Some(SupervisorEnd::Joined) => {}
            Some(SupervisorEnd::Split(halves)) => {
                subsets.extend(halves.map(|(half, memory)| half.run(memory)));
            }
            // The last forward was stopped, and this ends with it.
            None => std::future::pending().await,
        }
    }
}

impl Supervisor {
    async fn run(self, memory: SupervisorState) -> SupervisorEnd {
        let reporter = self.reporter.clone();
        let limits = Arc::clone(&self.cluster.limits);
        tokio::select! {
            never = tell_blocked(&limits, &reporter) => match never {},
            ended = self.supervise(memory) => ended,
            // Its forwards were stopped one by one.
            () = reporter.emptied() => SupervisorEnd::Joined,
        }
    }

    async fn supervise(mut self, mut memory: SupervisorState) -> SupervisorEnd {
        if let Some(ended) = self.start(&mut memory).await {
            return ended;
        }
        loop {
            let snapshot = self.pods.borrow_and_update().clone();
            let current = memory.backend.as_ref().map(|backend| backend.pod.id.clone());
            let Some(pod) = self.choose(&snapshot, current.as_ref().or(memory.preferred_pod.as_ref())) else {
                drop(snapshot);
                self.close(&mut memory);
                if let Some(ended) = self.start(&mut memory).await {
                    return ended;
                }
                self.wait_for_pod(&mut memory).await;
                continue;
            };
            if self.ports_missing_in(&pod) > 0 {
                return self.split(memory, &pod);
            }
            if current.as_ref() != Some(&pod.id) {
                self.close(&mut memory);
                let outcome = self.dial_pod(&mut memory, &pod).await;
                if let Some(ended) = self.after(&mut memory, &snapshot, pod, outcome).await {
                    return ended;
                }
                continue;
            }
            self.refresh(&mut memory, &pod);
            // Kept while it waits, it would have the whole set copied at the next change.
            drop(snapshot);
            if let Some(ended) = self.keep(&mut memory).await {
                return ended;
            }
        }
    }

    /// Until a pod was reached, waits for first pods no longer than a start may take.
    async fn start(&mut self, memory: &mut SupervisorState) -> Option<SupervisorEnd> {
        if memory.last_pod.is_some() {
            return None;
        }
        match timeout_at(self.started.deadline, self.first_pods(memory)).await {
            Ok(started) => started.err().map(SupervisorEnd::GaveUp),
            Err(_) => Some(SupervisorEnd::GaveUp(self.no_pod())),
        }
    }

    /// The ports that this supervises.
    pub(super) fn wanted(&self) -> Vec<RemotePort> {
        self.reporter.ports().iter().map(|end| end.remote.clone()).collect()
    }

    fn choose(&self, snapshot: &Snapshot, current: Option<&PodId>) -> Option<Endpoint> {
        self.chooser.choose(&snapshot.pods, current, &self.wanted()).cloned()
    }

    /// How many ports of these a pod does not have.
    pub(super) fn ports_missing_in(&self, pod: &Endpoint) -> usize {
        self.wanted().iter().filter(|port| !self.chooser.has(pod, port)).count()
    }

    /// Has the ports that `pod` lacks go on by themselves. They remember the pod that they had.
    fn split(self, memory: SupervisorState, pod: &Endpoint) -> SupervisorEnd {
        let off = self.reporter.split(|end| !self.chooser.has(pod, &end.remote));
        let other = Self { reporter: off, ..self.clone() };
        let SupervisorState { last_pod: last, recovery_due: troubled, reported_unready: unready, .. } =
            memory.clone();
        let theirs = SupervisorState {
            last_pod: last,
            recovery_due: troubled,
            reported_unready: unready,
            ..SupervisorState::default()
        };
        SupervisorEnd::Split(Box::new([(self, memory), (other, theirs)]))
    }

    pub(super) fn close(&self, memory: &mut SupervisorState) {
        memory.backend = None;
        self.reporter.publish(&Route::Held);
    }

    /// Waits until every port has a pod that could serve it, and tells once why one has none yet. What no pod has or
    /// will have is an error: waiting would not mend it.
    async fn first_pods(&mut self, memory: &mut SupervisorState) -> Result<(), Fatal> {
        self.pods.wait_for(|snapshot| snapshot.synced || snapshot.problem.is_some()).await;
        let target = self.reporter.target().to_owned();
        let enough = |this: &Self, pods: &[Endpoint]| {
            let wanted = this.wanted();
            match this.chooser.without_pod(pods, &wanted) {
                None => Some(Ok(())),
                Some(_) => this.chooser.never(&target, &this.cluster.client, pods, &wanted).map(Err),
            }
        };
        self.wait_until(memory, enough).await?;
        memory.recovery_due = false;
        Ok(())
    }

    fn no_pod(&self) -> Fatal {
        let snapshot = self.pods.borrow();
        let waited = self.options.pod_running_timeout;
        let (target, cluster) = (self.reporter.target(), &self.cluster.client);
        let unread = match (&snapshot.problem, snapshot.synced) {
            (Some(problem), _) => Some(problem.as_str()),
            (None, true) => None,
            (None, false) => Some("it does not answer"),
        };
        if let Some(why) = unread {
            return pods_unread(target, cluster, waited, why);
        }
        let why = self.chooser.why_none(&snapshot.pods, &self.wanted());
        none_ready(target, cluster, &self.chooser.resolved.get().namespace, &snapshot.pods, waited, why)
    }

    /// Waits until some port has a pod.
    async fn wait_for_pod(&mut self, memory: &mut SupervisorState) {
        let enough = |this: &Self, pods: &[Endpoint]| {
            this.chooser.choose(pods, None, &this.wanted()).is_some().then_some(())
        };
        self.wait_until(memory, enough).await;
    }

    /// Waits until the pods are `enough`. Tells why they are not: at once, and again when the reason has changed for good.
    async fn wait_until<T>(
        &mut self,
        memory: &mut SupervisorState,
        enough: impl Fn(&Self, &[Endpoint]) -> Option<T>,
    ) -> T {
        let mut told: Option<String> = None;
        let mut changed_at = Instant::now();
        let mut why = String::new();
        loop {
            let snapshot = self.pods.borrow_and_update().clone();
            if let Some(enough) = enough(self, &snapshot.pods) {
                return enough;
            }
            let Snapshot { pods, problem, .. } = snapshot;
            let now = problem.unwrap_or_else(|| self.chooser.why_none(&pods, &self.wanted()));
            drop(pods);
            if now != why {
                why = now;
                changed_at = Instant::now();
            }
            if told.is_none() {
                self.emit_waiting(memory, &mut told, &why);
            }
            tokio::select! {
                () = self.pods.changed() => {}
                request = self.reporter.next_request() => self.steer_waiting(request),
                () = sleep_until(changed_at + REPEAT_AFTER), if told.as_ref() != Some(&why) => {
                    self.emit_waiting(memory, &mut told, &why);
                }
            }
        }
    }

    fn emit_waiting(&self, memory: &mut SupervisorState, told: &mut Option<String>, why: &str) {
        *told = Some(why.to_owned());
        memory.recovery_due = true;
        self.reporter.emit(EventKind::Waiting { why: why.to_owned(), hold: self.options.hold });
    }

    /// What follows from how reaching `pod` went.
    async fn after(
        &mut self,
        memory: &mut SupervisorState,
        before: &Snapshot,
        pod: Endpoint,
        outcome: DialOutcome,
    ) -> Option<SupervisorEnd> {
        match outcome {
            DialOutcome::Changed => None,
            DialOutcome::Connected(backend) => {
                if memory.last_pod.is_none() {
                    // At the start every port must be there.
                    match self.ports_in(&pod) {
                        Err(fatal) => return Some(SupervisorEnd::GaveUp(fatal)),
                        Ok(ends) => self.started.reached(&self.reporter, &pod.id, ends),
                    }
                }
                self.open(memory, before, backend)
            }
            DialOutcome::Failed(error) => {
                let unreachable =
                    if error.refusal.is_some() { Unreachable::Pod } else { Unreachable::Cluster };
                self.round_failed(memory, &pod.id, unreachable, &error).await
            }
        }
    }

    /// A backend that was opened now.
    pub(super) fn new_backend(&self, pod: &Endpoint, tunnel: Arc<Tunnel>) -> Arc<Backend> {
        Arc::new(Backend {
            generation: self.reporter.next_generation(),
            pod: pod.clone(),
            tunnel,
            since: Instant::now(),
            unusable: CancellationToken::new(),
        })
    }

    /// Publishes a backend and tells what it means. Where other ports of the target have a backend to the same pod,
    /// these ports join them.
    pub(super) fn open(
        &self,
        memory: &mut SupervisorState,
        before: &Snapshot,
        backend: Arc<Backend>,
    ) -> Option<SupervisorEnd> {
        let pod = backend.pod.id.clone();
        self.reporter.record_pod(&backend.pod);
        match memory.last_pod.replace(pod.clone()) {
            Some(from) if from != pod => {
                let asked = std::mem::take(&mut memory.requested);
                let why = if asked { RetargetReason::Requested } else { self.retarget_reason(before, &from) };
                self.reporter.emit(EventKind::Retargeted { from, why, to: pod.clone() });
                memory.recovery_due = false;
            }
            Some(_) => self.recovered(memory, &pod),
            None => memory.recovery_due = false,
        }
        if self.reporter.join(&pod) {
            return Some(SupervisorEnd::Joined);
        }
        self.emit_unready(memory, &backend.pod);
        (memory.preferred_pod, memory.unproven) = (None, true);
        memory.backend = Some(Arc::clone(&backend));
        self.reporter.publish(&Route::Open(backend));
        None
    }

    /// Tells that trouble is over, if there was any and it is.
    fn recovered(&self, memory: &mut SupervisorState, pod: &PodId) {
        if memory.recovery_due && !memory.replaces_unproven {
            memory.recovery_due = false;
            self.reporter.emit(EventKind::Recovered { pod: pod.clone() });
        }
    }

    /// The backend has shown that it works: what was tried before it is past.
    fn proven(&self, memory: &mut SupervisorState, pod: &PodId) {
        (memory.unproven, memory.replaces_unproven) = (false, false);
        (memory.attempts, memory.rounds) = (0, 0);
        self.recovered(memory, pod);
    }

    /// Takes note of what has changed about the pod in use.
    fn refresh(&self, memory: &mut SupervisorState, pod: &Endpoint) {
        self.emit_unready(memory, pod);
        let Some(backend) = memory.backend.as_ref().filter(|backend| backend.pod.published != pod.published)
        else {
            return;
        };
        // Its ports have other numbers now.
        let backend = self.new_backend(pod, Arc::clone(&backend.tunnel));
        self.reporter.record_pod(pod);
        memory.backend = Some(Arc::clone(&backend));
        self.reporter.publish(&Route::Open(backend));
    }

    /// Tells, once for each pod, that it is used although it is not ready.
    fn emit_unready(&self, memory: &mut SupervisorState, pod: &Endpoint) {
        let Some(text) = self.chooser.unready(pod) else { return };
        if memory.reported_unready.as_ref() != Some(&pod.id) {
            memory.reported_unready = Some(pod.id.clone());
            self.reporter.emit(EventKind::Notice { text });
        }
    }

    /// What is forwarded, and the pod's port behind it.
    pub(super) fn ports_in(&self, pod: &Endpoint) -> Result<Vec<(Arc<ForwardedPort>, u16)>, Fatal> {
        let in_pod = |end: Arc<ForwardedPort>| match self.chooser.resolved.get().pod_port(&end.remote, pod) {
            Ok(port) => Ok((end, port)),
            Err(why) => Err(no_port(self.reporter.target(), &self.cluster.client, &pod.id, &end.remote, why)),
        };
        self.reporter.ports().into_iter().map(in_pod).collect()
    }

    /// Waits until the backend is of no more use, or has shown that it is, or the set changed.
    async fn keep(&mut self, memory: &mut SupervisorState) -> Option<SupervisorEnd> {
        let backend = memory.backend.clone()?;
        let others = self.others(&backend.pod.id);
        tokio::select! {
            () = self.pods.changed() => None,
            () = backend.tunnel.proven(), if memory.unproven => {
                self.proven(memory, &backend.pod.id);
                None
            }
            request = self.reporter.next_request() => self.steer(memory, &backend, request).await,
            other = others.beside(Arc::clone(&backend)) => self.leave(memory, &backend, other),
            why = backend.tunnel.closed() => self.lost(memory, &backend, why).await,
            () = backend.unusable.cancelled() => {
                self.cluster.forget(&backend.pod.id, &backend.tunnel);
                if let Some(why) = backend.tunnel.closed().now_or_never() {
                    return self.lost(memory, &backend, why).await;
                }
                self.close(memory);
                tokio::select! {
                    () = sleep_until(backend.since + MIN_BACKEND_AGE) => {}
                    () = self.pods.changed() => {}
                }
                None
            }
        }
    }

    fn retarget_reason(&self, snapshot: &Snapshot, pod: &PodId) -> RetargetReason {
        match snapshot.pods.iter().find(|endpoint| endpoint.id == *pod) {
            None if self.pods.is_unselected(snapshot, pod) => RetargetReason::Unselected,
            None => RetargetReason::Deleted,
            Some(pod) if pod.terminating => RetargetReason::Terminating,
            Some(pod) if matches!(pod.phase, Phase::Succeeded | Phase::Failed) => RetargetReason::Ended,
            Some(pod) if !pod.ready => RetargetReason::NotReady,
            Some(pod) if self.ports_missing_in(pod) > 0 => RetargetReason::NoPort,
            Some(_) => RetargetReason::Unreachable,
        }
    }
}

/// Tells when connections have begun to wait for another's client.
async fn tell_blocked(limits: &Limits, reporter: &Reporter) -> Infallible {
    let mut told: Option<Instant> = None;
    loop {
        let news = limits.blocked();
        let connections = reporter.ports().iter().map(|end| end.counters.connections().blocked).sum();
        if connections > 0 && told.is_none_or(|told| told.elapsed() >= BLOCKED_AGAIN) {
            told = Some(Instant::now());
            reporter.emit(EventKind::Blocked { connections });
        }
        news.await;
    }
}
