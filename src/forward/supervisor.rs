//! One target's supervisor: watches its pods, keeps a tunnel to the chosen one, publishes the route.
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

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Options, no_port,
    report::{LocalEnd, Reporter},
    route::{Route, Way},
    site::Site,
};
use crate::{
    cluster::{
        access::{self, Denied},
        target::Resolved,
        watch::Snapshot,
    },
    error::Fatal,
    model::{
        endpoint::{Endpoint, Phase, PodId},
        event::{Gone, Happening},
    },
    policy::{backoff, select},
    tunnel::dial::{DialError, Tunnel},
};

/// A reason for waiting that lasts this long is told although another was told before. Shorter ones are the ordinary
/// steps of a starting pod.
const TELL_AGAIN: Duration = Duration::from_secs(3);

/// A way that fails younger than this is not replaced at once, lest a sandbox that is gone and a watch that is late
/// make us dial without pause.
const MIN_AGE: Duration = Duration::from_millis(500);

/// How long the first dial of a start may take at least, however little is left of `--pod-running-timeout`: that is meant
/// for pods, and a dial far away takes its time as well.
const FIRST_DIAL: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is obeyed: kubelet's own is 60 s (PROTOCOL §1).
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What a supervisor needs.
pub(super) struct Supervisor {
    pub pods: watch::Receiver<Snapshot>,
    pub site: Arc<Site>,
    pub resolved: Arc<Resolved>,
    pub route: watch::Sender<Route>,
    pub suspects: mpsc::Receiver<u64>,
    pub reporter: Reporter,
    pub options: Options,
    /// Turns true when the first way is open.
    pub works: watch::Sender<bool>,
}

/// How reaching a pod went.
enum Reached {
    Way(Arc<Way>),
    /// Another pod is the one now, or none.
    Changed,
    Failed(DialError),
}

/// What a supervisor remembers from turn to turn.
struct Memory {
    begun: Instant,
    way: Option<Arc<Way>>,
    /// The pod of the last way that was open.
    last: Option<PodId>,
    generation: u64,
    /// Failed rounds in a row.
    rounds: u32,
    /// Trouble was told that an end of it must follow.
    troubled: bool,
}

impl Default for Memory {
    fn default() -> Self {
        let begun = Instant::now();
        Self { begun, way: None, last: None, generation: 0, rounds: 0, troubled: false }
    }
}

impl Supervisor {
    /// Runs until there is nothing left to do but to give up.
    pub(super) async fn run(mut self) -> Fatal {
        let mut memory = Memory::default();
        match timeout(self.options.pod_running_timeout, self.first_pod(&mut memory)).await {
            Ok(()) => {}
            Err(_) => return self.no_pod(),
        }
        loop {
            let snapshot = self.pods.borrow_and_update().clone();
            let current = memory.way.as_ref().map(|way| way.pod.id.clone());
            let Some(pod) = select::choose(&snapshot.pods, current.as_ref()).cloned() else {
                self.close(&mut memory);
                self.wait_for_pod(&mut memory).await;
                continue;
            };
            if current.as_ref() != Some(&pod.id) {
                self.close(&mut memory);
                let outcome = self.reach(&mut memory, &pod).await;
                if let Some(fatal) = self.after(&mut memory, &snapshot, pod, outcome).await {
                    return fatal;
                }
                continue;
            }
            self.keep(&mut memory).await;
        }
    }

    fn close(&self, memory: &mut Memory) {
        memory.way = None;
        self.route.send_if_modified(|route| {
            let was_open = !matches!(route, Route::Closed);
            *route = Route::Closed;
            was_open
        });
    }

    /// Waits for the first usable pod, and tells once why there is none yet.
    async fn first_pod(&mut self, memory: &mut Memory) {
        let _ = self.pods.wait_for(|snapshot| snapshot.synced).await;
        if !self.has_pod() {
            self.wait_for_pod(memory).await;
        }
        memory.troubled = false;
    }

    fn has_pod(&self) -> bool {
        select::choose(&self.pods.borrow().pods, None).is_some()
    }

    fn no_pod(&self) -> Fatal {
        let snapshot = self.pods.borrow();
        let why = match (&snapshot.problem, snapshot.synced) {
            (Some(problem), _) => problem.clone(),
            (None, true) => select::why_none(&snapshot.pods),
            (None, false) => "the list of its pods did not come".to_owned(),
        };
        let waited = self.options.pod_running_timeout;
        let help = if snapshot.synced && snapshot.pods.is_empty() {
            "are there replicas, and is it the right namespace? `kubectl get pods --show-labels` shows what is there"
        } else {
            "`kubectl describe pod` tells more; --pod-running-timeout waits longer"
        };
        Fatal::new(
            "fwd::pod::none_ready",
            format!("{}: no pod was ready within {waited:?}", self.reporter.target()),
        )
        .because(why)
        .help(help)
    }

