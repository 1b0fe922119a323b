//! What the API server fills in when an object is created.

use serde_json::{Map, Value, json};

use crate::api::meta;
use crate::api::resources::Resource;
use crate::cluster::Cluster;

fn default(map: &mut Map<String, Value>, key: &str, value: Value) {
    let slot = map.entry(key.to_owned()).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value;
    }
}

/// Fills `object` in.
pub(crate) fn fill(cluster: &Cluster, resource: &Resource, object: &mut Value) {
    match resource.kind {
        "Pod" => {
            pod_spec(&mut object["spec"], "Always");
            object["status"] = json!({ "phase": "Pending", "qosClass": "BestEffort" });
        }
        "Service" => service(cluster, object),
        "Namespace" => {
            let labels = json!({ "kubernetes.io/metadata.name": meta::name(object) });
            match meta::labels(object) {
                Some(_) => {
                    let name = meta::name(object).to_owned();
                    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
                }
                None => object["metadata"]["labels"] = labels,
            }
            default(meta::object_at(object, "spec"), "finalizers", json!(["kubernetes"]));
            object["status"] = json!({ "phase": "Active" });
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" | "Job" => {
            workload(resource.kind, object);
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            default(meta::object_at(object, "roleRef"), "apiGroup", json!(resource.group));
            let subjects = object["subjects"].as_array_mut().into_iter().flatten();
            for subject in subjects.filter_map(Value::as_object_mut) {
                let group = if subject["kind"] == json!("ServiceAccount") { "" } else { resource.group };
                default(subject, "apiGroup", json!(group));
            }
        }
        "EndpointSlice" => {
            for endpoint in object["endpoints"].as_array_mut().into_iter().flatten() {
                default(meta::object_at(endpoint, "conditions"), "ready", json!(true));
            }
        }
        _ => {}
    }
}

fn workload(kind: &str, object: &mut Value) {
    object["status"] = match kind {
        "ReplicaSet" | "StatefulSet" | "ReplicationController" => json!({ "replicas": 0 }),
        "DaemonSet" => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        }),
        _ => json!({}),
    };
    let uid = meta::uid(object).to_owned();
    let name = meta::name(object).to_owned();
    let spec = meta::object_at(object, "spec");
    match kind {
        "DaemonSet" => {
            let strategy = json!({
                "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 },
            });
            default(spec, "updateStrategy", strategy);
            default(spec, "revisionHistoryLimit", json!(10));
        }
        "Job" => {
            default(spec, "parallelism", json!(1));
            default(spec, "completions", json!(1));
            default(spec, "backoffLimit", json!(6));
            default(spec, "completionMode", json!("NonIndexed"));
            default(spec, "suspend", json!(false));
            let labels = json!({
                "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
                "controller-uid": uid, "job-name": name,
            });
            default(
                spec,
                "selector",
                json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }),
            );
            let template = spec.entry("template").or_insert_with(|| json!({}));
            let metadata = meta::object_at(template, "metadata");
            let own = metadata.entry("labels").or_insert_with(|| json!({}));
            if let (Value::Object(own), Value::Object(labels)) = (own, labels) {
                own.extend(labels);
            }
        }
        _ => default(spec, "replicas", json!(1)),
    }
    match kind {
        "Deployment" => {
            let rolling = json!({ "maxUnavailable": "25%", "maxSurge": "25%" });
            default(spec, "strategy", json!({ "type": "RollingUpdate" }));
            if spec["strategy"]["type"] == json!("RollingUpdate") {
                default(
                    meta::object_at(&mut spec["strategy"], "rollingUpdate"),
                    "maxSurge",
                    rolling["maxSurge"].clone(),
                );
                default(
                    meta::object_at(&mut spec["strategy"], "rollingUpdate"),
                    "maxUnavailable",
                    rolling["maxUnavailable"].clone(),
                );
            }
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "progressDeadlineSeconds", json!(600));
        }
        "StatefulSet" => {
            default(spec, "podManagementPolicy", json!("OrderedReady"));
            default(
                spec,
                "updateStrategy",
                json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } }),
            );
            default(spec, "revisionHistoryLimit", json!(10));
        }
        "ReplicationController" => {
            let labels = spec.get("template").map_or(Value::Null, |t| t["metadata"]["labels"].clone());
            default(spec, "selector", labels);
        }
        _ => {}
    }
    let restart = if kind == "Job" { "Never" } else { "Always" };
    let template = spec.entry("template").or_insert_with(|| json!({}));
    if !template.is_object() {
        *template = json!({});
    }
    pod_spec(&mut template["spec"], restart);
}

fn pod_spec(spec: &mut Value, restart: &str) {
    if !spec.is_object() {
        *spec = json!({});
    }
    let Value::Object(spec) = spec else { return };
    default(spec, "restartPolicy", json!(restart));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "securityContext", json!({}));
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            default(container, "resources", json!({}));
            default(container, "imagePullPolicy", json!("IfNotPresent"));
            default(container, "terminationMessagePath", json!("/dev/termination-log"));
            default(container, "terminationMessagePolicy", json!("File"));
            ports(container);
        }
    }
}

fn ports(owner: &mut Map<String, Value>) {
    let ports = owner.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        default(port, "protocol", json!("TCP"));
    }
}

fn service(cluster: &Cluster, object: &mut Value) {
    object["status"] = json!({ "loadBalancer": {} });
    let spec = meta::object_at(object, "spec");
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    ports(spec);
    let headless = spec.get("clusterIP") == Some(&json!("None"));
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(port) = port {
            let number = port.get("port").cloned().unwrap_or_default();
            default(port, "targetPort", number);
        }
    }
    if spec["type"] == json!("ExternalName") {
        return;
    }
    if !headless && spec.get("clusterIP").and_then(Value::as_str).is_none_or(str::is_empty) {
        spec.insert("clusterIP".into(), json!(cluster.service_address()));
    }
    let address = spec["clusterIP"].clone();
    default(spec, "clusterIPs", json!([address]));
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", json!("SingleStack"));
    default(spec, "internalTrafficPolicy", json!("Cluster"));
}
