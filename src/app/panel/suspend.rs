//! Ctrl-Z and `fg`: the terminal is put back before the process stops, and taken again once it goes on.

#[cfg(unix)]
pub(in crate::app) use self::unix::Suspension;
#[cfg(windows)]
pub(in crate::app) use self::windows::Suspension;

/// What a signal asks for.
#[cfg_attr(windows, expect(dead_code, reason = "no signal asks there"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum SuspendRequest {
    /// To put the terminal back and stop.
    Stop,
    /// To take the terminal again: the process goes on.
    GoOn,
}

/// Lets Ctrl-Z stop the process as usual, in one that had a full screen: a signal that was listened for once has no other effect
/// any more.
pub(in crate::app) async fn suspend_as_usual() {
    let Ok(mut suspension) = Suspension::listen() else { return };
    loop {
        if suspension.next().await == SuspendRequest::Stop {
            Suspension::stop_now();
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::io;

    use rustix::process::{
        Signal as Number, getpgrp, getpid, getsid, kill_current_process_group, kill_process,
    };
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use crate::app::panel::suspend::SuspendRequest;

    /// Signals that stop the process, and continue it.
    pub(in crate::app) struct Suspension {
        stop: Signal,
        go_on: Signal,
    }

    impl Suspension {
        pub(in crate::app) fn listen() -> io::Result<Self> {
            let of = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
            Ok(Self { stop: of(Number::TSTP)?, go_on: of(Number::CONT)? })
        }

        /// Stops all of the job, as Ctrl-Z does in a terminal that has not left that to us. False where no shell would
        /// continue it: it is the job of the session's first process.
        pub(in crate::app) fn suspend_job() -> bool {
            let has_shell = getsid(None).is_ok_and(|session| session != getpgrp());
            has_shell && kill_current_process_group(Number::TSTP).is_ok()
        }

        /// Waits until the process is to stop, or went on after it was stopped without being asked.
        pub(in crate::app) async fn next(&mut self) -> SuspendRequest {
            tokio::select! {
                // The other way round after a stop that was asked for.
                biased;
                _ = self.stop.recv() => SuspendRequest::Stop,
                _ = self.go_on.recv() => SuspendRequest::GoOn,
            }
        }

        /// Stops the process. Returns once it goes on.
        pub(in crate::app) fn stop_now() {
            // SIGTSTP is ours to receive.
            let _ = kill_process(getpid(), Number::STOP);
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::{future, io};

    use crate::app::panel::suspend::SuspendRequest;

    /// There is nothing of the kind.
    pub(in crate::app) struct Suspension;

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "other systems have signals")]
    impl Suspension {
        pub(in crate::app) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::app) fn suspend_job() -> bool {
            false
        }

        pub(in crate::app) async fn next(&mut self) -> SuspendRequest {
            future::pending().await
        }

        pub(in crate::app) fn stop_now() {}
    }
}