    /// Waits until a pod is usable. Tells why there is none: at once, and again when the reason has changed for good.
    async fn wait_for_pod(&mut self, memory: &mut Memory) {
        let mut told: Option<String> = None;
        let mut changed_at = Instant::now();
        let mut why = String::new();
        loop {
            {
                let snapshot = self.pods.borrow_and_update();
                if select::choose(&snapshot.pods, None).is_some() {
                    return;
                }
                let now = snapshot.problem.clone().unwrap_or_else(|| select::why_none(&snapshot.pods));
                if now != why {
                    why = now;
                    changed_at = Instant::now();
                }
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

    /// Dials `pod`, at once and then in a round of attempts, for as long as it is the chosen one.
    async fn reach(&mut self, memory: &mut Memory, pod: &Endpoint) -> Reached {
        // A legacy tunnel must name a port even to be tried. Where this pod lacks them, any will do: each connection
        // tells its own trouble.
        let probe = self.ports_in(pod).ok().and_then(|ends| ends.first().map(|(_, port)| *port)).unwrap_or(1);
        let mut attempt = 0;
        loop {
            let left = self.left_to_start(memory);
            let error = tokio::select! {
                dialled = dial(&self.site, &pod.id, probe, left) => match dialled {
                    Ok(tunnel) => {
                        memory.generation += 1;
                        let (generation, since) = (memory.generation, Instant::now());
                        return Reached::Way(Arc::new(Way { generation, pod: pod.clone(), tunnel, since }));
                    }
                    Err(error) => error,
                },
                () = another_is_chosen(&mut self.pods, &pod.id) => return Reached::Changed,
            };
            attempt += 1;
            let too_late = self.left_to_start(memory).is_some_and(|left| left.is_zero());
            if attempt > backoff::ATTEMPTS || too_late || (memory.last.is_none() && is_final(&error)) {
                return Reached::Failed(error);
            }
            let delay = backoff::attempt(attempt, fastrand::f64()).max(retry_after(&error));
            memory.troubled = true;
            self.reporter.tell(Happening::Reconnecting {
                pod: pod.id.clone(),
                attempt,
                of: backoff::ATTEMPTS,
                delay,
                why: error.why.to_string(),
            });
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = another_is_chosen(&mut self.pods, &pod.id) => return Reached::Changed,
            }
        }
    }

    /// What is left of the time that a start may take; `None` once it has worked.
    fn left_to_start(&self, memory: &Memory) -> Option<Duration> {
        let left = self.options.pod_running_timeout.saturating_sub(memory.begun.elapsed());
        memory.last.is_none().then_some(left)
    }

    /// What follows from how reaching `pod` went.
    async fn after(
        &mut self,
        memory: &mut Memory,
        before: &Snapshot,
        pod: Endpoint,
        outcome: Reached,
    ) -> Option<Fatal> {
        match outcome {
            Reached::Changed => None,
            Reached::Way(way) => {
                if memory.last.is_some() {
                    self.open(memory, before, way);
                    return None;
                }
                // At the start every port must be there.
                match self.ports_in(&pod) {
                    Err(fatal) => Some(fatal),
                    Ok(ends) => {
                        self.open(memory, before, way);
                        self.announce(&pod.id, &ends);
                        None
                    }
                }
            }
            Reached::Failed(error) => {
                if memory.last.is_none() || self.options.give_up {
                    return Some(unreachable(self.reporter.target(), &pod.id, &error));
                }
                memory.rounds += 1;
                let next = backoff::cool_down(memory.rounds, fastrand::f64()).max(retry_after(&error));
                let why = error.why.to_string();
                self.route.send_replace(Route::Refused(why.as_str().into()));
                self.reporter.tell(Happening::Lost { why, next });
                tokio::select! {
                    () = tokio::time::sleep(next) => {}
                    // The watch speaks again, or the set changed: a sign of life.
                    () = changed(&mut self.pods) => {}
                }
                self.close(memory);
                None
            }
        }
    }

    /// Publishes a way and tells what it means.
    fn open(&self, memory: &mut Memory, before: &Snapshot, way: Arc<Way>) {
        let pod = way.pod.id.clone();
        self.reporter.reached(&way.pod);
        match memory.last.replace(pod.clone()) {
            Some(from) if from != pod => {
                let why = what_became_of(before, &from);
                self.reporter.tell(Happening::Retargeted { from, why, to: pod });
            }
            Some(_) if memory.troubled => self.reporter.tell(Happening::Recovered { pod }),
            _ => {}
        }
        memory.troubled = false;
        memory.rounds = 0;
        memory.way = Some(Arc::clone(&way));
        self.route.send_replace(Route::Open(way));
    }

    /// What is forwarded, and the pod's port behind it.
    fn ports_in(&self, pod: &Endpoint) -> Result<Vec<(Arc<LocalEnd>, u16)>, Fatal> {
        let in_pod = |end: Arc<LocalEnd>| match self.resolved.pod_port(&end.remote, pod) {
            Ok(port) => Ok((end, port)),
            Err(why) => Err(no_port(self.reporter.target(), &end.remote, why)),
        };
        self.reporter.ends().into_iter().map(in_pod).collect()
    }

    /// Tells that it works: kubectl's line, one for each local end.
    fn announce(&self, pod: &PodId, ends: &[(Arc<LocalEnd>, u16)]) {
        for (end, pod_port) in ends {
            for local in &end.bound {
                let (local, pod) = (local.clone(), pod.clone());
                self.reporter.of(end).tell(Happening::Forwarding { local, pod_port: *pod_port, pod });
            }
        }
        self.works.send_replace(true);
    }

    /// Waits until the way is of no more use, or the set changed.
    async fn keep(&mut self, memory: &mut Memory) {
        let Some(way) = memory.way.clone() else { return };
        tokio::select! {
            () = changed(&mut self.pods) => {}
            why = way.tunnel.closed() => {
                memory.troubled = true;
                self.reporter.tell(Happening::Reconnecting {
                    pod: way.pod.id.clone(),
                    attempt: 0,
                    of: backoff::ATTEMPTS,
                    delay: Duration::ZERO,
                    why,
                });
                self.close(memory);
            }
            Some(generation) = self.suspects.recv() => {
                if generation == way.generation {
                    self.site.forget(&way.pod.id, &way.tunnel);
                    self.close(memory);
                    tokio::select! {
                        () = sleep_until(way.since + MIN_AGE) => {}
                        () = changed(&mut self.pods) => {}
                    }
                }
            }
        }
    }
}

/// Dials a pod; at the start, for no longer than is left.
async fn dial(
    site: &Site,
    pod: &PodId,
    probe: u16,
    left: Option<Duration>,
) -> Result<Arc<Tunnel>, DialError> {
    let Some(left) = left else { return site.reach(pod, probe).await };
    let limit = left.max(FIRST_DIAL);
    let late = |_| Err(DialError::late(limit));
    timeout(limit, site.reach(pod, probe)).await.unwrap_or_else(late)
}

/// Waits until the set has changed. One that is no longer followed never does: whoever waits must not be told so again
/// and again.
async fn changed(pods: &mut watch::Receiver<Snapshot>) {
    if pods.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Waits until `pod` is not the chosen one any more.
async fn another_is_chosen(pods: &mut watch::Receiver<Snapshot>, pod: &PodId) {
    loop {
        changed(pods).await;
        let snapshot = pods.borrow_and_update();
        if select::choose(&snapshot.pods, Some(pod)).is_none_or(|chosen| chosen.id != *pod) {
            return;
        }
    }
}

fn what_became_of(snapshot: &Snapshot, pod: &PodId) -> Gone {
    match snapshot.pods.iter().find(|endpoint| endpoint.id == *pod) {
        None => Gone::Deleted,
        Some(pod) if pod.terminating => Gone::Terminating,
        Some(pod) if matches!(pod.phase, Phase::Succeeded | Phase::Failed) => Gone::Ended,
        Some(pod) if !pod.ready => Gone::NotReady,
        Some(_) => Gone::Unreachable,
    }
}

/// Rights that are missing will be missing in a second, too.
fn is_final(error: &DialError) -> bool {
    error.refusal.as_ref().is_some_and(|refusal| matches!(refusal.status.as_u16(), 401 | 403))
}

fn retry_after(error: &DialError) -> Duration {
    let seconds = error.refusal.as_ref().and_then(|refusal| refusal.retry_after).unwrap_or(0);
    Duration::from_secs(seconds).min(MAX_RETRY_AFTER)
}

fn unreachable(target: &str, pod: &PodId, error: &DialError) -> Fatal {
    let name = &pod.name;
    let whose =
        if target.ends_with(&format!("pod/{name}")) { String::new() } else { format!(" of {target}") };
    let fatal = Fatal::new("fwd::tunnel::unreachable", format!("cannot forward to pod {name}{whose}"))
        .because(&error.why);
    let Some(refusal) = &error.refusal else {
        return fatal.help("is the API server reachable? `kubectl port-forward` takes the same way");
    };
    let denied = refusal.said.as_ref().and_then(|said| Denied::parse(&said.message));
    match (refusal.status.as_u16(), denied) {
        (403, Some(denied)) => fatal.help(denied.help()),
        (403, None) => fatal.help("ask the cluster's administrator for get and create on pods/portforward"),
        (401, _) => fatal.help(access::LOG_IN),
        _ => fatal.help("`kubectl describe pod` shows the pod's state; try again if it was just starting"),
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
        assert!(changed(&mut pods).now_or_never().is_some());
        drop(publish);
        assert!(changed(&mut pods).now_or_never().is_none());
    }
}
