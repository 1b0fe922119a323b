//! What there is to forward to in a namespace: services, workloads and pods, with their ports, ready pods and age.
//!
//! A person waits for it, so it comes a page at a time. Objects are read without their types, since only few of their fields
//! matter, and what one of them lacks is left out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use kube::{
    Api,
    api::{DynamicObject, ListParams},
    core::Request,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    access,
    client::Cluster,
    objects::{self, resource},
    pods::target::no_namespace,
};
use crate::{
    error::Fatal,
    model::{
        name,
        target::{Kind, Target, TargetRef},
    },
};

/// Objects a page.
const PAGE: u32 = 500;
/// Objects of a kind that are shown. Nobody chooses among more; who knows the name can type it.
const MAX_LISTED: usize = 10_000;
/// How long one page may take: a person who looks at an empty list gives up about then, and wants to know why.
pub const PAGE_TIME: Duration = Duration::from_secs(15);

/// Something that can be forwarded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogItem {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its TCP ports: a service's own, or those that the containers of its pods declare.
    pub ports: Vec<DeclaredPort>,
    /// Its pods that are ready.
    pub ready: ReadyPods,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The labels of a pod.
    pub labels: BTreeMap<String, String>,
}

/// A port that an object declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredPort {
    /// Its number.
    pub number: u16,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The port of the pods behind it, where that is another.
    pub inner: Option<String>,
}

/// How many pods are ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyPods {
    /// That is not known.
    Unknown,
    /// So many of so many.
    Counted(u64, u64),
    /// Those with these labels are to be counted.
    Selected(BTreeMap<String, String>),
}

/// How a list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListEnd {
    /// It was complete.
    Complete,
    /// It goes on, and was cut.
    Cut,
}

/// The kinds that are listed, the most wanted first.
pub const KINDS: [Kind; 8] = [
    Kind::Service,
    Kind::Pod,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
    Kind::ReplicaSet,
    Kind::ReplicationController,
];

#[derive(Deserialize)]
struct CatalogPage {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Deserialize, Default)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// Refuses a namespace that is certainly not there.
pub async fn check_namespace(cluster: &Cluster) -> Result<(), Fatal> {
    match timeout(PAGE_TIME, no_namespace(cluster, &cluster.namespace)).await {
        Ok(Some(missing)) => Err(missing),
        _ => Ok(()),
    }
}

/// The ports of an object, which may be read where it may not be listed.
pub async fn ports_of(cluster: &Cluster, target: &Target) -> Result<Vec<DeclaredPort>, Fatal> {
    let TargetRef::Object(kind, name) = &target.subject else { return Ok(Vec::new()) };
    let namespace = target.namespace.as_ref().unwrap_or(&cluster.namespace);
    let doing = format!("read the ports of {target}");
    match timeout(PAGE_TIME, api(cluster, *kind, namespace).get(name)).await {
        Ok(Ok(object)) => Ok(declared_ports(*kind, &object.data)),
        Ok(Err(error)) => Err(access::fatal(&doing, cluster, &error)),
        Err(_) => Err(late(&doing, cluster)),
    }
}

fn api(cluster: &Cluster, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.api.clone(), namespace, &resource(kind))
}

fn late(doing: &str, cluster: &Cluster) -> Fatal {
    let context = cluster.context.as_ref().map(|name| format!(" (context '{name}')")).unwrap_or_default();
    Fatal::new("fwd::cluster::timeout", format!("cannot {doing}"))
        .because(format!("{}{context}: no answer within {} s", cluster.server, PAGE_TIME.as_secs()))
        .help("is the network, or the VPN to the cluster, connected?")
}

/// What is read of an object, where it is of use.
type ReadObject<T> = Arc<dyn Fn(&Value) -> Option<T> + Send + Sync>;

/// A list, page by page.
pub struct CatalogPages<T> {
    cluster: Cluster,
    request: Request,
    params: ListParams,
    /// What is done, for errors.
    doing: String,
    read: ReadObject<T>,
    count: usize,
    end: Option<ListEnd>,
}

