//! From the API's pod to this tool's [`Endpoint`]: pure, and the only place that reads a pod's status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::list_watch::Watched;
use crate::{
    cluster::objects::{ContainerStatus, Pod, PodCondition},
    model::{
        endpoint::{Endpoint, Phase, PodId, PodPort},
        name,
    },
};

/// A pod of a collection.
#[derive(Debug, Clone)]
pub(super) struct WatchedPod {
    /// What matters of it; `None` for one whose names are none.
    pub endpoint: Option<Endpoint>,
    version: Option<String>,
}

impl Watched for WatchedPod {
    type Object = Pod;

    fn read(object: Pod) -> Self {
        Self { endpoint: from_pod(&object), version: object.metadata.resource_version }
    }

    fn version(&self) -> Option<String> {
        self.version.clone()
    }
}

/// What matters of a pod; `None` for one whose names are none, which nothing is asked about.
pub(super) fn from_pod(pod: &Pod) -> Option<Endpoint> {
    let metadata = &pod.metadata;
    let id = pod_id(metadata.namespace.as_deref()?, metadata.name.as_deref()?, metadata.uid.as_deref())?;
    let status = pod.status.as_ref();
    let ready = condition(pod, "Ready");
    let statuses = || status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    // Sidecars are init containers that go on.
    let sidecars = status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let mut running: Vec<&str> = statuses()
        .chain(sidecars)
        .filter(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
        .map(|container| container.container_id.as_deref().unwrap_or(&container.name))
        .collect();
    running.sort_unstable();
    Some(Endpoint {
        id,
        phase: match status.and_then(|status| status.phase.as_deref()) {
            Some("Pending") => Phase::Pending,
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            _ => Phase::Unknown,
        },
        ready: ready.is_some_and(|ready| ready.status == "True"),
        terminating: metadata.deletion_timestamp.is_some(),
        ready_since: seconds(ready.and_then(|ready| ready.last_transition_time.as_ref())),
        restarts: statuses().map(|c| u32::try_from(c.restart_count).unwrap_or(0)).max().unwrap_or(0),
        containers: running.join(","),
        created: seconds(metadata.creation_timestamp.as_ref()),
        ports: ports(pod),
        published: None,
        reason: reason(pod),
    })
}

/// A pod as an object of the cluster names it, if these are names; all of them are to become parts of a URL, or of a
/// comparison with one that was.
pub(super) fn pod_id(namespace: &str, name: &str, uid: Option<&str>) -> Option<PodId> {
    let uid = uid.unwrap_or_default();
    if !name::is_dns_label(namespace) || !name::is_object_name(name) || !name::is_token(uid) {
        tracing::warn!(namespace, name, uid, "ignored an object whose name is not valid for a pod");
        return None;
    }
    Some(PodId { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() })
}

/// A port's name, where it is one.
pub(super) fn port_name(name: Option<&String>) -> Option<String> {
    name.filter(|name| name::is_dns_label(name)).cloned()
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn seconds(time: Option<&Time>) -> i64 {
    time.map_or(0, |time| time.0.as_second())
}

/// All containers' ports, then all init containers', in their order: the order in which kubectl looks names up.
fn ports(pod: &Pod) -> Vec<PodPort> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let containers = spec.containers.iter().flatten().chain(spec.init_containers.iter().flatten());
    let mut ports: Vec<PodPort> = containers
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            Some(PodPort {
                name: port_name(port.name.as_ref()),
                number: u16::try_from(port.number).ok()?,
                tcp: port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"),
            })
        })
        .collect();
    // There are thousands of pods, with a port or two each.
    ports.shrink_to_fit();
    ports
}

