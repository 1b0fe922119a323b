//! Sets that keep themselves current (`save --auto`).
//!
//! No process watches over all others, so each keeps its own forwards in such a set: it adds those that start and
//! removes those that somebody ended. What merely ceased, with a machine that was switched off or a process that was
//! killed, stays: to bring that back is what the set is for.
//!
//! Two forwards cannot have the same local address at the same time. So one that starts takes the place of whatever the
//! set has there, and nothing piles up.

use super::set::{ForwardSet, SetEntry};
use crate::{
    input::local::same_local,
    model::ports::{Address, LocalPort, PortSpec},
};

impl ForwardSet {
    /// Adds a running forward, an entry with one port. Says whether that changes anything.
    pub fn add(&mut self, running: &SetEntry) -> bool {
        let Some(port) = running.ports.first() else { return false };
        if self.entries.iter().any(|entry| entry.ports.iter().any(|own| entry.means(own, running, port))) {
            return false;
        }
        for entry in &mut self.entries {
            let there = entry.addresses().to_vec();
            entry.ports.retain(|own| !same_local((own, &there), (port, running.addresses())));
        }
        let joins = |entry: &&mut SetEntry| {
            (&entry.target, &entry.label, &entry.scope) == (&running.target, &running.label, &running.scope)
        };
        match self.entries.iter_mut().find(joins) {
            Some(entry) => entry.ports.push(port.clone()),
            None => self.entries.push(running.clone()),
        }
        self.entries.retain(|entry| !entry.ports.is_empty());
        true
    }

    /// Removes a forward that ran. Says whether that changes anything.
    pub fn remove(&mut self, stopped: &SetEntry) -> bool {
        let Some(port) = stopped.ports.first() else { return false };
        let mut changed = false;
        for entry in &mut self.entries {
            let gone: Vec<_> = entry.ports.iter().map(|own| entry.means(own, stopped, port)).collect();
            changed |= gone.contains(&true);
            let mut gone = gone.into_iter();
            entry.ports.retain(|_| gone.next() != Some(true));
        }
        self.entries.retain(|entry| !entry.ports.is_empty());
        changed
    }
}

impl SetEntry {
    fn addresses(&self) -> &[Address] {
        const DEFAULT: &[Address] = &[Address::Localhost];
        self.scope.addresses.as_deref().unwrap_or(DEFAULT)
    }

    /// Whether this entry's port is what became this running forward. What the entry leaves open can have become
    /// anything.
    fn means(&self, own: &PortSpec, running: &Self, port: &PortSpec) -> bool {
        fn agrees<T: PartialEq>(open: Option<&T>, actual: Option<&T>) -> bool {
            open.is_none() || actual.is_none() || open == actual
        }
        let local = || match own.local {
            LocalPort::Any => true,
            _ => same_local((own, self.addresses()), (port, running.addresses())),
        };
        // What is cheap to compare first: it is asked of every port for every other.
        own.remote == port.remote
            && self.target.subject == running.target.subject
            && agrees(self.namespace(), running.namespace())
            && agrees(self.scope.context.as_ref(), running.scope.context.as_ref())
            && local()
    }

    fn namespace(&self) -> Option<&String> {
        self.target.namespace.as_ref().or(self.scope.namespace.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::read;

    fn set(text: &str) -> ForwardSet {
        let reading = read(text);
        assert!(reading.problems.is_empty(), "{:?}", reading.problems);
        reading.set
    }

    /// The first forward of this, as one that runs.
    fn running(entry: &str) -> SetEntry {
        set(&format!("context: c\nnamespace: n\nforwards: [{entry}]")).entries.remove(0)
    }

    fn shown(set: &ForwardSet) -> String {
        let entry = |entry: &SetEntry| {
            let ports: Vec<_> = entry.ports.iter().map(ToString::to_string).collect();
            format!("{} {}", entry.target, ports.join(" "))
        };
        set.entries.iter().map(entry).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn forwards_come_and_go() {
        let mut set = ForwardSet { auto: true, ..ForwardSet::default() };
        let [api, metrics, db] = [
            "{target: svc/api, ports: 8080:80}",
            "{target: svc/api, ports: 9090:metrics}",
            "{target: sts/db, ports: 5432}",
        ]
        .map(running);
        for (entry, expected) in [
            (&api, "svc/api 8080:80"),
            (&db, "svc/api 8080:80, sts/db 5432"),
            (&metrics, "svc/api 8080:80 9090:metrics, sts/db 5432"),
        ] {
            assert!(set.add(entry));
            assert!(!set.add(entry), "it is there already");
            assert_eq!(shown(&set), expected);
        }
        assert!(set.remove(&api) && !set.remove(&api));
        assert!(set.remove(&db));
        assert_eq!(shown(&set), "svc/api 9090:metrics");
        assert!(set.remove(&metrics) && set.entries.is_empty() && set.auto);
    }

    #[test]
    fn a_local_end_is_had_by_one() {
        let mut set = set(
            "forwards: [{target: svc/api, ports: [8080:80, 8081:81]}, {target: svc/web, ports: 8080:80, address: 10.0.0.5}]",
        );
        assert!(set.add(&running("{target: svc/new, ports: 8080:80}")));
        assert_eq!(shown(&set), "svc/api 8081:81, svc/web 8080:80, svc/new 8080:80");
        assert!(set.add(&running("{target: svc/all, ports: 8080:80, address: 0.0.0.0}")));
        assert_eq!(shown(&set), "svc/api 8081:81, svc/all 8080:80");
    }

    /// What a person wrote stays as it was written for as long as it means the same.
    #[test]
    fn what_is_left_open() {
        let text = "forwards: [{target: n/svc/api, ports: ':80', hold: 5s}, {target: svc/web, ports: [80], context: c, namespace: n}]";
        let mut set = set(text);
        for entry in ["{target: svc/api, ports: 40123:80}", "{target: svc/web, ports: 80:80}"] {
            assert!(!set.add(&running(entry)), "{entry}");
        }
        for (other, expected) in [
            ("{target: svc/api, ports: 40123:81}", true),
            ("{target: m/svc/api, ports: 40124:80}", true),
            ("{target: svc/web, ports: 80, context: d}", true),
        ] {
            assert_eq!(set.clone().add(&running(other)), expected, "{other}");
            assert!(!set.clone().remove(&running(other)), "{other}");
        }
        assert!(set.remove(&running("{target: svc/web, ports: 80:80}")));
        assert_eq!(shown(&set), "n/svc/api :80");
    }
}
