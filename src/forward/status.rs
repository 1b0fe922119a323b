//! What a list shows of one forward: the last of what its events told.

use jiff::Timestamp;

use crate::model::{endpoint::Endpoint, event::EventKind, forward::ForwardState};

/// Where a forward is.
#[derive(Clone)]
pub(super) struct ForwardStatus {
    pub state: ForwardState,
    /// Since when, see [`ForwardStatus::enter`].
    pub since: Timestamp,
    /// The pod that new connections go to, or went to last.
    pub pod: Option<Endpoint>,
    pub restarts: u64,
    /// What went wrong last, of its target or of one of its connections.
    pub last_error: Option<String>,
    /// The states of the present outage, and when each of them was entered first.
    outage: Vec<(ForwardState, Timestamp)>,
}

impl ForwardStatus {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            state: ForwardState::Starting,
            since: at,
            pod: None,
            restarts: 0,
            last_error: None,
            outage: Vec::new(),
        }
    }

    /// Keeps what an event told.
    pub(super) fn record(&mut self, what: &EventKind, at: Timestamp) {
        match what {
            EventKind::Forwarding { .. } | EventKind::Recovered { .. } => {
                self.enter(ForwardState::Active, at);
            }
            EventKind::Retargeted { .. } => {
                self.enter(ForwardState::Active, at);
                self.restarts += 1;
            }
            EventKind::Waiting { why, .. } => self.trouble(ForwardState::Waiting, why, at),
            EventKind::Reconnecting { why, .. } => self.trouble(ForwardState::Reconnecting, why, at),
            EventKind::Lost { why, .. } => self.trouble(ForwardState::Lost, why, at),
            EventKind::ConnectionFailed { why, .. } => self.last_error = Some(why.clone()),
            EventKind::Started
            | EventKind::Stopped { .. }
            | EventKind::Blocked { .. }
            | EventKind::OtherPort { .. }
            | EventKind::Notice { .. } => {}
        }
    }

    fn trouble(&mut self, state: ForwardState, why: &str, at: Timestamp) {
        self.enter(state, at);
        self.last_error = Some(why.to_owned());
    }

    /// Takes a state on. During an outage a forward goes from `reconnecting` to `lost` and back with each round of
    /// attempts; one that is entered again has been the case since it was entered first, for nothing worked in between.
    fn enter(&mut self, state: ForwardState, at: Timestamp) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.since = at;
        if state == ForwardState::Active {
            self.outage.clear();
        } else if let Some((_, since)) = self.outage.iter().find(|(before, _)| *before == state) {
            self.since = *since;
        } else {
            self.outage.push((state, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{endpoint::PodId, event::Unreachable};

    #[test]
    fn a_state_keeps_its_start_for_as_long_as_nothing_works() {
        let pod = || PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        let why = || "w".to_owned();
        let attempt = |attempt| EventKind::Reconnecting {
            pod: pod(),
            attempt,
            of: 3,
            delay: Duration::ZERO,
            why: why(),
        };
        let lost = || EventKind::Lost {
            pod: pod(),
            unreachable: Unreachable::Cluster,
            why: why(),
            next: Duration::ZERO,
        };
        let mut status = ForwardStatus::new(Timestamp::UNIX_EPOCH);
        for (second, what, state, since) in [
            (1, attempt(1), ForwardState::Reconnecting, 1),
            (2, attempt(2), ForwardState::Reconnecting, 1),
            (3, lost(), ForwardState::Lost, 3),
            (4, attempt(1), ForwardState::Reconnecting, 1),
            (5, lost(), ForwardState::Lost, 3),
            (6, EventKind::Recovered { pod: pod() }, ForwardState::Active, 6),
            (7, EventKind::Notice { text: why() }, ForwardState::Active, 6),
            (
                8,
                EventKind::ConnectionFailed { pod: None, pod_port: None, why: why() },
                ForwardState::Active,
                6,
            ),
            (9, attempt(0), ForwardState::Reconnecting, 9),
            (10, EventKind::Waiting { why: why(), hold: Duration::ZERO }, ForwardState::Waiting, 10),
        ] {
            status.record(&what, Timestamp::from_second(second).unwrap());
            assert_eq!((status.state, status.since.as_second()), (state, since), "at {second}");
        }
    }
}
