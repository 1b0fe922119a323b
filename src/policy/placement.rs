//! Which of a pod's sessions a new connection comes to.
//!
//! A session has no flow control towards us: a client that stops reading stops all that share its session (PROTOCOL
//! §0.7). So a connection gets a session of its own while there is room, and waits for the dial of one. Beyond
//! [`OWN_SESSIONS`] it may share with connections that are at rest, which costs the cluster nothing; and only where no
//! other session is to be had with one that is at work.

use std::time::Duration;

/// Sessions to one pod up to which each connection has its own. A browser opens six connections to a host, a download manager
/// sixteen. A session costs 22 KiB here, and some tens of KiB and ten goroutines at each of API server, kubelet and runtime.
pub const OWN_SESSIONS: usize = 32;

/// How long a connection waits for a dial of its own before it shares after all. A dial is three round trips, so this is
/// time enough on any network that people work over; one that takes longer most likely hangs.
pub const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// How long nothing has moved on a session that is at rest. A client and an application that talk to one another are slower
/// than this only where a person or a timer decides when the next word comes.
pub const REST: Duration = Duration::from_millis(50);

/// How long a stream's client has taken nothing when it counts as one that does not read. For less, it is a transfer that is
/// slow at this end.
pub const STALLED: Duration = Duration::from_secs(1);

/// How long until all is looked at again where nothing is known that would change it.
const AGAIN: Duration = Duration::from_secs(1);

/// How a session is taken, by the risk to one that shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// By nobody.
    Idle,
    /// By connections on which nothing moves, no answer is due and no more of a transfer.
    Resting,
    /// By connections that may become transfers.
    Active,
    /// By a transfer, or by more than the peer takes.
    Bulk,
    /// By a client that does not read: nothing comes through.
    Stalled,
    /// By nobody more: its peer does not answer. It speaks again or ends soon.
    Silent,
}

/// One session, as a newcomer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Occupancy {
    /// How it is taken.
    pub load: Load,
    /// By how many connections.
    pub streams: usize,
}

/// Whether another session may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialState {
    /// Yes.
    Allowed,
    /// Not while there are so many.
    LimitReached,
    /// Not for a while: it failed lately.
    BackingOff,
}

/// What a connection is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Take the session with this index.
    Take(usize),
    /// Wait for a change, no longer than this. `dial` asks for another session.
    Wait {
        /// Whether another session is to be dialled for it.
        dial: bool,
        /// When to ask again.
        at_most: Duration,
    },
    /// No session is left that could take it, and none is to be had.
    Nowhere,
}

/// What is known beside the sessions.
#[derive(Debug, Clone, Copy)]
pub struct PlacementContext {
    /// Whether another session may be dialled.
    pub dialing: DialState,
    /// Dials that are under way.
    pub dials: usize,
    /// How long the connection has waited.
    pub waited: Duration,
    /// Others that wait and came before it: idle sessions are theirs.
    pub before: usize,
}

