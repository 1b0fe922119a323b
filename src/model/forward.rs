//! One forward: its identity and its state.

use std::fmt;

/// A forward's identity, the same over all its re-targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ForwardId(pub u32);

impl fmt::Display for ForwardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a forward is in its life. The words are the same in events, lists and messages (DESIGN §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Bound, not yet working. Next: `Active`, `Waiting`, `Reconnecting` or `Stopped`.
    Starting,
    /// No pod is ready. Next: `Active` once one is, or `Stopped`.
    Waiting,
    /// Connections go to this pod. Next: any but `Starting`.
    Active {
        /// The pod's name.
        pod: String,
    },
    /// The session is gone and is dialled again. Next: `Active`, `Waiting`, `Lost` or `Stopped`.
    Reconnecting {
        /// Which attempt of the round, from 1.
        attempt: u32,
    },
    /// A whole round of attempts failed. Next: `Reconnecting` after a cool-down or a sign of life, or `Stopped`.
    Lost,
    /// Over.
    Stopped,
}

impl State {
    /// The state's word: `starting`, `waiting`, `active`, `reconnecting`, `lost`, `stopped`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Active { .. } => "active",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}
