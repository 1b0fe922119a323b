//! Why a target has no pod to begin with, where that is certain.
//!
//! The pods are followed with patience: a server that restarts or a pod that is not there yet comes back. A person who
//! has just typed the command has none for a name that is wrong or a right that is missing. So when the first look at
//! the pods shows none of use, the question is asked once more in a way that can fail.

use kube::{
    Api,
    api::{DynamicObject, ListParams},
};

use super::{
    list_watch::ListWatch,
    slices,
    target::{ObjectFinder, PodQuery, ResolvedTarget, no_namespace},
};
use crate::{
    cluster::{
        access,
        client::Cluster,
        objects::{EndpointSlice, resource},
    },
    error::Fatal,
    model::target::Kind,
};

/// Phases from which no pod comes back.
const ENDED: [&str; 2] = ["Succeeded", "Failed"];

/// Says what is wrong, if waiting cannot mend it.
pub async fn examine(cluster: &Cluster, resolved: &ResolvedTarget) -> Result<(), Fatal> {
    let namespace = resolved.namespace.as_str();
    let pod = |name| ObjectFinder { cluster, namespace, kind: Kind::Pod, name };
    match &resolved.pods {
        PodQuery::Name(name) => {
            let found = pod(name).get().await?;
            let phase = found.data["status"]["phase"].as_str().unwrap_or_default();
            if ENDED.contains(&phase) { Err(ended(&pod(name).subject(), phase)) } else { Ok(()) }
        }
        PodQuery::Labels(labels) => {
            let pods: Api<DynamicObject> =
                Api::namespaced_with(cluster.api.clone(), namespace, &resource(Kind::Pod));
            let listed = pods.list_metadata(&ListParams::default().labels(labels).limit(1)).await;
            let doing = format!("list the pods of namespace {namespace}");
            if listed.map_err(|error| access::fatal(&doing, cluster, &error))?.items.is_empty() {
                no_namespace(cluster, namespace).await.map_or(Ok(()), Err)
            } else {
                Ok(())
            }
        }
        PodQuery::Slices { service } => {
            let api: Api<EndpointSlice> = Api::namespaced(cluster.api.clone(), namespace);
            let list_watch: ListWatch<EndpointSlice> =
                ListWatch::new(api, Some(slices::label(service)), None, cluster.list_time).patient();
            let doing = format!("list the EndpointSlices of service {service} in namespace {namespace}");
            let (listed, _) =
                list_watch.list().await.map_err(|error| access::fatal(&doing, cluster, &error))?;
            let member = listed.iter().find_map(|slice| slices::members(slice, namespace).pop());
            match member {
                Some(member) => pod(&member.pod.name).get().await.map(drop),
                None => Ok(()),
            }
        }
    }
}

fn ended(subject: &str, phase: &str) -> Fatal {
    Fatal::new("fwd::pod::ended", format!("{subject} has ended"))
        .because(format!("its phase is {phase}: its containers ran and will not run again"))
        .help("forward to another pod, or to the workload or service in front of it")
}
