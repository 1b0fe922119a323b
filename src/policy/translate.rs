//! From the port that was typed to the port of one pod, as kubectl translates it (PROTOCOL §6).
//!
//! For a pod or a workload a number is the pod's port, declared or not, and a name is looked up in the pod. For a
//! service both mean the *service* port, which leads through `targetPort` to the pod's. Names are looked up in each
//! pod anew: a rollout may move `http` from 8080 to 9090. Where EndpointSlices decide which pods serve (a service without
//! a selector), they also say which of the service's ports each pod has, and under which number.
//!
//! A name that is given to a UDP port alone stands for the TCP port of the same number, if there is one, as it does for
//! kubectl: DNS servers have `dns` and `dns-tcp`, both 53.
//!
//! Two things differ from kubectl, on purpose. Where a number or a name stands for both a UDP and a TCP port, kubectl
//! takes the first of them, whatever its protocol; here the TCP one is meant, since no other can be forwarded. And
//! `8080:` does not silently match an unnamed service port: the grammar refuses it (`model::ports`).

use crate::model::{
    endpoint::{Endpoint, PodPort},
    ports::RemotePort,
};

/// What a service says about its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePorts {
    /// The service's name, for messages.
    pub service: String,
    /// `clusterIP: None`: DNS gives out the pods themselves, so clients use the service port's number on the pod.
    pub headless: bool,
    /// The ports, in the service's order.
    pub ports: Vec<ServicePort>,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; a service with one port may leave it out.
    pub name: Option<String>,
    /// The number that clients of the service use.
    pub number: u16,
    /// Where it leads.
    pub target: TargetPort,
    /// Whether it is TCP, the only protocol that can be forwarded.
    pub tcp: bool,
    /// What the application speaks, where the service declares it.
    pub app_protocol: Option<String>,
}

/// `targetPort`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// Absent or 0: the service port's own number.
    Same,
    /// This number.
    Number(u16),
    /// The pod's port of this name.
    Name(String),
}

impl ServicePort {
    /// The port of the pods that it leads to: its name, or its number.
    pub fn in_pods(&self) -> String {
        match &self.target {
            TargetPort::Same | TargetPort::Number(0) => self.number.to_string(),
            TargetPort::Number(number) => number.to_string(),
            TargetPort::Name(name) => format!("'{name}'"),
        }
    }
}

impl ServicePorts {
    /// The service port that `remote` means.
    pub fn find(&self, remote: &RemotePort) -> Result<&ServicePort, String> {
        let means = |port: &&ServicePort| match remote {
            RemotePort::Number(number) => port.number == *number,
            RemotePort::Name(name) => port.name.as_ref() == Some(name),
        };
        let mut matching = self.ports.iter().filter(means);
        let beside = |number: u16| self.ports.iter().find(|port| port.tcp && port.number == number);
        match matching.clone().find(|port| port.tcp) {
            Some(port) => Ok(port),
            None => match matching.next() {
                Some(udp) => {
                    beside(udp.number).ok_or_else(|| not_tcp(&format!("service {}", self.service), remote))
                }
                None => Err(format!(
                    "service {} has no port {}; {}",
                    self.service,
                    quoted(remote),
                    listed(self.ports.iter().map(|port| (port.name.as_deref(), port.number, port.tcp)))
                )),
            },
        }
    }

    /// The pod's port behind the service port that `remote` means.
    pub fn pod_port(&self, remote: &RemotePort, pod: &Endpoint) -> Result<u16, String> {
        let port = self.find(remote)?;
        let published = pod.published.as_ref().map(|published| self.published(port, remote, published, pod));
        match (published.transpose()?, &port.target) {
            _ if self.headless => Ok(port.number),
            (Some(number), _) => Ok(number),
            (None, TargetPort::Same | TargetPort::Number(0)) => Ok(port.number),
            (None, TargetPort::Number(number)) => Ok(*number),
            (None, TargetPort::Name(name)) => named(name, pod),
        }
    }

    /// The number under which the EndpointSlices give a pod this port of the service.
    fn published(
        &self,
        port: &ServicePort,
        remote: &RemotePort,
        published: &[PodPort],
        pod: &Endpoint,
    ) -> Result<u16, String> {
        let found = published.iter().find(|of| of.name == port.name && of.tcp == port.tcp);
        found.map(|of| of.number).ok_or_else(|| {
            format!(
                "the EndpointSlices of service {} give pod {} no port {}; {}",
                self.service,
                pod.id.name,
                quoted(remote),
                listed(published.iter().map(|port| (port.name.as_deref(), port.number, port.tcp)))
            )
        })
    }
}

