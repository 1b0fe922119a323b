//! From the targets that are chosen to ports and local ports.

use jiff::Timestamp;

use super::{
    effect::{PickedForwards, PickerEffect, PickerPlace, PortWish},
    entry::{EntrySource, PortEntry, TargetEntry},
    search::{SearchEntry as _, SearchList},
    state::PickerState,
    step::{ChosenPort, ChosenTarget, LocalStep, LocalWait, PickerStep, PlaceKind, PortsStep},
};
use crate::{
    cluster::catalog::DeclaredPort,
    model::{
        ports::{LocalPort, RemotePort},
        target::Target,
    },
};

impl PickerState {
    pub(super) fn choose(&mut self, now: Timestamp) -> Option<PickerEffect> {
        match self.steps.last_mut() {
            None => {
                let mut entries = self.marked.clone();
                if entries.is_empty() {
                    entries.extend(self.targets.selected().cloned());
                }
                if entries.is_empty() {
                    let is_over = self.listing.is_over();
                    let text = if is_over { "nothing is selected" } else { "the list is not here yet" };
                    self.message = Some(text.to_owned());
                    return None;
                }
                self.chosen = entries.iter().map(|entry| self.begin(entry)).collect();
                self.advance()
            }
            Some(PickerStep::Ports(step)) => {
                let mut ports = step.marked.clone();
                if ports.is_empty() {
                    ports.extend(step.list.selected().map(|one| one.port.clone()));
                }
                if ports.is_empty() {
                    self.message = Some("type a port: a number, or a name".to_owned());
                    return None;
                }
                self.chosen[step.at].ports = ports.iter().map(|port| ChosenPort::new(port)).collect();
                self.advance()
            }
            Some(PickerStep::Local(_)) => self.choose_local(),
            Some(PickerStep::Place(step)) => {
                let (kind, name) = (step.kind, step.list.selected()?.name.clone());
                match kind {
                    PlaceKind::Namespace => self.place.namespace = Some(name),
                    // Its own namespace is meant then.
                    PlaceKind::Context => {
                        self.place = PickerPlace { context: Some(name), namespace: None };
                    }
                }
                self.targets.clear();
                Some(self.load(now))
            }
            Some(PickerStep::Help(_)) => None,
        }
    }

    fn begin(&self, entry: &TargetEntry) -> ChosenTarget {
        let used = self.weights.get(entry.words());
        let weight = |port: &str| {
            used.into_iter().flatten().filter(|(own, _)| own == port).map(|(_, weight)| weight).sum()
        };
        let known = entry.ports().into_iter().enumerate();
        let known: Vec<PortEntry> = known.map(|(at, port)| port.at(at, weight)).collect();
        // An only port is not asked for.
        let ports = match (known.as_slice(), &entry.source) {
            ([only], EntrySource::Listed(_)) => vec![ChosenPort::new(&only.port)],
            _ => Vec::new(),
        };
        let is_typed = entry.item().is_none();
        ChosenTarget { target: entry.target.clone(), known, is_typed, ports }
    }

    /// Goes on to what is not decided yet, or forwards.
    fn advance(&mut self) -> Option<PickerEffect> {
        for at in 0..self.chosen.len() {
            let chosen = &self.chosen[at];
            if chosen.ports.is_empty() {
                let list = SearchList::of(chosen.known.clone());
                let (is_loading, target) = (chosen.is_typed, chosen.target.clone());
                self.steps.push(PickerStep::Ports(PortsStep { at, list, marked: Vec::new(), is_loading }));
                return is_loading.then_some(PickerEffect::ReadPorts(target));
            }
            if let Some(port) = chosen.ports.iter().position(|port| port.local.is_none()) {
                let number = match chosen.ports[port].remote {
                    RemotePort::Number(number) => Some(number),
                    RemotePort::Name(_) => None,
                };
                let wait = match number {
                    Some(_) => LocalWait::Proposal { is_chosen: false },
                    None => LocalWait::Nothing,
                };
                let step = LocalStep { at, port, text: String::new(), wait, proposed: None };
                self.steps.push(PickerStep::Local(step));
                return number.map(|number| PickerEffect::FindPort(PortWish::For(number), self.taken()));
            }
        }
        let requests = self.chosen.iter().map(ChosenTarget::request).collect();
        let namespace = self.connected.as_ref().map(|(_, namespace)| namespace.clone());
        Some(PickerEffect::Done(PickedForwards { place: self.place.clone(), namespace, requests }))
    }

