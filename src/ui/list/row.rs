//! A row of a list: a forward, or a process that does not say which forwards it has.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::forward::{ForwardState, PortForward};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    /// The process.
    pub pid: u32,
    /// The forward, as it was told last; none of a process that does not answer.
    pub forward: Option<PortForward>,
    /// How it is.
    pub state: RowState,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// Why it ended.
    pub reason: Option<String>,
}

/// How a forward is, as far as a list can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// As its process says.
    Running(ForwardState),
    /// Its process is suspended.
    Suspended,
    /// Its process runs and does not answer.
    Silent,
    /// It ended because somebody wanted it to.
    Stopped,
    /// It ended against everybody's will.
    Failed,
}

impl RowState {
    /// Its word in a list.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running(state) => state.word(),
            Self::Suspended => "suspended",
            Self::Silent => "no answer",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether it is over.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }
}

impl From<PortForward> for ListRow {
    fn from(forward: PortForward) -> Self {
        Self {
            pid: forward.pid,
            state: RowState::Running(forward.state),
            since: Some(forward.since),
            reason: None,
            forward: Some(forward),
        }
    }
}

impl ListRow {
    /// A process that does not answer.
    pub fn of_process(pid: u32, state: RowState) -> Self {
        Self { pid, forward: None, state, since: None, reason: None }
    }

    /// What programs read of it: the forward's fields (docs/CONTROL.md), and of one that has ended how and why.
    pub fn shown(&self) -> Option<ShownForward> {
        let mut forward = self.forward.clone()?;
        let ended = self.state.has_ended().then(|| {
            (forward.active, forward.state) = (false, ForwardState::Stopped);
            forward.since = self.since.unwrap_or(forward.since);
            ForwardEnd { failed: self.state == RowState::Failed, reason: self.reason.clone() }
        });
        Some(ShownForward { forward, ended })
    }
}

/// A forward in a list for programs.
#[derive(Debug, Clone, Serialize)]
pub struct ShownForward {
    #[serde(flatten)]
    forward: PortForward,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<ForwardEnd>,
}

/// How it ended.
#[derive(Debug, Clone, Serialize)]
struct ForwardEnd {
    failed: bool,
    reason: Option<String>,
}
