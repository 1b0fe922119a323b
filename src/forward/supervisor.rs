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
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    chooser::Chooser,
    no_port, pods_unread,
    report::{LocalEnd, Reporter},
    route::{Route, Way},
    site::Site,
    started::Started,
};
use crate::{
    cluster::pods::watch::{Snapshot, Wish},
    error::Fatal,
    model::{
        endpoint::{Endpoint, Phase, PodId},
        event::{Gone, Happening},
        ports::Remote,
    },
    tunnel::{dial::Tunnel, error::DialError, limits::Limits},
};

/// A reason for waiting that lasts this long is told although another was told before. Shorter ones are the ordinary
/// steps of a starting pod.
const TELL_AGAIN: Duration = Duration::from_secs(3);

/// How long nothing is told of blocked connections once that was told: a client that reads now and then would have it told
/// again each time.
const BLOCKED_AGAIN: Duration = Duration::from_secs(60);

/// A way that fails younger than this is not replaced at once, lest a sandbox that is gone and a watch that is late
/// make us dial without pause.
const MIN_AGE: Duration = Duration::from_millis(500);

/// What a supervisor needs.
#[derive(Clone)]
pub(super) struct Supervisor {
    pub pods: watch::Receiver<Snapshot>,
    /// Has the pods listed anew.
    pub wish: Wish,
    pub site: Arc<Site>,
    pub chooser: Arc<Chooser>,
    /// Speaks of the ports that this supervises.
    pub reporter: Reporter,
    pub options: Options,
    pub started: Arc<Started>,
}

/// How supervising some ports ended.
pub(super) enum Ended {
    GaveUp(Fatal),
    /// The ports are another supervisor's now.
    Joined,
    /// Some ports have to look for another pod: both halves go on.
    Split(Box<[(Supervisor, Memory); 2]>),
}

/// How reaching a pod went.
pub(super) enum Reached {
    Way(Arc<Way>),
    /// Another pod is the one now, or none.
    Changed,
    Failed(DialError),
}

/// What a supervisor remembers from turn to turn.
#[derive(Default, Clone)]
pub(super) struct Memory {
    pub(super) way: Option<Arc<Way>>,
    /// The pod of the last way that was open.
    pub(super) last: Option<PodId>,
    /// The pod to stay with although there is no way to it at the moment.
    pub(super) stay: Option<PodId>,
    /// The pod of the present round of attempts, and how many of them failed.
    pub(super) tried: Option<PodId>,
    pub(super) attempts: u32,
    /// Failed rounds in a row.
    pub(super) rounds: u32,
    /// The way has still to show that it works ([`Tunnel::proven`]).
    pub(super) on_trial: bool,
    /// The one before did not: that there is another one is no news until that has.
    pub(super) doubted: bool,
    /// Trouble was told that an end of it must follow.
    pub(super) troubled: bool,
    /// The pod of which was told that it is used although it is not ready.
    pub(super) unready: Option<PodId>,
}

/// Supervises all ports of a target, until there is nothing left to do but to give up.
pub(super) async fn run(all: Supervisor) -> Fatal {
    // One for each subset of the ports, so never more than there are ports.
    let mut subsets = FuturesUnordered::new();
    subsets.push(all.run(Memory::default()));
    loop {
        match subsets.next().await {
            Some(Ended::GaveUp(fatal)) => return fatal,
            Some(Ended::Joined) => {}
            Some(Ended::Split(halves)) => {
                subsets.extend(halves.map(|(half, memory)| half.run(memory)));
            }
            // The last forward was stopped, and this ends with it.
            None => std::future::pending().await,
        }
    }
}

impl Supervisor {
    async fn run(self, memory: Memory) -> Ended {
        let reporter = self.reporter.clone();
        let limits = Arc::clone(&self.site.limits);
        tokio::select! {
            never = tell_blocked(&limits, &reporter) => match never {},
            ended = self.supervise(memory) => ended,
            // Its forwards were stopped one by one.
            () = reporter.emptied() => Ended::Joined,
        }
    }

