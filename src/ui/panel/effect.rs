//! What comes into the panel, and what it wants done. It does nothing by itself.

use super::{row::PanelLine, told::ToldEvent};
use crate::{
    model::forward::{ForwardId, PortForward, TargetPod},
    ui::{key_bindings::KeyPress, wording::Severity},
};

/// A forward, and the process to ask about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardRef {
    /// The process.
    pub pid: u32,
    /// The forward.
    pub id: ForwardId,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum PanelInput {
    /// A process has these forwards.
    Listed(u32, Vec<PortForward>),
    /// A process tells of a forward.
    Told(u32, Box<ToldEvent>),
    /// A process does not answer.
    Unanswered(u32, UnansweredWhy),
    /// A process is no more.
    Ended(u32),
    /// What came of something that was asked for.
    Notice(Severity, String),
    /// The pods of a forward.
    Pods(ForwardRef, Vec<TargetPod>),
    /// The log of a process; none where it has none.
    Log(u32, Option<Vec<String>>),
    /// A key.
    Key(KeyPress),
    /// The mouse was pressed at this column and row.
    Click(u16, u16),
    /// The wheel was turned.
    Wheel(WheelTurn),
    /// Time has passed.
    Tick,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WheelTurn {
    /// Up, at this row.
    Up(u16),
    /// Down, at this row.
    Down(u16),
}

/// Why a process does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnansweredWhy {
    /// It is suspended.
    Suspended,
    /// It hangs.
    Silent,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum PanelEffect {
    /// Stop these.
    Stop(Vec<ForwardRef>),
    /// Reconnect these.
    Reconnect(Vec<ForwardRef>),
    /// Ask for its pods.
    ListPods(ForwardRef),
    /// Have a person pick what else to forward.
    Add,
    /// Send its new connections to this pod.
    Retarget(ForwardRef, String),
    /// Save these under this name.
    Save {
        /// The name of the set.
        name: String,
        /// What is in it.
        forwards: Vec<PortForward>,
    },
    /// Copy this to the clipboard.
    Copy(String),
    /// Open this in the browser.
    Open(Box<PortForward>),
    /// Read the log of this process.
    ReadLog(u32),
    /// Suspend the program.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Leave.
    Quit,
}

/// A message at the foot of the panel.
pub type PanelMessage = PanelLine;
