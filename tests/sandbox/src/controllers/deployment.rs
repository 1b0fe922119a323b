//! Deployment: a ReplicaSet for each template, and the rolling from the old to the new.

use std::sync::Arc;

use serde_json::{Value, json};

use super::workload::{pods_of, set_status, template_hash};
use crate::api::meta::{self, number, text};
use crate::api::resources::{DEPLOYMENT, REPLICA_SET};
use crate::cluster::Cluster;
use crate::cluster::store::Key;

const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) fn reconcile(cluster: &Cluster) {
    for (key, deployment) in cluster.store.list(&DEPLOYMENT, None).items {
        if !meta::is_deleting(&deployment) {
            roll(cluster, &deployment);
        }
        // The revision may have been noted on the deployment meanwhile.
        if let Some(deployment) = cluster.store.get(&key) {
            let status = status(cluster, &deployment);
            set_status(cluster, &key, status);
        }
    }
}

/// The ReplicaSets of a deployment: the one for its template, and the others.
struct Sets {
    new: Option<Arc<Value>>,
    old: Vec<Arc<Value>>,
}

impl Sets {
    fn of(cluster: &Cluster, deployment: &Value) -> Self {
        let hash = template_hash(&deployment["spec"]["template"]);
        let mut sets = cluster.store.all(&REPLICA_SET, Some(meta::namespace(deployment)));
        sets.retain(|set| meta::controller_uid(set) == meta::uid(deployment));
        let (new, old) = sets.into_iter().partition::<Vec<_>, _>(|set| label(set) == hash);
        Self { new: new.into_iter().next(), old }
    }
}

fn label(set: &Value) -> &str {
    meta::labels(set).and_then(|labels| labels.get("pod-template-hash")?.as_str()).unwrap_or_default()
}

fn wanted(object: &Value) -> i64 {
    number(object, "/spec/replicas")
}

/// One step of the way. The new set grows as far as the surge allows; the old ones shrink as far as enough pods stay
/// available.
fn roll(cluster: &Cluster, deployment: &Value) {
    if deployment["spec"]["paused"] == json!(true) {
        return;
    }
    let sets = Sets::of(cluster, deployment);
    let Some(new) = sets.new.clone().or_else(|| create(cluster, deployment, &sets)) else { return };
    note_revision(cluster, deployment, &new);
    let replicas = wanted(deployment);
    let old_wanted: i64 = sets.old.iter().map(|set| wanted(set)).sum();
    if text(deployment, "/spec/strategy/type") == "Recreate" {
        sets.old.iter().for_each(|set| scale(cluster, set, 0));
        if sets.old.iter().all(|set| pods_of(cluster, set).is_empty()) {
            scale(cluster, &new, replicas);
        }
        return;
    }
    let (surge, unavailable) = allowance(deployment, replicas);
    let room = (replicas + surge - old_wanted).max(wanted(&new));
    scale(cluster, &new, room.min(replicas));

    let ready = |set: &Value| number(set, "/status/readyReplicas");
    let new_unready = (wanted(&new) - ready(&new)).max(0);
    let mut spare = wanted(&new) + old_wanted - (replicas - unavailable) - new_unready;
    // What is not ready anyway can go first and costs nothing.
    for unready_first in [true, false] {
        for set in &sets.old {
            let now = cluster.store.get(&Key::of(&REPLICA_SET, set)).map_or(0, |set| wanted(&set));
            let candidates = if unready_first { (now - ready(set)).max(0) } else { now };
            let down = candidates.min(spare.max(0));
            scale(cluster, set, now - down);
            spare -= down;
        }
    }
}

/// How many more pods, and how many fewer ready ones, the strategy puts up with.
fn allowance(deployment: &Value, replicas: i64) -> (i64, i64) {
    let value = |name: &str, round_up: bool| {
        let value = &deployment["spec"]["strategy"]["rollingUpdate"][name];
        let percent =
            value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<i64>().ok());
        match percent {
            Some(percent) => (replicas * percent + if round_up { 99 } else { 0 }) / 100,
            None => value.as_i64().unwrap_or_default(),
        }
    };
    match (value("maxSurge", true), value("maxUnavailable", false)) {
        // Both zero would never move.
        (0, 0) => (0, 1),
        other => other,
    }
}

