//! What was probably meant by the name of a pod that is not there.
//!
//! A bare name is a pod, as for kubectl. Who types `kubectl fwd api 8080:80` more often means the service or the deployment of
//! that name, so these are looked for, and the command line that reaches them is given.

use std::time::Duration;

use futures_util::future::join_all;
use kube::{Api, api::DynamicObject};
use tokio::time::timeout;

use super::target::{NOT_FOUND, names};
use crate::{
    cluster::{client::Cluster, objects::resource},
    error::Fatal,
    model::{
        ports::PortSpec,
        target::{Kind, Target, TargetRef},
    },
    policy::nearest::nearest,
};

/// How long the search may take. The error is known by then, and nobody waits much longer for a hint.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);

/// The kinds that are looked through, the most likely first. A replica set or a job is rarely known by a name of a person's own.
const KINDS: [Kind; 4] = [Kind::Service, Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];

/// Adds to the error that a pod is not there what was probably meant, with the command line to type. Other errors stay.
pub async fn with_namesake(error: Fatal, cluster: &Cluster, target: &Target, ports: &[PortSpec]) -> Fatal {
    let TargetRef::Object(Kind::Pod, name) = &target.subject else { return error };
    // A kind in the place of a name has help of its own.
    if error.code() != NOT_FOUND || Kind::parse(name).is_some() {
        return error;
    }
    let namespace = target.namespace.as_deref().unwrap_or(&cluster.namespace);
    let search = join_all(KINDS.map(|kind| names_of(cluster, namespace, kind)));
    let Ok(found) = timeout(SEARCH_TIMEOUT, search).await else { return error };
    let found: Vec<(Kind, Vec<String>)> = KINDS.into_iter().zip(found).collect();
    let pod_is_near = error.advice().is_some_and(|advice| advice.starts_with(DID_YOU_MEAN));
    let Some((kind, meant)) = choose(name, &found, pod_is_near) else { return error };
    let line = command_line(cluster, target, kind, meant, ports);
    if meant == name {
        error.help(format!("there is a {} {meant}; run: {line}", kind.singular()))
    } else {
        let listed = error.advice().map(|listed| format!("\n{listed}")).unwrap_or_default();
        error.help(format!("did you mean the {} {meant}? run: {line}{listed}", kind.singular()))
    }
}

/// How the help of an error begins that knows a near name already.
const DID_YOU_MEAN: &str = "did you mean";

/// The object of the same name, the most likely kind first; where there is none, and no pod's name is near either, the one
/// whose name is near.
fn choose<'a>(name: &str, found: &'a [(Kind, Vec<String>)], pod_is_near: bool) -> Option<(Kind, &'a str)> {
    let all = || found.iter().flat_map(|(kind, names)| names.iter().map(|name| (*kind, name.as_str())));
    all().find(|(_, other)| *other == name).or_else(|| {
        let near = nearest(name, all().map(|(_, other)| other)).filter(|_| !pod_is_near)?;
        all().find(|(_, other)| *other == near)
    })
}

fn command_line(cluster: &Cluster, target: &Target, kind: Kind, name: &str, ports: &[PortSpec]) -> String {
    let subject = TargetRef::Object(kind, name.to_owned());
    let meant = Target { namespace: target.namespace.clone(), subject };
    let words: Vec<String> =
        std::iter::once(meant.to_string()).chain(ports.iter().map(ToString::to_string)).collect();
    cluster.kubectl_fwd(&words.join(" "))
}

async fn names_of(cluster: &Cluster, namespace: &str, kind: Kind) -> Vec<String> {
    let api = Api::<DynamicObject>::namespaced_with(cluster.api.clone(), namespace, &resource(kind));
    names(&api).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_before_a_near_one_and_services_first() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let found: Vec<(Kind, Vec<String>)> =
            vec![(Kind::Service, names(&["api", "web-front"])), (Kind::Deployment, names(&["api", "db"]))];
        assert_eq!(choose("api", &found, true), Some((Kind::Service, "api")));
        assert_eq!(choose("db", &found, false), Some((Kind::Deployment, "db")));
        assert_eq!(choose("apo", &found, false), Some((Kind::Service, "api")));
        assert_eq!(choose("apo", &found, true), None);
        assert_eq!(choose("zzz", &found, false), None);
    }
}
