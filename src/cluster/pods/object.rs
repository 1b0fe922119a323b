//! The object of a target, followed: what it stands for may change while it is forwarded to.
//!
//! A service's selector and ports are edited (that is how traffic is moved from one version to the other), and what is deleted
//! and made again under its name is another object: a job's new selector is of its new pods alone. The selectors of the other
//! workloads cannot be changed, and one that is made again mostly has the same, so those are not followed.

use std::{sync::Arc, time::Duration};

use k8s_openapi::NamespaceResourceScope;
use kube::Api;
use serde::de::DeserializeOwned;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    list_watch::{ListWatch, Watched},
    target::{ObjectFinder, ResolvedTarget},
    watcher::{CollectionChange, Relist, Watcher},
};
use crate::{
    cluster::{
        client::Cluster,
        objects::{Job, ReplicationController, Service},
    },
    error::Fatal,
    model::target::Kind,
};

/// How often an object is read that may not be watched. It changes by somebody's hand, and reading it takes a request.
const REREAD: Duration = Duration::from_secs(30);

/// Readings until watching is tried again: rights may have been granted meanwhile.
const REREADS: u32 = 10;

/// An object at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetObject {
    /// Nothing is known yet.
    Unread,
    /// It is not there.
    Gone,
    /// It stands for this.
    Stands(Arc<ResolvedTarget>),
    /// It is there, and stands for no pods: why, for people.
    Unusable(String),
}

/// Whether an object of this kind may come to stand for other pods.
pub fn is_followed(kind: Kind) -> bool {
    matches!(kind, Kind::Service | Kind::Job | Kind::ReplicationController)
}

/// Follows an object of such a kind until `stop`; spawned on `tracker`.
pub fn follow_object(
    cluster: &Arc<Cluster>,
    (namespace, kind, name): (&str, Kind, &str),
    tracker: &TaskTracker,
    stop: CancellationToken,
) -> Receiver<TargetObject> {
    let (sender, receiver) = channel(TargetObject::Unread);
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    let follower = ObjectFollower { cluster: Arc::clone(cluster), namespace, kind, name, sender };
    tracker.spawn(stop.run_until_cancelled_owned(async move {
        match kind {
            Kind::Service => {
                let read = |finder: &ObjectFinder<'_>, service: Service| {
                    finder.of_service(service.spec.unwrap_or_default())
                };
                follower.run(read).await;
            }
            Kind::Job => {
                let read = |finder: &ObjectFinder<'_>, job: Job| {
                    finder.of_selector(job.spec.unwrap_or_default().selector.as_ref())
                };
                follower.run(read).await;
            }
            Kind::ReplicationController => {
                let read = |finder: &ObjectFinder<'_>, controller: ReplicationController| {
                    finder.of_labels(controller.spec.unwrap_or_default().selector.as_ref())
                };
                follower.run(read).await;
            }
            Kind::Pod | Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => {}
        }
    }));
    receiver
}

macro_rules! watched_whole {
    ($($kind:ty),*) => {$(
        impl Watched for $kind {
            type Object = Self;

            fn read(object: Self) -> Self {
                object
            }

            fn version(&self) -> Option<String> {
                self.metadata.resource_version.clone()
            }
        }
    )*};
}

watched_whole!(Service, Job, ReplicationController);

struct ObjectFollower {
    cluster: Arc<Cluster>,
    namespace: String,
    kind: Kind,
    name: String,
    sender: Sender<TargetObject>,
}

