//! Signals and job control of a command on Unix.

use std::{convert::Infallible, future::poll_fn, io, task::Poll, time::Duration};

use rlimit::Resource;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgid, getpgrp, kill_current_process_group, kill_process, waitid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{self as stream, SignalKind, signal},
    time::{Instant, sleep},
};

use super::terminal::Terminal;
use crate::app::signals::hangup_is_ignored;

/// How long a command is looked at that has stopped. Ctrl-Z stops us together with it, and what continues both reaches it
/// a moment after us.
const SETTLE_TIME: Duration = Duration::from_millis(50);

/// For how long the terminal's signals are passed on as well: one that came just before the command was there has reached
/// us alone. To be told twice in its first moment does no harm to a program.
const START_TIME: Duration = Duration::from_millis(100);

/// What is heard of the system while a command runs.
pub(super) struct CommandSystem {
    signals: Vec<(Signal, stream::Signal)>,
    terminal: Option<Terminal>,
    /// The command's own group, which had the terminal when it was stopped.
    stopped_group: Option<Pid>,
    /// The command has stopped alone, and we with it.
    followed: bool,
    /// When it began to be listened.
    begun: Instant,
}

impl CommandSystem {
    /// From now on no signal that is for the command ends this process.
    pub(super) fn listen() -> io::Result<Self> {
        let mut kinds = vec![
            (Signal::INT, SignalKind::interrupt()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
            (Signal::CHILD, SignalKind::child()),
            (Signal::CONT, SignalKind::from_raw(Signal::CONT.as_raw())),
        ];
        // The command ignores it as well then.
        if !hangup_is_ignored() {
            kinds.push((Signal::HUP, SignalKind::hangup()));
        }
        let signals = kinds.into_iter().map(|(which, kind)| Ok((which, signal(kind)?)));
        let signals = signals.collect::<io::Result<_>>()?;
        Ok(Self {
            signals,
            terminal: Terminal::open(),
            stopped_group: None,
            followed: false,
            begun: Instant::now(),
        })
    }

    /// Passes on what is heard for as long as this is polled. It may be dropped and begun again.
    pub(super) async fn pass_on(&mut self, pid: Option<u32>) -> Infallible {
        let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) else {
            // It has been waited for.
            return std::future::pending().await;
        };
        loop {
            self.follow_stop(pid).await;
            match self.next().await {
                Signal::CHILD => {}
                Signal::CONT => self.continue_command(pid),
                // From the terminal it has reached the command already, and a second one would be one too many.
                Signal::INT | Signal::QUIT
                    if self.begun.elapsed() > START_TIME && self.terminal_reaches_us() => {}
                other => _ = kill_process(pid, other),
            }
        }
    }

    async fn next(&mut self) -> Signal {
        let heard = |context: &mut std::task::Context<'_>| {
            let mut signals = self.signals.iter_mut();
            let heard =
                signals.find_map(|(which, signal)| signal.poll_recv(context).is_ready().then_some(*which));
            heard.map_or(Poll::Pending, Poll::Ready)
        };
        poll_fn(heard).await
    }

    fn terminal_reaches_us(&self) -> bool {
        self.terminal.as_ref().is_some_and(Terminal::is_ours)
    }

    /// Stops our job together with a command that has stopped alone: the shell that we were started from takes the terminal
    /// back then. Where there is no terminal nobody could continue us.
    async fn follow_stop(&mut self, pid: Pid) {
        let Some(terminal) = &self.terminal else { return };
        if !is_stopped(pid, WaitIdOptions::NOWAIT) {
            return;
        }
        sleep(SETTLE_TIME).await;
        // Taken note of: it is followed once.
        if !is_stopped(pid, WaitIdOptions::empty()) {
            return;
        }
        self.followed = true;
        let group = getpgid(Some(pid)).ok().filter(|group| *group != getpgrp());
        self.stopped_group = group.filter(|group| terminal.foreground() == Some(*group));
        // As Ctrl-Z does it. To a group that no shell could continue it does nothing.
        let _ = kill_current_process_group(Signal::TSTP);
    }

    /// We were continued; so is the command, if it was not together with us.
    fn continue_command(&mut self, pid: Pid) {
        if let (Some(terminal), Some(group)) = (&self.terminal, self.stopped_group.take()) {
            terminal.give_to(group);
        }
        if std::mem::take(&mut self.followed) || is_stopped(pid, WaitIdOptions::NOWAIT) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    #[expect(clippy::unused_self, reason = "another system needs it")]
    pub(super) fn terminate(&mut self, child: &mut Child) {
        if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// How many files this process may have open.
pub(in crate::app) fn open_files() -> Option<u64> {
    Resource::NOFILE.get_soft().ok()
}

/// Starts a command that may have so many files open. It inherits our limit, so that is lowered for this moment: a program
/// that was written for the usual limit may not work with ours. What another thread opens meanwhile has the room that there
/// was when we began.
pub(super) fn spawn(command: &mut Command, open_files: Option<u64>) -> io::Result<Child> {
    let ours = Resource::NOFILE.get().ok().zip(open_files).filter(|((soft, _), wanted)| wanted < soft);
    if let Some(((_, hard), wanted)) = ours {
        let _ = Resource::NOFILE.set(wanted, hard);
    }
    let child = command.spawn();
    if let Some(((soft, hard), _)) = ours {
        let _ = Resource::NOFILE.set(soft, hard);
    }
    child
}

/// Whether a child of ours is stopped, and that was not taken note of yet.
fn is_stopped(pid: Pid, note: WaitIdOptions) -> bool {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | note;
    matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)))
}
