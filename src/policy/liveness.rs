//! Whether a session still lives (PROTOCOL §8, "Liveness").
//!
//! Nothing on the way says when a peer is gone: a server behind a WebSocket cannot even close while we are silent
//! (§4). So we ping, and take a session that has said nothing at all for three rounds of pings as dead. Any byte counts
//! as life. An application that stops reading swallows the pings of its queue and no others; where it could block the
//! peer's reader after all, and so every echo (§2.7), what is stuck is our own writing, which is not death.

//!
//! A process that was stopped, or whose machine was, knows nothing of what came meanwhile: its clocks are the first to tell
//! it that it runs again, the sockets are read a little later. So after a sleep each peer is asked once more, and has a
//! round's time to answer.
//!
//! Before a session is dead it is *silent*: a ping was not answered in time. Its connections stay, but no new one comes to
//! it, another session is dialled, and another pod where there is one (`forward/elsewhere`). So a node that is gone costs
//! new connections some ten seconds, and a session that only paused loses nothing.

use std::time::Duration;

/// How often a session pings. At most 5 s, so that a close at the far end is noticed soon (§0.8) and idle timeouts of
/// load balancers never strike.
pub const PING_EVERY: Duration = Duration::from_secs(5);

/// Without an inbound byte for this long the session is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// Without an inbound byte for this long it is silent: a ping was due to be answered half a round ago. An answer that is
/// late by more is rare on any network that people work over.
pub const SILENT_AFTER: Duration = PING_EVERY.saturating_add(Duration::from_millis(2500));

/// How long a peer has to answer that is asked after a disturbance of the network ([`super::disturbance`]): a Wi-Fi that
/// comes back takes some seconds, and connections that would live on after it are worth them. New connections do not wait
/// for this; they get a session of their own meanwhile.
pub const PROBE_TIMEOUT: Duration = PING_EVERY;

/// Without an inbound byte for this long it is dead although our own writing is stuck. Only where there is no credit can an
/// application do that, one that a debugger has stopped, say; a peer that neither speaks nor takes anything is gone.
pub const DEAD_IF_STUCK: Duration = Duration::from_secs(120);

/// A ping that is asked this much too late tells that the process did not run: nothing else in it takes as long. Any longer
/// sleep could make a peer look dead that has answered.
pub const ASLEEP: Duration = PING_EVERY;

/// A session that a peer has kept for this long is one that works, if the peer still speaks then. What a server in trouble
/// makes ends within moments.
pub const PROVEN_AFTER: Duration = Duration::from_secs(5);

/// What becomes of what a session writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// The transport takes it.
    Flowing,
    /// Some of it waits.
    Stuck,
}

/// Whether a session is dead that heard nothing for `silence`, in a process that runs for as long as `awake`, while its
/// `writes` did or did not get through.
pub fn is_dead(silence: Duration, awake: Duration, writes: Writes) -> bool {
    let limit = match writes {
        Writes::Flowing => DEAD_AFTER,
        Writes::Stuck => DEAD_IF_STUCK,
    };
    silence >= limit && awake >= PING_EVERY
}

/// Whether a session is silent that heard nothing for `silence`, in a process that runs for as long as `awake`.
pub fn is_silent(silence: Duration, awake: Duration) -> bool {
    silence >= SILENT_AFTER && awake >= PING_EVERY
}

/// Whether a session is dead whose peer was asked so long ago and has not answered. While its `writes` are stuck the
/// question may not have left.
pub fn is_unanswered(probed: Option<Duration>, awake: Duration, writes: Writes) -> bool {
    writes == Writes::Flowing && awake >= PING_EVERY && probed.is_some_and(|ago| ago >= PROBE_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_while_the_process_runs() {
        let (late, round) = (DEAD_AFTER + ASLEEP, PING_EVERY);
        assert!(is_dead(DEAD_AFTER, DEAD_AFTER, Writes::Flowing));
        assert!(!is_dead(DEAD_AFTER.saturating_sub(Duration::from_millis(1)), DEAD_AFTER, Writes::Flowing));
        assert!(!is_dead(late, late, Writes::Stuck));
        assert!(is_dead(DEAD_IF_STUCK, late, Writes::Stuck));
        assert!(!is_dead(late, Duration::ZERO, Writes::Flowing));
        assert!(is_dead(late, round, Writes::Flowing));
        assert!(is_silent(SILENT_AFTER, round) && !is_silent(PING_EVERY, late));
        assert!(!is_silent(late, Duration::ZERO), "a process that did not run has not read either");
    }

    #[test]
    fn a_probe_has_an_end() {
        let round = PING_EVERY;
        assert!(!is_unanswered(None, round, Writes::Flowing));
        assert!(!is_unanswered(
            Some(PROBE_TIMEOUT.saturating_sub(Duration::from_millis(1))),
            round,
            Writes::Flowing
        ));
        assert!(is_unanswered(Some(PROBE_TIMEOUT), round, Writes::Flowing));
        assert!(!is_unanswered(Some(PROBE_TIMEOUT), round, Writes::Stuck));
        assert!(!is_unanswered(Some(PROBE_TIMEOUT), Duration::ZERO, Writes::Flowing));
    }
}
