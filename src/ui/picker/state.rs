//! The picker as it is: a fold over keys and what arrives. What it wants done comes out.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    effect::{PickerEffect, PickerInput, PickerPlace},
    entry::{EntrySource, PlaceEntry, TargetEntry},
    listing::{NamespaceListing, why},
    search::{SearchEntry, SearchList},
    step::{ChosenTarget, PickerStep, PlaceKind, typed_port},
};
use crate::{
    cluster::catalog::CatalogItem,
    input::target::{self as input, object_name},
    model::target::{Kind, Target, TargetRef},
    policy::usage::UsedTarget,
    ui::panel::effect::WheelTurn,
};

/// By how much a turn of the wheel moves.
const WHEEL: isize = 3;

/// The picker.
#[derive(Debug)]
pub struct PickerState {
    /// Where it looks, in place of what the command line says.
    pub(super) place: PickerPlace,
    /// The cluster's context and namespace, once they are known.
    pub(super) connected: Option<(Option<String>, String)>,
    pub(super) targets: SearchList<TargetEntry>,
    pub(super) marked: Vec<TargetEntry>,
    pub(super) listing: NamespaceListing,
    /// The steps behind the choice of targets, the last on the screen. Those before it are decided.
    pub(super) steps: Vec<PickerStep>,
    pub(super) chosen: Vec<ChosenTarget>,
    /// What is to be said of the last key.
    pub(super) message: Option<String>,
    /// The row of the screen where the list begins.
    pub(super) top: u16,
    pub(super) used: Vec<UsedTarget>,
    /// How much each port of a target is used in this namespace.
    pub(super) weights: HashMap<String, Vec<(String, f64)>>,
}

impl PickerState {
    /// Before anything is known but what was used.
    pub fn new(used: Vec<UsedTarget>, now: Timestamp) -> Self {
        Self {
            place: PickerPlace::default(),
            connected: None,
            targets: SearchList::default(),
            marked: Vec::new(),
            listing: NamespaceListing::begin(now),
            steps: Vec::new(),
            chosen: Vec::new(),
            message: None,
            top: 0,
            used,
            weights: HashMap::new(),
        }
    }

    /// Takes in what has happened.
    pub fn apply(&mut self, input: PickerInput, now: Timestamp) -> Option<PickerEffect> {
        match input {
            PickerInput::Key(key) => {
                self.message = None;
                return self.press(key, now);
            }
            PickerInput::Click(row) => self.click(row),
            PickerInput::Wheel(WheelTurn::Up(_)) => self.step(-WHEEL),
            PickerInput::Wheel(WheelTurn::Down(_)) => self.step(WHEEL),
            PickerInput::Waiting(what) => self.listing.waiting = what,
            PickerInput::Connected { context, namespace } => self.connect(context, namespace, now),
            PickerInput::Items(items) => self.take(items),
            PickerInput::Listed(kind, how) => {
                self.listing.end(kind, how);
                if !self.listing.is_partial(kind) {
                    // What is not there any more was used in vain.
                    self.targets.change(|all| all.retain(|one| !is_used(one, kind)));
                }
                self.offer();
            }
            PickerInput::Failed(fatal) => {
                self.listing.failed = Some(fatal);
                self.offer();
            }
            PickerInput::Places(more) => {
                if let Some(PickerStep::Place(step)) = self.steps.last_mut() {
                    step.list.change(|all| all.extend(more));
                }
            }
            PickerInput::PlacesListed(how) => {
                if let Some(PickerStep::Place(step)) = self.steps.last_mut() {
                    step.ended = Some(how);
                }
                self.offer();
            }
            PickerInput::Ports(target, ports) => self.ports(&target, ports.map_err(|fatal| why(&fatal))),
            PickerInput::FreePort(port) => return self.free_port(port),
            PickerInput::Notice(text) => self.message = Some(text),
            PickerInput::Tick => {}
        }
        None
    }

