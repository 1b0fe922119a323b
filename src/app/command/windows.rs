//! Signals of a command on Windows: the console gives Ctrl-C and its closing to every process that it has, so to the command
//! as well, and there is nothing to pass on. It is enough that they do not end this process before the command.

use std::{convert::Infallible, io};

use tokio::{
    process::{Child, Command},
    signal::windows::{CtrlBreak, CtrlC, CtrlClose, ctrl_break, ctrl_c, ctrl_close},
};

/// There is no limit of open files.
pub(in crate::app) fn open_files() -> Option<u64> {
    None
}

/// Starts a command.
pub(super) fn spawn(command: &mut Command, _: Option<u64>) -> io::Result<Child> {
    command.spawn()
}

/// What is heard of the system while a command runs.
pub(super) struct CommandSystem {
    interrupt: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
}

impl CommandSystem {
    /// From now on none of them ends this process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: ctrl_c()?, stop: ctrl_break()?, close: ctrl_close()? })
    }

    /// Hears them and leaves them to the command.
    pub(super) async fn pass_on(&mut self, _: Option<u32>) -> Infallible {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.stop.recv() => {}
                _ = self.close.recv() => {}
            }
        }
    }

    /// Ends it: without a window or a console of its own there is nothing that asks.
    #[expect(clippy::unused_self, reason = "another system needs it")]
    pub(super) fn terminate(&mut self, child: &mut Child) {
        let _ = child.start_kill();
    }
}
