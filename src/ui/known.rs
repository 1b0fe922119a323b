//! What the events so far have told of each forward: its target, and where it listens.

use std::collections::{BTreeSet, HashMap};

use crate::model::{
    event::{Event, EventKind, LocalAddress},
    forward::ForwardId,
};

/// The forwards that there are.
#[derive(Debug, Default)]
pub struct KnownForwards {
    forwards: HashMap<ForwardId, KnownForward>,
}

#[derive(Debug, Default)]
struct KnownForward {
    target: String,
    local: Vec<LocalAddress>,
}

impl KnownForwards {
    /// Takes note of an event.
    pub fn observe(&mut self, event: &Event) {
        for id in event.forwards.iter() {
            match &event.kind {
                EventKind::Stopped { .. } => _ = self.forwards.remove(id),
                EventKind::Started => self.entry(*id).target.clone_from(&event.target),
                EventKind::Forwarding { local, .. } => {
                    let known = self.entry(*id);
                    known.target.clone_from(&event.target);
                    known.local.push(local.clone());
                }
                _ => {}
            }
        }
    }

    fn entry(&mut self, id: ForwardId) -> &mut KnownForward {
        self.forwards.entry(id).or_default()
    }

    /// Whether they are of more than one target.
    pub fn of_several_targets(&self) -> bool {
        self.forwards.values().map(|known| &known.target).collect::<BTreeSet<_>>().len() > 1
    }

    /// Where a forward listens, in a few characters: `localhost:8080`. None for one that never worked.
    pub fn local(&self, id: ForwardId) -> Option<String> {
        let local = &self.forwards.get(&id).filter(|known| !known.local.is_empty())?.local;
        let ports: Option<BTreeSet<u16>> = local
            .iter()
            .map(|one| match one {
                LocalAddress::Tcp(address) if address.ip().is_loopback() => Some(address.port()),
                _ => None,
            })
            .collect();
        let ports = ports.filter(|ports| local.len() > 1 && ports.len() == 1);
        Some(match ports.and_then(|ports| ports.into_iter().next()) {
            Some(port) => format!("localhost:{port}"),
            None => local.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{endpoint::PodId, event::StopReason};

    fn forwarding(address: &str) -> EventKind {
        let pod = PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        EventKind::Forwarding { local: LocalAddress::Tcp(address.parse().unwrap()), pod_port: 80, pod }
    }

    #[test]
    fn where_a_forward_listens() {
        for (addresses, expected) in [
            (&["127.0.0.1:80", "[::1]:80"][..], Some("localhost:80")),
            (&["127.0.0.1:80"], Some("127.0.0.1:80")),
            (&["127.0.0.1:80", "10.0.0.1:80"], Some("127.0.0.1:80, 10.0.0.1:80")),
            (&[], None),
        ] {
            let mut known = KnownForwards::default();
            known.observe(&Event::example([1], EventKind::Started));
            for address in addresses {
                known.observe(&Event::example([1], forwarding(address)));
            }
            assert_eq!(known.local(ForwardId::from_bits(1)).as_deref(), expected);
        }
    }

    #[test]
    fn several_targets() {
        let mut known = KnownForwards::default();
        let other = || Event { target: "svc/db".into(), ..Event::example([3], EventKind::Started) };
        known.observe(&Event::example([1, 2], EventKind::Started));
        assert!(!known.of_several_targets());
        known.observe(&other());
        assert!(known.of_several_targets());
        known.observe(&Event { kind: EventKind::Stopped { by: StopReason::Asked }, ..other() });
        assert!(!known.of_several_targets());
    }
}