/// The port of a pod or of a workload's pod.
pub fn pod_port(remote: &RemotePort, pod: &Endpoint) -> Result<u16, String> {
    match remote {
        RemotePort::Name(name) => named(name, pod),
        // A number needs no declaration, but one that is declared for UDP alone cannot work.
        RemotePort::Number(number) => {
            let mut declared = pod.ports.iter().filter(|port| port.number == *number).peekable();
            if declared.peek().is_some() && declared.all(|port| !port.tcp) {
                return Err(not_tcp(&format!("pod {}", pod.id.name), remote));
            }
            Ok(*number)
        }
    }
}

fn named(name: &str, pod: &Endpoint) -> Result<u16, String> {
    let mut matching = pod.ports.iter().filter(|port| port.name.as_deref() == Some(name));
    let remote = || RemotePort::Name(name.to_owned());
    let beside = |number: u16| pod.ports.iter().any(|port| port.tcp && port.number == number);
    match matching.clone().find(|port| port.tcp) {
        Some(PodPort { number, .. }) => Ok(*number),
        None => match matching.next() {
            Some(udp) if beside(udp.number) => Ok(udp.number),
            Some(_) => Err(not_tcp(&format!("pod {}", pod.id.name), &remote())),
            None => Err(format!(
                "pod {} has no port {}; {}",
                pod.id.name,
                quoted(&remote()),
                listed(pod.ports.iter().map(|port| (port.name.as_deref(), port.number, port.tcp)))
            )),
        },
    }
}

fn not_tcp(whose: &str, remote: &RemotePort) -> String {
    format!("port {} of {whose} is not TCP, and only TCP can be forwarded", quoted(remote))
}

fn quoted(remote: &RemotePort) -> String {
    match remote {
        RemotePort::Number(number) => number.to_string(),
        RemotePort::Name(name) => format!("named '{name}'"),
    }
}

