//! The objects that every sandbox starts with: one of each kind and each trouble that a port-forward may meet.

use serde_json::{Value, json};

use crate::api::discovery::VERSION;
use crate::cluster::{NODE_ADDRESS, NODE_NAME};
use crate::controllers::kubelet::{MISSING_IMAGE, NEVER_READY};

const IMAGE: &str = "sandbox/app:1";

/// Namespaces and the node, which must be there before anything else.
pub(crate) fn foundation() -> Vec<Value> {
    let namespaces = ["default", "kube-system", "prod"]
        .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": NODE_NAME, "labels": { "kubernetes.io/hostname": NODE_NAME } },
        "spec": {},
        "status": {
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
            "addresses": [{ "type": "InternalIP", "address": NODE_ADDRESS }, { "type": "Hostname", "address": NODE_NAME }],
            "nodeInfo": { "kubeletVersion": VERSION, "operatingSystem": "linux", "architecture": "amd64" },
        },
    });
    namespaces.into_iter().chain([node]).collect()
}

/// The rest.
pub(crate) fn defaults() -> Vec<Value> {
    let http = || json!([{ "name": "http", "containerPort": 8080 }]);
    let api_ports =
        || json!([{ "name": "http", "containerPort": 8080 }, { "name": "echo", "containerPort": 9000 }]);
    let pg = || json!([{ "name": "pg", "containerPort": 5432 }]);
    let api_services = json!([
        { "name": "http", "port": 80, "targetPort": "http" }, { "name": "echo", "port": 9000, "targetPort": 9000 },
        { "name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP" },
    ]);
    let web = || json!([{ "port": 80, "targetPort": 8080 }]);
    let pg_service = || json!([{ "name": "pg", "port": 5432, "targetPort": "pg" }]);
    let mut headless = service("default", "db-headless", Some("db"), &pg_service());
    headless["spec"]["clusterIP"] = json!("None");
    let mut external = service("default", "ext", None, &Value::Null);
    external["spec"] = json!({ "type": "ExternalName", "externalName": "example.org" });

    let mut stateful = workload("apps/v1", "StatefulSet", "default", "db", 2, &pg());
    stateful["spec"]["serviceName"] = json!("db");
    let mut daemon = workload("apps/v1", "DaemonSet", "default", "agent", 1, &http());
    remove(&mut daemon["spec"], "replicas");
    let mut job = workload("batch/v1", "Job", "default", "once", 1, &http());
    remove(&mut job["spec"], "replicas");
    remove(&mut job["spec"], "selector");
    let mut old = workload("v1", "ReplicationController", "default", "old", 1, &http());
    old["spec"]["selector"] = json!({ "app": "old" });

    let mut stuck = pod("stuck", &http());
    stuck["spec"]["containers"][0]["image"] = json!(MISSING_IMAGE);
    let mut unready = pod("notready", &http());
    unready["metadata"]["annotations"] = json!({ NEVER_READY: "true" });

    vec![
        service("default", "api", Some("api"), &api_services),
        service("default", "web", Some("web"), &web()),
        service("default", "db", Some("db"), &pg_service()),
        headless,
        service("default", "manual", None, &web()),
        service("default", "outside", None, &web()),
        external,
        service("default", "dns", Some("api"), &json!([{ "name": "dns", "port": 53, "protocol": "UDP" }])),
        service("default", "stuck", Some("stuck"), &web()),
        service("default", "notready", Some("notready"), &web()),
        service("prod", "api", Some("api"), &json!([{ "name": "http", "port": 80, "targetPort": "http" }])),
        workload("apps/v1", "Deployment", "default", "api", 2, &api_ports()),
        workload("apps/v1", "Deployment", "default", "web", 3, &http()),
        workload("apps/v1", "Deployment", "prod", "api", 1, &api_ports()),
        stateful,
        daemon,
        job,
        old,
        pod("solo", &http()),
        stuck,
        unready,
        slice("outside", &json!([{ "addresses": ["192.0.2.10"], "conditions": { "ready": true } }])),
    ]
}

/// The slice of `manual`, which somebody wrote by hand for these pods.
pub(crate) fn manual_slice(pods: &[Value]) -> Value {
    let endpoints = pods.iter().map(|pod| {
        let metadata = &pod["metadata"];
        json!({
            "addresses": [pod["status"]["podIP"]], "conditions": { "ready": true }, "nodeName": NODE_NAME,
            "targetRef": {
                "kind": "Pod", "namespace": "default", "name": metadata["name"], "uid": metadata["uid"],
            },
        })
    });
    slice("manual", &json!(endpoints.collect::<Vec<_>>()))
}

fn slice(service: &str, endpoints: &Value) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "", "protocol": "TCP", "port": 8080 }],
    })
}

fn remove(object: &mut Value, field: &str) {
    object.as_object_mut().map(|object| object.remove(field));
}

fn pod_spec(ports: &Value) -> Value {
    json!({ "containers": [{ "name": "app", "image": IMAGE, "ports": ports }] })
}

fn pod(name: &str, ports: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": name } },
        "spec": pod_spec(ports),
    })
}

fn workload(api: &str, kind: &str, namespace: &str, name: &str, replicas: u32, ports: &Value) -> Value {
    json!({
        "apiVersion": api, "kind": kind,
        "metadata": { "name": name, "namespace": namespace, "labels": { "app": name } },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": pod_spec(ports) },
        },
    })
}

fn service(namespace: &str, name: &str, app: Option<&str>, ports: &Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace },
        "spec": { "ports": ports },
    });
    if let Some(app) = app {
        service["spec"]["selector"] = json!({ "app": app });
    }
    service
}
