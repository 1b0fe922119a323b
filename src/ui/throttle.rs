//! Keeps a failing target from flooding the terminal. Pure: it is told the time.
//!
//! A target's failures get one line a second at most. What comes faster is counted, and the count goes out with the
//! last of them once the second is over, or before the target has anything else to say.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// One line a second is slow enough to read and fast enough to follow.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What to say when a second is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBackLine {
    /// The target.
    pub target: String,
    /// The text, with the count.
    pub text: String,
}

#[derive(Debug)]
struct ThrottledTarget {
    /// When its last line went out.
    said: Instant,
    /// That line.
    last_said: String,
    /// What came since, and how often.
    left_out: u32,
    /// The newest of those.
    newest: String,
    /// Whether those are all the same as the line that went out.
    same: bool,
}

/// The failures of all targets.
#[derive(Debug, Default)]
pub struct Throttle {
    targets: HashMap<String, ThrottledTarget>,
}

impl Throttle {
    /// Whether this failure may be said now; if not it is counted.
    pub fn admit(&mut self, target: &str, text: &str, now: Instant) -> bool {
        if let Some(held) = self.targets.get_mut(target)
            && (now < held.said + INTERVAL || held.left_out > 0)
        {
            held.same = (held.left_out == 0 || held.same) && text == held.last_said;
            held.left_out += 1;
            text.clone_into(&mut held.newest);
            return false;
        }
        let fresh = ThrottledTarget {
            said: now,
            last_said: text.to_owned(),
            left_out: 0,
            newest: String::new(),
            same: true,
        };
        self.targets.insert(target.to_owned(), fresh);
        true
    }

    /// When something counted is due to be said; `None` while there is nothing, so that an idle process sleeps.
    pub fn due(&self) -> Option<Instant> {
        self.targets.values().filter(|held| held.left_out > 0).map(|held| held.said + INTERVAL).min()
    }

    /// What is due by now.
    pub fn overdue(&mut self, now: Instant) -> Vec<HeldBackLine> {
        let mut out: Vec<_> = self
            .targets
            .iter_mut()
            .filter(|(_, held)| now >= held.said + INTERVAL)
            .filter_map(|(target, held)| held.flush(target, now))
            .collect();
        self.targets.retain(|_, held| now < held.said + INTERVAL);
        out.sort_by(|a, b| a.target.cmp(&b.target));
        out
    }

    /// What was counted of one target, due or not: it goes before anything else about that target.
    pub fn flush(&mut self, target: &str, now: Instant) -> Option<HeldBackLine> {
        self.targets.get_mut(target).and_then(|held| held.flush(target, now))
    }

    /// What was counted of all, at the end.
    pub fn flush_all(&mut self, now: Instant) -> Vec<HeldBackLine> {
        let mut out: Vec<_> =
            self.targets.iter_mut().filter_map(|(target, held)| held.flush(target, now)).collect();
        out.sort_by(|a, b| a.target.cmp(&b.target));
        out
    }
}

impl ThrottledTarget {
    fn flush(&mut self, target: &str, now: Instant) -> Option<HeldBackLine> {
        let text = match (self.left_out, self.same) {
            (0, _) => return None,
            (count, true) => format!("{} ({count} more like it)", self.last_said),
            (1, false) => self.newest.clone(),
            (2, false) => format!("{} (and 1 other)", self.newest),
            (count, false) => format!("{} (and {} others)", self.newest, count - 1),
        };
        self.last_said = std::mem::take(&mut self.newest);
        (self.left_out, self.same, self.said) = (0, true, now);
        Some(HeldBackLine { target: target.to_owned(), text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(overdue: &[HeldBackLine]) -> Vec<&str> {
        overdue.iter().map(|one| one.text.as_str()).collect()
    }

    #[test]
    fn one_line_a_second() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut throttle = Throttle::default();
        assert!(throttle.admit("a", "refused", at(0)));
        assert_eq!(throttle.due(), None);
        for millis in [1, 2, 3] {
            assert!(!throttle.admit("a", "refused", at(millis)));
        }
        assert!(throttle.admit("b", "refused", at(4)), "another target has a pace of its own");
        assert_eq!(throttle.due(), Some(at(1000)));
        assert_eq!(throttle.overdue(at(999)), []);
        assert_eq!(texts(&throttle.overdue(at(1000))), ["refused (3 more like it)"]);
        assert!(!throttle.admit("a", "refused", at(1500)), "the count was a line as well");
        assert_eq!(texts(&throttle.overdue(at(2000))), ["refused (1 more like it)"]);
        assert!(throttle.overdue(at(3000)).is_empty());
        assert!(throttle.admit("a", "refused", at(3001)));
    }

    #[test]
    fn different_failures() {
        let now = Instant::now();
        let mut throttle = Throttle::default();
        assert!(throttle.admit("a", "one", now));
        assert!(!throttle.admit("a", "two", now));
        assert_eq!(throttle.flush("a", now).map(|one| one.text), Some("two".to_owned()));
        assert!(!throttle.admit("a", "two", now));
        assert!(!throttle.admit("a", "three", now));
        assert_eq!(texts(&throttle.flush_all(now)), ["three (and 1 other)"]);
        assert_eq!(throttle.flush("a", now), None);
    }
}
