//! StatefulSet: pods with names that stay, one after the other.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pod_status::is_ready;
use super::workload::{delete, is_active, pod_from_template, pods_of, revision, set_status, template_hash};
use crate::api::meta::{self, number, text};
use crate::api::resources::{POD, STATEFUL_SET};
use crate::cluster::Cluster;

pub(super) fn reconcile(cluster: &Cluster) {
    for (key, set) in cluster.store.list(&STATEFUL_SET, None).items {
        if !meta::is_deleting(&set) {
            step(cluster, &set, &pods_of(cluster, &set));
        }
        let status = status(&set, &pods_of(cluster, &set));
        set_status(cluster, &key, status);
    }
}

/// What to do next: the lowest missing pod first, then the highest surplus one, then the highest outdated one.
/// In order means that each step waits until the one before it is ready or gone.
fn step(cluster: &Cluster, set: &Value, pods: &[Arc<Value>]) {
    let wanted = number(set, "/spec/replicas");
    let hash = template_hash(&set["spec"]["template"]);
    let in_order = text(set, "/spec/podManagementPolicy") != "Parallel";
    let named = |ordinal: i64| {
        let name = format!("{}-{ordinal}", meta::name(set));
        pods.iter().find(move |pod| meta::name(pod) == name)
    };
    for ordinal in 0..wanted {
        match named(ordinal) {
            None => create(cluster, set, ordinal, &hash),
            Some(pod) if !is_active(pod) && !meta::is_deleting(pod) => delete(cluster, pod),
            Some(pod) if is_ready(pod) && !meta::is_deleting(pod) => continue,
            Some(_) => {}
        }
        if in_order {
            return;
        }
    }
    let ordinal = |pod: &Value| {
        meta::name(pod).rsplit('-').next().and_then(|last| last.parse::<i64>().ok()).unwrap_or_default()
    };
    if pods.iter().any(|pod| meta::is_deleting(pod)) && in_order {
        return;
    }
    let mut surplus: Vec<_> = pods.iter().filter(|pod| is_active(pod) && ordinal(pod) >= wanted).collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(ordinal(pod)));
    if !surplus.is_empty() {
        surplus.into_iter().take(if in_order { 1 } else { usize::MAX }).for_each(|pod| delete(cluster, pod));
        return;
    }
    let partition = number(set, "/spec/updateStrategy/rollingUpdate/partition");
    let rolls = text(set, "/spec/updateStrategy/type") != "OnDelete";
    let settled = pods.iter().all(|pod| is_ready(pod) && !meta::is_deleting(pod));
    let outdated = pods.iter().filter(|pod| revision(pod) != hash && ordinal(pod) >= partition);
    if rolls
        && settled
        && let Some(pod) = outdated.max_by_key(|pod| ordinal(pod))
    {
        delete(cluster, pod);
    }
}

fn create(cluster: &Cluster, set: &Value, ordinal: i64, hash: &str) {
    let name = format!("{}-{ordinal}", meta::name(set));
    let labels = json!({
        "apps.kubernetes.io/pod-index": ordinal.to_string(), "controller-revision-hash": hash,
        "statefulset.kubernetes.io/pod-name": name,
    });
    let mut pod = pod_from_template(&STATEFUL_SET, set, &labels);
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["generateName"] = json!(format!("{}-", meta::name(set)));
    pod["spec"]["hostname"] = json!(name);
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    if let Err(status) = cluster.create(&POD, meta::namespace(set), pod) {
        tracing::debug!(%status, "pod not created");
    }
}

fn status(set: &Value, pods: &[Arc<Value>]) -> Value {
    let hash = template_hash(&set["spec"]["template"]);
    let is_current = |pod: &&Arc<Value>| is_active(pod) && revision(pod) == hash;
    let ready = pods.iter().filter(|pod| is_active(pod) && is_ready(pod)).count();
    let updated = pods.iter().filter(is_current).count();
    let done = i64::try_from(updated).ok() == Some(number(set, "/spec/replicas"));
    let update = format!("{}-{hash}", meta::name(set));
    let before = text(set, "/status/currentRevision");
    let current = if done || before.is_empty() { &update } else { before };
    json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": pods.len(), "readyReplicas": ready,
        "availableReplicas": ready, "currentReplicas": if done { updated } else { pods.len() - updated.min(pods.len()) },
        "updatedReplicas": updated, "currentRevision": current, "updateRevision": update, "collisionCount": 0,
    })
}
