//! The columns of `kubectl get`, which the server draws up.

use serde_json::{Value, json};

use crate::api::meta::{self, items, number, text};
use crate::api::resources::Resource;

/// One column of a kind's table.
pub(crate) struct Column {
    name: &'static str,
    kind: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    priority: u8,
    pub(crate) cell: fn(&Value) -> Value,
}

impl Column {
    pub(crate) fn definition(&self) -> Value {
        let format = if self.name == "Name" { "name" } else { "" };
        json!({
            "name": self.name, "type": self.kind, "format": format, "description": "", "priority": self.priority,
        })
    }
}

const fn column(name: &'static str, kind: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, kind, priority: 0, cell }
}

const fn wide(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, kind: "string", priority: 1, cell }
}

const NAME: Column = column("Name", "string", |o| json!(meta::name(o)));
const AGE: Column = column("Age", "string", |o| json!(age(text(o, "/metadata/creationTimestamp"))));
const CONTAINERS: Column = wide("Containers", |o| json!(containers(o, "name")));
const IMAGES: Column = wide("Images", |o| json!(containers(o, "image")));
const SELECTOR: Column = wide("Selector", |o| {
    json!(selector(o.pointer("/spec/selector/matchLabels").unwrap_or(&o["spec"]["selector"])))
});

/// The columns of a kind.
pub(crate) fn columns(resource: &Resource) -> &'static [Column] {
    match resource.kind {
        "Pod" => PODS,
        "Service" => SERVICES,
        "Deployment" => DEPLOYMENTS,
        "ReplicaSet" | "ReplicationController" => REPLICA_SETS,
        "StatefulSet" => STATEFUL_SETS,
        "DaemonSet" => DAEMON_SETS,
        "Job" => JOBS,
        "Namespace" => NAMESPACES,
        "Node" => NODES,
        "EndpointSlice" => ENDPOINT_SLICES,
        "Endpoints" => ENDPOINTS,
        "Event" => EVENTS,
        "Role" | "ClusterRole" => ROLES,
        "RoleBinding" | "ClusterRoleBinding" => BINDINGS,
        _ => OTHERS,
    }
}

static OTHERS: &[Column] = &[NAME, AGE];

static ROLES: &[Column] =
    &[NAME, column("Created At", "date", |o| json!(text(o, "/metadata/creationTimestamp")))];

static BINDINGS: &[Column] = &[
    NAME,
    column("Role", "string", |o| json!(format!("{}/{}", text(o, "/roleRef/kind"), text(o, "/roleRef/name")))),
    AGE,
];

static PODS: &[Column] = &[
    NAME,
    column("Ready", "string", |o| {
        let statuses = items(o, "/status/containerStatuses");
        let ready = statuses.iter().filter(|status| status["ready"] == json!(true)).count();
        json!(format!("{ready}/{}", items(o, "/spec/containers").len()))
    }),
    column("Status", "string", |o| json!(pod_status(o))),
    column("Restarts", "string", |o| json!(restarts(o))),
    AGE,
    wide("IP", |o| json!(or_none(text(o, "/status/podIP")))),
    wide("Node", |o| json!(or_none(text(o, "/spec/nodeName")))),
    wide("Nominated Node", |_| json!("<none>")),
    wide("Readiness Gates", |_| json!("<none>")),
];

static SERVICES: &[Column] = &[
    NAME,
    column("Type", "string", |o| json!(text(o, "/spec/type"))),
    column("Cluster-IP", "string", |o| json!(or_none(text(o, "/spec/clusterIP")))),
    column("External-IP", "string", |o| json!(or_none(text(o, "/spec/externalName")))),
    column("Port(s)", "string", |o| {
        let port = |port: &Value| match number(port, "/nodePort") {
            0 => format!("{}/{}", number(port, "/port"), text(port, "/protocol")),
            node => format!("{}:{node}/{}", number(port, "/port"), text(port, "/protocol")),
        };
        json!(list(items(o, "/spec/ports").iter().map(port)))
    }),
    AGE,
    wide("Selector", |o| json!(selector(&o["spec"]["selector"]))),
];

