//! How a supervisor reaches a pod: at once, then in rounds of attempts with a pause between them (DESIGN §2).
//!
//! A dial that fails is a failed attempt, and so is a session that ends before it has shown that it works.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    chooser::PodChooser,
    clusters::ClusterHandle,
    elsewhere::{OtherPod, OtherPods},
    live_pods::LivePods,
    reporter::Reporter,
    route::{Backend, Route},
    supervisor::{DialOutcome, Supervisor, SupervisorEnd, SupervisorState},
};
use crate::{
    cluster::{access, client::Cluster, error::denied::Denied},
    error::{Fatal, Transient},
    model::{
        endpoint::{Endpoint, PodId},
        event::{EventKind, Unreachable},
        ports::RemotePort,
    },
    policy::backoff,
    tunnel::{dial::Tunnel, error::DialError, limits::Limits},
};

/// How long the first dial of a start may take at least, however little is left of `--pod-running-timeout`: that is meant
/// for pods, and a dial far away takes its time as well.
const FIRST_DIAL: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is obeyed: kubelet's own is 60 s (PROTOCOL §1).
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

impl Supervisor {
    /// Dials `pod`, at once and then in a round of attempts, for as long as it is the chosen one.
    pub(super) async fn dial_pod(&mut self, memory: &mut SupervisorState, pod: &Endpoint) -> DialOutcome {
        // A legacy tunnel must name a port even to be tried. Where this pod lacks them, any will do: each connection
        // tells its own trouble.
        let probe = self.ports_in(pod).ok().and_then(|ends| ends.first().map(|(_, port)| *port)).unwrap_or(1);
        if memory.dialled_pod.as_ref() != Some(&pod.id) {
            (memory.dialled_pod, memory.attempts) = (Some(pod.id.clone()), 0);
        }
        let mut pods = self.pods.clone();
        let mut said: Option<DialError> = None;
        loop {
            let left = self.left_to_start(memory);
            let error = tokio::select! {
                dialled = dial(&self.cluster, &pod.id, probe, left) => match dialled {
                    Ok(tunnel) => {
                        return DialOutcome::Connected(self.new_backend(pod, tunnel));
                    }
                    Err(error) => error,
                },
                (other, tunnel) = self.others(&pod.id).beside_dial(), if memory.last_pod.is_some() => {
                    return DialOutcome::Connected(self.new_backend(&other, tunnel));
                }
                () = another_is_chosen(&mut pods, &self.chooser, &self.reporter, &pod.id) => return DialOutcome::Changed,
                request = self.reporter.next_request() => {
                    self.steer_dial(memory, request);
                    return DialOutcome::Changed;
                }
            };
            if is_missing(&error) {
                // What is known of the pods is not true any more, whatever the watch says.
                self.pods.relist();
            }
            let too_late = |left: Duration| left.is_zero() || left < retry_after(&error);
            if self.left_to_start(memory).is_some_and(too_late) {
                // The last one may have been cut short, and then the server's word is worth more.
                let said = said.filter(|_| error.refusal.is_none());
                return DialOutcome::Failed(said.unwrap_or(error));
            }
            if memory.last_pod.is_none() && is_final(&error) {
                return DialOutcome::Failed(error);
            }
            let Some(delay) = self.another_attempt(memory, &pod.id, &error) else {
                return DialOutcome::Failed(error);
            };
            said = Some(error).filter(|error| error.refusal.is_some()).or(said);
            tokio::select! {
                () = self.pause(delay) => {}
                () = another_is_chosen(&mut pods, &self.chooser, &self.reporter, &pod.id) => return DialOutcome::Changed,
                request = self.reporter.next_request() => {
                    self.steer_dial(memory, request);
                    return DialOutcome::Changed;
                }
            }
        }
    }

