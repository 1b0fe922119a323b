//! What comes into the picker, and what it wants done.

use super::entry::PlaceEntry;
use crate::{
    cluster::catalog::{CatalogItem, DeclaredPort, ListEnd},
    error::Fatal,
    forward::ForwardRequest,
    model::target::{Kind, Target},
    ui::{key_bindings::KeyPress, panel::effect::WheelTurn},
};

/// Something happened.
#[derive(Debug)]
pub enum PickerInput {
    /// A key.
    Key(KeyPress),
    /// The mouse was pressed at this row.
    Click(u16),
    /// The wheel was turned.
    Wheel(WheelTurn),
    /// What is waited for.
    Waiting(String),
    /// Which cluster it is, and which namespace.
    Connected {
        /// The context, where one is used.
        context: Option<String>,
        /// The namespace.
        namespace: String,
    },
    /// Some objects of the namespace.
    Items(Vec<CatalogItem>),
    /// There are no more of this kind, or they cannot be listed.
    Listed(Kind, Result<ListEnd, Fatal>),
    /// Nothing can be listed at all.
    Failed(Fatal),
    /// Namespaces or contexts, more of them.
    Places(Vec<PlaceEntry>),
    /// There are no more of them, or they cannot be listed.
    PlacesListed(Result<(), Fatal>),
    /// The ports of a target that was typed.
    Ports(Target, Result<Vec<DeclaredPort>, Fatal>),
    /// The free port that was asked for.
    FreePort(Option<u16>),
    /// Something to be said.
    Notice(String),
    /// Time has passed.
    Tick,
}

/// Where to look, in place of what the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PickerPlace {
    /// The context.
    pub context: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
}

/// A free port that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortWish {
    /// One to propose for this port of a target.
    For(u16),
    /// This one, or the next.
    From(u16),
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickedForwards {
    /// Where, in place of what the command line says.
    pub place: PickerPlace,
    /// The namespace that this comes to, once that is known.
    pub namespace: Option<String>,
    /// What. Never empty.
    pub requests: Vec<ForwardRequest>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickerEffect {
    /// List what is in this place.
    Load(PickerPlace),
    /// List the namespaces.
    ListNamespaces,
    /// List the contexts.
    ListContexts,
    /// Read the ports of a target.
    ReadPorts(Target),
    /// Find a free port, none of these.
    FindPort(PortWish, Vec<u16>),
    /// Suspend the program.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Forward.
    Done(PickedForwards),
    /// Leave.
    Leave,
}
