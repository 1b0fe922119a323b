//! The status of a pod at each station of its life, field for field as a kubelet writes it.

use serde_json::{Value, json};

use crate::api::meta::{self, items, number, text};
use crate::cluster::{NODE_ADDRESS, NODE_NAME};

pub(crate) fn is_ready(pod: &Value) -> bool {
    items(pod, "/status/conditions")
        .iter()
        .any(|c| c["type"] == json!("Ready") && c["status"] == json!("True"))
}

/// How a condition stands: whether it holds, and why not.
struct Condition<'a> {
    holds: bool,
    reason: &'a str,
    message: String,
}

impl Condition<'_> {
    const fn plain(holds: bool) -> Self {
        Self { holds, reason: "", message: String::new() }
    }
}

fn unready(pod: &Value) -> Condition<'static> {
    let names: Vec<&str> = items(pod, "/spec/containers").iter().map(|c| text(c, "/name")).collect();
    let message = format!("containers with unready status: [{}]", names.join(" "));
    Condition { holds: false, reason: "ContainersNotReady", message }
}

/// Sets all five conditions; the time of one that does not change stays.
fn set_conditions(pod: &mut Value, sandbox: bool, initialized: &Condition<'_>, ready: &Condition<'_>) {
    let yes = Condition::plain(true);
    let sandbox = Condition::plain(sandbox);
    let observed = pod["metadata"]["generation"].clone();
    let order = [
        ("PodReadyToStartContainers", &sandbox),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", &yes),
    ];
    let conditions = order.map(|(kind, standing)| {
        let held = if standing.holds { "True" } else { "False" };
        let before = items(pod, "/status/conditions")
            .iter()
            .find(|c| c["type"] == json!(kind) && c["status"] == json!(held))
            .map(|c| c["lastTransitionTime"].clone());
        let mut condition = json!({
            "type": kind, "status": held, "observedGeneration": observed, "lastProbeTime": null,
            "lastTransitionTime": before.unwrap_or_else(|| json!(meta::now())),
        });
        if !standing.reason.is_empty() {
            condition["reason"] = json!(standing.reason);
        }
        if !standing.message.is_empty() {
            condition["message"] = json!(standing.message);
        }
        condition
    });
    pod["status"]["conditions"] = json!(conditions);
    pod["status"]["observedGeneration"] = observed;
}

fn each_container(pod: &mut Value, mut change: impl FnMut(&mut Value)) {
    let statuses = pod.pointer_mut("/status/containerStatuses").and_then(Value::as_array_mut);
    statuses.into_iter().flatten().for_each(&mut change);
}

/// The scheduler's word.
pub(super) fn scheduled(pod: &mut Value) {
    pod["spec"]["nodeName"] = json!(NODE_NAME);
    pod["status"]["conditions"] = json!([{
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": meta::now(),
    }]);
}

/// The kubelet has seen the pod; containers wait.
pub(super) fn creating(pod: &mut Value) {
    let containers = items(pod, "/spec/containers").iter().map(|container| {
        json!({
            "name": container["name"], "state": { "waiting": { "reason": "ContainerCreating" } }, "lastState": {},
            "ready": false, "restartCount": 0, "image": container["image"], "imageID": "", "started": false,
        })
    });
    let containers: Vec<Value> = containers.collect();
    let status = meta::object_at(pod, "status");
    status.insert("hostIP".into(), json!(NODE_ADDRESS));
    status.insert("hostIPs".into(), json!([{ "ip": NODE_ADDRESS }]));
    status.insert("startTime".into(), json!(meta::now()));
    status.insert("containerStatuses".into(), json!(containers));
    let unready = unready(pod);
    set_conditions(pod, false, &Condition::plain(true), &unready);
}

/// The sandbox, that is network and cgroup, is there.
pub(super) fn sandboxed(pod: &mut Value) {
    let unready = unready(pod);
    set_conditions(pod, true, &Condition::plain(true), &unready);
}

/// An image cannot be had.
pub(super) fn image_missing(pod: &mut Value) {
    each_container(pod, |status| {
        let message = format!("Back-off pulling image \"{}\"", text(status, "/image"));
        status["state"] = json!({ "waiting": { "reason": "ImagePullBackOff", "message": message } });
    });
    sandboxed(pod);
}

