//! Which of the forwards that run are those that a set would start. Pure.
//!
//! It is one where the cluster's context, the namespace, the target, its port and the local address are the same. What the
//! user calls it does not matter, and neither does the process: a set may have been started in parts.

use crate::{
    forward::ForwardSpec,
    model::{
        forward::PortForward,
        ports::{Address, LocalPort, PortSpec, RemotePort},
    },
    sets::SetEntry,
};

/// Where a target of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetPlace<'a> {
    /// The context.
    pub context: Option<&'a str>,
    /// The namespace of a target that names none.
    pub namespace: &'a str,
}

/// How surely a forward is the one that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetMatch {
    /// It has the very local address.
    Exact,
    /// Any local port is as good.
    AnyPort,
}

/// Whether the forward is what `port` of this target would start. Kubeconfigs are compared by the caller.
pub fn matches(
    wanted: &ForwardSpec,
    port: &PortSpec,
    place: SetPlace<'_>,
    forward: &PortForward,
) -> Option<SetMatch> {
    let target = &wanted.request.target;
    let entry = SetEntry::of(forward)?;
    let namespace = target.namespace.as_deref().unwrap_or(place.namespace);
    let same = forward.context.as_deref() == place.context
        && forward.namespace == namespace
        && entry.target.subject == target.subject
        && forward.remote_port == port.remote;
    if !same {
        return None;
    }
    if let LocalPort::Unix(path) = &port.local {
        let path = format!("unix:{}", path.display());
        return (forward.local.as_deref() == Some(&path)).then_some(SetMatch::Exact);
    }
    let addresses = match port.address {
        Some(address) => vec![address],
        None => wanted.options.addresses.clone(),
    };
    let theirs: Option<Vec<_>> = forward.address.split(',').map(|text| Address::parse(text).ok()).collect();
    let number = match (&port.local, &port.remote) {
        (LocalPort::Number(number), _) | (LocalPort::Same, RemotePort::Number(number)) => Some(*number),
        // The number of a named port is known to the cluster alone.
        _ => None,
    };
    match (forward.local_port, number) {
        _ if theirs.as_ref() != Some(&addresses) => None,
        (Some(theirs), Some(number)) if theirs == number => Some(SetMatch::Exact),
        (Some(_), None) => Some(SetMatch::AnyPort),
        // It was the next free one when this started.
        (Some(_), Some(_)) if wanted.options.auto_port && forward.auto_port => Some(SetMatch::AnyPort),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same() {
        let place = SetPlace { context: Some("prod"), namespace: "shop" };
        let running = PortForward {
            context: Some("prod".into()),
            namespace: "shop".into(),
            ..PortForward::example("service", "api", RemotePort::Number(80))
        };
        let told = |target: &str, port: &str, forward: &PortForward| {
            let wanted = ForwardSpec::new(target.parse().unwrap(), [port.parse().unwrap()]);
            matches(&wanted, &wanted.request.ports[0], place, forward)
        };
        for (target, port, expected) in [
            ("svc/api", "8080:80", Some(SetMatch::Exact)),
            ("shop/services/api", ":80", Some(SetMatch::AnyPort)),
            ("svc/api", "localhost:8080:80", Some(SetMatch::Exact)),
            ("svc/api", "80", None),
            ("svc/api", "8081:80", None),
            ("svc/api", "8080:http", None),
            ("svc/api", "127.0.0.2:8080:80", None),
            ("svc/api", "unix:/s:80", None),
            ("svc/web", "8080:80", None),
            ("deploy/api", "8080:80", None),
            ("default/svc/api", "8080:80", None),
        ] {
            assert_eq!(told(target, port, &running), expected, "{target} {port}");
        }
        let elsewhere = PortForward { context: None, ..running.clone() };
        assert_eq!(told("svc/api", "8080:80", &elsewhere), None);
        let unix = PortForward { local: Some("unix:/s".into()), local_port: None, ..running.clone() };
        assert_eq!(told("svc/api", "unix:/s:80", &unix), Some(SetMatch::Exact));
        let mut other = ForwardSpec::new("svc/api".parse().unwrap(), ["8079:80".parse().unwrap()]);
        other.options.auto_port = true;
        assert_eq!(matches(&other, &other.request.ports[0], place, &running), None);
        let moved = PortForward { auto_port: true, ..running };
        assert_eq!(matches(&other, &other.request.ports[0], place, &moved), Some(SetMatch::AnyPort));
    }
}