impl CatalogPages<CatalogItem> {
    /// The objects of a kind in the cluster's namespace.
    pub fn of_kind(cluster: Cluster, kind: Kind) -> Self {
        let doing = format!("list {} in namespace {}", kind.plural(), cluster.namespace);
        let api = api(&cluster, kind, &cluster.namespace);
        Self::new(cluster, &api, doing, Arc::new(move |object| item(kind, object)))
    }
}

impl CatalogPages<String> {
    /// The namespaces of the cluster.
    pub fn of_namespaces(cluster: Cluster) -> Self {
        let api = Api::all_with(cluster.api.clone(), &objects::namespaces());
        Self::new(cluster, &api, "list the namespaces".to_owned(), Arc::new(object_name))
    }
}

impl<T: Send + 'static> CatalogPages<T> {
    fn new(cluster: Cluster, api: &Api<DynamicObject>, doing: String, read: ReadObject<T>) -> Self {
        let request = Request::new(api.resource_url());
        let params = ListParams::default().limit(PAGE);
        Self { cluster, request, params, doing, read, count: 0, end: None }
    }

    /// How it ended.
    pub fn end(&self) -> ListEnd {
        self.end.unwrap_or(ListEnd::Cut)
    }

    /// The next page; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, Fatal> {
        if self.end.is_some() {
            return Ok(None);
        }
        let failed = |error: kube::Error| access::fatal(&self.doing, &self.cluster, &error);
        let request =
            self.request.list(&self.params).map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        let text = match timeout(PAGE_TIME, self.cluster.api.request_text(request)).await {
            Ok(text) => Bytes::from(text.map_err(failed)?),
            Err(_) => return Err(late(&self.doing, &self.cluster)),
        };
        // A page of pods is megabytes, whose reading would hold up keys.
        let read = Arc::clone(&self.read);
        let parsed = spawn_blocking(move || {
            let page: CatalogPage = serde_json::from_slice(&text).map_err(kube::Error::SerdeError)?;
            Ok((page.items.iter().filter_map(|object| read(object)).collect::<Vec<T>>(), page.metadata.next))
        });
        let parsed = parsed.await.unwrap_or_else(|stopped| Err(kube::Error::Service(stopped.into())));
        let (items, next) = parsed.map_err(failed)?;
        self.count += items.len();
        // One that leads to itself would lead on for ever.
        let last = self.params.continue_token.take();
        self.params.continue_token =
            next.filter(|token| name::is_token(token) && Some(token) != last.as_ref());
        self.end = match &self.params.continue_token {
            None => Some(ListEnd::Complete),
            Some(_) if self.count >= MAX_LISTED => Some(ListEnd::Cut),
            Some(_) => None,
        };
        Ok(Some(items))
    }
}

fn object_name(object: &Value) -> Option<String> {
    let name = object.pointer("/metadata/name")?.as_str()?;
    name::is_object_name(name).then(|| name.to_owned())
}

/// What of an object matters; nothing of what cannot be forwarded to, or stands for the same pods as what made it.
fn item(kind: Kind, object: &Value) -> Option<CatalogItem> {
    let name = object_name(object)?;
    let (spec, status) = (&object["spec"], &object["status"]);
    let phase = status["phase"].as_str().unwrap_or_default();
    let is_owned = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .is_some_and(|all| all.iter().any(|owner| owner["controller"].as_bool() == Some(true)));
    let left_out = match kind {
        Kind::Service => spec["type"] == "ExternalName",
        Kind::Pod => matches!(phase, "Succeeded" | "Failed"),
        Kind::ReplicaSet | Kind::Job | Kind::ReplicationController => is_owned,
        _ => false,
    };
    if left_out {
        return None;
    }
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let ready = match kind {
        Kind::Service => match labels(&spec["selector"]) {
            selector if selector.is_empty() => ReadyPods::Unknown,
            selector => ReadyPods::Selected(selector),
        },
        Kind::Pod => ReadyPods::Counted(u64::from(is_ready(object)), 1),
        Kind::DaemonSet => {
            ReadyPods::Counted(count(&status["numberReady"]), count(&status["desiredNumberScheduled"]))
        }
        Kind::Job => ReadyPods::Counted(count(&status["ready"]), count(&status["active"])),
        _ => ReadyPods::Counted(count(&status["readyReplicas"]), spec["replicas"].as_u64().unwrap_or(1)),
    };
    let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    Some(CatalogItem {
        kind,
        name,
        ports: declared_ports(kind, object),
        ready,
        created: created.and_then(|text| text.parse().ok()),
        labels: if kind == Kind::Pod { labels(&object["metadata"]["labels"]) } else { BTreeMap::new() },
    })
}

