//! The errors for a target that has no pod to forward to, each with the command line that tells more.

use std::time::Duration;

use crate::{
    cluster::client::Cluster,
    error::Fatal,
    model::{
        endpoint::{Endpoint, PodId},
        ports::RemotePort,
    },
    policy::select::closest,
};

/// The error for a target whose pods are not known by the time that one of them has to be ready.
pub(super) fn pods_unread(target: &str, cluster: &Cluster, waited: Duration, why: &str) -> Fatal {
    Fatal::new("fwd::pod::none_ready", format!("{target}: its pods could not be read within {waited:?}"))
        .because(format!("{}: {why}", cluster.server))
        .help(format!(
            "to wait longer, add --pod-running-timeout 5m; to see what is wrong, run: {}",
            cluster.kubectl_fwd(&format!("doctor {target}"))
        ))
}

/// The error for a port that `pod` does not have.
pub(super) fn no_port(
    target: &str,
    cluster: &Cluster,
    pod: &PodId,
    remote: &RemotePort,
    why: String,
) -> Fatal {
    let describe = cluster.kubectl(&pod.namespace, &format!("describe pod {}", pod.name));
    Fatal::new("fwd::port::unknown", format!("cannot forward to port {remote} of {target}"))
        .because(why)
        .help(format!(
            "to see the declared ports, run: {describe}\nany TCP port can be forwarded by its number"
        ))
}

/// The error for a target of which no pod was ready in time. `pods` are those of `namespace` that it has.
pub(super) fn none_ready(
    target: &str,
    cluster: &Cluster,
    namespace: &str,
    pods: &[Endpoint],
    waited: Duration,
    why: String,
) -> Fatal {
    let help = match closest(pods) {
        None => format!(
            "are there replicas, and is it the right namespace? to see the pods, run: {}",
            cluster.kubectl(namespace, "get pods --show-labels")
        ),
        Some(pod) => format!(
            "to see why, run: {}\nto wait longer, add --pod-running-timeout 5m",
            cluster.kubectl(namespace, &format!("describe pod {}", pod.id.name))
        ),
    };
    Fatal::new("fwd::pod::none_ready", format!("{target}: no pod was ready within {waited:?}"))
        .because(why)
        .help(help)
}
