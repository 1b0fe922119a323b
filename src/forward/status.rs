//! What a list shows of one forward: the last of what its events told.

use jiff::Timestamp;

use crate::model::{endpoint::Endpoint, event::Happening, forward::State};

/// Where a forward is.
#[derive(Clone)]
pub(super) struct Status {
    pub state: State,
    /// Since when, see [`Status::enter`].
    pub since: Timestamp,
    /// The pod that new connections go to, or went to last.
    pub pod: Option<Endpoint>,
    pub restarts: u64,
    /// What went wrong last, of its target or of one of its connections.
    pub last_error: Option<String>,
    /// The states of the present outage, and when each of them was entered first.
    outage: Vec<(State, Timestamp)>,
}

impl Status {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            state: State::Starting,
            since: at,
            pod: None,
            restarts: 0,
            last_error: None,
            outage: Vec::new(),
        }
    }

    /// Keeps what an event told.
    pub(super) fn note(&mut self, what: &Happening, at: Timestamp) {
        match what {
            Happening::Forwarding { .. } | Happening::Recovered { .. } => self.enter(State::Active, at),
            Happening::Retargeted { .. } => {
                self.enter(State::Active, at);
                self.restarts += 1;
            }
            Happening::Waiting { why, .. } => self.trouble(State::Waiting, why, at),
            Happening::Reconnecting { why, .. } => self.trouble(State::Reconnecting, why, at),
            Happening::Lost { why, .. } => self.trouble(State::Lost, why, at),
            Happening::ConnectionFailed { why, .. } => self.last_error = Some(why.clone()),
            Happening::Started
            | Happening::Stopped { .. }
            | Happening::Blocked { .. }
            | Happening::OtherPort { .. }
            | Happening::Notice { .. } => {}
        }
    }

    fn trouble(&mut self, state: State, why: &str, at: Timestamp) {
        self.enter(state, at);
        self.last_error = Some(why.to_owned());
    }

    /// Takes a state on. During an outage a forward goes from `reconnecting` to `lost` and back with each round of
    /// attempts; one that is entered again has been the case since it was entered first, for nothing worked in between.
    fn enter(&mut self, state: State, at: Timestamp) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.since = at;
        if state == State::Active {
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
    use crate::model::endpoint::PodId;

    #[test]
    fn a_state_keeps_its_start_for_as_long_as_nothing_works() {
        let pod = || PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        let why = || "w".to_owned();
        let attempt = |attempt| Happening::Reconnecting {
            pod: pod(),
            attempt,
            of: 3,
            delay: Duration::ZERO,
            why: why(),
        };
        let lost = || Happening::Lost { why: why(), next: Duration::ZERO };
        let mut status = Status::new(Timestamp::UNIX_EPOCH);
        for (second, what, state, since) in [
            (1, attempt(1), State::Reconnecting, 1),
            (2, attempt(2), State::Reconnecting, 1),
            (3, lost(), State::Lost, 3),
            (4, attempt(1), State::Reconnecting, 1),
            (5, lost(), State::Lost, 3),
            (6, Happening::Recovered { pod: pod() }, State::Active, 6),
            (7, Happening::Notice { text: why() }, State::Active, 6),
            (8, Happening::ConnectionFailed { pod: None, pod_port: None, why: why() }, State::Active, 6),
            (9, attempt(0), State::Reconnecting, 9),
            (10, Happening::Waiting { why: why(), hold: Duration::ZERO }, State::Waiting, 10),
        ] {
            status.note(&what, Timestamp::from_second(second).unwrap());
            assert_eq!((status.state, status.since.as_second()), (state, since), "at {second}");
        }
    }
}