fn listed<'a>(ports: impl Iterator<Item = (Option<&'a str>, u16, bool)>) -> String {
    let ports: Vec<String> = ports
        .map(|(name, number, tcp)| {
            let protocol = if tcp { "" } else { "/non-TCP" };
            name.map_or_else(|| format!("{number}{protocol}"), |name| format!("{name} ({number}{protocol})"))
        })
        .collect();
    if ports.is_empty() { "it declares none".to_owned() } else { format!("it has {}", ports.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ports: &[(&str, u16, bool)]) -> Endpoint {
        let ports = ports.iter().map(|&(name, number, tcp)| PodPort {
            name: (!name.is_empty()).then(|| name.to_owned()),
            number,
            tcp,
        });
        Endpoint { ports: ports.collect(), ..Endpoint::example("p") }
    }

    fn port(name: &str, number: u16, target: TargetPort, tcp: bool) -> ServicePort {
        ServicePort {
            name: (!name.is_empty()).then(|| name.to_owned()),
            number,
            target,
            tcp,
            app_protocol: None,
        }
    }

    fn name(text: &str) -> RemotePort {
        RemotePort::Name(text.into())
    }

    #[test]
    fn pods_and_workloads() {
        let pod = pod(&[("http", 8080, true), ("dns", 53, false), ("dns", 5353, true), ("udp", 99, false)]);
        for (remote, expected) in [
            (RemotePort::Number(8080), Ok(8080)),
            // Undeclared ports are forwarded all the same.
            (RemotePort::Number(1234), Ok(1234)),
            (name("http"), Ok(8080)),
            // kubectl would take 53 and then refuse it.
            (name("dns"), Ok(5353)),
        ] {
            assert_eq!(pod_port(&remote, &pod), expected, "{remote}");
        }
        assert!(pod_port(&RemotePort::Number(99), &pod).is_err_and(|why| why.contains("not TCP")));
        assert!(pod_port(&name("udp"), &pod).is_err_and(|why| why.contains("not TCP")));
        let missing = pod_port(&name("web"), &pod);
        assert!(missing.is_err_and(|why| why.contains("no port named 'web'") && why.contains("http (8080)")));
    }

    #[test]
    fn a_port_declared_for_both_protocols_is_tcp() {
        let pod = pod(&[("", 53, false), ("", 53, true), ("dns", 54, false), ("dns-tcp", 54, true)]);
        assert_eq!(pod_port(&RemotePort::Number(53), &pod), Ok(53));
        assert_eq!(pod_port(&name("dns"), &pod), Ok(54));
    }

    #[test]
    fn services() {
        let service = ServicePorts {
            service: "s".into(),
            headless: false,
            ports: vec![
                port("http", 80, TargetPort::Number(8080), true),
                port("web", 81, TargetPort::Name("http".into()), true),
                port("same", 82, TargetPort::Same, true),
                port("zero", 83, TargetPort::Number(0), true),
                port("dns", 53, TargetPort::Number(1053), false),
                port("dns-tcp", 53, TargetPort::Number(2053), true),
                port("gone", 84, TargetPort::Name("nope".into()), true),
                port("udp", 85, TargetPort::Same, false),
            ],
        };
        let pod = pod(&[("http", 9090, true)]);
        for (remote, expected) in [
            (RemotePort::Number(80), 8080),
            (name("http"), 8080),
            (RemotePort::Number(81), 9090),
            (RemotePort::Number(82), 82),
            (RemotePort::Number(83), 83),
            // The first entry of this number is UDP; kubectl would take its target.
            (RemotePort::Number(53), 2053),
            // The name is that of the UDP port alone, the number is both's.
            (name("dns"), 2053),
        ] {
            assert_eq!(service.pod_port(&remote, &pod), Ok(expected), "{remote}");
        }
        // The pod's own port is not a port of the service.
        let unknown = service.pod_port(&RemotePort::Number(8080), &pod);
        assert!(unknown.is_err_and(|why| why.starts_with("service s has no port 8080; it has http (80)")));
        assert!(service.find(&name("udp")).is_err_and(|why| why.contains("not TCP")));
        assert!(service.find(&RemotePort::Number(85)).is_err_and(|why| why.contains("not TCP")));
        assert!(service.pod_port(&name("gone"), &pod).is_err_and(|why| why.contains("pod p has no port")));
    }

    #[test]
    fn a_headless_service_is_not_translated() {
        let service = ServicePorts {
            service: "s".into(),
            headless: true,
            ports: vec![port("a", 80, TargetPort::Number(8080), true)],
        };
        assert_eq!(service.pod_port(&name("a"), &pod(&[])), Ok(80));
        assert_eq!(service.pod_port(&RemotePort::Number(80), &pod(&[])), Ok(80));
        assert!(service.pod_port(&RemotePort::Number(8080), &pod(&[])).is_err());
    }

    #[test]
    fn slices_say_which_ports_a_pod_has() {
        let service = ServicePorts {
            service: "s".into(),
            headless: false,
            ports: vec![
                port("web", 80, TargetPort::Number(8080), true),
                port("echo", 90, TargetPort::Same, true),
                port("", 100, TargetPort::Same, true),
            ],
        };
        let published = |ports: &[(&str, u16)]| Endpoint {
            published: Some(
                ports.iter().map(|&(name, number)| PodPort { name: some(name), number, tcp: true }).collect(),
            ),
            ..Endpoint::example("p")
        };
        let web = published(&[("web", 9090)]);
        assert_eq!(service.pod_port(&RemotePort::Number(80), &web), Ok(9090));
        assert_eq!(
            service.pod_port(&RemotePort::Number(90), &web),
            Err("the EndpointSlices of service s give pod p no port 90; it has web (9090)".into())
        );
        assert_eq!(service.pod_port(&RemotePort::Number(100), &published(&[("", 7)])), Ok(7));
        // Slices without any port leave it to the service.
        assert_eq!(service.pod_port(&RemotePort::Number(80), &Endpoint::example("p")), Ok(8080));
        // Clients of a headless service use its own number, but still only where a slice gives the pod that port.
        let headless = ServicePorts { headless: true, ..service };
        assert_eq!(headless.pod_port(&RemotePort::Number(80), &web), Ok(80));
        assert!(headless.pod_port(&RemotePort::Number(90), &web).is_err());
    }

    fn some(name: &str) -> Option<String> {
        (!name.is_empty()).then(|| name.to_owned())
    }
}
