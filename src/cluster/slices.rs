//! EndpointSlices: the pods of a service that has no selector.
//!
//! Whoever writes such slices (an operator, a person) decides which pods serve, and which are ready. The rest of what
//! matters (ports, containers, deletion) is the pods' own.

use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::{
    model::endpoint::PodId,
    policy::translate::{ServicePorts, TargetPort},
};

/// The selector of a service's slices.
pub(super) fn label(service: &str) -> String {
    format!("kubernetes.io/service-name={service}")
}

/// A pod that a slice names. Its UID is empty where the slice does not say it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub pod: PodId,
    pub ready: bool,
}

/// The pods of one slice. Addresses without a pod are left out: nothing can be forwarded to them.
pub(super) fn members(slice: &EndpointSlice, namespace: &str) -> Vec<Member> {
    slice
        .endpoints
        .iter()
        .filter_map(|endpoint| {
            let target =
                endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
            Some(Member {
                pod: PodId {
                    namespace: target.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
                    name: target.name.clone()?,
                    uid: target.uid.clone().unwrap_or_default(),
                },
                // Absent means ready, says the API.
                ready: endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true),
            })
        })
        .collect()
}

/// Puts the slices' port numbers in the place of `targetPort`, which nothing but a selector makes use of.
pub(super) fn take_ports(slices: &[EndpointSlice], service: &mut ServicePorts) {
    for port in &mut service.ports {
        let number = slices
            .iter()
            .flat_map(|slice| slice.ports.iter().flatten())
            .filter(|of| of.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default())
            .filter(|of| of.protocol.as_deref().is_none_or(|protocol| protocol == "TCP") == port.tcp)
            .find_map(|of| of.port.and_then(|number| u16::try_from(number).ok()));
        if let Some(number) = number {
            port.target = TargetPort::Number(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::translate::ServicePort;

    #[test]
    fn recorded_slices() {
        let list: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/api/get-endpointslices.json")).unwrap();
        let slices: Vec<EndpointSlice> = serde_json::from_value(list["items"].clone()).unwrap();
        let all: Vec<Member> = slices.iter().flat_map(|slice| members(slice, "x")).collect();
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
                     "targetRef": {"kind": "Pod", "name": "b", "namespace": "n", "uid": "u"}},
                    {"addresses": ["10.0.0.3"]},
                    {"addresses": ["10.0.0.4"], "targetRef": {"kind": "Node", "name": "c"}}],
                "ports": [{"name": "http", "port": 9090}, {"name": "dns", "port": 53, "protocol": "UDP"}]}"#,
        )
        .unwrap();
        let member = |namespace: &str, name: &str, uid: &str, ready| Member {
            pod: PodId { namespace: namespace.into(), name: name.into(), uid: uid.into() },
            ready,
        };
        assert_eq!(members(&slice, "x"), [member("x", "a", "", true), member("n", "b", "u", false)]);
        let port = |name: &str, tcp| ServicePort {
            name: Some(name.into()),
            number: 80,
            target: TargetPort::Same,
            tcp,
        };
        let mut service = ServicePorts {
            service: "s".into(),
            headless: false,
            ports: vec![port("http", true), port("dns", true)],
        };
        take_ports(&[slice], &mut service);
        assert_eq!(service.ports[0].target, TargetPort::Number(9090));
        assert_eq!(service.ports[1].target, TargetPort::Same);
    }
}
