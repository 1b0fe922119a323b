//! Scheduler and kubelet: the life of each pod, from its creation to its end, as one task that tells it in order.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use podserver::PORTS;
use serde_json::{Value, json};

use super::pod_status::{self, ContainerEnd};
use crate::api::meta::{self, items, number, text};
use crate::api::resources::POD;
use crate::api::status::Status;
use crate::cluster::store::Key;
use crate::cluster::{Cluster, NODE_NAME};

/// An image that can never be pulled.
pub(crate) const MISSING_IMAGE: &str = "registry.invalid/missing:1";

/// On a pod: its readiness probe fails from the start.
pub(crate) const NEVER_READY: &str = "sandbox/never-ready";

/// On a pod: ports that are passed on to processes of this machine, as `5432=127.0.0.1:25432`, with spaces between them.
pub(crate) const PASSES_ON: &str = "sandbox/passes-on";

/// Which pods already have a task that lives their life.
#[derive(Default)]
pub(super) struct Kubelet {
    known: HashSet<String>,
}

impl Kubelet {
    pub(super) fn reconcile(&mut self, cluster: &Arc<Cluster>) {
        let pods = cluster.store.list(&POD, None).items;
        let mut present = HashSet::new();
        // Those that were made for another node are as they were made: nobody runs them.
        for (key, pod) in pods.into_iter().filter(|(_, pod)| is_ours(pod)) {
            let uid = meta::uid(&pod).to_owned();
            if self.known.insert(uid.clone()) {
                cluster.tasks.spawn(live(cluster.clone(), key, uid.clone()));
            }
            present.insert(uid);
        }
        self.known.retain(|uid| present.contains(uid));
    }
}

/// One pod, on its node.
struct Pod {
    cluster: Arc<Cluster>,
    key: Key,
    uid: String,
}

async fn live(cluster: Arc<Cluster>, key: Key, uid: String) {
    let stopping = cluster.stopping.clone();
    let pod = Pod { cluster, key, uid };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = pod.live() => {}
    }
    // Whatever ended it, nothing of it is left.
    if pod.cluster.node.is_running(&pod.uid) {
        pod.cluster.node.stop_pod(&pod.uid, Duration::ZERO).await;
    }
}

impl Pod {
    async fn live(&self) {
        tokio::select! {
            () = self.deleted() => {}
            Some(()) = self.start() => self.deleted().await,
        }
        self.end().await;
    }

    /// Resolves when the pod is to go or is gone.
    async fn deleted(&self) {
        self.cluster.wait(&self.key, &self.uid, meta::is_deleting).await;
    }

    /// Writes the pod's next station; `None` if this pod is no more.
    fn write(&self, change: impl FnOnce(&mut Value)) -> Option<Arc<Value>> {
        write(&self.cluster, &self.key, &self.uid, change).ok()
    }

    async fn start(&self) -> Option<()> {
        let Cluster { pod_start, node, .. } = &*self.cluster;
        let pod = self.write(pod_status::scheduled)?;
        self.cluster.record(
            &pod,
            "default-scheduler",
            "Scheduled",
            &format!("Successfully assigned {}/{} to node1", self.key.namespace, self.key.name),
        );
        self.write(pod_status::creating)?;
        // In thirds: the sandbox, the containers, the first probe.
        tokio::time::sleep(*pod_start / 3).await;
        if items(&pod, "/spec/containers").iter().any(|container| container["image"] == json!(MISSING_IMAGE))
        {
            self.write(pod_status::image_missing)?;
            return Some(());
        }
        self.write(pod_status::sandboxed)?;
        let Key { namespace, name, .. } = &self.key;
        node.start_pod_passing_on(&self.uid, namespace, name, &ports(&pod), processes(&pod)).await;
        tokio::time::sleep(*pod_start / 3).await;
        let address = self.cluster.pod_address();
        let pod = self.write(|pod| pod_status::running(pod, &address))?;
        self.cluster.record(&pod, "kubelet", "Started", "Container started");
        tokio::time::sleep(*pod_start / 3).await;
        if pod["metadata"]["annotations"][NEVER_READY].is_null() {
            self.write(|pod| pod_status::ready(pod, true))?;
        }
        Some(())
    }

    /// Graceful deletion. Deleted by force, the pod is gone already and none of this is seen.
    async fn end(&self) {
        let Cluster { deletion, node, .. } = &*self.cluster;
        let Some(pod) = self.write(pod_status::observed) else { return };
        if pod_status::is_finished(&pod) {
            self.cluster.store.remove(&self.key, &self.uid);
            return;
        }
        self.cluster.record(&pod, "kubelet", "Killing", "Stopping container");
        let probe_fails = async {
            tokio::time::sleep(*deletion / 4).await;
            if pod_status::is_ready(&pod) {
                self.write(|pod| pod_status::ready(pod, false));
            }
        };
        tokio::join!(probe_fails, node.stop_pod(&self.uid, *deletion));
        self.write(pod_status::succeeded);
        tokio::time::sleep(*deletion / 4).await;
        self.write(|pod| {
            pod["metadata"]["deletionTimestamp"] = json!(meta::now());
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        });
        self.cluster.store.remove(&self.key, &self.uid);
    }
}

fn is_ours(pod: &Value) -> bool {
    matches!(text(pod, "/spec/nodeName"), "" | NODE_NAME)
}

