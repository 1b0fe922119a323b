//! How long to wait before trying again: exponential, with jitter. Pods are dialled in rounds of three attempts (DESIGN §2).
//!
//! Randomness comes in as a number, so that every wait is a pure function.

use std::time::Duration;

/// Attempts in a round, after the one made at once. Three, with the waits below, take about four seconds: an API
/// server behind a load balancer is back by then, and a person has not yet given up.
pub const ATTEMPTS: u32 = 3;

/// How much of a wait is random: a quarter, so that many clients of one cluster come back spread out.
const JITTER: f64 = 0.25;

/// The waits before the attempts of a round.
pub const ATTEMPT: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(4), jitter: JITTER };

/// The cool-downs after failed rounds in a row (DESIGN §2).
pub const COOL_DOWN: Backoff =
    Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(30), jitter: JITTER };

/// Waits that double.
///
/// The crate `backon` has the same as iterators that draw their jitter themselves; here the count is the caller's, who
/// tells it, and randomness comes in.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
    /// How much of a wait is random: from 0, none of it, to 1, all of it.
    pub jitter: f64,
}

impl Backoff {
    /// The `nth` wait (from 1). `random` is uniform in 0..1; the longest wait is the one at 1.
    pub fn wait(&self, nth: u32, random: f64) -> Duration {
        let factor = 2u32.saturating_pow(nth.saturating_sub(1));
        let full = self.first.saturating_mul(factor).min(self.longest);
        full.mul_f64(1.0 - self.jitter + self.jitter * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_in_bounds() {
        assert_eq!(ATTEMPT.wait(1, 1.0), Duration::from_millis(500));
        assert_eq!(ATTEMPT.wait(3, 1.0), Duration::from_secs(2));
        assert_eq!(ATTEMPT.wait(2, 0.0), Duration::from_millis(750));
        assert_eq!(COOL_DOWN.wait(1, 1.0), Duration::from_secs(5));
        assert_eq!(COOL_DOWN.wait(3, 1.0), Duration::from_secs(20));
        assert_eq!(COOL_DOWN.wait(u32::MAX, 1.0), Duration::from_secs(30));
        let steady = Backoff { jitter: 0.0, ..COOL_DOWN };
        assert_eq!((steady.wait(0, 0.0), steady.wait(2, 0.0)), (steady.first, Duration::from_secs(10)));
    }
}
