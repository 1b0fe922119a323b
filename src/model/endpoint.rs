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
pub struct NamedPort {
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
    pub ports: Vec<NamedPort>,
    /// Why it is not ready, as far as the pod says: `ImagePullBackOff`, `ContainerCreating`, `Unschedulable`.
    pub reason: Option<String>,
}

impl Endpoint {
    /// Whether new connections may go there: running, ready and not being deleted.
    pub fn is_usable(&self) -> bool {
        self.ready && !self.terminating && self.phase == Phase::Running
    }
}
