//! The cluster behind the API: its objects, its node and its clocks, and the writes that carry meaning beyond
//! storing (creation fills in defaults, deletion of a pod is a process, of a namespace another).

mod defaults;
pub(crate) mod manifest;
pub(crate) mod store;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::store::{Key, Store};
use crate::api::meta;
use crate::api::resources::{EVENT, NAMESPACE, POD, REPLICA_SET, ROLE, Resource};
use crate::api::selector::Selector;
use crate::api::shape;
use crate::api::status::Status;
use crate::faults::Faults;
use crate::identity::users::Users;
use crate::node::Node;
use crate::rest::RequestCounts;

/// The one node's name and address.
pub(crate) const NODE_NAME: &str = "node1";
pub(crate) const NODE_ADDRESS: &str = "10.244.0.1";

/// Everything but the listener.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) node: Node,
    pub(crate) faults: Faults,
    pub(crate) users: Users,
    pub(crate) requests: RequestCounts,
    pub(crate) pod_start: Duration,
    pub(crate) deletion: Duration,
    pub(crate) strict_websocket_create: bool,
    /// Controllers and the lives of pods.
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// Asks for the listener to be restarted.
    pub(crate) restart_api: tokio::sync::Notify,
    /// Given out so far.
    pod_addresses: AtomicU32,
    service_addresses: AtomicU32,
}

/// How an object is to be deleted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deletion<'a> {
    /// Seconds; `None` is what the pod says.
    pub(crate) grace: Option<i64>,
    /// Owned objects stay.
    pub(crate) orphan: bool,
    /// Preconditions; empty if there are none.
    pub(crate) uid: &'a str,
    pub(crate) resource_version: &'a str,
}

impl Cluster {
    pub(crate) fn new(options: &crate::Options, users: Users) -> Self {
        let faults = Faults::default();
        Self {
            store: Store::default(),
            node: Node::with_faults(&faults),
            faults,
            users,
            requests: RequestCounts::default(),
            pod_start: options.pod_start,
            deletion: options.deletion,
            strict_websocket_create: options.strict_websocket_create,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            restart_api: tokio::sync::Notify::new(),
            pod_addresses: AtomicU32::new(0),
            service_addresses: AtomicU32::new(0),
        }
    }

