//! What the picker's lists are made of.

use super::search::SearchEntry;
use crate::{
    cluster::catalog::{CatalogItem, DeclaredPort},
    model::target::{Kind, Target},
};

/// A target that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetEntry {
    /// What it is.
    pub target: Target,
    /// In one word, `svc/api`.
    words: String,
    /// How much it is used.
    used: f64,
    /// How the list knows of it.
    pub source: EntrySource,
}

/// How the list knows of something.
#[derive(Debug, Clone, PartialEq)]
pub enum EntrySource {
    /// The cluster has it.
    Listed(CatalogItem),
    /// It was forwarded to before, at these ports; whether it is there still is not known.
    Used(Vec<String>),
    /// It is what was typed.
    Typed,
}

impl TargetEntry {
    /// A target, and how much it is used.
    pub fn new(target: Target, source: EntrySource, used: f64) -> Self {
        Self { words: target.to_string(), target, source, used }
    }

    /// What the cluster has.
    pub fn listed(item: CatalogItem, used: f64) -> Self {
        Self::new(Target::object(item.kind, item.name.clone()), EntrySource::Listed(item), used)
    }

    /// Its object, where the cluster has told.
    pub fn item(&self) -> Option<&CatalogItem> {
        match &self.source {
            EntrySource::Listed(item) => Some(item),
            EntrySource::Used(_) | EntrySource::Typed => None,
        }
    }

    /// Its ports, as far as they are known.
    pub fn ports(&self) -> Vec<PortEntry> {
        match &self.source {
            EntrySource::Listed(item) => item.ports.iter().map(PortEntry::declared).collect(),
            EntrySource::Used(ports) => ports.iter().map(|port| PortEntry::typed(port)).collect(),
            EntrySource::Typed => Vec::new(),
        }
    }
}

impl SearchEntry for TargetEntry {
    fn words(&self) -> &str {
        &self.words
    }

    fn used(&self) -> f64 {
        self.used
    }

    fn rank(&self) -> usize {
        use crate::model::target::TargetRef;
        match self.target.subject {
            TargetRef::Object(Kind::Service, _) => 0,
            TargetRef::Object(Kind::Pod, _) => 2,
            _ => 1,
        }
    }
}

/// A port that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct PortEntry {
    /// As it stands in the command line.
    pub port: String,
    /// What is to be said of it.
    pub about: String,
    words: String,
    /// The place in the object.
    rank: usize,
    used: f64,
}

impl PortEntry {
    /// One that an object declares.
    pub fn declared(port: &DeclaredPort) -> Self {
        let inner = port.inner.as_ref().map(|inner| format!("pods' port {inner}"));
        let about: Vec<String> = port.name.clone().into_iter().chain(inner).collect();
        let number = port.number.to_string();
        let words = port.name.as_ref().map_or_else(|| number.clone(), |name| format!("{number} {name}"));
        Self { port: number, about: about.join(", "), words, rank: 0, used: 0.0 }
    }

    /// One that was typed.
    pub fn typed(port: &str) -> Self {
        Self {
            port: port.to_owned(),
            about: "as typed".to_owned(),
            words: port.to_owned(),
            rank: 1,
            used: 0.0,
        }
    }

    /// At this place of the list, and how much it is used.
    #[must_use]
    pub fn at(self, rank: usize, used: impl Fn(&str) -> f64) -> Self {
        Self { rank, used: used(&self.port), ..self }
    }
}

impl SearchEntry for PortEntry {
    fn words(&self) -> &str {
        &self.words
    }

    fn used(&self) -> f64 {
        self.used
    }

    fn rank(&self) -> usize {
        self.rank
    }
}

/// A namespace or a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceEntry {
    /// Its name.
    pub name: String,
    /// What is to be said of it.
    pub about: String,
}

impl SearchEntry for PlaceEntry {
    fn words(&self) -> &str {
        &self.name
    }
}
