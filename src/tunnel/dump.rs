//! What a tunnel looks like at one moment, for a report of a bug. All of it is known anyway: asking for it stops nobody.

use std::time::Duration;

use crate::{policy::placement::Load, spdy::session::SpdySession};

/// Sessions that are told of one tunnel. More of the same tell nothing new.
pub(super) const MAX_SESSIONS_TOLD: usize = 32;

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelDump {
    /// Of sessions.
    Sessions {
        /// The oldest of them, as many as are told.
        sessions: Vec<SessionDump>,
        /// How many there are.
        count: usize,
        /// Dials under way.
        dials: usize,
        /// Connections that wait for a session.
        waiting: usize,
    },
    /// An upgrade for each connection.
    Legacy,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDump {
    /// Since it was made.
    pub age: Duration,
    /// How it is taken.
    pub load: Load,
    /// Streams whose clients have more to say.
    pub streams: usize,
    /// Streams on which an answer is due, or more of a transfer may be.
    pub owed: usize,
    /// Since a byte came.
    pub silent: Duration,
    /// Since something of a stream moved.
    pub rested: Duration,
    /// When it was pinged last.
    pub pinged: PingDump,
}

/// What a driver notes at each ping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PingDump {
    /// Frames that each queue of the peer holds, as far as is proven (PROTOCOL §2.8).
    pub held: [usize; SpdySession::QUEUES],
    /// Bytes that the transport has not taken.
    pub queued: usize,
}
