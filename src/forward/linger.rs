//! When a client's FIN is passed on to the pod (DESIGN §2), and when a connection counts as idle.
//!
//! The runtime closes the application's connection one second after our FIN, answer or no answer (PROTOCOL §3.4). So the
//! FIN of a client is held back while the pod still sends, and passed on once nothing has moved for a while:
//!
//! ```text
//! client:  request FIN                          answered: the FIN goes LINGER after what moved last
//! pod:                  part    part ... end    |--- 5 s ---| FIN
//!
//! client:  request FIN                          not answered: the client may wait for an answer that takes time
//! pod:                                          |------------- 30 s -------------| FIN
//! ```
//!
//! Everything here is a function of instants that the caller hands in.

use std::time::Duration;

use tokio::time::Instant;

/// Silence of the pod after which a local FIN is passed on (PROTOCOL §3.4, its default suggestion). Most clients that
/// have their answer and say FIN are gone.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// The same for a client that may be waiting for an answer: as long as a connection is held by default. What only waits
/// for the FIN learns of it late, but an application that thinks for that long is not cut off.
pub(super) const SLOW_ANSWER: Duration = Duration::from_secs(30);

/// Connections of a port that may linger at once. Clients that merely close look the same as those that wait for an
/// answer; past this many the FIN is passed on at once, so that a busy client's closed connections do not pile up.
pub(super) const LINGERING: usize = 256;

/// A connection without traffic for this long is idle, unless its client waits for an answer. While the forward ends it
/// is over then.
const IDLE_AFTER: Duration = Duration::from_millis(250);

/// What moved on a connection last, and whether an answer is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    /// When something moved last.
    pub last: Instant,
    /// The pod has not answered what the client sent last.
    awaits_answer: bool,
}

impl Activity {
    /// A connection opened `now`, which may begin with what the client sent in an earlier attempt.
    pub(super) fn new(now: Instant, awaits_answer: bool) -> Self {
        Self { last: now, awaits_answer }
    }

    /// Something moved that changes nothing about who waits for whom: the client took bytes, or sent its FIN.
    pub(super) fn moved(&mut self, now: Instant) {
        self.last = now;
    }

    /// The client sent bytes.
    pub(super) fn client_sent(&mut self, now: Instant) {
        *self = Self { last: now, awaits_answer: true };
    }

    /// The pod sent bytes.
    pub(super) fn pod_sent(&mut self, now: Instant) {
        *self = Self { last: now, awaits_answer: false };
    }

    /// When the FIN that the client sent at `eof` is passed on, if nothing moves until then.
    pub(super) fn fin_due(&self, eof: Instant) -> Instant {
        eof.max(self.last) + if self.awaits_answer { SLOW_ANSWER } else { LINGER }
    }

    /// When the connection is idle, if nothing moves until then; never while an answer is due.
    pub(super) fn idle_due(&self) -> Option<Instant> {
        (!self.awaits_answer).then_some(self.last + IDLE_AFTER)
    }

    /// Whether nothing was under way `now`, as far as can be told: no answer is due, and either the client sends no more
    /// or nothing has moved for a while.
    pub(super) fn is_idle(&self, now: Instant, client_finished: bool) -> bool {
        self.idle_due().is_some_and(|due| client_finished || due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fin_waits_longer_where_an_answer_is_due() {
        let begun = Instant::now();
        let eof = begun + SECOND;
        // It never said anything.
        let mut activity = Activity::new(begun, false);
        assert_eq!(activity.fin_due(eof), eof + LINGER);
        activity.client_sent(eof);
        assert_eq!(activity.fin_due(eof), eof + SLOW_ANSWER);
        // Each part of the answer begins the wait anew, and it is the shorter one.
        let answered = eof + SECOND * 20;
        activity.pod_sent(answered);
        assert_eq!(activity.fin_due(eof), answered + LINGER);
        let taken = answered + SECOND * 2;
        activity.moved(taken);
        assert_eq!(activity.fin_due(eof), taken + LINGER);
    }

    #[test]
    fn what_was_sent_in_an_earlier_attempt_is_owed_an_answer() {
        let now = Instant::now();
        let activity = Activity::new(now, true);
        assert_eq!((activity.fin_due(now), activity.idle_due()), (now + SLOW_ANSWER, None));
    }

    #[test]
    fn idle_is_silence_without_an_answer_due() {
        let begun = Instant::now();
        let later = begun + IDLE_AFTER;
        let mut activity = Activity::new(begun, false);
        assert_eq!(activity.idle_due(), Some(later));
        assert!(!activity.is_idle(begun, false) && activity.is_idle(later, false));
        // A client that sends no more has nothing under way.
        assert!(activity.is_idle(begun, true));
        activity.client_sent(begun);
        assert_eq!(activity.idle_due(), None);
        assert!(!activity.is_idle(later + SECOND * 3600, true));
        activity.pod_sent(later);
        assert!(!activity.is_idle(later, false) && activity.is_idle(later + IDLE_AFTER, false));
    }
}
