//! Which pod the ports of a target go to: what [`select`] decides, asked for ports as they were typed, of what the target stands
//! for at the moment.

use std::sync::Arc;

use super::{ForwardOptions, live_target::LiveTarget, no_pod::no_port};
use crate::{
    cluster::client::Cluster,
    error::Fatal,
    model::{
        endpoint::{Endpoint, PodId},
        ports::RemotePort,
    },
    policy::select::{self, Coverage, Readiness},
};

/// Chooses pods for the ports of one target.
pub(super) struct PodChooser {
    pub resolved: Arc<LiveTarget>,
    allow_unready: bool,
    /// All ports of the target.
    ports: Vec<RemotePort>,
}

impl PodChooser {
    pub(super) fn new(resolved: Arc<LiveTarget>, options: &ForwardOptions, ports: Vec<RemotePort>) -> Self {
        Self { resolved, allow_unready: options.allow_unready, ports }
    }

    /// What is asked of the pods' readiness.
    fn readiness(&self) -> Readiness {
        let asked = self.resolved.get().readiness();
        if self.allow_unready { asked.relaxed() } else { asked }
    }

    /// The pod for `wanted`, some ports of the target: one that has as many of them as can be.
    pub(super) fn choose<'a>(
        &self,
        pods: &'a [Endpoint],
        current: Option<&PodId>,
        wanted: &[RemotePort],
    ) -> Option<&'a Endpoint> {
        let resolved = self.resolved.get();
        let has = |pod: &Endpoint, ports: &[RemotePort]| {
            ports.iter().filter(|port| resolved.pod_port(port, pod).is_ok()).count()
        };
        select::choose(pods, current, self.readiness(), |pod| Coverage {
            wanted: has(pod, wanted),
            target: has(pod, &self.ports),
        })
    }

    /// Whether a pod has a port.
    pub(super) fn has(&self, pod: &Endpoint, port: &RemotePort) -> bool {
        self.resolved.get().pod_port(port, pod).is_ok()
    }

    /// The first of `wanted` for which there is no pod.
    pub(super) fn without_pod<'a>(
        &self,
        pods: &[Endpoint],
        wanted: &'a [RemotePort],
    ) -> Option<&'a RemotePort> {
        let (resolved, readiness) = (self.resolved.get(), self.readiness());
        let has = |pod: &Endpoint, port: &RemotePort| resolved.pod_port(port, pod).is_ok();
        wanted.iter().find(|port| !select::has_candidate(pods, readiness, |pod| has(pod, port)))
    }

    /// Why there is no pod for `wanted`, in words.
    pub(super) fn why_none(&self, pods: &[Endpoint], wanted: &[RemotePort]) -> String {
        let missing = self.without_pod(pods, wanted).or(wanted.first());
        let resolved = self.resolved.get();
        select::why_none(pods, self.readiness(), |pod| resolved.pod_port(missing?, pod).err())
    }

    /// What is to be told of a pod that is used although it is not ready. Where a service publishes such pods, that is as
    /// it should be.
    pub(super) fn unready(&self, pod: &Endpoint) -> Option<String> {
        let name = &pod.id.name;
        match self.readiness() {
            _ if pod.ready => None,
            Readiness::Ignored if self.resolved.get().is_named_pod() => {
                Some(format!("pod {name} is not ready; forwarding to it anyway, because you named it"))
            }
            Readiness::Preferred => Some(format!("no pod is ready; using {name}, which is running")),
            Readiness::Ignored | Readiness::Required => None,
        }
    }

    /// The error for a port that no pod has and none of those that may become ready will have, where some pod could be
    /// forwarded to for its readiness.
    pub(super) fn never(
        &self,
        target: &str,
        cluster: &Cluster,
        pods: &[Endpoint],
        wanted: &[RemotePort],
    ) -> Option<Fatal> {
        let port = self.without_pod(pods, wanted)?;
        let usable = select::choose(pods, None, self.readiness(), |_| Coverage { wanted: 1, target: 1 })?;
        let why = self.resolved.get().pod_port(port, usable).err()?;
        let hope = pods.iter().any(|pod| !pod.is_finished() && self.has(pod, port));
        (!hope).then(|| no_port(target, cluster, &usable.id, port, why))
    }
}
