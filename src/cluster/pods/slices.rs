//! EndpointSlices: the pods of a service that has no selector.
//!
//! Those who may write a slice may write anything into it, while its pods are asked for with the rights of the person who
//! forwards. So nothing but a pod of the slice's own namespace is a member, as a service is about its own namespace alone.
//!
//! The author of such slices (an operator, a person) decides which pods serve, and which are ready. The rest of what
//! matters (ports, containers, deletion) is the pods' own.

use std::collections::{BTreeMap, HashMap};

use super::{
    endpoint::{pod_id, port_name},
    list_watch::Watched,
};
use crate::{
    cluster::objects::{EndpointPort, EndpointSlice},
    model::endpoint::{Endpoint, PodId, PodPort},
};

impl Watched for EndpointSlice {
    type Object = Self;

    fn read(object: Self) -> Self {
        object
    }

    fn version(&self) -> Option<String> {
        self.metadata.resource_version.clone()
    }
}

/// The selector of a service's slices.
pub(in crate::cluster) fn label(service: &str) -> String {
    format!("kubernetes.io/service-name={service}")
}

/// A pod that a slice names. Its UID is empty where the slice does not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SliceMember {
    pub pod: PodId,
    pub ready: bool,
    /// The service's ports that the slice gives it, by the service port's name; `None` where the slice names none, so
    /// that the service's own word counts.
    pub ports: Option<Vec<PodPort>>,
}

/// The pods of one slice of `namespace`. Addresses without such a pod are left out: nothing can be forwarded to them.
pub(super) fn members(slice: &EndpointSlice, namespace: &str) -> Vec<SliceMember> {
    let ports = ports(slice.ports.as_deref().unwrap_or_default());
    slice
        .endpoints
        .iter()
        .flatten()
        .filter_map(|endpoint| {
            let target =
                endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
            if target.namespace.as_deref().is_some_and(|of| !of.is_empty() && of != namespace) {
                return None;
            }
            Some(SliceMember {
                pod: pod_id(namespace, target.name.as_deref()?, target.uid.as_deref())?,
                // Absent means ready, says the API.
                ready: endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true),
                ports: ports.clone(),
            })
        })
        .collect()
}

/// A port without a number stands for all ports, and then the service's own word counts, as where there is none.
fn ports(ports: &[EndpointPort]) -> Option<Vec<PodPort>> {
    let named = |port: &EndpointPort| {
        Some(PodPort {
            name: port_name(port.name.as_ref()),
            number: port.port.and_then(|number| u16::try_from(number).ok())?,
            tcp: port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"),
        })
    };
    if ports.is_empty() || ports.iter().any(|port| port.port.is_none()) {
        return None;
    }
    Some(ports.iter().filter_map(named).collect())
}

/// What the slices make of a pod: `members` are those that name it.
///
/// A pod with two addresses is in two slices, and so is one that serves different ports. It is ready where one of them
/// says so, and has the ports of those that do.
pub(in crate::cluster) fn endpoint(pod: Endpoint, members: &[&SliceMember]) -> Option<Endpoint> {
    // Another pod of the same name is not the one that a slice means.
    let is_meant = |member: &&&SliceMember| member.pod.uid.is_empty() || member.pod.uid == pod.id.uid;
    let meant: Vec<&SliceMember> = members.iter().filter(is_meant).copied().collect();
    let ready = meant.first().map(|_| meant.iter().any(|member| member.ready))?;
    let saying = meant.iter().filter(|member| member.ready == ready);
    let ports: Option<Vec<Vec<PodPort>>> = saying.map(|member| member.ports.clone()).collect();
    Some(Endpoint { ready, published: ports.map(|ports| ports.concat()), ..pod })
}