    async fn supervise(mut self, mut memory: Memory) -> Ended {
        if let Some(ended) = self.start(&mut memory).await {
            return ended;
        }
        loop {
            let snapshot = self.pods.borrow_and_update().clone();
            let current = memory.way.as_ref().map(|way| way.pod.id.clone());
            let Some(pod) = self.choose(&snapshot, current.as_ref().or(memory.stay.as_ref())) else {
                self.close(&mut memory);
                if let Some(ended) = self.start(&mut memory).await {
                    return ended;
                }
                self.wait_for_pod(&mut memory).await;
                continue;
            };
            if self.ends_without(&pod) > 0 {
                return self.split(memory, &pod);
            }
            if current.as_ref() != Some(&pod.id) {
                self.close(&mut memory);
                let outcome = self.reach(&mut memory, &pod).await;
                if let Some(ended) = self.after(&mut memory, &snapshot, pod, outcome).await {
                    return ended;
                }
                continue;
            }
            self.refresh(&mut memory, &pod);
            if let Some(ended) = self.keep(&mut memory).await {
                return ended;
            }
        }
    }

    /// Until a pod was reached, waits for first pods no longer than a start may take.
    async fn start(&mut self, memory: &mut Memory) -> Option<Ended> {
        if memory.last.is_some() {
            return None;
        }
        match timeout_at(self.started.deadline, self.first_pods(memory)).await {
            Ok(started) => started.err().map(Ended::GaveUp),
            Err(_) => Some(Ended::GaveUp(self.no_pod())),
        }
    }

    /// The ports that this supervises.
    fn wanted(&self) -> Vec<Remote> {
        self.reporter.ends().iter().map(|end| end.remote.clone()).collect()
    }

    fn choose(&self, snapshot: &Snapshot, current: Option<&PodId>) -> Option<Endpoint> {
        self.chooser.choose(&snapshot.pods, current, &self.wanted()).cloned()
    }

    /// How many ports of these a pod does not have.
    fn ends_without(&self, pod: &Endpoint) -> usize {
        self.wanted().iter().filter(|port| !self.chooser.has(pod, port)).count()
    }

    /// Has the ports that `pod` lacks go on by themselves. They remember the pod that they had.
    fn split(self, memory: Memory, pod: &Endpoint) -> Ended {
        let off = self.reporter.split(|end| !self.chooser.has(pod, &end.remote));
        let other = Self { reporter: off, ..self.clone() };
        let Memory { last, troubled, unready, .. } = memory.clone();
        let theirs = Memory { last, troubled, unready, ..Memory::default() };
        Ended::Split(Box::new([(self, memory), (other, theirs)]))
    }

    pub(super) fn close(&self, memory: &mut Memory) {
        memory.way = None;
        self.reporter.publish(&Route::Closed);
    }

    /// Waits until every port has a pod that could serve it, and tells once why one has none yet. What no pod has or
    /// will have is an error: waiting would not mend it.
    async fn first_pods(&mut self, memory: &mut Memory) -> Result<(), Fatal> {
        let _ = self.pods.wait_for(|snapshot| snapshot.synced || snapshot.problem.is_some()).await;
        let target = self.reporter.target().to_owned();
        let enough = |this: &Self, pods: &[Endpoint]| {
            let wanted = this.wanted();
            match this.chooser.without_pod(pods, &wanted) {
                None => Some(Ok(())),
                Some(_) => this.chooser.never(&target, pods, &wanted).map(Err),
            }
        };
        self.wait_until(memory, enough).await?;
        memory.troubled = false;
        Ok(())
    }

    fn no_pod(&self) -> Fatal {
        let snapshot = self.pods.borrow();
        let waited = self.options.pod_running_timeout;
        let unread = match (&snapshot.problem, snapshot.synced) {
            (Some(problem), _) => Some(problem.as_str()),
            (None, true) => None,
            (None, false) => Some("it does not answer"),
        };
        if let Some(why) = unread {
            return pods_unread(self.reporter.target(), &self.site.cluster.server, waited, why);
        }
        let help = if snapshot.synced && snapshot.pods.is_empty() {
            "are there replicas, and is it the right namespace? `kubectl get pods --show-labels` shows what is there"
        } else {
            "`kubectl describe pod` tells more; --pod-running-timeout waits longer"
        };
        Fatal::new(
            "fwd::pod::none_ready",
            format!("{}: no pod was ready within {waited:?}", self.reporter.target()),
        )
        .because(self.chooser.why_none(&snapshot.pods, &self.wanted()))
        .help(help)
    }

