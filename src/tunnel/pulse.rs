//! The pulse of a session: when its peer is pinged, and whether it still speaks ([`crate::policy::liveness`]).

use std::task::{Context, Poll};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{end::SessionEnd, status::SessionStatus};
use crate::policy::liveness::{self, Writes};

/// When a session was pinged and when its peer spoke.
pub(super) struct Pulse {
    ping: Interval,
    last_received: Instant,
    /// Since when the process runs, as far as this clock tells.
    awake: Instant,
    /// When the peer was asked whether it still lives, while it has not answered.
    probed: Option<Instant>,
    /// What others were told.
    silent: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let mut ping = interval_at(now + liveness::PING_EVERY, liveness::PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ping, last_received: now, awake: now, probed: None, silent: false }
    }

    pub(super) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Notes that the peer spoke, or that nothing is read for now: that is not silence.
    pub(super) fn heard(&mut self, status: &SessionStatus) {
        self.last_received = Instant::now();
        self.probed = None;
        if std::mem::take(&mut self.silent) {
            status.set_silent(false);
        }
    }

    /// Begins to ask the peer whether it still lives: until it answers the session counts as silent, and it has
    /// [`liveness::PROBE_TIMEOUT`] for that.
    pub(super) fn probe(&mut self, status: &SessionStatus) {
        self.probed = Some(Instant::now());
        self.ping.reset_after(liveness::PROBE_TIMEOUT);
        self.fall_silent(status);
    }

    /// Ready when the next ping is due, with an error where the session is dead instead.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        writes: Writes,
        status: &SessionStatus,
    ) -> Poll<Result<(), SessionEnd>> {
        let Poll::Ready(due) = self.ping.poll_tick(cx) else { return Poll::Pending };
        if due.elapsed() >= liveness::ASLEEP {
            tracing::debug!(late = ?due.elapsed(), "the process did not run for a while");
            self.awake = Instant::now();
        }
        let (silence, awake) = (self.last_received.elapsed(), self.awake.elapsed());
        let unanswered = self.probed.map(|at| at.elapsed());
        if liveness::is_dead(silence, awake, writes) || liveness::is_unanswered(unanswered, awake, writes) {
            return Poll::Ready(Err(SessionEnd::Silence(silence.as_secs())));
        }
        if liveness::is_silent(silence, awake) {
            self.fall_silent(status);
        }
        Poll::Ready(Ok(()))
    }

    fn fall_silent(&mut self, status: &SessionStatus) {
        if !std::mem::replace(&mut self.silent, true) {
            status.set_silent(true);
        }
    }
}
