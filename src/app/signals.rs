//! The ways in which a person, a shell or a service manager says "enough".

use std::io;

use futures_util::FutureExt as _;

#[cfg(unix)]
pub(super) use self::system::hangup::is_ignored as hangup_is_ignored;

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// A person who wants an end to just this: Ctrl-C.
    Interrupt,
    /// The system or another program: a terminal that closes, a session or a machine that ends.
    Terminate,
}

/// Heard from now on: the process no longer dies of them.
pub(super) struct Signals {
    system: system::SystemSignals,
    count: usize,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { system: system::SystemSignals::listen()?, count: 0 })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> StopSignal {
        let said = self.system.next().await;
        self.count += 1;
        said
    }

    /// Forgets those that there were: they were somebody else's.
    pub(super) fn forget(&mut self) {
        while self.next().now_or_never().is_some() {}
        self.count = 0;
    }

    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(unix)]
mod system {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::StopSignal;

    pub(super) struct SystemSignals {
        interrupt: Signal,
        terminate: Signal,
        /// None where it was ignored when the process began: `nohup`.
        hangup: Option<Signal>,
    }

    impl SystemSignals {
        pub(super) fn listen() -> io::Result<Self> {
            // Looked up before it is listened for, which changes the answer.
            let ignored = hangup::is_ignored();
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: if ignored { None } else { Some(signal(SignalKind::hangup())?) },
            })
        }

        pub(super) async fn next(&mut self) -> StopSignal {
            let Self { interrupt, terminate, hangup } = self;
            let hangup = async {
                match hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = interrupt.recv() => StopSignal::Interrupt,
                _ = terminate.recv() => StopSignal::Terminate,
                _ = hangup => StopSignal::Terminate,
            }
        }
    }

    /// Whether SIGHUP is ignored: a process that was started so (`nohup`, `trap '' HUP`) is to outlive its terminal.
    pub(super) mod hangup {
        use std::{
            fs,
            process::{Command, Stdio},
            thread,
            time::{Duration, Instant},
        };

        use tokio::signal::unix::SignalKind;

        /// What a shell can tell: a signal that was ignored when it began can be neither trapped nor received (POSIX,
        /// `trap`).
        const PROBE: &str = "trap 'exit 3' HUP; kill -HUP $$; exit 4";
        const IGNORED: i32 = 4;
        /// It takes some milliseconds. One that hangs tells nothing.
        const PROBE_WITHIN: Duration = Duration::from_millis(500);
        const LOOK: Duration = Duration::from_millis(1);

        pub(in crate::app) fn is_ignored() -> bool {
            // Linux tells. Elsewhere the system is only asked by unsafe code, and by programs that inherit the answer.
            let told = fs::read_to_string("/proc/self/status").ok().and_then(|status| parse_ignored(&status));
            told.unwrap_or_else(|| probe(Command::new("/bin/sh").args(["-c", PROBE])))
        }

        /// What a process's status says, where it does.
        fn parse_ignored(status: &str) -> Option<bool> {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
            Some(mask & (1 << (SignalKind::hangup().as_raw_value() - 1)) != 0)
        }

        fn probe(shell: &mut Command) -> bool {
            let shell = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let Ok(mut child) = shell.spawn() else { return false };
            let begun = Instant::now();
            while begun.elapsed() < PROBE_WITHIN {
                match child.try_wait() {
                    Ok(Some(status)) => return status.code() == Some(IGNORED),
                    Ok(None) => thread::sleep(LOOK),
                    Err(_) => break,
                }
            }
            let _ = child.kill();
            let _ = child.wait();
            false
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn what_a_status_says() {
                for (status, expected) in [
                    ("Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\t0\n", Some(true)),
                    ("SigIgn:\t0000000000001000\n", Some(false)),
                    ("SigIgn:\t0000000000001007\n", Some(true)),
                    ("SigIgn:\tx\n", None),
                    ("Name:\tx\n", None),
                ] {
                    assert_eq!(parse_ignored(status), expected, "{status:?}");
                }
            }

            #[test]
            fn what_a_shell_finds_out() {
                let nested = format!("trap '' HUP; exec /bin/sh -c \"{}\"", PROBE.replace('$', "\\$"));
                for (script, expected) in
                    [(PROBE, false), (nested.as_str(), true), ("exit 0", false), ("exec sleep 60", false)]
                {
                    assert_eq!(probe(Command::new("/bin/sh").args(["-c", script])), expected, "{script}");
                }
            }
        }
    }
}

#[cfg(windows)]
mod system {
    use std::io;

    use tokio::signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff,
        ctrl_shutdown,
    };

    use super::StopSignal;

    pub(super) struct SystemSignals {
        interrupt: CtrlC,
        stop: CtrlBreak,
        close: CtrlClose,
        logoff: CtrlLogoff,
        shutdown: CtrlShutdown,
    }

    impl SystemSignals {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: ctrl_c()?,
                stop: ctrl_break()?,
                close: ctrl_close()?,
                logoff: ctrl_logoff()?,
                shutdown: ctrl_shutdown()?,
            })
        }

        pub(super) async fn next(&mut self) -> StopSignal {
            tokio::select! {
                _ = self.interrupt.recv() => StopSignal::Interrupt,
                _ = self.stop.recv() => StopSignal::Interrupt,
                _ = self.close.recv() => StopSignal::Terminate,
                _ = self.logoff.recv() => StopSignal::Terminate,
                _ = self.shutdown.recv() => StopSignal::Terminate,
            }
        }
    }
}