    /// The next address of the pods' network, 10.244.0.2 first.
    pub(crate) fn pod_address(&self) -> String {
        let next = self.pod_addresses.fetch_add(1, Ordering::Relaxed) + 2;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 244, 0, 0)).wrapping_add(next)).to_string()
    }

    /// The next address of the services' network.
    pub(crate) fn service_address(&self) -> String {
        let next = self.service_addresses.fetch_add(1, Ordering::Relaxed) + 10;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 0)).wrapping_add(next)).to_string()
    }

    /// The object as it would be stored: named, stamped and with its defaults.
    pub(crate) fn prepare(
        &self,
        resource: &'static Resource,
        namespace: &str,
        mut object: Value,
    ) -> Result<Value, Status> {
        shape::check(&object)?;
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        let metadata = meta::object_at(&mut object, "metadata");
        let written =
            |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, prefix, own_namespace) = (written("name"), written("generateName"), written("namespace"));
        let name = match (name.as_str(), prefix.as_str()) {
            ("", "") => {
                let why = "Required value: name or generateName is required";
                return Err(Status::invalid(resource, "", "metadata.name", why));
            }
            ("", prefix) => format!("{prefix}{}", meta::suffix()),
            (name, _) => name.to_owned(),
        };
        // The names of roles and bindings need only be path segments.
        let free = resource.group == ROLE.group && !name.contains(['/', '%']);
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if !free && (!name.chars().all(allowed) || name.starts_with('-') || name.ends_with('-')) {
            let why = format!(
                "Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
            );
            return Err(Status::invalid(resource, &name, "metadata.name", &why));
        }
        if resource.namespaced {
            if !own_namespace.is_empty() && own_namespace != namespace {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            metadata.insert("namespace".into(), json!(namespace));
            let home = self.store.get(&Key::new(&NAMESPACE, "", namespace));
            let home = home.ok_or_else(|| Status::not_found(&NAMESPACE, namespace))?;
            if meta::is_deleting(&home) {
                let why = format!(
                    "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
                    resource.qualified()
                );
                return Err(Status::forbidden(resource.plural, resource.group, &name, why));
            }
        } else {
            metadata.remove("namespace");
        }
        metadata.insert("name".into(), json!(name));
        metadata.insert("uid".into(), json!(meta::new_uid()));
        metadata.insert("creationTimestamp".into(), json!(meta::now()));
        for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"] {
            metadata.remove(field);
        }
        if object.get("spec").is_some() && !["Service", "Namespace", "Node"].contains(&resource.kind) {
            object["metadata"]["generation"] = json!(1);
        }
        defaults::fill(self, resource, &mut object);
        check_selector(resource, &object)?;
        Ok(object)
    }

    pub(crate) fn create(
        &self,
        resource: &'static Resource,
        namespace: &str,
        object: Value,
    ) -> Result<Arc<Value>, Status> {
        let object = self.prepare(resource, namespace, object)?;
        self.store.insert(Key::of(resource, &object), object)
    }

    /// Changes what is wanted of an object, counting its generation.
    pub(crate) fn update(
        &self,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), Status>,
    ) -> Result<Arc<Value>, Status> {
        self.store.modify(key, |object| {
            let before = object.clone();
            change(object)?;
            shape::check(object)?;
            meta::bump_generation(&before, object);
            Ok(())
        })
    }

    /// Deletes an object, or begins to. Returns its last state and whether it is gone already.
    pub(crate) fn delete(&self, key: &Key, how: Deletion<'_>) -> Result<(Arc<Value>, bool), Status> {
        let object = self.store.get(key).ok_or_else(|| key.not_found())?;
        let precondition = |wanted: &str, actual: &str, what: &str| {
            if wanted.is_empty() || wanted == actual {
                return Ok(());
            }
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({actual}). The object might have been deleted and then recreated"
            );
            Err(Status::conflict(key.resource, &key.name, &why))
        };
        precondition(how.uid, meta::uid(&object), "UID")?;
        precondition(
            how.resource_version,
            meta::text(&object, "/metadata/resourceVersion"),
            "ResourceVersion",
        )?;
        if how.orphan {
            self.orphan(meta::uid(&object));
        }
        if *key.resource == NAMESPACE {
            let object = self.update(key, |namespace| {
                if !meta::is_deleting(namespace) {
                    namespace["metadata"]["deletionTimestamp"] = json!(meta::now());
                }
                namespace["status"]["phase"] = json!("Terminating");
                Ok(())
            })?;
            return Ok((object, false));
        }
        if *key.resource == POD {
            let own =
                object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
            let unscheduled = meta::text(&object, "/spec/nodeName").is_empty();
            let grace = if unscheduled { 0 } else { how.grace.unwrap_or(own).max(0) };
            let object = self.update(key, |pod| {
                let shorter = meta::number(pod, "/metadata/deletionGracePeriodSeconds") > grace;
                if !meta::is_deleting(pod) || shorter {
                    let by = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
                    pod["metadata"]["deletionTimestamp"] = json!(meta::in_future(by));
                    pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
                }
                Ok(())
            })?;
            if grace > 0 {
                return Ok((object, false));
            }
        }
        let last = self.store.remove(key, meta::uid(&object)).ok_or_else(|| key.not_found())?;
        Ok((last, true))
    }

    /// Cuts the ties of what `owner` owns.
    fn orphan(&self, owner: &str) {
        for resource in [&POD, &REPLICA_SET] {
            for (key, object) in self.store.list(resource, None).items {
                if meta::controller_uid(&object) == owner {
                    // Gone meanwhile is as good as orphaned.
                    let _ = self.store.modify(&key, |object| {
                        meta::object_at(object, "metadata").remove("ownerReferences");
                        Ok(())
                    });
                }
            }
        }
    }

    /// Notes something that happened to an object, for `kubectl describe` and `kubectl get events`.
    pub(crate) fn record(&self, about: &Value, source: &str, reason: &str, message: &str) {
        let (namespace, name, now) = (meta::namespace(about), meta::name(about), meta::now());
        let event = json!({
            "metadata": { "generateName": format!("{name}.") },
            "involvedObject": {
                "kind": about["kind"], "apiVersion": about["apiVersion"], "namespace": namespace, "name": name,
                "uid": meta::uid(about), "resourceVersion": about["metadata"]["resourceVersion"],
            },
            "reason": reason, "message": message, "type": "Normal", "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "eventTime": null,
            "source": { "component": source }, "reportingComponent": source, "reportingInstance": "",
        });
        if let Err(status) = self.create(&EVENT, namespace, event) {
            tracing::debug!(%status, "event not recorded");
        }
    }

    /// Resolves when the object is gone, is another one, or satisfies `until`; then it is returned.
    pub(crate) async fn wait(
        &self,
        key: &Key,
        uid: &str,
        until: impl Fn(&Value) -> bool,
    ) -> Option<Arc<Value>> {
        let mut versions = self.store.subscribe();
        loop {
            versions.borrow_and_update();
            let object = self.store.get(key).filter(|object| meta::uid(object) == uid)?;
            if until(&object) {
                return Some(object);
            }
            versions.changed().await.ok()?;
        }
    }
}

/// A workload that would not know its own pods again is refused.
fn check_selector(resource: &Resource, object: &Value) -> Result<(), Status> {
    let (Some(selector), Some(template)) =
        (object.pointer("/spec/selector"), object.pointer("/spec/template"))
    else {
        return Ok(());
    };
    let selector = match resource.kind {
        "ReplicationController" => Selector::from_map(selector),
        _ => Selector::from_object(selector),
    };
    if !selector.is_empty() && selector.matches(template) {
        return Ok(());
    }
    let why = "Invalid value: `selector` does not match template `labels`";
    Err(Status::invalid(resource, meta::name(object), "spec.template.metadata.labels", why))
}
