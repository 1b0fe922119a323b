//! A target on its way to being forwarded: its pods are looked at, then its local addresses are bound.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    ForwardOptions, ForwardSpec,
    chooser::PodChooser,
    clusters::{ClusterHandle, WatchedPods},
    listener::{self, BindRefusal, BoundListener, PortReplacement, TakenPort},
    no_pod::{no_port, none_ready, pods_unread},
    reporter::Reporter,
    takeover::{AddressConflict, Holding},
};
use crate::{
    cluster::pods::{examine::examine, namesake::with_namesake, target::ResolvedTarget, watch::Snapshot},
    error::Fatal,
    model::ports::{Address, LocalPort, PortSpec, RemotePort},
};

/// How long a local address may stay taken whose forward was stopped for it, and the pause between two tries. It is free when
/// the answer to the stop comes; this is for a system that takes its time.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
const RELEASE_PACE: Duration = Duration::from_millis(20);

/// A target on its way to being forwarded.
pub(super) struct PreparedTarget {
    pub wanted: ForwardSpec,
    pub cluster: Arc<ClusterHandle>,
    pub resolved: Arc<ResolvedTarget>,
    pub chooser: Arc<PodChooser>,
    pub watched: Arc<WatchedPods>,
    pub reporter: Reporter,
    /// By the order of what is wanted; none for a port that is taken.
    pub ports: Vec<Option<BoundPort>>,
}

/// One port of it, bound.
pub(super) struct BoundPort {
    pub remote: RemotePort,
    pub listening: Vec<BoundListener>,
    pub replacement: Option<PortReplacement>,
    pub address: String,
}

impl PreparedTarget {
    /// Waits for the first word about the pods. Where it is not a good one for every port, finds out whether there is hope.
    pub(super) async fn check_pods(&mut self) -> Result<(), Fatal> {
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

    /// Binds the local addresses of the target that are free; the others are added to `conflicts`.
    pub(super) async fn bind(&mut self, conflicts: &mut Vec<AddressConflict>) -> Result<(), Fatal> {
        let origin = &self.wanted.origin;
        let holding = if self.wanted.options.replace { Holding::End } else { Holding::Respect };
        for port in &self.wanted.request.ports {
            let bound = match self.bind_port(port).await {
                Ok(bound) => Some(bound),
                Err(BindRefusal::Impossible(fatal)) => return Err(fatal.asked_by(origin.as_deref())),
                Err(BindRefusal::Taken(taken)) => {
                    conflicts.push(AddressConflict { taken, holding, origin: origin.clone() });
                    None
                }
            };
            self.ports.push(bound);
        }
        Ok(())
    }

    /// Waits until every port has a pod that is ready. What is taken over is stopped for a target that works.
    pub(super) async fn wait_ready(&self) -> Result<(), Fatal> {
        let wanted: Vec<RemotePort> =
            self.wanted.request.ports.iter().map(|port| port.remote.clone()).collect();
        let (chooser, waited) = (&self.chooser, self.wanted.options.pod_running_timeout);
        let (target, cluster) = (self.reporter.target(), &self.cluster.client);
        let mut pods = self.watched.pods.clone();
        let settled = |set: &Snapshot| {
            chooser.without_pod(&set.pods, &wanted).is_none()
                || chooser.never(target, cluster, &set.pods, &wanted).is_some()
        };
        let never = if let Ok(Ok(set)) = timeout(waited, pods.wait_for(settled)).await {
            chooser.never(target, cluster, &set.pods, &wanted)
        } else {
            let pods = &self.watched.pods.borrow().pods;
            let why = chooser.why_none(pods, &wanted);
            Some(none_ready(target, cluster, &self.resolved.namespace, pods, waited, why))
        };
        never.map_or(Ok(()), |fatal| Err(fatal.asked_by(self.wanted.origin.as_deref())))
    }

    /// Binds what is missing, which others have just given up.
    pub(super) async fn bind_released(&mut self) -> Result<(), Fatal> {
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        let origin = self.wanted.origin.as_deref();
        for (at, port) in self.wanted.request.ports.iter().enumerate() {
            while self.ports[at].is_none() {
                let refusal = match self.bind_port(port).await {
                    Ok(bound) => {
                        self.ports[at] = Some(bound);
                        continue;
                    }
                    Err(BindRefusal::Taken(_)) if Instant::now() < deadline => {
                        sleep(RELEASE_PACE).await;
                        continue;
                    }
                    Err(BindRefusal::Taken(taken)) => taken.explain().await,
                    Err(BindRefusal::Impossible(fatal)) => fatal,
                };
                return Err(refusal.asked_by(origin));
            }
        }
        Ok(())
    }

    /// Binds the local addresses of one port.
    async fn bind_port(&self, port: &PortSpec) -> Result<BoundPort, BindRefusal> {
        let ForwardOptions { addresses, auto_port, .. } = &self.wanted.options;
        let taken = if *auto_port { TakenPort::Replace } else { TakenPort::Refuse };
        let same = match (&port.local, self.resolved.same_local(&port.remote)) {
            (LocalPort::Same, Some(number)) => number,
            (LocalPort::Same, None) => {
                self.same_in_pod(&port.remote).await.map_err(BindRefusal::Impossible)?
            }
            _ => 0,
        };
        let addresses = match &port.address {
            Some(address) => std::slice::from_ref(address),
            None => addresses.as_slice(),
        };
        let (listening, replacement) = listener::bind(&port.local, same, addresses, taken).await?;
        let address = address(port, addresses);
        Ok(BoundPort { remote: port.remote.clone(), listening, replacement, address })
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
