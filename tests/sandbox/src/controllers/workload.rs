//! Those that keep a number of like pods: ReplicaSet, ReplicationController, DaemonSet and Job.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pod_status::is_ready;
use crate::api::meta::{self, number, text};
use crate::api::resources::{CONTROLLER, DAEMON_SET, JOB, POD, REPLICA_SET, Resource};
use crate::cluster::store::Key;
use crate::cluster::{Cluster, Deletion};

pub(super) fn reconcile(cluster: &Cluster) {
    for resource in [&REPLICA_SET, &CONTROLLER, &DAEMON_SET, &JOB] {
        for (key, owner) in cluster.store.list(resource, None).items {
            let pods = pods_of(cluster, &owner);
            if !meta::is_deleting(&owner) {
                match resource.kind {
                    "DaemonSet" => daemon_pods(cluster, &owner, &pods),
                    _ => scale(cluster, resource, &owner, &pods, wanted(&owner, &pods), &json!({})),
                }
            }
            let pods = pods_of(cluster, &owner);
            let status = status(resource, &owner, &pods);
            set_status(cluster, &key, status);
        }
    }
}

/// How many pods are to run. A job wants no more of them than it still has to complete.
pub(super) fn wanted(owner: &Value, pods: &[Arc<Value>]) -> i64 {
    if owner["kind"] != json!("Job") {
        return number(owner, "/spec/replicas");
    }
    let left = number(owner, "/spec/completions") - succeeded(pods);
    number(owner, "/spec/parallelism").min(left).max(0)
}

fn succeeded(pods: &[Arc<Value>]) -> i64 {
    let succeeded = pods.iter().filter(|pod| text(pod, "/status/phase") == "Succeeded").count();
    i64::try_from(succeeded).unwrap_or(i64::MAX)
}

/// The pods that `owner` controls.
pub(super) fn pods_of(cluster: &Cluster, owner: &Value) -> Vec<Arc<Value>> {
    let mut pods = cluster.store.all(&POD, Some(meta::namespace(owner)));
    pods.retain(|pod| meta::controller_uid(pod) == meta::uid(owner));
    pods
}

/// Wanted and not over: counts towards the number.
pub(super) fn is_active(pod: &Value) -> bool {
    !meta::is_deleting(pod) && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Writes a status; that the object went meanwhile does no harm.
pub(super) fn set_status(cluster: &Cluster, key: &Key, status: Value) {
    let _ = cluster.store.modify(key, |object| {
        object["status"] = status;
        Ok(())
    });
}

/// A pod from the owner's template.
pub(super) fn pod_from_template(resource: &Resource, owner: &Value, extra_labels: &Value) -> Value {
    let template = &owner["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    if !metadata.is_object() {
        metadata = json!({});
    }
    for (key, value) in extra_labels.as_object().into_iter().flatten() {
        meta::object_at(&mut metadata, "labels").insert(key.clone(), value.clone());
    }
    metadata["ownerReferences"] = meta::owned_by(resource, owner);
    json!({ "metadata": metadata, "spec": template["spec"] })
}

/// Creates or deletes pods until as many are there as wanted.
fn scale(
    cluster: &Cluster,
    resource: &Resource,
    owner: &Value,
    pods: &[Arc<Value>],
    wanted: i64,
    extra_labels: &Value,
) {
    let mut active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    let wanted = usize::try_from(wanted).unwrap_or(0);
    for _ in active.len()..wanted {
        let mut pod = pod_from_template(resource, owner, extra_labels);
        pod["metadata"]["generateName"] = json!(format!("{}-", meta::name(owner)));
        if let Err(status) = cluster.create(&POD, meta::namespace(owner), pod) {
            tracing::debug!(%status, owner = meta::name(owner), "pod not created");
            return;
        }
    }
    // The least worth keeping first: not ready, then the youngest.
    active.sort_by_key(|pod| (is_ready(pod), std::cmp::Reverse(meta::resource_version(pod))));
    let surplus = active.len().saturating_sub(wanted);
    for pod in active.into_iter().take(surplus) {
        delete(cluster, pod);
    }
}

/// Deletes a pod; that it went meanwhile is all right.
pub(super) fn delete(cluster: &Cluster, pod: &Value) {
    let key = Key::of(&POD, pod);
    let _ = cluster.delete(&key, Deletion { uid: meta::uid(pod), ..Deletion::default() });
}

/// One pod for the one node, of the current template; an old one is replaced.
fn daemon_pods(cluster: &Cluster, owner: &Value, pods: &[Arc<Value>]) {
    let hash = template_hash(&owner["spec"]["template"]);
    let labels = json!({ "controller-revision-hash": hash, "pod-template-generation": "1" });
    if let Some(old) = pods.iter().find(|pod| is_active(pod) && revision(pod) != hash) {
        return delete(cluster, old);
    }
    if pods.iter().all(|pod| !meta::is_deleting(pod)) {
        scale(cluster, &DAEMON_SET, owner, pods, 1, &labels);
    }
}

pub(super) fn revision(pod: &Value) -> &str {
    meta::labels(pod).and_then(|labels| labels.get("controller-revision-hash")?.as_str()).unwrap_or_default()
}

/// A short name for a template: equal templates, equal names.
pub(super) fn template_hash(template: &Value) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, template.to_string().as_bytes());
    meta::encode(&digest.as_ref()[..9])
}

fn status(resource: &Resource, owner: &Value, pods: &[Arc<Value>]) -> Value {
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    let ready = active.iter().filter(|pod| is_ready(pod)).count();
    let observed = owner["metadata"]["generation"].clone();
    match resource.kind {
        "DaemonSet" => {
            let hash = template_hash(&owner["spec"]["template"]);
            let updated = active.iter().filter(|pod| revision(pod) == hash).count();
            json!({
                "observedGeneration": observed, "currentNumberScheduled": active.len(), "desiredNumberScheduled": 1,
                "numberMisscheduled": 0, "numberReady": ready, "numberAvailable": ready,
                "updatedNumberScheduled": updated,
            })
        }
        "Job" => {
            let start = &owner["status"]["startTime"];
            let start = if start.is_null() { json!(meta::now()) } else { start.clone() };
            let mut status = json!({
                "active": active.len(), "ready": ready, "startTime": start, "uncountedTerminatedPods": {},
            });
            let succeeded = succeeded(pods);
            if succeeded > 0 {
                status["succeeded"] = json!(succeeded);
            }
            if succeeded >= number(owner, "/spec/completions") {
                let before = &owner["status"]["completionTime"];
                let ended = if before.is_null() { json!(meta::now()) } else { before.clone() };
                let condition = |kind: &str| {
                    json!({
                        "type": kind, "status": "True", "reason": "CompletionsReached",
                        "message": "Reached expected number of succeeded pods",
                        "lastProbeTime": ended, "lastTransitionTime": ended,
                    })
                };
                status["completionTime"] = ended.clone();
                status["conditions"] = json!([condition("SuccessCriteriaMet"), condition("Complete")]);
            }
            status
        }
        _ => json!({
            "observedGeneration": observed, "replicas": active.len(), "fullyLabeledReplicas": active.len(),
            "readyReplicas": ready, "availableReplicas": ready,
        }),
    }
}