/// Places one connection.
pub fn place(sessions: &[Occupancy], context: PlacementContext) -> Placement {
    let PlacementContext { dialing, dials, waited, before } = context;
    // The least risky session that is taken, up to this risk.
    let least = |most: Load| {
        let taken =
            sessions.iter().enumerate().filter(|(_, session)| (Load::Resting..=most).contains(&session.load));
        taken
            .min_by_key(|(_, session)| (session.load, session.streams))
            .map(|(index, _)| Placement::Take(index))
    };
    let mut idle = sessions.iter().enumerate().filter(|(_, session)| session.load == Load::Idle);
    if let Some((index, _)) = idle.nth(before) {
        return Placement::Take(index);
    }
    if sessions.is_empty() && dials == 0 {
        return Placement::Nowhere;
    }
    let wait = |dial: bool, until: Duration| Placement::Wait { dial, at_most: until.saturating_sub(waited) };
    if dialing == DialState::BackingOff {
        let may_speak = sessions.iter().any(|session| session.load == Load::Silent);
        return least(Load::Bulk).unwrap_or(if dials == 0 && !may_speak {
            Placement::Nowhere
        } else {
            wait(false, waited + AGAIN)
        });
    }
    let patient = waited < DIAL_PATIENCE;
    if dialing == DialState::Allowed && sessions.len() < OWN_SESSIONS && patient {
        return wait(true, DIAL_PATIENCE);
    }
    if let Some(resting) = least(Load::Resting) {
        return resting;
    }
    if waited < REST {
        // Somebody may be done by then, and a dial is spared.
        return wait(false, REST);
    }
    if dialing == DialState::Allowed && patient {
        return wait(true, DIAL_PATIENCE);
    }
    if let Some(active) = least(Load::Active) {
        return active;
    }
    if patient {
        return wait(false, DIAL_PATIENCE);
    }
    least(Load::Bulk).unwrap_or(wait(dialing == DialState::Allowed, waited + AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DialState::{Allowed, BackingOff, LimitReached};
    use Load::{Active, Bulk, Idle, Resting, Silent, Stalled};
    use Placement::{Nowhere, Take, Wait};

    const LATE: Duration = DIAL_PATIENCE;

    fn at(sessions: &[(Load, usize)], dialing: DialState, waited: Duration) -> Placement {
        place(&occupied(sessions), PlacementContext { dialing, dials: 0, waited, before: 0 })
    }

    fn occupied(sessions: &[(Load, usize)]) -> Vec<Occupancy> {
        sessions.iter().map(|&(load, streams)| Occupancy { load, streams }).collect()
    }

    /// So many sessions that each have one connection.
    fn many(load: Load) -> Vec<(Load, usize)> {
        vec![(load, 1); OWN_SESSIONS]
    }

    #[test]
    fn an_idle_session_is_taken_by_who_came_first() {
        let sessions = [(Bulk, 1), (Idle, 0), (Resting, 3), (Idle, 0)];
        for dialing in [Allowed, LimitReached, BackingOff] {
            assert_eq!(at(&sessions, dialing, Duration::ZERO), Take(1));
        }
        let sessions = occupied(&sessions);
        let behind = |before| {
            place(&sessions, PlacementContext { dialing: Allowed, dials: 0, waited: Duration::ZERO, before })
        };
        assert_eq!(behind(1), Take(3));
        assert_eq!(behind(2), Wait { dial: true, at_most: DIAL_PATIENCE });
    }

    #[test]
    fn while_there_are_few_a_dial_is_waited_for_but_not_for_long() {
        let sessions = [(Bulk, 1), (Active, 1), (Resting, 1)];
        assert_eq!(
            at(&sessions, Allowed, REST),
            Wait { dial: true, at_most: DIAL_PATIENCE.saturating_sub(REST) }
        );
        assert_eq!(at(&sessions, Allowed, LATE), Take(2));
        assert_eq!(at(&sessions[..2], Allowed, LATE), Take(1));
        assert_eq!(at(&sessions[..1], Allowed, LATE), Take(0));
    }

    #[test]
    fn of_many_those_at_rest_have_company_first() {
        let mut sessions = many(Active);
        assert_eq!(at(&sessions, Allowed, Duration::ZERO), Wait { dial: false, at_most: REST });
        assert_eq!(
            at(&sessions, Allowed, REST),
            Wait { dial: true, at_most: DIAL_PATIENCE.saturating_sub(REST) }
        );
        // With no other to be had, that is shared which risks least.
        assert_eq!(at(&sessions, LimitReached, REST), Take(0));
        sessions[3] = (Resting, 7);
        sessions[5] = (Resting, 6);
        assert_eq!(at(&sessions, Allowed, Duration::ZERO), Take(5));
        let sessions = many(Bulk);
        assert_eq!(
            at(&sessions, LimitReached, REST),
            Wait { dial: false, at_most: DIAL_PATIENCE.saturating_sub(REST) }
        );
        assert_eq!(at(&sessions, LimitReached, LATE), Take(0));
    }

    #[test]
    fn nobody_comes_to_a_client_that_does_not_read() {
        assert_eq!(at(&many(Stalled), LimitReached, LATE), Wait { dial: false, at_most: AGAIN });
        assert_eq!(at(&many(Stalled), Allowed, LATE), Wait { dial: true, at_most: AGAIN });
        assert_eq!(at(&[(Stalled, 1)], BackingOff, Duration::ZERO), Nowhere);
    }

    #[test]
    fn a_silent_peer_is_waited_for() {
        assert_eq!(
            at(&[(Silent, 1), (Silent, 0)], Allowed, Duration::ZERO),
            Wait { dial: true, at_most: DIAL_PATIENCE }
        );
        assert_eq!(at(&[(Silent, 1), (Idle, 0)], Allowed, Duration::ZERO), Take(1));
        assert_eq!(at(&[(Silent, 1)], BackingOff, LATE), Wait { dial: false, at_most: AGAIN });
        assert_eq!(at(&[(Silent, 1), (Bulk, 1)], BackingOff, LATE), Take(1));
    }

    #[test]
    fn where_a_dial_has_failed_what_is_there_is_shared_at_once() {
        let mut sessions = vec![(Stalled, 1), (Bulk, 1), (Active, 5), (Active, 4), (Resting, 9)];
        for taken in [4, 3, 2, 1] {
            assert_eq!(at(&sessions, BackingOff, Duration::ZERO), Take(taken));
            sessions.remove(taken);
        }
        assert_eq!(at(&sessions, BackingOff, Duration::ZERO), Nowhere);
    }

    #[test]
    fn without_a_session_there_is_only_a_dial_to_wait_for() {
        assert_eq!(at(&[], Allowed, Duration::ZERO), Nowhere);
        for dialing in [Allowed, BackingOff] {
            let context = PlacementContext { dialing, dials: 1, waited: Duration::ZERO, before: 0 };
            assert!(matches!(place(&[], context), Wait { .. }));
        }
    }
}