    /// The cluster is known: what was used there can be chosen before it has answered.
    fn connect(&mut self, context: Option<String>, namespace: String, now: Timestamp) {
        self.weights.clear();
        for one in self.used.iter().filter(|one| one.context == context && one.namespace == namespace) {
            self.weights.entry(one.target.clone()).or_default().push((one.port.clone(), one.weight(now)));
        }
        self.connected = Some((context, namespace));
        let used: Vec<TargetEntry> = self
            .weights
            .iter()
            .filter_map(|(target, ports)| {
                let names = ports.iter().map(|(port, _)| port.clone()).collect();
                let target = input::target(target).ok()?;
                Some(TargetEntry::new(
                    target.clone(),
                    EntrySource::Used(names),
                    self.weight(&target.to_string()),
                ))
            })
            .collect();
        self.targets.change(|all| all.extend(used));
        self.offer();
    }

    fn weight(&self, target: &str) -> f64 {
        self.weights.get(target).into_iter().flatten().map(|(_, weight)| weight).sum()
    }

    fn take(&mut self, items: Vec<CatalogItem>) {
        let new: Vec<TargetEntry> = items
            .into_iter()
            .map(|item| {
                let used = self.weight(&Target::object(item.kind, &*item.name).to_string());
                TargetEntry::listed(item, used)
            })
            .collect();
        self.targets.change(|all| {
            let listed = |one: &TargetEntry| new.iter().any(|other| other.target == one.target);
            all.retain(|one| !matches!(one.source, EntrySource::Used(_)) || !listed(one));
            all.extend(new);
        });
        self.offer();
    }

    /// Puts what was typed below the lists, where it can be taken as it is.
    pub(super) fn offer(&mut self) {
        match self.steps.last_mut() {
            None => {
                let typed = typed_targets(self.targets.query(), &self.listing);
                let is_new =
                    |one: &TargetEntry| !self.targets.entries().iter().any(|own| own.words() == one.words());
                let typed = typed.into_iter().filter(is_new).collect();
                self.targets.offer(typed);
            }
            Some(PickerStep::Ports(step)) => {
                let query = step.list.query();
                let is_known = step.list.entries().iter().any(|own| own.port == query);
                let typed = typed_port(query).filter(|_| !is_known);
                step.list.offer(typed.into_iter().collect());
            }
            Some(PickerStep::Place(step)) => {
                let query = step.list.query().trim();
                let is_new = !step.list.entries().iter().any(|own| own.name == query);
                let is_partial = step.kind == PlaceKind::Namespace && matches!(step.ended, Some(Err(_)));
                let typed = (is_new && is_partial && object_name("namespace", query).is_ok())
                    .then(|| PlaceEntry { name: query.to_owned(), about: "as typed".to_owned() });
                step.list.offer(typed.into_iter().collect());
            }
            Some(PickerStep::Local(_) | PickerStep::Help(_)) => {}
        }
    }

    pub(super) fn reload(&mut self, now: Timestamp) -> Option<PickerEffect> {
        match self.steps.last() {
            Some(PickerStep::Place(step)) => {
                let kind = step.kind;
                Some(self.open_places(kind))
            }
            None => Some(self.load(now)),
            Some(_) => None,
        }
    }

    /// Begins anew in the place that is chosen.
    pub(super) fn load(&mut self, now: Timestamp) -> PickerEffect {
        self.listing = NamespaceListing::begin(now);
        self.connected = None;
        self.weights.clear();
        self.steps.clear();
        self.chosen.clear();
        self.marked.clear();
        self.targets.change(Vec::clear);
        self.offer();
        PickerEffect::Load(self.place.clone())
    }
}

fn is_used(entry: &TargetEntry, kind: Kind) -> bool {
    let of_kind = matches!(entry.target.subject, TargetRef::Object(own, _) if own == kind);
    of_kind && matches!(entry.source, EntrySource::Used(_))
}

/// What was typed, as the targets that it can be and that the list may lack.
fn typed_targets(query: &str, listing: &NamespaceListing) -> Vec<TargetEntry> {
    let query = query.trim();
    let entry = |target: Target| TargetEntry::new(target, EntrySource::Typed, 0.0);
    let may_lack = |target: &Target| match &target.subject {
        TargetRef::Object(kind, _) => target.namespace.is_some() || listing.is_partial(*kind),
        TargetRef::Selector(_) => false,
    };
    if query.contains('/') {
        return input::target(query).ok().filter(may_lack).map(entry).into_iter().collect();
    }
    if object_name("name", query).is_err() {
        return Vec::new();
    }
    listing.partial_kinds().map(|kind| entry(Target::object(kind, query))).collect()
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