    /// Counts a failed attempt, and tells of the next one and after what delay it follows. `None` where the round is over.
    fn another_attempt(
        &self,
        memory: &mut SupervisorState,
        pod: &PodId,
        error: &DialError,
    ) -> Option<Duration> {
        memory.attempts += 1;
        if memory.attempts > backoff::ATTEMPTS {
            return None;
        }
        let delay = backoff::ATTEMPT.wait(memory.attempts, fastrand::f64()).max(retry_after(error));
        memory.recovery_due = true;
        self.reporter.emit(EventKind::Reconnecting {
            pod: pod.clone(),
            attempt: memory.attempts,
            of: backoff::ATTEMPTS,
            delay,
            why: error.why.to_string(),
        });
        Some(delay)
    }

    /// What looks for another pod than `current`.
    pub(super) fn others(&self, current: &PodId) -> OtherPods {
        OtherPods {
            pods: self.pods.clone(),
            chooser: Arc::clone(&self.chooser),
            cluster: Arc::clone(&self.cluster),
            wanted: self.wanted(),
            current: current.clone(),
        }
    }

    /// Takes another pod than the backend's, which does not answer.
    pub(super) fn leave(
        &self,
        memory: &mut SupervisorState,
        backend: &Backend,
        (pod, tunnel): OtherPod,
    ) -> Option<SupervisorEnd> {
        backend.tunnel.desert();
        self.cluster.forget(&backend.pod.id, &backend.tunnel);
        let before = self.pods.borrow().clone();
        self.open(memory, &before, self.new_backend(&pod, tunnel))
    }

    async fn pause(&self, length: Duration) {
        pause(&self.cluster.limits, length).await;
    }

    /// What is left of the time that a start may take; `None` once it has worked.
    fn left_to_start(&self, memory: &SupervisorState) -> Option<Duration> {
        let left = self.started.deadline.saturating_duration_since(Instant::now());
        memory.last_pod.is_none().then_some(left)
    }

    /// Gives up, or refuses connections until the next round.
    pub(super) async fn round_failed(
        &mut self,
        memory: &mut SupervisorState,
        pod: &PodId,
        what: Unreachable,
        error: &DialError,
    ) -> Option<SupervisorEnd> {
        if memory.last_pod.is_none() || self.options.give_up {
            return Some(SupervisorEnd::GaveUp(unreachable(
                self.reporter.target(),
                &self.cluster.client,
                pod,
                error,
            )));
        }
        (memory.preferred_pod, memory.attempts) = (None, 0);
        memory.rounds += 1;
        let next = backoff::COOL_DOWN.wait(memory.rounds, fastrand::f64()).max(retry_after(error));
        let why = error.why.to_string();
        self.reporter.publish(&Route::Refused(why.as_str().into()));
        self.reporter.emit(EventKind::Lost { pod: pod.clone(), unreachable: what, why, next });
        let limits = Arc::clone(&self.cluster.limits);
        tokio::select! {
            () = pause(&limits, next) => {}
            // The watch speaks again, or the set changed: a sign of life.
            () = self.pods.changed() => {}
            request = self.reporter.next_request() => self.steer_dial(memory, request),
        }
        self.close(memory);
        None
    }

    /// The backend is lost. It is dialled again at once if it had shown that it works; else it was an attempt that
    /// failed, for a server that takes back what it has granted would be asked without pause.
    pub(super) async fn lost(
        &mut self,
        memory: &mut SupervisorState,
        backend: &Backend,
        why: String,
    ) -> Option<SupervisorEnd> {
        let pod = &backend.pod.id;
        self.close(memory);
        memory.preferred_pod = Some(pod.clone());
        if backend.tunnel.is_proven() {
            (memory.attempts, memory.rounds, memory.replaces_unproven) = (0, 0, false);
            memory.recovery_due = true;
            let (of, delay) = (backoff::ATTEMPTS, Duration::ZERO);
            self.reporter.emit(EventKind::Reconnecting { pod: pod.clone(), attempt: 0, of, delay, why });
            return None;
        }
        memory.replaces_unproven = true;
        let error = DialError { why: Transient { why }, refusal: None };
        let Some(delay) = self.another_attempt(memory, pod, &error) else {
            // It had been granted: the server answers.
            return self.round_failed(memory, pod, Unreachable::Pod, &error).await;
        };
        let mut pods = self.pods.clone();
        tokio::select! {
            () = self.pause(delay) => {}
            () = another_is_chosen(&mut pods, &self.chooser, &self.reporter, pod) => {}
            request = self.reporter.next_request() => self.steer_dial(memory, request),
        }
        None
    }
}

