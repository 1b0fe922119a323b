//! EndpointSlices, and the Endpoints of old, of services with a selector.
//!
//! A pod is in the slice from the moment it has an address until it is over. It is `serving` while ready, `ready`
//! while serving and not deleted, `terminating` once deleted.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pod_status::is_ready;
use crate::api::meta::{self, items, number, text};
use crate::api::resources::{ENDPOINT_SLICE, ENDPOINTS, POD, SERVICE};
use crate::api::selector::Selector;
use crate::cluster::Cluster;
use crate::cluster::store::Key;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

pub(super) fn reconcile(cluster: &Cluster) {
    for service in cluster.store.all(&SERVICE, None) {
        let selector = Selector::from_map(&service["spec"]["selector"]);
        if selector.is_empty()
            || text(&service, "/spec/type") == "ExternalName"
            || meta::is_deleting(&service)
        {
            continue;
        }
        let mut pods = cluster.store.all(&POD, Some(meta::namespace(&service)));
        pods.retain(|pod| selector.matches(pod) && has_place(pod));
        pods.sort_by_key(|pod| text(pod, "/status/podIP").parse::<Ipv4Addr>().ok());
        slice(cluster, &service, &pods);
        endpoints(cluster, &service, &pods);
    }
}

fn has_place(pod: &Value) -> bool {
    !text(pod, "/status/podIP").is_empty() && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn publishes_unready(service: &Value) -> bool {
    service["spec"]["publishNotReadyAddresses"] == json!(true)
}

fn is_headless(service: &Value) -> bool {
    text(service, "/spec/clusterIP") == "None"
}

/// The port of the pods that a service port leads to.
fn target_port(port: &Value, pods: &[Arc<Value>]) -> Option<i64> {
    match &port["targetPort"] {
        Value::String(name) => pods.iter().find_map(|pod| {
            let containers =
                items(pod, "/spec/containers").iter().flat_map(|container| items(container, "/ports"));
            containers
                .filter(|declared| {
                    declared["name"] == json!(name) && declared["protocol"] == port["protocol"]
                })
                .map(|declared| number(declared, "/containerPort"))
                .next()
        }),
        Value::Number(target) if target.as_i64() != Some(0) => target.as_i64(),
        _ => port["port"].as_i64(),
    }
}

fn ports(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    let ports = items(service, "/spec/ports").iter().filter_map(|port| {
        let number = target_port(port, pods)?;
        Some(json!({ "name": text(port, "/name"), "protocol": port["protocol"], "port": number }))
    });
    ports.collect()
}

/// Go encodes an empty list that was never made as null, and readers have to live with it.
fn or_null(list: Vec<Value>) -> Value {
    if list.is_empty() { Value::Null } else { Value::Array(list) }
}

fn slice(cluster: &Cluster, service: &Value, pods: &[Arc<Value>]) {
    let endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(service, pod)).collect();
    let ports = if pods.is_empty() { Value::Null } else { or_null(ports(service, pods)) };
    let namespace = meta::namespace(service);
    let slices = cluster.store.list(&ENDPOINT_SLICE, Some(namespace)).items;
    let existing = slices.into_iter().find(|(_, slice)| {
        meta::controller_uid(slice) == meta::uid(service)
            && slice["metadata"]["labels"][MANAGED_BY] == json!(MANAGER)
    });
    if let Some((key, slice)) = existing {
        if slice["endpoints"] == or_null(endpoints.clone()) && slice["ports"] == ports {
            return;
        }
        let _ = cluster.store.modify(&key, |slice| {
            slice["metadata"]["generation"] = json!(number(slice, "/metadata/generation") + 1);
            slice["metadata"]["annotations"] =
                json!({ "endpoints.kubernetes.io/last-change-trigger-time": meta::now() });
            slice["endpoints"] = or_null(endpoints);
            slice["ports"] = ports;
            Ok(())
        });
        return;
    }
    let mut labels = json!({ MANAGED_BY: MANAGER, SERVICE_NAME: meta::name(service) });
    if is_headless(service) {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    let slice = json!({
        "metadata": {
            "generateName": format!("{}-", meta::name(service)), "labels": labels, "generation": 1,
            "ownerReferences": meta::owned_by(&SERVICE, service),
        },
        "addressType": "IPv4", "endpoints": or_null(endpoints), "ports": ports,
    });
    if let Err(status) = cluster.create(&ENDPOINT_SLICE, namespace, slice) {
        tracing::debug!(%status, "slice not created");
    }
}

fn endpoint(service: &Value, pod: &Value) -> Value {
    let (serving, terminating) = (is_ready(pod), meta::is_deleting(pod));
    let ready = (serving && !terminating) || publishes_unready(service);
    let mut endpoint = json!({
        "addresses": [text(pod, "/status/podIP")],
        "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
        "targetRef": reference(pod),
        "nodeName": text(pod, "/spec/nodeName"),
    });
    // A pod has a name of its own in the service that its subdomain names.
    if text(pod, "/spec/subdomain") == meta::name(service) && !text(pod, "/spec/hostname").is_empty() {
        endpoint["hostname"] = pod["spec"]["hostname"].clone();
    }
    endpoint
}

fn reference(pod: &Value) -> Value {
    json!({ "kind": "Pod", "namespace": meta::namespace(pod), "name": meta::name(pod), "uid": meta::uid(pod) })
}

fn endpoints(cluster: &Cluster, service: &Value, pods: &[Arc<Value>]) {
    let addresses = |wanted: bool| -> Vec<Value> {
        let is_good = |pod: &Value| (is_ready(pod) && !meta::is_deleting(pod)) || publishes_unready(service);
        let chosen = pods.iter().filter(|pod| is_good(pod) == wanted);
        // One on its way out is in neither list.
        let chosen = chosen.filter(|pod| wanted || !meta::is_deleting(pod));
        chosen
            .map(|pod| {
                json!({
                    "ip": text(pod, "/status/podIP"), "nodeName": text(pod, "/spec/nodeName"),
                    "targetRef": reference(pod),
                })
            })
            .collect()
    };
    let (good, bad, ports) = (addresses(true), addresses(false), ports(service, pods));
    let mut subset = json!({});
    for (field, list) in [("addresses", &good), ("notReadyAddresses", &bad), ("ports", &ports)] {
        if !list.is_empty() {
            subset[field] = json!(list);
        }
    }
    let subsets = if good.is_empty() && bad.is_empty() { Value::Null } else { json!([subset]) };
    let key = Key::new(&ENDPOINTS, meta::namespace(service), meta::name(service));
    if cluster.store.get(&key).is_some() {
        let _ = cluster.store.modify(&key, |endpoints| {
            match subsets {
                Value::Null => drop(endpoints.as_object_mut().map(|endpoints| endpoints.remove("subsets"))),
                subsets => endpoints["subsets"] = subsets,
            }
            Ok(())
        });
        return;
    }
    let mut object = json!({
        "metadata": { "name": key.name, "ownerReferences": meta::owned_by(&SERVICE, service) },
    });
    if !subsets.is_null() {
        object["subsets"] = subsets;
    }
    if let Err(status) = cluster.create(&ENDPOINTS, &key.namespace, object) {
        tracing::debug!(%status, "endpoints not created");
    }
}