/// The containers run; whether they are ready comes later.
pub(super) fn running(pod: &mut Value, address: &str) {
    pod["status"]["phase"] = json!("Running");
    pod["status"]["podIP"] = json!(address);
    pod["status"]["podIPs"] = json!([{ "ip": address }]);
    each_container(pod, |status| {
        status["state"] = json!({ "running": { "startedAt": meta::now() } });
        status["started"] = json!(true);
        status["containerID"] = json!(meta::new_container_id());
        status["imageID"] = json!("sha256:215dea3140e262291a313676cbed2e53f041f75f878d79b4e82204a4b38a5460");
    });
    sandboxed(pod);
}

/// The readiness probe's word.
pub(super) fn ready(pod: &mut Value, is_ready: bool) {
    each_container(pod, |status| status["ready"] = json!(is_ready));
    let standing = if is_ready { Condition::plain(true) } else { unready(pod) };
    set_conditions(pod, true, &Condition::plain(true), &standing);
}

/// The kubelet has seen what changed in the object, the deletion for one.
pub(super) fn observed(pod: &mut Value) {
    let observed = pod["metadata"]["generation"].clone();
    pod["status"]["observedGeneration"] = observed.clone();
    let conditions = pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        condition["observedGeneration"] = observed.clone();
    }
}

fn terminated(status: &Value, exit_code: i64, reason: &str) -> Value {
    json!({ "terminated": {
        "exitCode": exit_code, "reason": reason, "startedAt": status["state"]["running"]["startedAt"],
        "finishedAt": meta::now(), "containerID": status["containerID"],
    } })
}

/// The containers ended after the pod was deleted.
pub(super) fn succeeded(pod: &mut Value) {
    let never_ran = text(pod, "/status/phase") == "Pending";
    pod["status"]["phase"] = json!(if never_ran { "Failed" } else { "Succeeded" });
    each_container(pod, |status| {
        let (code, reason) = if never_ran { (137, "ContainerStatusUnknown") } else { (0, "Completed") };
        status["state"] = terminated(status, code, reason);
        status["ready"] = json!(false);
        status["started"] = json!(false);
    });
    let completed = |holds| Condition { holds, reason: "PodCompleted", message: String::new() };
    set_conditions(pod, false, &completed(true), &completed(false));
}

/// How a container ended that is started again in its pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContainerEnd {
    exit_code: i64,
    reason: &'static str,
}

impl ContainerEnd {
    /// By itself, with an error.
    pub(crate) const CRASH: Self = Self { exit_code: 3, reason: "Error" };
    /// By the kernel, for the memory it took.
    pub(crate) const OUT_OF_MEMORY: Self = Self { exit_code: 137, reason: "OOMKilled" };
    /// By the runtime, with the sandbox around it.
    pub(crate) const KILLED: Self = Self { exit_code: 137, reason: "Error" };
}

/// The containers ended and will be started again, in the same sandbox or in a new one.
pub(super) fn ended(pod: &mut Value, end: ContainerEnd, sandbox: bool) {
    each_container(pod, |status| {
        status["state"] = terminated(status, end.exit_code, end.reason);
        status["ready"] = json!(false);
        status["started"] = json!(false);
    });
    let unready = unready(pod);
    set_conditions(pod, sandbox, &Condition::plain(true), &unready);
}

/// They run again, at this address.
pub(super) fn restarted(pod: &mut Value, address: &str) {
    each_container(pod, |status| {
        status["lastState"] = status["state"].take();
        status["restartCount"] = json!(number(status, "/restartCount") + 1);
    });
    running(pod, address);
}

/// The kubelet is about to evict the pod, for what the node has too little of.
pub(super) fn disrupted(pod: &mut Value) {
    let observed = pod["metadata"]["generation"].clone();
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "observedGeneration": observed, "lastProbeTime": null,
        "lastTransitionTime": meta::now(), "reason": "TerminationByKubelet", "message": EVICTED,
    });
    if let Some(conditions) = pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.push(condition);
    }
}

/// What the kubelet says of a pod that it evicted.
const EVICTED: &str = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61284Ki. ";

/// The containers ended for the eviction. The object stays.
pub(super) fn evicted(pod: &mut Value) {
    pod["status"]["phase"] = json!("Failed");
    pod["status"]["reason"] = json!("Evicted");
    pod["status"]["message"] = json!(EVICTED);
    each_container(pod, |status| {
        status["state"] = terminated(status, 137, "Error");
        status["ready"] = json!(false);
        status["started"] = json!(false);
    });
    let failed = Condition { holds: false, reason: "PodFailed", message: String::new() };
    set_conditions(pod, false, &Condition::plain(true), &failed);
    disrupted(pod);
}

/// Whether the pod is over.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}