    /// Local ports that are chosen already.
    fn taken(&self) -> Vec<u16> {
        let ports = self.chosen.iter().flat_map(|chosen| &chosen.ports);
        ports
            .filter_map(|port| match port.local {
                Some(LocalPort::Number(number)) => Some(number),
                _ => None,
            })
            .collect()
    }

    fn choose_local(&mut self) -> Option<PickerEffect> {
        let taken = self.taken();
        let Some(PickerStep::Local(step)) = self.steps.last_mut() else { return None };
        if let LocalWait::Proposal { is_chosen } = &mut step.wait
            && step.text.is_empty()
        {
            *is_chosen = true;
            return None;
        }
        if step.text.is_empty() {
            return self.local(LocalPort::Any);
        }
        match step.text.parse::<u16>() {
            Ok(number) if step.proposed == Some(number) => self.local(LocalPort::Number(number)),
            Ok(number) if number > 0 => {
                step.wait = LocalWait::Check(number);
                Some(PickerEffect::FindPort(PortWish::From(number), taken))
            }
            _ => {
                self.message = Some(format!("'{}' is not a port: ports are 1 to 65535", step.text));
                None
            }
        }
    }

    fn local(&mut self, local: LocalPort) -> Option<PickerEffect> {
        if let Some(PickerStep::Local(step)) = self.steps.last_mut() {
            step.wait = LocalWait::Nothing;
            self.chosen[step.at].ports[step.port].local = Some(local);
        }
        self.advance()
    }

    pub(super) fn free_port(&mut self, free: Option<u16>) -> Option<PickerEffect> {
        let Some(PickerStep::Local(step)) = self.steps.last_mut() else { return None };
        let wait = std::mem::replace(&mut step.wait, LocalWait::Nothing);
        match (wait, free) {
            (LocalWait::Proposal { is_chosen }, free) if step.text.is_empty() => {
                step.proposed = free;
                step.text = free.map(|port| port.to_string()).unwrap_or_default();
                if is_chosen {
                    return self.local(free.map_or(LocalPort::Any, LocalPort::Number));
                }
            }
            (LocalWait::Check(wanted), Some(free)) if wanted == free => {
                return self.local(LocalPort::Number(free));
            }
            (LocalWait::Check(wanted), Some(free)) => {
                step.proposed = Some(free);
                step.text = free.to_string();
                self.message = Some(format!("local port {wanted} is taken; {free} is free"));
            }
            (LocalWait::Check(wanted), None) => {
                self.message = Some(format!("local port {wanted} is taken, or needs privileges"));
            }
            _ => {}
        }
        None
    }

    /// The ports of a target whose object was read.
    pub(super) fn ports(&mut self, target: &Target, ports: Result<Vec<DeclaredPort>, String>) {
        let Some(PickerStep::Ports(step)) = self.steps.last_mut() else { return };
        if self.chosen[step.at].target != *target {
            return;
        }
        step.is_loading = false;
        match ports {
            Ok(ports) => {
                let ports =
                    ports.iter().enumerate().map(|(at, port)| PortEntry::declared(port).at(at, |_| 0.0));
                let ports: Vec<_> = ports.collect();
                step.list.change(|all| {
                    all.retain(|one| !ports.iter().any(|other| other.port == one.port));
                    all.extend(ports);
                });
            }
            Err(why) => self.message = Some(why),
        }
        self.offer();
    }
}