/// Waits before the next attempt. After a disturbance what failed before means nothing, so it is made at once.
async fn pause(limits: &Limits, length: Duration) {
    let _ = timeout(length, limits.disturbed()).await;
}

/// Dials a pod; at the start for no longer than is left, and with a word once it takes long.
async fn dial(
    cluster: &ClusterHandle,
    pod: &PodId,
    probe: u16,
    left: Option<Duration>,
) -> Result<Arc<Tunnel>, DialError> {
    let Some(left) = left else { return cluster.dial(pod, probe).await };
    let limit = left.max(FIRST_DIAL);
    let late = |_| Err(DialError::late(limit));
    let asked = format!("a tunnel to pod {}", pod.name);
    let dialled = cluster.notifier.watch(|| cluster.client.waiting_for(&asked), cluster.dial(pod, probe));
    timeout(limit, dialled).await.unwrap_or_else(late)
}

/// Waits until `pod` is not the chosen one any more.
pub(super) async fn another_is_chosen(
    pods: &mut LivePods,
    chooser: &PodChooser,
    reporter: &Reporter,
    pod: &PodId,
) {
    loop {
        pods.changed().await;
        let snapshot = pods.borrow_and_update();
        let wanted: Vec<RemotePort> = reporter.ports().iter().map(|end| end.remote.clone()).collect();
        if chooser.choose(&snapshot.pods, Some(pod), &wanted).is_none_or(|chosen| chosen.id != *pod) {
            return;
        }
    }
}

/// The server does not know the pod.
fn is_missing(error: &DialError) -> bool {
    error.refusal.as_ref().is_some_and(|refusal| refusal.status.as_u16() == 404)
}

/// Rights that are missing will be missing in a second, too.
fn is_final(error: &DialError) -> bool {
    error.refusal.as_ref().is_some_and(|refusal| matches!(refusal.status.as_u16(), 401 | 403))
}

fn retry_after(error: &DialError) -> Duration {
    let seconds = error.refusal.as_ref().and_then(|refusal| refusal.retry_after).unwrap_or(0);
    Duration::from_secs(seconds).min(MAX_RETRY_AFTER)
}

fn unreachable(target: &str, cluster: &Cluster, pod: &PodId, error: &DialError) -> Fatal {
    let name = &pod.name;
    let whose =
        if target.ends_with(&format!("pod/{name}")) { String::new() } else { format!(" of {target}") };
    let fatal = Fatal::new("fwd::tunnel::unreachable", format!("cannot forward to pod {name}{whose}"))
        .because(&error.why);
    let Some(refusal) = &error.refusal else {
        return fatal.help(format!(
            "is the API server reachable? to check each step of the way, run: {}",
            cluster.kubectl_fwd(&format!("doctor {target}"))
        ));
    };
    let denied = refusal.kubernetes_status.as_ref().and_then(|said| Denied::parse(&said.message));
    match (refusal.status.as_u16(), denied) {
        (403, Some(denied)) => fatal.help(denied.help()),
        (403, None) => fatal.help("ask the cluster's administrator for get and create on pods/portforward"),
        (401, _) => fatal.help(access::LOG_IN),
        _ => fatal.help(format!(
            "try again if the pod has just started; to see its state, run: {}",
            cluster.kubectl(&pod.namespace, &format!("describe pod {name}"))
        )),
    }
}
