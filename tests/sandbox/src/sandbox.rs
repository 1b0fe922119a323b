//! The cluster as a test holds it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::meta;
use crate::api::patch::{self, Format};
use crate::api::resources::{self, POD};
use crate::api::selector::Selector;
use crate::cluster::manifest;
use crate::cluster::store::Key;
use crate::cluster::{Cluster, Deletion};
use crate::controllers::{self, ContainerEnd, kubelet};
use crate::error::Error;
use crate::faults::Faults;
use crate::identity::kubeconfig::Kubeconfigs;
use crate::identity::tls::{ClientCertificate, Tls};
use crate::identity::users::{Credential, User, Users};
use crate::node::Node;
use crate::options::Options;
use crate::serve::Server;

/// How long anything here may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running cluster. Dropping it ends it.
pub struct Sandbox {
    cluster: Arc<Cluster>,
    server: Arc<Server>,
    kubeconfigs: Kubeconfigs,
    ca_pem: String,
    clients: HashMap<String, ClientCertificate>,
    spares: HashMap<String, ClientCertificate>,
}

impl Sandbox {
    /// Starts a cluster in the caller's runtime; every object that can become ready is when this returns.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let users = all_users(&options);
        let mut tls = Tls::new(&users, options.server_certificate)?;
        let owners = std::mem::take(&mut tls.owners);
        let cluster = Arc::new(Cluster::new(&options, Users::new(users.clone(), owners)));
        let server = Server::start(cluster.clone(), tls.server.clone(), options.port).await?;
        let kubeconfigs = Kubeconfigs::write(&url(server.address()), &tls, &users)?;
        let Tls { ca_pem, clients, spares, .. } = tls;
        let sandbox = Self { cluster, server, kubeconfigs, ca_pem, clients, spares };
        sandbox.cluster.tasks.spawn(controllers::run(sandbox.cluster.clone()));
        sandbox.cluster.tasks.spawn(restart_on_request(sandbox.cluster.clone(), sandbox.server.clone()));
        sandbox.populate(options).await?;
        Ok(sandbox)
    }

    async fn populate(&self, options: Options) -> Result<(), Error> {
        for object in manifest::foundation() {
            self.create(object)?;
        }
        if options.default_objects {
            for object in manifest::defaults() {
                self.create(object)?;
            }
        }
        for object in options.objects {
            self.create(object)?;
        }
        self.settled().await?;
        if options.default_objects {
            self.create(manifest::manual_slice(&self.pods("default", "app=web")?))?;
        }
        Ok(())
    }

    /// The kubeconfig of a user, which is removed with the sandbox. For a user that is not known it does not exist.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.kubeconfigs.path(user)
    }

    /// The directory of the kubeconfigs, for other files that are to go with the sandbox.
    pub fn directory(&self) -> &Path {
        self.kubeconfigs.directory()
    }

    /// Where the API server listens, as a URL.
    pub fn url(&self) -> String {
        url(self.server.address())
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The certificate authority that signed for the API server.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A user's bearer token; `None` for those without one.
    pub fn token(&self, user: &str) -> Option<String> {
        let user = self.cluster.users.get(user)?;
        (user.credential != Credential::Certificate).then(|| user.token.clone())
    }

    /// Another token for a user, whose old one is no longer good.
    pub fn rotate_token(&self, user: &str) -> String {
        self.cluster.users.rotate_token(user)
    }

    /// A user's client certificate; `None` for those without one.
    pub fn certificate(&self, user: &str) -> Option<&ClientCertificate> {
        self.clients.get(user)
    }

    /// The next client certificate of a user, whose old one is no longer good.
    pub fn rotate_certificate(&self, user: &str) -> Option<&ClientCertificate> {
        let next = self.spares.get(user)?;
        self.cluster.users.rotate_certificate(user, next.der.clone());
        Some(next)
    }

    /// What goes wrong on request.
    pub fn faults(&self) -> &Faults {
        &self.cluster.faults
    }

    /// How many requests for each thing there were so far: `list pods`, `create pods/portforward`, `GET /version`.
    pub fn requests(&self) -> BTreeMap<String, usize> {
        self.cluster.requests.all()
    }

    /// The node that runs the pods.
    pub fn node(&self) -> &Node {
        &self.cluster.node
    }

    #[cfg(test)]
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Creates an object, in the namespace it names or `default`.
    pub fn create(&self, object: Value) -> Result<Value, Error> {
        let (api, kind) = (meta::text(&object, "/apiVersion"), meta::text(&object, "/kind"));
        let resource = resources::by_kind(api, kind)
            .ok_or_else(|| Error::Refused(format!("no matches for kind \"{kind}\" in version \"{api}\"")))?;
        let namespace = match meta::namespace(&object) {
            "" => "default".to_owned(),
            namespace => namespace.to_owned(),
        };
        Ok(Value::clone(&*self.cluster.create(resource, &namespace, object)?))
    }

    /// An object; `kind` is any word that kubectl takes, such as `deploy`.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = key(kind, namespace, name).ok()?;
        self.cluster.store.get(&key).map(|object| Value::clone(&object))
    }

    /// `namespace/name` of every object of a kind, in order.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let objects = resources::by_word(kind).map(|resource| self.cluster.store.all(resource, None));
        let name = |object: &Arc<Value>| format!("{}/{}", meta::namespace(object), meta::name(object));
        objects.iter().flatten().map(name).collect()
    }

    /// The pods that a label selector chooses.
    pub fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Value>, Error> {
        let selector = Selector::parse(&POD, selector, "")?;
        let pods = self.cluster.store.all(&POD, Some(namespace));
        Ok(pods.iter().filter(|pod| selector.matches(pod)).map(|pod| Value::clone(pod)).collect())
    }

    /// The names of those of them that are ready and not deleted.
    pub fn ready_pods(&self, namespace: &str, selector: &str) -> Result<Vec<String>, Error> {
        let ready = |pod: &&Value| controllers::is_ready(pod) && !meta::is_deleting(pod);
        let pods = self.pods(namespace, selector)?;
        Ok(pods.iter().filter(ready).map(|pod| meta::name(pod).to_owned()).collect())
    }

    /// Merges `patch` into an object, as `kubectl patch --type merge` does.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Value, Error> {
        let change = |object: &mut Value| patch::apply(Format::Merge, object, patch);
        let object = self.cluster.update(&key(kind, namespace, name)?, change)?;
        Ok(Value::clone(&object))
    }

    /// Begins to delete an object, gracefully where it is a pod.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<(), Error> {
        self.cluster.delete(&key(kind, namespace, name)?, Deletion::default())?;
        Ok(())
    }

    /// Deletes an object at once: `--force --grace-period=0`.
    pub fn force_delete(&self, kind: &str, namespace: &str, name: &str) -> Result<(), Error> {
        let now = Deletion { grace: Some(0), ..Deletion::default() };
        self.cluster.delete(&key(kind, namespace, name)?, now)?;
        Ok(())
    }

    /// Asks for another number of replicas.
    pub fn scale(&self, kind: &str, namespace: &str, name: &str, replicas: u32) -> Result<(), Error> {
        self.patch(kind, namespace, name, &json!({ "spec": { "replicas": replicas } }))?;
        Ok(())
    }

    /// Rolls a workload: `kubectl rollout restart`.
    pub fn restart(&self, kind: &str, namespace: &str, name: &str) -> Result<(), Error> {
        // Unlike kubectl's, this stamp differs for two restarts in one second.
        let annotations = json!({ "kubectl.kubernetes.io/restartedAt": meta::new_uid() });
        let template = json!({ "metadata": { "annotations": annotations } });
        self.patch(kind, namespace, name, &json!({ "spec": { "template": template } }))?;
        Ok(())
    }

    /// Turns a pod's readiness off or on.
    pub fn mark_ready(&self, namespace: &str, pod: &str, is_ready: bool) -> Result<(), Error> {
        Ok(kubelet::set_ready(&self.cluster, namespace, pod, is_ready)?)
    }

    /// Ends a pod's containers with an error and starts them again in the same sandbox. Returns when they are ready.
    pub async fn kill_container(&self, namespace: &str, pod: &str) -> Result<(), Error> {
        Ok(kubelet::restart_container(&self.cluster, namespace, pod, ContainerEnd::CRASH).await?)
    }

    /// The same, for a container that took more memory than it may.
    pub async fn kill_for_memory(&self, namespace: &str, pod: &str) -> Result<(), Error> {
        Ok(kubelet::restart_container(&self.cluster, namespace, pod, ContainerEnd::OUT_OF_MEMORY).await?)
    }

    /// Takes a pod's sandbox away, and gives it another. Returns when it is ready there.
    pub async fn recreate_sandbox(&self, namespace: &str, pod: &str) -> Result<(), Error> {
        Ok(kubelet::recreate_sandbox(&self.cluster, namespace, pod).await?)
    }

    /// Has the node evict a pod. Returns when it has failed.
    pub async fn evict(&self, namespace: &str, pod: &str) -> Result<(), Error> {
        Ok(kubelet::evict(&self.cluster, namespace, pod).await?)
    }

    /// Has a pod's containers end well, as those of a job do. Returns when it has completed.
    pub async fn complete(&self, namespace: &str, pod: &str) -> Result<(), Error> {
        Ok(kubelet::complete(&self.cluster, namespace, pod).await?)
    }

    /// Forgets the history: any watch that is behind, or resumes, gets 410 Gone.
    pub fn compact(&self) {
        self.cluster.store.compact();
    }

    /// The version of the newest change.
    pub fn resource_version(&self) -> u64 {
        self.cluster.store.version()
    }

    /// Ends every connection, watches and port-forwards too, and listens again on the same port. Pods live on.
    pub async fn restart_api(&self) -> Result<(), Error> {
        self.stop_api().await;
        self.resume_api().await
    }

    /// Ends every connection and refuses new ones.
    pub async fn stop_api(&self) {
        self.server.stop().await;
    }

    /// Listens again after [`Sandbox::stop_api`].
    pub async fn resume_api(&self) -> Result<(), Error> {
        Ok(self.server.resume().await?)
    }

    /// Resolves when `holds`, asked again after every change; an error names `what` was waited for in vain.
    pub async fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let mut versions = self.cluster.store.subscribe();
        let wait = async {
            loop {
                versions.borrow_and_update();
                if holds(self) || versions.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.map_err(|_| Error::Timeout(what.to_owned()))
    }

    /// Resolves when every workload has the pods it wants and each of them that can be is ready.
    pub async fn settled(&self) -> Result<(), Error> {
        self.wait_until("the cluster to settle", |sandbox| controllers::settled(&sandbox.cluster)).await
    }

    /// Ends everything: connections, pods, controllers. Dropping does the same without waiting for it.
    pub async fn stop(self) {
        self.server.stop().await;
        self.cluster.stopping.cancel();
        self.cluster.tasks.close();
        self.cluster.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.cluster.stopping.cancel();
        self.server.abandon();
    }
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn key(kind: &str, namespace: &str, name: &str) -> Result<Key, Error> {
    let resource = resources::by_word(kind)
        .ok_or_else(|| Error::Refused(format!("the server doesn't have a resource type \"{kind}\"")))?;
    Ok(Key::new(resource, namespace, name))
}

fn all_users(options: &Options) -> Vec<User> {
    let mut users = User::defaults();
    users.retain(|default| options.users.iter().all(|user| user.name != default.name));
    users.extend(options.users.iter().cloned());
    users
}

/// The request for a restart comes over a connection that the restart ends, so it is done from here.
async fn restart_on_request(cluster: Arc<Cluster>, server: Arc<Server>) {
    loop {
        tokio::select! {
            () = cluster.stopping.cancelled() => return,
            () = cluster.restart_api.notified() => {
                server.stop().await;
                if let Err(error) = server.resume().await {
                    tracing::error!(%error, "cannot listen again");
                }
            }
        }
    }
}