    /// Waits until some port has a pod.
    async fn wait_for_pod(&mut self, memory: &mut Memory) {
        let enough = |this: &Self, pods: &[Endpoint]| {
            this.chooser.choose(pods, None, &this.wanted()).is_some().then_some(())
        };
        self.wait_until(memory, enough).await;
    }

    /// Waits until the pods are `enough`. Tells why they are not: at once, and again when the reason has changed for good.
    async fn wait_until<T>(
        &mut self,
        memory: &mut Memory,
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
            let now =
                snapshot.problem.unwrap_or_else(|| self.chooser.why_none(&snapshot.pods, &self.wanted()));
            if now != why {
                why = now;
                changed_at = Instant::now();
            }
            if told.is_none() {
                self.tell_waiting(memory, &mut told, &why);
            }
            tokio::select! {
                () = changed(&mut self.pods) => {}
                () = sleep_until(changed_at + TELL_AGAIN), if told.as_ref() != Some(&why) => {
                    self.tell_waiting(memory, &mut told, &why);
                }
            }
        }
    }

    fn tell_waiting(&self, memory: &mut Memory, told: &mut Option<String>, why: &str) {
        *told = Some(why.to_owned());
        memory.troubled = true;
        self.reporter.tell(Happening::Waiting { why: why.to_owned(), hold: self.options.hold });
    }

    /// What follows from how reaching `pod` went.
    async fn after(
        &mut self,
        memory: &mut Memory,
        before: &Snapshot,
        pod: Endpoint,
        outcome: Reached,
    ) -> Option<Ended> {
        match outcome {
            Reached::Changed => None,
            Reached::Way(way) => {
                if memory.last.is_none() {
                    // At the start every port must be there.
                    match self.ports_in(&pod) {
                        Err(fatal) => return Some(Ended::GaveUp(fatal)),
                        Ok(ends) => self.started.reached(&self.reporter, &pod.id, ends),
                    }
                }
                self.open(memory, before, way)
            }
            Reached::Failed(error) => self.round_failed(memory, &pod.id, &error).await,
        }
    }

    /// A way that was opened now.
    pub(super) fn way(&self, pod: &Endpoint, tunnel: Arc<Tunnel>) -> Arc<Way> {
        Arc::new(Way {
            generation: self.reporter.next_generation(),
            pod: pod.clone(),
            tunnel,
            since: Instant::now(),
            suspect: CancellationToken::new(),
        })
    }

    /// Publishes a way and tells what it means. Where other ports of the target have a way to the same pod, these ports
    /// join them.
    fn open(&self, memory: &mut Memory, before: &Snapshot, way: Arc<Way>) -> Option<Ended> {
        let pod = way.pod.id.clone();
        self.reporter.reached(&way.pod);
        match memory.last.replace(pod.clone()) {
            Some(from) if from != pod => {
                let why = self.what_became_of(before, &from);
                self.reporter.tell(Happening::Retargeted { from, why, to: pod.clone() });
                memory.troubled = false;
            }
            Some(_) => self.recovered(memory, &pod),
            None => memory.troubled = false,
        }
        if self.reporter.join(&pod) {
            return Some(Ended::Joined);
        }
        self.tell_unready(memory, &way.pod);
        (memory.stay, memory.on_trial) = (None, true);
        memory.way = Some(Arc::clone(&way));
        self.reporter.publish(&Route::Open(way));
        None
    }

    /// Tells that trouble is over, if there was any and it is.
    fn recovered(&self, memory: &mut Memory, pod: &PodId) {
        if memory.troubled && !memory.doubted {
            memory.troubled = false;
            self.reporter.tell(Happening::Recovered { pod: pod.clone() });
        }
    }

    /// The way has shown that it works: what was tried before it is past.
    fn proven(&self, memory: &mut Memory, pod: &PodId) {
        (memory.on_trial, memory.doubted) = (false, false);
        (memory.attempts, memory.rounds) = (0, 0);
        self.recovered(memory, pod);
    }

    /// Takes note of what has changed about the pod in use.
    fn refresh(&self, memory: &mut Memory, pod: &Endpoint) {
        self.tell_unready(memory, pod);
        let Some(way) = memory.way.as_ref().filter(|way| way.pod.published != pod.published) else { return };
        // Its ports have other numbers now.
        let way = self.way(pod, Arc::clone(&way.tunnel));
        self.reporter.reached(pod);
        memory.way = Some(Arc::clone(&way));
        self.reporter.publish(&Route::Open(way));
    }

    /// Tells, once for each pod, that it is used although it is not ready.
    fn tell_unready(&self, memory: &mut Memory, pod: &Endpoint) {
        let Some(text) = self.chooser.unready(pod) else { return };
        if memory.unready.as_ref() != Some(&pod.id) {
            memory.unready = Some(pod.id.clone());
            self.reporter.tell(Happening::Notice { text });
        }
    }

    /// What is forwarded, and the pod's port behind it.
    pub(super) fn ports_in(&self, pod: &Endpoint) -> Result<Vec<(Arc<LocalEnd>, u16)>, Fatal> {
        let in_pod = |end: Arc<LocalEnd>| match self.chooser.resolved.pod_port(&end.remote, pod) {
            Ok(port) => Ok((end, port)),
            Err(why) => Err(no_port(self.reporter.target(), &end.remote, why)),
        };
        self.reporter.ends().into_iter().map(in_pod).collect()
    }

    /// Waits until the way is of no more use, or has shown that it is, or the set changed.
    async fn keep(&mut self, memory: &mut Memory) -> Option<Ended> {
        let way = memory.way.clone()?;
        tokio::select! {
            () = changed(&mut self.pods) => None,
            () = way.tunnel.proven(), if memory.on_trial => {
                self.proven(memory, &way.pod.id);
                None
            }
            why = way.tunnel.closed() => self.lost(memory, &way, why).await,
            () = way.suspect.cancelled() => {
                self.site.forget(&way.pod.id, &way.tunnel);
                if let Some(why) = way.tunnel.closed().now_or_never() {
                    return self.lost(memory, &way, why).await;
                }
                self.close(memory);
                tokio::select! {
                    () = sleep_until(way.since + MIN_AGE) => {}
                    () = changed(&mut self.pods) => {}
                }
                None
            }
        }
    }

    fn what_became_of(&self, snapshot: &Snapshot, pod: &PodId) -> Gone {
        match snapshot.pods.iter().find(|endpoint| endpoint.id == *pod) {
            None => Gone::Deleted,
            Some(pod) if pod.terminating => Gone::Terminating,
            Some(pod) if matches!(pod.phase, Phase::Succeeded | Phase::Failed) => Gone::Ended,
            Some(pod) if !pod.ready => Gone::NotReady,
            Some(pod) if self.ends_without(pod) > 0 => Gone::NoPort,
            Some(_) => Gone::Unreachable,
        }
    }
}

/// Tells when connections have begun to wait for another's client.
async fn tell_blocked(limits: &Limits, reporter: &Reporter) -> Infallible {
    let mut told: Option<Instant> = None;
    loop {
        let news = limits.blocked();
        let connections = reporter.ends().iter().map(|end| end.counters.connections().blocked).sum();
        if connections > 0 && told.is_none_or(|told| told.elapsed() >= BLOCKED_AGAIN) {
            told = Some(Instant::now());
            reporter.tell(Happening::Blocked { connections });
        }
        news.await;
    }
}

/// Waits until the set has changed. One that is no longer followed never does: its error comes at once each time, and a
/// loop that took it for a change would spin.
pub(super) async fn changed(pods: &mut watch::Receiver<Snapshot>) {
    if pods.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_set_that_is_no_longer_followed_does_not_change() {
        let (publish, mut pods) = watch::channel(Snapshot::default());
        publish.send_replace(Snapshot::default());
        assert!(changed(&mut pods).now_or_never().is_some());
        drop(publish);
        assert!(changed(&mut pods).now_or_never().is_none());
    }
}