/// As far as the pod will come on its own.
pub(super) fn has_arrived(pod: &Value) -> bool {
    let stuck = |status: &Value| status["state"]["waiting"]["reason"] == json!("ImagePullBackOff");
    let unready =
        !pod["metadata"]["annotations"][NEVER_READY].is_null() && pod["status"]["phase"] == json!("Running");
    !is_ours(pod)
        || pod_status::is_ready(pod)
        || pod_status::is_finished(pod)
        || unready
        || items(pod, "/status/containerStatuses").iter().any(stuck)
}

fn write(
    cluster: &Cluster,
    key: &Key,
    uid: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Arc<Value>, Status> {
    cluster.store.modify(key, |pod| {
        if meta::uid(pod) != uid {
            return Err(key.not_found());
        }
        change(pod);
        Ok(())
    })
}

/// Those that the pod declares, and those that every pod has, declared or not.
fn ports(pod: &Value) -> Vec<u16> {
    let declared = items(pod, "/spec/containers")
        .iter()
        .flat_map(|container| items(container, "/ports"))
        .filter(|port| port["protocol"] != json!("UDP"))
        .filter_map(|port| u16::try_from(number(port, "/containerPort")).ok());
    let mut ports: Vec<u16> = declared.chain(PORTS).chain(processes(pod).into_keys()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// What the pod's annotation says of processes.
fn processes(pod: &Value) -> HashMap<u16, SocketAddr> {
    let said = pod["metadata"]["annotations"][PASSES_ON].as_str().unwrap_or_default();
    let one = |word: &str| {
        let (port, process) = word.split_once('=')?;
        Some((port.parse().ok()?, process.parse().ok()?))
    };
    let read = said.split_whitespace().filter_map(|word| {
        let read = one(word);
        if read.is_none() {
            tracing::error!(pod = meta::name(pod), word, "not PORT=ADDRESS:PORT in {PASSES_ON}");
        }
        read
    });
    read.collect()
}

fn find(cluster: &Cluster, namespace: &str, name: &str) -> Result<(Key, String), Status> {
    let key = Key::new(&POD, namespace, name);
    let pod = cluster.store.get(&key).ok_or_else(|| key.not_found())?;
    if pod["status"]["phase"] != json!("Running") {
        return Err(Status::conflict(&POD, name, "the pod does not run"));
    }
    Ok((key, meta::uid(&pod).to_owned()))
}

/// Writes what happens to a running pod, unless it is on its way out by now.
fn happen(
    cluster: &Cluster,
    key: &Key,
    uid: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Arc<Value>, Status> {
    let change = |pod: &mut Value| {
        if !meta::is_deleting(pod) {
            change(pod);
        }
    };
    write(cluster, key, uid, change)
}

/// Turns a running pod's readiness off or on.
pub(crate) fn set_ready(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    is_ready: bool,
) -> Result<(), Status> {
    let (key, uid) = find(cluster, namespace, name)?;
    happen(cluster, &key, &uid, |pod| pod_status::ready(pod, is_ready)).map(drop)
}

/// The containers of a running pod end like this, and are started again in the same sandbox.
pub(crate) async fn restart_container(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    end: ContainerEnd,
) -> Result<(), Status> {
    let (key, uid) = find(cluster, namespace, name)?;
    cluster.node.kill_container(&uid).await;
    let pod = happen(cluster, &key, &uid, |pod| pod_status::ended(pod, end, true))?;
    tokio::time::sleep(cluster.pod_start / 2).await;
    cluster.node.start_container(&uid).await;
    let address = text(&pod, "/status/podIP");
    happen(cluster, &key, &uid, |pod| pod_status::restarted(pod, address))?;
    tokio::time::sleep(cluster.pod_start / 2).await;
    happen(cluster, &key, &uid, |pod| pod_status::ready(pod, true)).map(drop)
}

/// The sandbox of a running pod is lost, and the kubelet makes another one for the same pod, at another address.
pub(crate) async fn recreate_sandbox(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), Status> {
    let (key, uid) = find(cluster, namespace, name)?;
    cluster.node.kill_container(&uid).await;
    cluster.node.stop_pod(&uid, Duration::ZERO).await;
    let pod = happen(cluster, &key, &uid, |pod| pod_status::ended(pod, ContainerEnd::KILLED, false))?;
    cluster.record(
        &pod,
        "kubelet",
        "SandboxChanged",
        "Pod sandbox changed, it will be killed and re-created.",
    );
    tokio::time::sleep(cluster.pod_start / 2).await;
    cluster.node.start_pod(&uid, namespace, name, &ports(&pod)).await;
    let address = cluster.pod_address();
    happen(cluster, &key, &uid, |pod| pod_status::restarted(pod, &address))?;
    tokio::time::sleep(cluster.pod_start / 2).await;
    happen(cluster, &key, &uid, |pod| pod_status::ready(pod, true)).map(drop)
}

/// The kubelet evicts a running pod because its node is short of memory. Its object stays, failed.
pub(crate) async fn evict(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), Status> {
    let (key, uid) = find(cluster, namespace, name)?;
    // The phase follows only once no container runs any more.
    let pod = happen(cluster, &key, &uid, pod_status::disrupted)?;
    cluster.record(&pod, "kubelet", "Evicted", "The node was low on resource: memory.");
    cluster.node.stop_pod(&uid, cluster.deletion).await;
    happen(cluster, &key, &uid, pod_status::evicted).map(drop)
}

/// The containers of a running pod have done what they were for, and end well. Its object stays.
pub(crate) async fn complete(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), Status> {
    let (key, uid) = find(cluster, namespace, name)?;
    cluster.node.stop_pod(&uid, cluster.deletion).await;
    happen(cluster, &key, &uid, pod_status::succeeded).map(drop)
}