impl ObjectFollower {
    async fn run<K>(self, read: fn(&ObjectFinder<'_>, K) -> Result<ResolvedTarget, Fatal>)
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Watched<Object = K>
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let Self { cluster, namespace, kind, name, sender } = &self;
        let finder = ObjectFinder { cluster, namespace, kind: *kind, name };
        let tell = |object: Option<K>| {
            let now = match object.map(|object| read(&finder, object)) {
                None => TargetObject::Gone,
                Some(Ok(resolved)) => TargetObject::Stands(Arc::new(resolved)),
                Some(Err(fatal)) => TargetObject::Unusable(fatal.to_string()),
            };
            sender.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        };
        let api: Api<K> = Api::namespaced(cluster.api.clone(), namespace);
        let fields = Some(format!("metadata.name={name}"));
        let list_watch = ListWatch::new(api.clone(), None, fields, cluster.list_time);
        let mut watcher = Watcher::<K>::new(list_watch, Relist::default());
        loop {
            match watcher.next().await {
                CollectionChange::Swap(objects) => tell(objects.into_iter().next()),
                CollectionChange::Apply(object) => tell(Some(object)),
                CollectionChange::Delete(_) => tell(None),
                // The watch of the pods has the same trouble, and tells of it.
                CollectionChange::Alive | CollectionChange::Problem(_) | CollectionChange::Unwatched(_) => {}
                // It could be read at the start, or there would be no target.
                CollectionChange::Denied(..) => {
                    for _ in 0..REREADS {
                        tokio::time::sleep(REREAD).await;
                        if let Ok(object) = api.get_opt(name).await {
                            tell(object);
                        }
                    }
                    watcher.restart();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::fake::{FakeApiServer, list, no, ok, watch};
    use crate::cluster::pods::target::PodQuery;

    fn service(version: &str, app: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "api", "namespace": "default", "resourceVersion": version },
            "spec": { "selector": { "app": app }, "ports": [{ "port": 80 }] },
        })
    }

    fn follow(fake: &FakeApiServer, stop: &CancellationToken) -> Receiver<TargetObject> {
        let api = ("default", Kind::Service, "api");
        follow_object(&Arc::new(fake.cluster()), api, &TaskTracker::new(), stop.clone())
    }

    async fn until(state: &mut Receiver<TargetObject>, what: impl Fn(&TargetObject) -> bool) -> TargetObject {
        // Time is paused: waiting costs none.
        let limit = Duration::from_secs(3600);
        tokio::time::timeout(limit, state.wait_for(what)).await.unwrap().unwrap().clone()
    }

    fn selects(app: &str) -> impl Fn(&TargetObject) -> bool {
        let labels = PodQuery::Labels(format!("app={app}"));
        move |object| matches!(object, TargetObject::Stands(resolved) if resolved.pods == labels)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_service_stands_for_is_followed() {
        let (events, stream) = watch();
        let fake = FakeApiServer::default();
        fake.on("/services?", [ok(list("5", &[service("5", "blue")]))]).on("watch=true", [stream]);
        let stop = CancellationToken::new();
        let mut state = follow(&fake, &stop);
        until(&mut state, selects("blue")).await;
        events.send(json!({ "type": "MODIFIED", "object": service("6", "green") })).unwrap();
        until(&mut state, selects("green")).await;
        events.send(json!({ "type": "DELETED", "object": service("7", "green") })).unwrap();
        until(&mut state, |object| *object == TargetObject::Gone).await;
        let mut external = service("8", "green");
        external["spec"] = json!({ "type": "ExternalName", "externalName": "example.org" });
        events.send(json!({ "type": "ADDED", "object": external })).unwrap();
        let why = until(&mut state, |object| matches!(object, TargetObject::Unusable(_))).await;
        assert_eq!(why, TargetObject::Unusable("service api in namespace default has no pods".to_owned()));
        let asked = fake.asked.lock().clone();
        assert!(asked.iter().all(|asked| asked.contains("fieldSelector=metadata.name%3Dapi")), "{asked:?}");
        stop.cancel();
    }

    /// Rights to `get` services are enough to start; the others may be granted later.
    #[tokio::test(start_paused = true)]
    async fn one_that_may_not_be_watched_is_read_again_and_again() {
        let (_events, stream) = watch();
        let fake = FakeApiServer::default();
        fake.on("/services?", [no(403, "forbidden"), ok(list("9", &[service("9", "late")]))]);
        fake.on("watch=true", [stream]);
        fake.on("/services/api", [ok(service("5", "blue")), no(503, "away"), ok(service("6", "green"))]);
        let stop = CancellationToken::new();
        let mut state = follow(&fake, &stop);
        until(&mut state, selects("blue")).await;
        until(&mut state, selects("green")).await;
        until(&mut state, selects("late")).await;
        let read = fake.asked.lock().iter().filter(|asked| asked.contains("/services/api")).count();
        assert_eq!(u32::try_from(read).unwrap(), REREADS);
        stop.cancel();
    }
}
