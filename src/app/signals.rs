//! The ways in which a person, a shell or a service manager says "enough".

use std::io;

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A person who wants an end to just this: Ctrl-C.
    ByHand,
    /// The system, perhaps because it is being shut down.
    Otherwise,
}

/// Heard from now on: the process no longer dies of them.
pub(super) struct Signals {
    system: system::Signals,
    heard: usize,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { system: system::Signals::listen()?, heard: 0 })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Said {
        let said = self.system.next().await;
        self.heard += 1;
        said
    }

    /// How many there were.
    pub(super) fn heard(&self) -> usize {
        self.heard
    }
}

#[cfg(unix)]
mod system {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Said;

    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
    }

    impl Signals {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }

        pub(super) async fn next(&mut self) -> Said {
            tokio::select! {
                _ = self.interrupt.recv() => Said::ByHand,
                _ = self.terminate.recv() => Said::Otherwise,
            }
        }
    }
}

#[cfg(windows)]
mod system {
    use std::io;

    use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, ctrl_break, ctrl_c, ctrl_close};

    use super::Said;

    pub(super) struct Signals {
        interrupt: CtrlC,
        stop: CtrlBreak,
        close: CtrlClose,
    }

    impl Signals {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self { interrupt: ctrl_c()?, stop: ctrl_break()?, close: ctrl_close()? })
        }

        pub(super) async fn next(&mut self) -> Said {
            tokio::select! {
                _ = self.interrupt.recv() => Said::ByHand,
                _ = self.stop.recv() => Said::ByHand,
                _ = self.close.recv() => Said::Otherwise,
            }
        }
    }
}