/// The pods that are worth reading where only `limit` may be: of each kind of ports alike many, ready ones first.
pub(super) fn picked<'a>(
    pods: BTreeMap<&'a str, Vec<&'a SliceMember>>,
    limit: usize,
) -> Vec<(&'a str, Vec<&'a SliceMember>)> {
    let mut all: Vec<_> = pods.into_iter().collect();
    if all.len() > limit {
        all.sort_by_key(|(_, members)| !members.iter().any(|member| member.ready));
        let mut kinds: HashMap<Vec<&Option<Vec<PodPort>>>, usize> = HashMap::new();
        all.sort_by_cached_key(|(_, members)| {
            let before = kinds.entry(members.iter().map(|member| &member.ports).collect()).or_default();
            *before += 1;
            *before
        });
        all.truncate(limit);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_slices() {
        let list: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/api/get-endpointslices.json")).unwrap();
        let slices: Vec<EndpointSlice> = serde_json::from_value(list["items"].clone()).unwrap();
        let all: Vec<SliceMember> = slices.iter().flat_map(|slice| members(slice, "default")).collect();
        assert!(!all.is_empty());
        assert!(all.iter().all(|member| !member.pod.uid.is_empty() && member.pod.namespace == "default"));
    }

    #[test]
    fn pods_and_ports() {
        let slice: EndpointSlice = serde_json::from_str(
            r#"{"addressType": "IPv4", "metadata": {},
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "a"}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": false},
                     "targetRef": {"kind": "Pod", "name": "b", "namespace": "x", "uid": "u"}},
                    {"addresses": ["10.0.0.5"], "targetRef": {"kind": "Pod", "name": "c", "namespace": "prod"}},
                    {"addresses": ["10.0.0.6"], "targetRef": {"kind": "Pod", "name": "../../prod/services/api"}},
                    {"addresses": ["10.0.0.7"], "targetRef": {"kind": "Pod", "name": ".."}},
                    {"addresses": ["10.0.0.8"], "targetRef": {"kind": "Pod", "name": "d?x=y"}},
                    {"addresses": ["10.0.0.9"], "targetRef": {"kind": "Pod"}},
                    {"addresses": ["10.0.0.3"]},
                    {"addresses": ["10.0.0.4"], "targetRef": {"kind": "Node", "name": "c"}}],
                "ports": [{"name": "http", "port": 9090}, {"name": "dns", "port": 53, "protocol": "UDP"}]}"#,
        )
        .unwrap();
        let port = |name: &str, number, tcp| PodPort { name: Some(name.into()), number, tcp };
        let ports = Some(vec![port("http", 9090, true), port("dns", 53, false)]);
        let member = |namespace: &str, name: &str, uid: &str, ready| SliceMember {
            pod: PodId { namespace: namespace.into(), name: name.into(), uid: uid.into() },
            ready,
            ports: ports.clone(),
        };
        assert_eq!(members(&slice, "x"), [member("x", "a", "", true), member("x", "b", "u", false)]);
        let all = EndpointSlice { ports: Some(vec![EndpointPort::default()]), ..slice.clone() };
        assert_eq!(members(&all, "x")[0].ports, None);
        assert_eq!(members(&EndpointSlice { ports: None, ..slice }, "x")[0].ports, None);
    }

    #[test]
    fn of_too_many_pods_some_of_each_kind_are_read() {
        let member = |name: String, ready, port: u16| SliceMember {
            pod: PodId { name, ..Endpoint::example("").id },
            ready,
            ports: Some(vec![PodPort { name: None, number: port, tcp: true }]),
        };
        let web = (0..200).map(|at| member(format!("web-{at:03}"), at >= 100, 80));
        let all: Vec<SliceMember> = web.chain([member("z".into(), false, 90)]).collect();
        let pods = || -> BTreeMap<&str, Vec<&SliceMember>> {
            all.iter().map(|member| (member.pod.name.as_str(), vec![member])).collect()
        };
        let names = |limit| picked(pods(), limit).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(3), ["web-100", "z", "web-101"]);
        assert_eq!(names(500).len(), 201);
    }

    #[test]
    fn a_pod_has_the_ports_of_the_slices_in_which_it_is_ready() {
        let port = |number| PodPort { name: Some("p".into()), number, tcp: true };
        let member = |uid: &str, ready, number| SliceMember {
            pod: PodId { uid: uid.into(), ..Endpoint::example("a").id },
            ready,
            ports: Some(vec![port(number)]),
        };
        let of = |members: &[&SliceMember]| {
            let found = endpoint(Endpoint::example("a"), members)?;
            let ports = found.published?.iter().map(|port| port.number).collect::<Vec<_>>();
            Some((found.ready, ports))
        };
        let (web, echo) = (member("uid-a", true, 80), member("", true, 90));
        let (unready, other) = (member("", false, 100), member("uid-b", true, 110));
        assert_eq!(of(&[&web, &echo]), Some((true, vec![80, 90])));
        assert_eq!(of(&[&unready, &echo]), Some((true, vec![90])));
        assert_eq!(of(&[&unready]), Some((false, vec![100])));
        assert_eq!(of(&[&other, &unready]), Some((false, vec![100])));
        assert_eq!(of(&[&other]), None);
        let silent = SliceMember { ports: None, ..web };
        assert_eq!(endpoint(Endpoint::example("a"), &[&silent, &echo]).and_then(|pod| pod.published), None);
    }
}
