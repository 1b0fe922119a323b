//! How often the request of one connection is sent again after the connection to the pod was lost under it
//! (`--retry safe-http`).

use std::time::Duration;

use tokio::time::Instant;

/// Times that one request is sent again. A restart takes one: those of the API server, the kubelet and the runtime one
/// after another take three, and one more is for a session that was made while the server was going. A request that itself
/// brings down what it passes through must have an end.
pub(super) const MAX_RESENDS: u32 = 4;

/// What one connection has had of them.
#[derive(Debug, Default)]
pub(super) struct Resends {
    count: u32,
    first_loss: Option<Instant>,
}

impl Resends {
    /// Counts one more, `now` that the connection to the pod was lost, if that is allowed: the last one begins no later than
    /// `hold` after the first loss, as no connection waits for a pod for longer.
    pub(super) fn allow(&mut self, now: Instant, hold: Duration) -> bool {
        let first = *self.first_loss.get_or_insert(now);
        let allowed = self.count < MAX_RESENDS && now.duration_since(first) <= hold;
        self.count += u32::from(allowed);
        allowed
    }

    /// How often it was sent again.
    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_often_and_for_so_long() {
        let (now, hold) = (Instant::now(), Duration::from_secs(30));
        let mut resends = Resends::default();
        let allowed = (0..MAX_RESENDS + 3).filter(|_| resends.allow(now, hold)).count();
        assert_eq!((allowed, resends.count()), (MAX_RESENDS as usize, MAX_RESENDS));
        // The time counts from the first loss on, however long the request had been under way before it.
        let mut resends = Resends::default();
        assert!(resends.allow(now, hold) && resends.allow(now + hold, hold));
        assert!(!resends.allow(now + hold + Duration::from_millis(1), hold));
        assert_eq!(resends.count(), 2);
    }
}
