//! How long to wait before trying again: exponential, with jitter, in rounds of three (DESIGN §2).
//!
//! Randomness comes in as a number, so that every wait is a pure function.

use std::time::Duration;

/// Attempts in a round, after the one made at once. Three, with the waits below, take about four seconds: an API
/// server behind a load balancer is back by then, and a person has not yet given up.
pub const ATTEMPTS: u32 = 3;

/// The wait before a round's first attempt; each further one waits twice as long.
const FIRST: Duration = Duration::from_millis(500);

/// The cool-down after a first failed round, and the longest (DESIGN §2).
const COOL_DOWN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// How much of a wait is random: a quarter, so that many clients of one cluster come back spread out.
const JITTER: f64 = 0.25;

/// The wait before attempt `attempt` (from 1) of a round. `random` is uniform in 0..1.
pub fn attempt(attempt: u32, random: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(ATTEMPTS);
    jittered(FIRST * 2u32.pow(doublings), random)
}

/// The wait after the `round`th failed round (from 1) in a row.
pub fn cool_down(round: u32, random: f64) -> Duration {
    let doublings = round.saturating_sub(1).min(8);
    jittered((COOL_DOWN.0 * 2u32.pow(doublings)).min(COOL_DOWN.1), random)
}

fn jittered(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER + JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_in_bounds() {
        assert_eq!(attempt(1, 1.0), Duration::from_millis(500));
        assert_eq!(attempt(3, 1.0), Duration::from_secs(2));
        assert_eq!(attempt(2, 0.0), Duration::from_millis(750));
        assert_eq!(cool_down(1, 1.0), Duration::from_secs(5));
        assert_eq!(cool_down(3, 1.0), Duration::from_secs(20));
        assert_eq!(cool_down(u32::MAX, 1.0), Duration::from_secs(30));
    }
}
