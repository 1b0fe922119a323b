//! A pod as this tool sees it: what decides whether, and how well, it can be forwarded to.

/// What makes a pod *that* pod. A StatefulSet's pod comes back under its name with another UID, and is another pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodId {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Accepted, not all containers started.
    Pending,
    /// Bound to a node, at least one container started.
    Running,
    /// Every container ended well.
    Succeeded,
    /// Every container ended, one of them badly.
    Failed,
    /// The node cannot be asked.
    Unknown,
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodPort {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// `containerPort`.
    pub number: u16,
    /// Whether it is TCP (the only protocol that can be forwarded).
    pub tcp: bool,
}

/// One pod of a target's set, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Which pod.
    pub id: PodId,
    /// Its phase.
    pub phase: Phase,
    /// The Ready condition (for a service without a selector: the EndpointSlice's `ready`).
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// When Ready last changed, seconds since the Unix epoch; 0 where unknown.
    pub ready_since: i64,
    /// The highest restart count of its containers.
    pub restarts: u32,
    /// Which containers run now (their ids, sorted and joined): another value under the same UID is a container
    /// restarted in place.
    pub containers: String,
    /// `metadata.creationTimestamp`, seconds since the Unix epoch; 0 where unknown.
    pub created: i64,
    /// The ports of all containers, then of all init containers, in their order (PROTOCOL §6).
    pub ports: Vec<PodPort>,
    /// The service's ports that the EndpointSlices give this pod, by the service port's name; `None` where its pods are
    /// found by labels or by name, or where the slices name no ports.
    pub published: Option<Vec<PodPort>>,
    /// Why it is not ready, as far as the pod says: `ImagePullBackOff`, `ContainerCreating`, `Unschedulable`.
    pub reason: Option<String>,
}

impl Endpoint {
    /// Whether new connections may go there: running, ready and not being deleted.
    pub fn is_usable(&self) -> bool {
        self.ready && !self.terminating && self.phase == Phase::Running
    }

    /// Whether a connection can reach an application in it, ready or not: some container runs, and it stays.
    pub fn is_running(&self) -> bool {
        !self.containers.is_empty() && !self.terminating && self.phase == Phase::Running
    }

    /// Whether it is being deleted, or has ended: it will never be usable again.
    pub fn is_finished(&self) -> bool {
        self.terminating || matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }
}

#[cfg(test)]
impl Endpoint {
    /// One that is ready; tests say what else matters to them.
    pub(crate) fn example(name: &str) -> Self {
        Self {
            id: PodId { namespace: "default".into(), name: name.into(), uid: format!("uid-{name}") },
            phase: Phase::Running,
            ready: true,
            terminating: false,
            ready_since: 100,
            restarts: 0,
            containers: "containerd://1".into(),
            created: 50,
            ports: vec![],
            published: None,
            reason: None,
        }
    }
}
