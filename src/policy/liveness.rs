//! Whether a session still lives (PROTOCOL §8, "Liveness").
//!
//! Nothing on the way says when a peer is gone: a server behind a WebSocket cannot even close while we are silent
//! (§4). So we ping, and take a session that has said nothing at all for three rounds of pings as dead. Any byte counts
//! as life. An application that stops reading swallows the pings of its queue and no others; where it could block the
//! peer's reader after all, and so every echo (§2.7), what is stuck is our own writing, which is not death.

use std::time::Duration;

/// How often a session pings. At most 5 s, so that a close at the far end is noticed soon (§0.8) and idle timeouts of
/// load balancers never strike.
pub const PING_EVERY: Duration = Duration::from_secs(5);

/// Without an inbound byte for this long the session is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// Whether a session is dead that heard nothing for `silence` while its writes were `stuck` or not.
pub fn is_dead(silence: Duration, stuck: bool) -> bool {
    silence >= DEAD_AFTER && !stuck
}
