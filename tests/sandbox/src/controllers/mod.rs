//! The controllers: each looks at what is wanted and what is there and takes the next step from the one to the
//! other.
//!
//! They run one after the other in one task, again after every change, until nothing changes any more. So none needs
//! to know which event brought it about, none sees half of another's work, and what a watcher sees comes in an order
//! that depends on the states alone.

mod deployment;
mod endpoints;
mod garbage;
pub(crate) mod kubelet;
mod pod_status;
mod stateful;
mod workload;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::pod_status::{ContainerEnd, is_ready};
use crate::api::meta::{self, number};
use crate::api::resources::{
    CONTROLLER, DAEMON_SET, DEPLOYMENT, JOB, POD, REPLICA_SET, Resource, STATEFUL_SET,
};
use crate::cluster::Cluster;

/// Runs the controllers until the cluster stops.
pub(crate) async fn run(cluster: Arc<Cluster>) {
    let mut versions = cluster.store.subscribe();
    let mut kubelet = kubelet::Kubelet::default();
    loop {
        versions.borrow_and_update();
        // First of all who may be sent connections: a watcher of the endpoints is not to wait for new pods.
        endpoints::reconcile(&cluster);
        garbage::reconcile(&cluster);
        deployment::reconcile(&cluster);
        stateful::reconcile(&cluster);
        workload::reconcile(&cluster);
        kubelet.reconcile(&cluster);
        tokio::select! {
            () = cluster.stopping.cancelled() => return,
            changed = versions.changed() => if changed.is_err() { return },
        }
    }
}

/// Whether every workload has the pods it wants, in fact and by its status, and every pod is as ready as it gets.
pub(crate) fn settled(cluster: &Cluster) -> bool {
    let is_settled = |resource: &Resource, object: &Value| {
        let wanted = match resource.kind {
            "DaemonSet" => 1,
            "Job" => workload::wanted(object, &workload::pods_of(cluster, object)),
            _ => number(object, "/spec/replicas"),
        };
        if resource.kind != "Deployment" {
            let pods = workload::pods_of(cluster, object);
            let ready = pods.iter().filter(|pod| workload::is_active(pod) && is_ready(pod)).count();
            let said = match resource.kind {
                "DaemonSet" => number(object, "/status/numberReady"),
                "Job" => number(object, "/status/ready"),
                _ => number(object, "/status/readyReplicas"),
            };
            return [i64::try_from(ready).ok(), Some(said)] == [Some(wanted); 2];
        }
        number(object, "/status/observedGeneration") == number(object, "/metadata/generation")
            && ["replicas", "updatedReplicas", "readyReplicas"]
                .iter()
                .all(|count| object["status"][count].as_i64().unwrap_or_default() == wanted)
    };
    let workloads = [&REPLICA_SET, &CONTROLLER, &DAEMON_SET, &STATEFUL_SET, &DEPLOYMENT, &JOB];
    workloads
        .iter()
        .all(|resource| cluster.store.all(resource, None).iter().all(|object| is_settled(resource, object)))
        && cluster
            .store
            .all(&POD, None)
            .iter()
            .all(|pod| !meta::is_deleting(pod) && kubelet::has_arrived(pod))
}

#[cfg(test)]
mod recorded;
