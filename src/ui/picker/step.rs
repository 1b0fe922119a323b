//! The steps behind the choice of targets: their ports, local ports, and other places.

use super::{
    entry::{PlaceEntry, PortEntry},
    listing::{ListingNote, sentence},
    search::SearchList,
};
use crate::{
    error::Fatal,
    forward::ForwardRequest,
    model::{
        ports::{LocalPort, PortSpec, RemotePort},
        target::Target,
    },
    ui::wording::Severity,
};

/// A step.
#[derive(Debug, Clone)]
pub(super) enum PickerStep {
    Ports(PortsStep),
    Local(LocalStep),
    Place(PlaceStep),
    /// The help, and how many of its lines are above the screen.
    Help(usize),
}

/// The ports of a target.
#[derive(Debug, Clone)]
pub(super) struct PortsStep {
    /// Which target.
    pub at: usize,
    pub list: SearchList<PortEntry>,
    pub marked: Vec<String>,
    /// The cluster is asked for them.
    pub is_loading: bool,
}

/// The local port of a port.
#[derive(Debug, Clone)]
pub(super) struct LocalStep {
    /// Which target.
    pub at: usize,
    /// Which of its ports.
    pub port: usize,
    pub text: String,
    pub wait: LocalWait,
    /// It was found to be free.
    pub proposed: Option<u16>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalWait {
    Nothing,
    /// A port to propose, which is taken at once if somebody was quicker.
    Proposal {
        is_chosen: bool,
    },
    /// Whether what was typed is free.
    Check(u16),
}

/// Namespaces or contexts.
#[derive(Debug, Clone)]
pub(super) struct PlaceStep {
    pub kind: PlaceKind,
    pub list: SearchList<PlaceEntry>,
    pub ended: Option<Result<(), Fatal>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceKind {
    Namespace,
    Context,
}

/// A target that was chosen.
#[derive(Debug, Clone)]
pub(super) struct ChosenTarget {
    pub target: Target,
    /// The ports that are known.
    pub known: Vec<PortEntry>,
    /// They can be asked for.
    pub is_typed: bool,
    pub ports: Vec<ChosenPort>,
}

/// A port that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChosenPort {
    pub remote: RemotePort,
    pub local: Option<LocalPort>,
}

impl PlaceStep {
    /// What is to be said, in a line each.
    pub(super) fn notes(&self) -> Vec<ListingNote> {
        let what = if self.kind == PlaceKind::Namespace { "namespaces" } else { "contexts" };
        match &self.ended {
            None => vec![(Severity::Plain, format!("reading the {what}"))],
            Some(Err(fatal)) => vec![
                (Severity::Warning, sentence(fatal)),
                (Severity::Plain, "Type the whole name, then Enter.".to_owned()),
            ],
            Some(Ok(())) if self.list.is_empty() => {
                vec![(Severity::Plain, format!("There are no {what} of this name."))]
            }
            Some(Ok(())) => Vec::new(),
        }
    }
}

impl ChosenPort {
    pub(super) fn new(text: &str) -> Self {
        let remote = text.parse().map_or_else(|_| RemotePort::Name(text.to_owned()), RemotePort::Number);
        Self { remote, local: None }
    }
}

impl ChosenTarget {
    /// What is decided of it, as it stands in the command line.
    pub(super) fn told(&self) -> String {
        let ports = self.request().ports;
        let decided = ports.iter().zip(&self.ports).filter(|(_, chosen)| chosen.local.is_some());
        decided.fold(self.target.to_string(), |words, (port, _)| format!("{words} {port}"))
    }

    /// What is to be forwarded.
    pub(super) fn request(&self) -> ForwardRequest {
        let port = |port: &ChosenPort| PortSpec {
            address: None,
            local: match (&port.local, &port.remote) {
                (Some(LocalPort::Number(local)), RemotePort::Number(remote)) if local == remote => {
                    LocalPort::Same
                }
                (local, _) => local.clone().unwrap_or(LocalPort::Any),
            },
            remote: port.remote.clone(),
        };
        ForwardRequest { target: self.target.clone(), ports: self.ports.iter().map(port).collect() }
    }
}

/// The text as a port, if it can be one: a number, or a name.
pub(super) fn typed_port(text: &str) -> Option<PortEntry> {
    let port = PortSpec::parse(text).ok()?;
    (port.address.is_none() && port.local == LocalPort::Same).then(|| PortEntry::typed(text))
}
