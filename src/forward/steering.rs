//! What people ask of a forward that runs: to reconnect now, or to go to another pod.
//!
//! A request lies at the forward until the supervisor of its port takes it, which does so wherever it waits. While there is a
//! backend, a change of pods dials the new one first: the old one takes connections until the new one can, and drains.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::{
    chooser::PodChooser,
    redial::another_is_chosen,
    registry::{Registry, UNKNOWN_ID},
    request::{Steering, SteeringRequest},
    route::Backend,
    supervisor::{Supervisor, SupervisorEnd, SupervisorState},
};
use crate::{
    error::Fatal,
    model::{
        endpoint::{Endpoint, PodId},
        event::EventKind,
        forward::{ForwardId, TargetPod},
    },
};

/// How long a request may take: longer than a dial to a pod that does not answer.
const STEERING_TIMEOUT: Duration = Duration::from_secs(60);

impl Registry {
    /// Has the forward's pod dialled again now, with no pause. Its connections that are under way are left alone. All ports
    /// that share the way to the pod reconnect with it.
    ///
    /// # Errors
    ///
    /// There is no such forward.
    pub async fn reconnect(&self, id: ForwardId) -> Result<(), Fatal> {
        self.steer(id, Steering::Reconnect).await.map(drop)
    }

    /// Sends new connections to `pod`, or to another pod than now where none is named; those under way stay where they are.
    /// All ports of the target that go to the same pod go along. Returns the pod.
    ///
    /// # Errors
    ///
    /// There is no such forward, or no such pod that is ready, or it cannot be reached. Then all is as before.
    pub async fn retarget(&self, id: ForwardId, pod: Option<String>) -> Result<String, Fatal> {
        self.steer(id, Steering::Retarget(pod)).await
    }

    /// The pods that the forward's target stands for.
    ///
    /// # Errors
    ///
    /// There is no such forward.
    pub fn pods(&self, id: ForwardId) -> Result<Vec<TargetPod>, Fatal> {
        let forwards = self.shared.forwards();
        let forward = forwards.iter().find(|one| one.port.id == id).ok_or_else(|| unknown_id(id))?;
        let (run, port) = (&forward.run, &forward.port);
        let wanted = std::slice::from_ref(&port.remote);
        let chooser = PodChooser::new(Arc::clone(&run.live), &run.options, wanted.to_vec());
        let current = port.status().pod.map(|pod| pod.id);
        let watched = Arc::clone(&run.pods.borrow().watched);
        let snapshot = watched.pods.borrow();
        let shown = |pod: &Endpoint| TargetPod {
            name: pod.id.name.clone(),
            ready: pod.ready,
            candidate: chooser.choose(std::slice::from_ref(pod), None, wanted).is_some(),
            current: Some(&pod.id) == current.as_ref(),
            reason: if pod.terminating { Some("Terminating".to_owned()) } else { pod.reason.clone() },
        };
        Ok(snapshot.pods.iter().map(shown).collect())
    }

    async fn steer(&self, id: ForwardId, what: Steering) -> Result<String, Fatal> {
        let (answer, answered) = oneshot::channel();
        {
            let forwards = self.shared.forwards();
            let forward = forwards.iter().find(|one| one.port.id == id).ok_or_else(|| unknown_id(id))?;
            forward.run.reporter.request(&forward.port, SteeringRequest { what, answer });
        }
        match timeout(STEERING_TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            // Its supervisor ended, or somebody asked for something else meanwhile.
            Ok(Err(_)) => Err(not_done("the forward has ended, or another request came")),
            Err(_) => Err(not_done(&format!("it took longer than {} s", STEERING_TIMEOUT.as_secs()))),
        }
    }
}

