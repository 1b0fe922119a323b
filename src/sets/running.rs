//! From forwards that run to the set that starts them again.

use std::{path::PathBuf, time::Duration};

use super::{
    limits::{MAX_FORWARDS, too_many},
    set::{EntryOptions, ForwardSet, SetEntry},
};
use crate::{
    error::Fatal,
    forward::{ForwardOptions, registry::SELECTOR},
    model::{
        forward::PortForward,
        ports::{Address, LocalPort, PortSpec, RemotePort},
        target::{Kind, Target, TargetRef},
    },
};

impl SetEntry {
    /// What starts this forward again, on the same local address. `None` for one that this version does not know.
    pub fn of(forward: &PortForward) -> Option<Self> {
        let subject = match forward.resource_type.as_str() {
            SELECTOR => TargetRef::Selector(forward.name.clone()),
            kind => TargetRef::Object(Kind::parse(kind)?, forward.name.clone()),
        };
        let local = match (&forward.local, forward.local_port) {
            (Some(local), _) => LocalPort::Unix(local.strip_prefix("unix:").unwrap_or(local).into()),
            (None, Some(port)) if forward.remote_port == RemotePort::Number(port) => LocalPort::Same,
            (None, port) => LocalPort::Number(port?),
        };
        let port = PortSpec { address: None, local, remote: forward.remote_port.clone() };
        let defaults = ForwardOptions::default();
        let addresses: Option<Vec<_>> =
            forward.address.split(',').map(|text| Address::parse(text).ok()).collect();
        let millis = |millis: u64, default: Duration| {
            Some(Duration::from_millis(millis)).filter(|duration| *duration != default)
        };
        let scope = EntryOptions {
            context: forward.context.clone(),
            namespace: Some(forward.namespace.clone()),
            addresses: addresses.filter(|addresses| *addresses != defaults.addresses),
            hold: millis(forward.hold_ms, defaults.hold),
            pod_running_timeout: millis(forward.pod_running_timeout_ms, defaults.pod_running_timeout),
            auto_port: forward.auto_port.then_some(true),
            allow_unready: forward.allow_unready.then_some(true),
            retry: Some(forward.retry).filter(|mode| *mode != defaults.retry),
        };
        let target = Target { namespace: None, subject };
        Some(Self { target, ports: vec![port], label: forward.label.clone(), scope, line: 0 })
    }
}

impl ForwardSet {
    /// The set of these forwards. It has one kubeconfig, and so must they.
    pub fn of(forwards: &[PortForward]) -> Result<Self, Fatal> {
        if forwards.len() > MAX_FORWARDS {
            return Err(too_many(forwards.len()));
        }
        let kubeconfig = |forward: &PortForward| forward.kubeconfig.as_ref().map(PathBuf::from);
        let first = forwards.first().and_then(kubeconfig);
        if let Some(other) = forwards.iter().find(|forward| kubeconfig(forward) != first) {
            let name = |path: Option<PathBuf>| {
                path.map_or_else(|| "the default one".to_owned(), |path| path.display().to_string())
            };
            return Err(Fatal::new("fwd::set::kubeconfigs", "the running forwards cannot be saved as one set")
                .because(format!(
                    "a set has one kubeconfig, but they use {} and {}",
                    name(first),
                    name(kubeconfig(other))
                ))
                .help(
                    "save those of one context: kubectl fwd save NAME --context CONTEXT; or use one kubeconfig for all",
                ));
        }
        let mut set = Self { kubeconfig: first, ..Self::default() };
        for entry in forwards.iter().filter_map(SetEntry::of) {
            set.add(&entry);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::forward::RetryMode,
        sets::{read, write},
    };

    fn forward(kind: &str, name: &str, local: u16, remote: RemotePort) -> PortForward {
        PortForward {
            namespace: "shop".into(),
            local_port: Some(local),
            context: Some("prod".into()),
            ..PortForward::example(kind, name, remote)
        }
    }

    #[test]
    fn what_runs_is_started_again() {
        let named = || RemotePort::Name("http".into());
        let forwards = [
            forward("service", "api", 8080, RemotePort::Number(80)),
            forward("statefulset", "db", 5432, RemotePort::Number(5432)),
            forward("service", "api", 9090, named()),
            PortForward { label: Some("w".into()), ..forward("selector", "app=web", 40_123, named()) },
            PortForward {
                local: Some("unix:/tmp/a:b".into()),
                local_port: None,
                address: String::new(),
                ..forward("pod", "x", 1, RemotePort::Number(80))
            },
            PortForward {
                address: "127.0.0.2,10.0.0.5".into(),
                hold_ms: 1500,
                auto_port: true,
                allow_unready: true,
                retry: RetryMode::SafeHttp,
                ..forward("pod", "y", 8080, RemotePort::Number(80))
            },
            // Of a version to come.
            forward("cronjob", "z", 1, RemotePort::Number(1)),
        ];
        let set = ForwardSet::of(&forwards).unwrap();
        let text = write(&set);
        let bare: Vec<_> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let expected = r#"version: 1
context: prod
namespace: shop
forwards:
  - target: svc/api
    ports: ["8080:80", "9090:http"]
  - target: sts/db
    ports: 5432
  - selector: app=web
    ports: "40123:http"
    name: w
  - target: pod/x
    ports: "unix:/tmp/a:b:80"
  - target: pod/y
    ports: "8080:80"
    address: "127.0.0.2,10.0.0.5"
    hold: 1500ms
    autoPort: true
    allowUnready: true
    retry: safe-http"#;
        assert_eq!(bare.join("\n"), expected);
        assert!(read(&text).problems.is_empty());
    }

    #[test]
    fn one_kubeconfig() {
        let here = forward("pod", "a", 1, RemotePort::Number(1));
        let there =
            PortForward { kubeconfig: Some("/k".into()), ..forward("pod", "b", 2, RemotePort::Number(2)) };
        assert_eq!(ForwardSet::of(std::slice::from_ref(&there)).unwrap().kubeconfig, Some("/k".into()));
        let error = ForwardSet::of(&[here, there]).unwrap_err();
        assert!(error.causes().next().is_some_and(|why| why.contains("/k") && why.contains("default")));
        assert_eq!(ForwardSet::of(&[]), Ok(ForwardSet::default()));
    }

    #[test]
    fn no_more_than_is_read_again() {
        let mut forwards = vec![forward("pod", "a", 1, RemotePort::Number(1)); MAX_FORWARDS];
        for (at, forward) in forwards.iter_mut().enumerate() {
            forward.local_port = Some(at as u16 + 1);
        }
        let set = ForwardSet::of(&forwards).unwrap();
        assert!(set.forwards() == MAX_FORWARDS && read(&write(&set)).problems.is_empty());
        forwards.push(forward("pod", "b", 2000, RemotePort::Number(1)));
        assert_eq!(ForwardSet::of(&forwards).unwrap_err().code(), "fwd::set::too_large");
    }
}
