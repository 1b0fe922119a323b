//! The processes that a plugin starts, as one group that can be ended together.

use tokio::process::{Child, Command};

/// Ends a plugin and what it has started, unless it is left.
pub(super) struct ProcessGroup {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

/// Makes the command the leader of a group of its own.
pub(super) fn separate(command: &mut Command) {
    #[cfg(unix)]
    command.process_group(0);
    #[cfg(not(unix))]
    let _ = command;
}

impl ProcessGroup {
    /// The group of a child that is its leader.
    #[cfg(unix)]
    pub(super) fn of(child: &Child) -> Self {
        Self { leader: child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) }
    }

    /// Windows has no groups that end together without unsafe code: the child alone is ended, by tokio.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Child) -> Self {
        Self {}
    }

    /// The leader has ended by itself; what it left behind may stay.
    pub(super) fn disarm(self) {
        #[cfg(unix)]
        {
            let mut group = self;
            group.leader = None;
        }
    }
}

#[cfg(unix)]
impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // The leader has not been waited for, so the number is still its own.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}