impl Supervisor {
    /// Carries a request out while there is a backend.
    pub(super) async fn steer(
        &mut self,
        memory: &mut SupervisorState,
        backend: &Arc<Backend>,
        request: SteeringRequest,
    ) -> Option<SupervisorEnd> {
        let SteeringRequest { what, answer } = request;
        let pod = &backend.pod.id;
        let Steering::Retarget(name) = what else {
            self.cluster.forget(pod, &backend.tunnel);
            self.close(memory);
            memory.preferred_pod = Some(pod.clone());
            (memory.attempts, memory.rounds) = (0, 0);
            (memory.recovery_due, memory.replaces_unproven) = (true, false);
            self.reporter
                .emit(EventKind::Notice { text: format!("reconnecting to pod {}, as requested", pod.name) });
            let _ = answer.send(Ok(pod.name.clone()));
            return None;
        };
        let before = self.pods.borrow_and_update().clone();
        let other = match self.other_pod(&before.pods, Some(pod), name.as_deref()) {
            Ok(other) => other,
            Err(fatal) => {
                let _ = answer.send(Err(fatal));
                return None;
            }
        };
        let probe =
            self.ports_in(&other).ok().and_then(|ports| ports.first().map(|(_, port)| *port)).unwrap_or(1);
        let mut pods = self.pods.clone();
        let dialled = tokio::select! {
            dialled = self.cluster.dial(&other.id, probe) => dialled.map_err(|error| error.why.to_string()),
            () = another_is_chosen(&mut pods, &self.chooser, &self.reporter, pod) => Err("its pods have changed".to_owned()),
            why = backend.tunnel.closed() => Err(why),
        };
        match dialled {
            Ok(tunnel) => {
                memory.requested = true;
                let ended = self.open(memory, &before, self.new_backend(&other, tunnel));
                let _ = answer.send(Ok(other.id.name));
                ended
            }
            Err(why) => {
                let what =
                    format!("pod {} was not reached, so new connections go where they went", other.id.name);
                let _ = answer.send(Err(Fatal::new("fwd::control::not_retargeted", what).because(why)));
                None
            }
        }
    }

    /// Carries a request out while a pod is not reached: what is waited for before the next attempt is cut short.
    pub(super) fn steer_dial(&self, memory: &mut SupervisorState, request: SteeringRequest) {
        let SteeringRequest { what, answer } = request;
        let answered = match what {
            Steering::Reconnect => {
                let pod = memory.dialled_pod.as_ref().or(memory.last_pod.as_ref());
                Ok(pod.map(|pod| pod.name.clone()).unwrap_or_default())
            }
            Steering::Retarget(name) => {
                let pods = self.pods.borrow();
                let now = memory.dialled_pod.as_ref().or(memory.last_pod.as_ref());
                self.other_pod(&pods.pods, now, name.as_deref()).map(|pod| {
                    memory.preferred_pod = Some(pod.id.clone());
                    pod.id.name
                })
            }
        };
        if answered.is_ok() {
            (memory.attempts, memory.rounds) = (0, 0);
        }
        let _ = answer.send(answered);
    }

    /// Carries a request out while no pod is ready.
    pub(super) fn steer_waiting(&self, request: SteeringRequest) {
        let SteeringRequest { what, answer } = request;
        let _ = answer.send(match what {
            Steering::Reconnect => {
                self.pods.relist();
                Ok(String::new())
            }
            Steering::Retarget(name) => Err(no_other(self.reporter.target(), name.as_deref())),
        });
    }

    /// A pod that has all of these ports and is not `current`: the one with that name, or the best.
    fn other_pod(
        &self,
        pods: &[Endpoint],
        current: Option<&PodId>,
        name: Option<&str>,
    ) -> Result<Endpoint, Fatal> {
        let fits = |pod: &&Endpoint| {
            Some(&pod.id) != current
                && name.is_none_or(|name| pod.id.name == name)
                && self.ports_missing_in(pod) == 0
        };
        let others: Vec<Endpoint> = pods.iter().filter(fits).cloned().collect();
        let other = self.chooser.choose(&others, None, &self.wanted()).cloned();
        other.ok_or_else(|| no_other(self.reporter.target(), name))
    }
}

fn unknown_id(id: ForwardId) -> Fatal {
    Fatal::new(UNKNOWN_ID, format!("there is no forward {id}")).help("list the forwards to see their ids")
}

fn not_done(why: &str) -> Fatal {
    Fatal::new("fwd::control::not_steered", "the request was not carried out").because(why)
}

fn no_other(target: &str, name: Option<&str>) -> Fatal {
    let what = match name {
        Some(name) => format!("{target} cannot go to pod {name} now"),
        None => format!("{target} has no other pod that is ready"),
    };
    let why = "a pod has to be another one than now, ready, not terminating, and to have the ports";
    Fatal::new("fwd::control::no_other_pod", what).because(why)
}