fn create(cluster: &Cluster, deployment: &Value, sets: &Sets) -> Option<Arc<Value>> {
    let hash = template_hash(&deployment["spec"]["template"]);
    let mut template = deployment["spec"]["template"].clone();
    let metadata = meta::object_at(&mut template, "metadata");
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    labels["pod-template-hash"] = json!(hash);
    let labels = labels.clone();
    let mut selector = deployment["spec"]["selector"].clone();
    meta::object_at(&mut selector, "matchLabels").insert("pod-template-hash".into(), json!(hash));
    let revision = sets.old.iter().map(|set| revision(set)).max().unwrap_or_default() + 1;
    let replicas = if sets.old.is_empty() { wanted(deployment) } else { 0 };
    let set = json!({
        "metadata": {
            "name": format!("{}-{hash}", meta::name(deployment)), "labels": labels,
            "annotations": {
                REVISION: revision.to_string(),
                "deployment.kubernetes.io/desired-replicas": wanted(deployment).to_string(),
            },
            "ownerReferences": meta::owned_by(&DEPLOYMENT, deployment),
        },
        "spec": { "replicas": replicas, "selector": selector, "template": template },
    });
    match cluster.create(&REPLICA_SET, meta::namespace(deployment), set) {
        Ok(set) => Some(set),
        Err(status) => {
            tracing::debug!(%status, "replica set not created");
            None
        }
    }
}

fn revision(object: &Value) -> i64 {
    object["metadata"]["annotations"][REVISION]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// A template that comes back gets a new revision, as `kubectl rollout undo` expects.
fn note_revision(cluster: &Cluster, deployment: &Value, new: &Value) {
    let newest = Sets::of(cluster, deployment).old.iter().map(|set| revision(set)).max().unwrap_or_default();
    let number = if revision(new) > newest { revision(new) } else { newest + 1 };
    for key in [Key::of(&REPLICA_SET, new), Key::of(&DEPLOYMENT, deployment)] {
        let _ = cluster.store.modify(&key, |object| {
            meta::object_at(&mut object["metadata"], "annotations")
                .insert(REVISION.into(), json!(number.to_string()));
            Ok(())
        });
    }
}

fn scale(cluster: &Cluster, set: &Value, replicas: i64) {
    let _ = cluster.update(&Key::of(&REPLICA_SET, set), |set| {
        set["spec"]["replicas"] = json!(replicas);
        Ok(())
    });
}

fn status(cluster: &Cluster, deployment: &Value) -> Value {
    let sets = Sets::of(cluster, deployment);
    let all = || sets.new.iter().chain(&sets.old);
    let sum = |field: &str| all().map(|set| number(set, field)).sum::<i64>();
    let (replicas, ready) = (sum("/status/replicas"), sum("/status/readyReplicas"));
    let updated = sets.new.as_deref().map_or(0, |set| number(set, "/status/replicas"));
    let (asked, unavailable) = (wanted(deployment), allowance(deployment, wanted(deployment)).1);
    let available = ready >= asked - unavailable;
    let done = updated == asked && replicas == asked && ready == asked;
    let set = sets.new.as_deref().map(meta::name).unwrap_or_default();
    let progress = if done {
        ("NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed."))
    } else {
        ("ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing."))
    };
    let availability = if available {
        ("MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned())
    } else {
        ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.".to_owned())
    };
    let condition = |kind: &str, holds: bool, (reason, message): (&str, String)| {
        let before = meta::items(deployment, "/status/conditions").iter().find(|c| c["type"] == json!(kind));
        let held = if holds { "True" } else { "False" };
        let now = json!(meta::now());
        let since = |field: &str, same: bool| {
            before.filter(|_| same).map_or_else(|| now.clone(), |before| before[field].clone())
        };
        let same_state = before.is_some_and(|before| before["status"] == json!(held));
        let same_words = before.is_some_and(|before| before["message"] == json!(message));
        json!({
            "type": kind, "status": held, "reason": reason, "message": message,
            "lastUpdateTime": since("lastUpdateTime", same_state && same_words),
            "lastTransitionTime": since("lastTransitionTime", same_state),
        })
    };
    let mut status = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "conditions": [condition("Progressing", true, progress), condition("Available", available, availability)],
    });
    // Zeroes are left out.
    let counts = [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", (asked.max(replicas) - ready).max(0)),
    ];
    for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        status[field] = json!(count);
    }
    status
}
