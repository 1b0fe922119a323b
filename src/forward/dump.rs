//! What all of a process's forwards look like at one moment, for a report of a bug.

use super::{
    clusters::ClusterHandle,
    open_connections::ConnectionDump,
    registry::{Registry, RunningForward},
};
use crate::{
    cluster::pods::target::PodQuery,
    model::{endpoint::PodId, forward::PortForward},
    tunnel::dump::TunnelDump,
};

/// Forwards, watches and tunnels of which more is told than how many there are. A bug shows in a few of them.
const MAX_TOLD: usize = 64;

/// All of it.
#[derive(Debug, Clone)]
pub struct RegistryDump {
    /// The forwards that are told of, oldest first.
    pub forwards: Vec<ForwardDump>,
    /// How many there are.
    pub count: usize,
    /// The clusters that they are of.
    pub clusters: Vec<ClusterDump>,
}

/// A forward.
#[derive(Debug, Clone)]
pub struct ForwardDump {
    /// As a list has it.
    pub forward: PortForward,
    /// Its oldest connections.
    pub connections: Vec<ConnectionDump>,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct ClusterDump {
    /// The context of the kubeconfig.
    pub context: Option<String>,
    /// The sets of pods that are followed.
    pub watches: Vec<WatchDump>,
    /// The pods that are reached.
    pub tunnels: Vec<(PodId, TunnelDump)>,
}

/// A set of pods that is followed.
#[derive(Debug, Clone)]
pub struct WatchDump {
    /// Of this namespace.
    pub namespace: String,
    /// Which pods.
    pub pods: PodQuery,
    /// The set was read once.
    pub synced: bool,
    /// How many there are, and how many of them are ready.
    pub known: usize,
    /// Those of them that are ready.
    pub ready: usize,
    /// Why the set cannot be read at the moment.
    pub problem: Option<String>,
}

impl Registry {
    /// How everything is now. It takes no lock for long, and asks no task.
    #[doc(hidden)]
    pub fn dump(&self) -> RegistryDump {
        let forwards = self.shared.forwards();
        let told = forwards.iter().take(MAX_TOLD);
        let (count, forwards) = (forwards.len(), told.map(RunningForward::dump).collect());
        let clusters = self.shared.clusters.all().iter().map(|cluster| cluster.dump()).collect();
        RegistryDump { forwards, count, clusters }
    }
}

impl RunningForward {
    fn dump(&self) -> ForwardDump {
        ForwardDump { forward: self.snapshot(), connections: self.port.open.dump() }
    }
}

impl ClusterHandle {
    fn dump(&self) -> ClusterDump {
        let mut watches: Vec<_> = self
            .watched()
            .into_iter()
            .take(MAX_TOLD)
            .map(|((namespace, pods), watched)| {
                let snapshot = watched.pods.borrow();
                let ready = snapshot.pods.iter().filter(|pod| pod.ready).count();
                let (known, synced) = (snapshot.pods.len(), snapshot.synced);
                WatchDump { namespace, pods, synced, known, ready, problem: snapshot.problem.clone() }
            })
            .collect();
        watches.sort_by(|one, other| one.namespace.cmp(&other.namespace));
        let tunnels = self.tunnels().into_iter().take(MAX_TOLD);
        let mut tunnels: Vec<_> = tunnels.map(|(pod, tunnel)| (pod, tunnel.dump())).collect();
        tunnels.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        ClusterDump { context: self.client.context.clone(), watches, tunnels }
    }
}
