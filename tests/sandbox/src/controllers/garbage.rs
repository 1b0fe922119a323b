//! What is left over goes: objects whose owner is gone, and what lives in a namespace that is deleted.

use std::collections::HashSet;

use crate::api::meta;
use crate::api::resources::{ALL, NAMESPACE};
use crate::cluster::store::Key;
use crate::cluster::{Cluster, Deletion};

pub(super) fn reconcile(cluster: &Cluster) {
    orphans(cluster);
    namespaces(cluster);
}

fn orphans(cluster: &Cluster) {
    let all: Vec<_> = ALL.iter().flat_map(|resource| cluster.store.list(resource, None).items).collect();
    let uids: HashSet<&str> = all.iter().map(|(_, object)| meta::uid(object)).collect();
    for (key, object) in &all {
        let owner = meta::controller_uid(object);
        if !owner.is_empty() && !uids.contains(owner) && !meta::is_deleting(object) {
            // That somebody else was quicker is all right.
            let _ = cluster.delete(key, Deletion { uid: meta::uid(object), ..Deletion::default() });
        }
    }
}

fn namespaces(cluster: &Cluster) {
    for namespace in
        cluster.store.all(&NAMESPACE, None).iter().filter(|namespace| meta::is_deleting(namespace))
    {
        let name = meta::name(namespace);
        let within = || {
            let kinds = ALL.iter().copied().filter(|resource| resource.namespaced);
            kinds.flat_map(|resource| cluster.store.list(resource, Some(name)).items)
        };
        for (key, object) in within().filter(|(_, object)| !meta::is_deleting(object)) {
            let _ = cluster.delete(&key, Deletion { uid: meta::uid(&object), ..Deletion::default() });
        }
        if within().next().is_none() {
            cluster.store.remove(&Key::of(&NAMESPACE, namespace), meta::uid(namespace));
        }
    }
}