fn labels(map: &Value) -> BTreeMap<String, String> {
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    map.as_object().into_iter().flatten().filter_map(pair).collect()
}

/// A pod that is ready and not about to go.
fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// The TCP ports that an object of this kind declares.
pub(super) fn declared_ports(kind: Kind, object: &Value) -> Vec<DeclaredPort> {
    let all = |path: &str| object.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let of = |containers: &str| {
        all(containers).filter_map(|container| container["ports"].as_array()).flatten().collect::<Vec<_>>()
    };
    let (ports, number) = match kind {
        Kind::Service => (all("/spec/ports").collect(), "port"),
        Kind::Pod => (of("/spec/containers"), "containerPort"),
        _ => (of("/spec/template/spec/containers"), "containerPort"),
    };
    let tcp = ports.into_iter().filter(|port| port["protocol"].as_str().is_none_or(|name| name == "TCP"));
    tcp.filter_map(|port| {
        let number = port[number].as_u64().and_then(|number| u16::try_from(number).ok())?;
        Some(DeclaredPort {
            number,
            name: port["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned),
            inner: match &port["targetPort"] {
                Value::Number(target) if target.as_u64() != Some(number.into()) => Some(target.to_string()),
                Value::String(target) => Some(target.clone()),
                _ => None,
            },
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_offered() {
        let service = json!({
            "metadata": { "name": "api", "creationTimestamp": "2026-01-02T03:04:05Z" },
            "spec": { "selector": { "app": "api" }, "ports": [
                { "name": "http", "port": 80, "targetPort": "web" }, { "port": 53, "protocol": "UDP" },
            ] },
        });
        let found = item(Kind::Service, &service).unwrap();
        assert_eq!((found.ports.len(), found.ports[0].number), (1, 80));
        assert_eq!(found.ports[0].inner.as_deref(), Some("web"));
        assert!(matches!(found.ready, ReadyPods::Selected(_)) && found.created.is_some());
        let external = json!({ "metadata": { "name": "x" }, "spec": { "type": "ExternalName" } });
        assert_eq!(item(Kind::Service, &external), None);
        let pod = |phase: &str, name: &str| {
            let conditions = json!([{ "type": "Ready", "status": "True" }]);
            json!({ "metadata": { "name": name, "labels": { "app": "api" } },
                "status": { "phase": phase, "conditions": conditions } })
        };
        let found = item(Kind::Pod, &pod("Running", "api-0")).unwrap();
        assert_eq!((found.ready, found.labels.len()), (ReadyPods::Counted(1, 1), 1));
        assert_eq!(item(Kind::Pod, &pod("Succeeded", "api-0")), None);
        // A name that cannot be one would become part of a URL.
        assert_eq!(item(Kind::Pod, &pod("Running", "../x")), None);
        let owned = json!({ "metadata": { "name": "web-1", "ownerReferences": [{ "controller": true }] },
            "spec": { "replicas": 2 }, "status": { "readyReplicas": 1 } });
        assert_eq!(item(Kind::ReplicaSet, &owned), None);
        assert_eq!(item(Kind::StatefulSet, &owned).unwrap().ready, ReadyPods::Counted(1, 2));
        assert_eq!(item(Kind::Pod, &json!("hostile")), None);
    }
}