static DEPLOYMENTS: &[Column] = &[
    NAME,
    column("Ready", "string", |o| {
        json!(format!("{}/{}", number(o, "/status/readyReplicas"), number(o, "/spec/replicas")))
    }),
    column("Up-to-date", "string", |o| json!(number(o, "/status/updatedReplicas"))),
    column("Available", "string", |o| json!(number(o, "/status/availableReplicas"))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

static REPLICA_SETS: &[Column] = &[
    NAME,
    column("Desired", "integer", |o| json!(number(o, "/spec/replicas"))),
    column("Current", "integer", |o| json!(number(o, "/status/replicas"))),
    column("Ready", "integer", |o| json!(number(o, "/status/readyReplicas"))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

static STATEFUL_SETS: &[Column] = &[
    NAME,
    column("Ready", "string", |o| {
        json!(format!("{}/{}", number(o, "/status/readyReplicas"), number(o, "/spec/replicas")))
    }),
    AGE,
    CONTAINERS,
    IMAGES,
];

static DAEMON_SETS: &[Column] = &[
    NAME,
    column("Desired", "integer", |o| json!(number(o, "/status/desiredNumberScheduled"))),
    column("Current", "integer", |o| json!(number(o, "/status/currentNumberScheduled"))),
    column("Ready", "integer", |o| json!(number(o, "/status/numberReady"))),
    column("Up-to-date", "integer", |o| json!(number(o, "/status/updatedNumberScheduled"))),
    column("Available", "integer", |o| json!(number(o, "/status/numberAvailable"))),
    column("Node Selector", "string", |_| json!("<none>")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

static JOBS: &[Column] = &[
    NAME,
    column("Status", "string", |_| json!("Running")),
    column("Completions", "string", |o| {
        json!(format!("{}/{}", number(o, "/status/succeeded"), number(o, "/spec/completions")))
    }),
    column("Duration", "string", |o| json!(age(text(o, "/status/startTime")))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

static NAMESPACES: &[Column] = &[NAME, column("Status", "string", |o| json!(text(o, "/status/phase"))), AGE];

static NODES: &[Column] = &[
    NAME,
    column("Status", "string", |_| json!("Ready")),
    column("Roles", "string", |_| json!("control-plane")),
    AGE,
    column("Version", "string", |o| json!(text(o, "/status/nodeInfo/kubeletVersion"))),
];

static ENDPOINT_SLICES: &[Column] = &[
    NAME,
    column("AddressType", "string", |o| json!(text(o, "/addressType"))),
    column("Ports", "string", |o| {
        let ports = items(o, "/ports").iter().map(|port| number(port, "/port").to_string());
        let ports = list(ports);
        json!(if ports == "<none>" { "<unset>".to_owned() } else { ports })
    }),
    column("Endpoints", "string", |o| {
        let endpoints = items(o, "/endpoints").iter();
        let endpoints = list(endpoints.map(|endpoint| text(endpoint, "/addresses/0").to_owned()));
        json!(if endpoints == "<none>" { "<unset>".to_owned() } else { endpoints })
    }),
    AGE,
];

static ENDPOINTS: &[Column] = &[
    NAME,
    column("Endpoints", "string", |o| {
        let subsets = items(o, "/subsets").iter();
        json!(list(subsets.flat_map(|subset| {
            let ports = items(subset, "/ports");
            items(subset, "/addresses").iter().flat_map(move |address| {
                ports.iter().map(move |port| format!("{}:{}", text(address, "/ip"), number(port, "/port")))
            })
        })))
    }),
    AGE,
];

static EVENTS: &[Column] = &[
    column("Last Seen", "string", |o| json!(age(text(o, "/lastTimestamp")))),
    column("Type", "string", |o| json!(text(o, "/type"))),
    column("Reason", "string", |o| json!(text(o, "/reason"))),
    column("Object", "string", |o| {
        let kind = text(o, "/involvedObject/kind").to_ascii_lowercase();
        json!(format!("{kind}/{}", text(o, "/involvedObject/name")))
    }),
    column("Message", "string", |o| json!(text(o, "/message"))),
];

fn list(words: impl Iterator<Item = String>) -> String {
    or_none(&words.collect::<Vec<_>>().join(",")).to_owned()
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn selector(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    list(labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())))
}

fn containers(object: &Value, field: &str) -> String {
    let containers = items(object, "/spec/template/spec/containers").iter();
    list(containers.map(|container| container[field].as_str().unwrap_or_default().to_owned()))
}

/// The one word that `kubectl get pods` has for a pod's state.
fn pod_status(pod: &Value) -> String {
    if meta::is_deleting(pod) && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return "Terminating".to_owned();
    }
    let reason = items(pod, "/status/containerStatuses").iter().find_map(|status| {
        let reason = |state: &str| Some(text(status, state)).filter(|reason| !reason.is_empty());
        reason("/state/waiting/reason").or_else(|| reason("/state/terminated/reason"))
    });
    reason.unwrap_or_else(|| text(pod, "/status/phase")).to_owned()
}

fn restarts(pod: &Value) -> String {
    let statuses = items(pod, "/status/containerStatuses");
    let count: i64 = statuses.iter().map(|status| number(status, "/restartCount")).sum();
    let last = statuses.iter().map(|status| text(status, "/lastState/terminated/finishedAt")).max();
    match last.filter(|last| !last.is_empty()) {
        Some(last) => format!("{count} ({} ago)", age(last)),
        None => count.to_string(),
    }
}

/// As `duration.HumanDuration` says it.
fn age(since: &str) -> String {
    let Ok(since) = since.parse::<jiff::Timestamp>() else { return "<unknown>".to_owned() };
    let seconds = (jiff::Timestamp::now().as_second() - since.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 != 0 => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}