/// Why it is not ready, as far as it says: what a container waits for beats why it ended beats why no node took the
/// pod beats why the whole pod ended.
fn reason(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all: Vec<&ContainerStatus> = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .filter(|container| !container.ready)
        .collect();
    let state = |pick: fn(&ContainerStatus) -> Option<&String>, of: &str| {
        all.iter().filter_map(|container| pick(container)).find(|reason| *reason != of).cloned()
    };
    let waiting = |of| state(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_ref(), of);
    let ended =
        state(|container| container.state.as_ref()?.terminated.as_ref()?.reason.as_ref(), "Completed");
    // PodInitializing only says that an init container, earlier in the list, has the reason.
    waiting("PodInitializing")
        .or(ended)
        .or_else(|| status.reason.clone())
        .or_else(|| {
            let scheduled = condition(pod, "PodScheduled")?;
            scheduled.reason.clone().filter(|_| scheduled.status == "False")
        })
        .or_else(|| waiting(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: &serde_json::Value) -> Endpoint {
        from_pod(&serde_json::from_value(json.clone()).unwrap()).unwrap()
    }

    #[test]
    fn everything_is_read() {
        let endpoint = pod(&serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "creationTimestamp": "1970-01-01T00:01:00Z"},
            "spec": {
                "containers": [
                    {"name": "a", "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}]},
                    {"name": "b", "ports": [{"containerPort": 90, "protocol": "TCP"}]},
                ],
                "initContainers": [{"name": "i", "ports": [{"containerPort": 70, "name": "init"}]}],
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:02:00Z"}],
                "containerStatuses": [
                    {"name": "b", "containerID": "c://2", "image": "", "imageID": "", "ready": true, "restartCount": 3,
                     "state": {"running": {}}},
                    {"name": "a", "containerID": "c://1", "image": "", "imageID": "", "ready": true, "restartCount": 1,
                     "state": {"running": {}}},
                    {"name": "c", "containerID": "c://0", "image": "", "imageID": "", "ready": true, "restartCount": 1,
                     "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                ],
                "initContainerStatuses": [
                    {"name": "i", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                     "state": {"running": {}}},
                ],
            },
        }));
        let port = |name: &str, number, tcp| PodPort {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            number,
            tcp,
        };
        let expected = Endpoint {
            id: PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() },
            phase: Phase::Running,
            ready: true,
            terminating: false,
            ready_since: 120,
            restarts: 3,
            containers: "c://1,c://2,i".into(),
            created: 60,
            ports: vec![
                port("http", 80, true),
                port("", 53, false),
                port("", 90, true),
                port("init", 70, true),
            ],
            published: None,
            reason: None,
        };
        assert_eq!(endpoint, expected);
    }

    #[test]
    fn reasons() {
        let waiting = |reason: &str| serde_json::json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason}}});
        for (status, expected) in [
            (
                serde_json::json!({"containerStatuses": [waiting("ImagePullBackOff")]}),
                Some("ImagePullBackOff"),
            ),
            (
                serde_json::json!({"initContainerStatuses": [waiting("CrashLoopBackOff")], "containerStatuses": [waiting("PodInitializing")]}),
                Some("CrashLoopBackOff"),
            ),
            (serde_json::json!({"containerStatuses": [waiting("PodInitializing")]}), Some("PodInitializing")),
            (
                serde_json::json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}),
                Some("Unschedulable"),
            ),
            (serde_json::json!({"phase": "Failed", "reason": "Evicted"}), Some("Evicted")),
            (serde_json::json!({}), None),
        ] {
            let metadata = serde_json::json!({"name": "p", "namespace": "n"});
            let endpoint = pod(&serde_json::json!({"metadata": metadata, "status": status}));
            assert_eq!(endpoint.reason.as_deref(), expected, "{status}");
        }
        let bare = serde_json::json!({"metadata": {"name": "p", "namespace": "n"}});
        assert_eq!(pod(&bare).phase, Phase::Unknown);
    }

    #[test]
    fn what_is_no_name_is_no_pod() {
        let long = "u".repeat(10_000);
        for (namespace, name, uid) in [
            ("n", "../../prod/services/x", "u"),
            ("n", "..", "u"),
            ("n", "", "u"),
            ("n", "a?b", "u"),
            ("..", "p", "u"),
            ("", "p", "u"),
            ("a/pods/b", "p", "u"),
            ("n", "p", "\u{1b}[2J"),
            ("n", "p", &long),
        ] {
            assert_eq!(pod_id(namespace, name, Some(uid)), None, "{namespace} {name}");
        }
        assert!(pod_id("n", "web-0.x", None).is_some());
    }
}
