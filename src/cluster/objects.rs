//! What is read of the cluster's objects: how the API calls their kinds, and of the few kinds that are followed the fields
//! that matter, by the names that the API has for them.
//!
//! A pod has a thousand fields, of which some twenty are read here. The code that reads all of them is a tenth of a program,
//! and what it reads has to be kept until the object is done with. So the others are passed over.
//!
//! A list that is empty may come as `null`, as Go writes it, and so may anything that is not there.

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta, Time},
        util::intstr::IntOrString,
    },
};
use kube::api::ApiResource;
use serde::{Deserialize, Deserializer};

use crate::model::target::Kind;

/// How the API calls a kind.
pub(super) fn resource(kind: Kind) -> ApiResource {
    let (group, version) = (kind.group(), "v1");
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        kind: kind.name().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

/// How the API calls namespaces.
pub(super) fn namespaces() -> ApiResource {
    ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        plural: "namespaces".to_owned(),
    }
}

/// What stands for a value that is not there.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Says of a type which kind of object it is.
macro_rules! namespaced_object {
    ($type:ty, $kind:literal, $plural:literal, $group:literal, $api_version:literal) => {
        impl k8s_openapi::Resource for $type {
            const API_VERSION: &'static str = $api_version;
            const GROUP: &'static str = $group;
            const KIND: &'static str = $kind;
            const VERSION: &'static str = "v1";
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = NamespaceResourceScope;
        }

        impl k8s_openapi::Metadata for $type {
            type Ty = ObjectMeta;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

namespaced_object!(Pod, "Pod", "pods", "", "v1");
namespaced_object!(
    EndpointSlice,
    "EndpointSlice",
    "endpointslices",
    "discovery.k8s.io",
    "discovery.k8s.io/v1"
);

namespaced_object!(Service, "Service", "services", "", "v1");
namespaced_object!(Job, "Job", "jobs", "batch", "batch/v1");
namespaced_object!(ReplicationController, "ReplicationController", "replicationcontrollers", "", "v1");

/// A service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub metadata: ObjectMeta,
    pub spec: Option<ServiceSpec>,
}

/// A job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    pub metadata: ObjectMeta,
    pub spec: Option<JobSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobSpec {
    pub selector: Option<LabelSelector>,
}

/// A replication controller.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReplicationController {
    pub metadata: ObjectMeta,
    pub spec: Option<ReplicationControllerSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReplicationControllerSpec {
    pub selector: Option<BTreeMap<String, String>>,
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub metadata: ObjectMeta,
    pub spec: Option<PodSpec>,
    pub status: Option<PodStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub containers: Option<Vec<Container>>,
    pub init_containers: Option<Vec<Container>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub ports: Option<Vec<ContainerPort>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub name: Option<String>,
    #[serde(rename = "containerPort", deserialize_with = "or_default")]
    pub number: i32,
    pub protocol: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub phase: Option<String>,
    pub reason: Option<String>,
    pub conditions: Option<Vec<PodCondition>>,
    pub container_statuses: Option<Vec<ContainerStatus>>,
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodCondition {
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub type_: String,
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    pub reason: Option<String>,
    pub last_transition_time: Option<Time>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub ready: bool,
    #[serde(deserialize_with = "or_default")]
    pub restart_count: i32,
    pub state: Option<ContainerState>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub running: Option<RunningState>,
    pub terminated: Option<StateReason>,
    pub waiting: Option<StateReason>,
}

/// That it runs; since when does not matter.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunningState {}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StateReason {
    pub reason: Option<String>,
}

/// The spec of a service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub type_: Option<String>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    pub external_name: Option<String>,
    pub publish_not_ready_addresses: Option<bool>,
    pub selector: Option<BTreeMap<String, String>>,
    pub ports: Option<Vec<ServiceSpecPort>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ServiceSpecPort {
    pub name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub port: i32,
    pub target_port: Option<IntOrString>,
    pub protocol: Option<String>,
    pub app_protocol: Option<String>,
}

/// Some of the endpoints of a service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointSlice {
    pub metadata: ObjectMeta,
    pub endpoints: Option<Vec<SliceEndpoint>>,
    pub ports: Option<Vec<EndpointPort>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SliceEndpoint {
    pub addresses: Option<Vec<String>>,
    pub conditions: Option<EndpointConditions>,
    pub target_ref: Option<EndpointTarget>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointConditions {
    pub ready: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointTarget {
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub uid: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointPort {
    pub name: Option<String>,
    pub port: Option<i32>,
    pub protocol: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the API's own types read them.
    #[test]
    fn what_is_null_is_not_there() {
        let pod: Pod = serde_json::from_str(
            r#"{"metadata": {}, "spec": {"containers": null}, "status": {"conditions": [{"type": null, "status": null}],
                "containerStatuses": [{"name": null, "ready": null, "restartCount": null, "state": {"running": null}}]}}"#,
        )
        .unwrap();
        assert!(pod.spec.unwrap().containers.is_none());
        let slice: EndpointSlice =
            serde_json::from_str(r#"{"metadata": {}, "endpoints": null, "ports": null}"#).unwrap();
        assert!(slice.endpoints.is_none() && slice.ports.is_none());
        let service: ServiceSpec =
            serde_json::from_str(r#"{"ports": [{"port": null, "targetPort": "http"}], "selector": null}"#)
                .unwrap();
        assert_eq!(service.ports.unwrap()[0].target_port, Some(IntOrString::String("http".into())));
    }

    #[test]
    fn the_api_calls_them_so() {
        let pods = ApiResource::erase::<Pod>(&());
        assert_eq!(pods, resource(Kind::Pod));
        let slices = ApiResource::erase::<EndpointSlice>(&());
        assert_eq!(slices, ApiResource::erase::<k8s_openapi::api::discovery::v1::EndpointSlice>(&()));
        assert_eq!(namespaces(), ApiResource::erase::<k8s_openapi::api::core::v1::Namespace>(&()));
    }
}
