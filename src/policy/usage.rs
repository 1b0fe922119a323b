//! Which targets a person uses: what was forwarded before, how often and when last, and how much that says now.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Targets that are remembered. A person has a few dozen; of more the least used are forgotten.
pub const MAX_USED: usize = 200;

/// After how long a use says half as much: what one works on changes by the week.
const HALF_LIFE_SECONDS: f64 = 7.0 * 24.0 * 3600.0;

/// A target that was forwarded to, and the port of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedTarget {
    /// The context of the kubeconfig, where one was used.
    pub context: Option<String>,
    /// Where the object is.
    pub namespace: String,
    /// The target in one word, `svc/api`.
    pub target: String,
    /// The port, as it was asked for.
    pub port: String,
    /// How often.
    pub count: u32,
    /// When last.
    pub last: Timestamp,
}

impl UsedTarget {
    /// How much it is used now: the number of times, half as much for each week since the last.
    pub fn weight(&self, now: Timestamp) -> f64 {
        let age = now.duration_since(self.last).as_secs_f64().max(0.0);
        f64::from(self.count) * (-age / HALF_LIFE_SECONDS).exp2()
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.context, &self.namespace, &self.target, &self.port)
            == (&other.context, &other.namespace, &other.target, &other.port)
    }
}

/// Counts one more use, and keeps the most used [`MAX_USED`].
pub fn note(used: &mut Vec<UsedTarget>, new: UsedTarget) {
    let now = new.last;
    match used.iter_mut().find(|one| one.is_same(&new)) {
        Some(known) => {
            known.count = known.count.saturating_add(1);
            known.last = known.last.max(now);
        }
        None => used.push(new),
    }
    if used.len() > MAX_USED {
        // A new one is used least, and is what its user works on now.
        let (rest, newest) = used.split_at_mut(MAX_USED);
        let least = rest.iter_mut().min_by(|one, other| one.weight(now).total_cmp(&other.weight(now)));
        if let (Some(least), Some(newest)) = (least, newest.first_mut()) {
            std::mem::swap(least, newest);
        }
        used.truncate(MAX_USED);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn used(target: &str, last: Timestamp) -> UsedTarget {
        let (context, namespace) = (None, "shop".to_owned());
        UsedTarget { context, namespace, target: target.to_owned(), port: "80".to_owned(), count: 1, last }
    }

    #[test]
    fn often_and_lately() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000);
        let weeks = |count: i64| now - SignedDuration::from_hours(count * 7 * 24);
        let mut all = Vec::new();
        for _ in 0..4 {
            note(&mut all, used("svc/old", weeks(3)));
        }
        note(&mut all, used("svc/new", now));
        assert_eq!((all.len(), all[0].count), (2, 4));
        assert!((all[0].weight(now) - 0.5).abs() < 1e-9 && all[1].weight(now) > all[0].weight(now));
        // A clock that was set back makes nothing of it.
        assert!((used("svc/x", now).weight(weeks(1)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_least_used_is_forgotten() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(10_000);
        let mut all = Vec::new();
        for number in 0..MAX_USED {
            note(
                &mut all,
                used(
                    &format!("svc/{number}"),
                    now - SignedDuration::from_hours(i64::try_from(number).unwrap()),
                ),
            );
        }
        note(&mut all, used("svc/new", now));
        assert_eq!(all.len(), MAX_USED);
        assert!(all.iter().any(|one| one.target == "svc/new"));
        assert!(!all.iter().any(|one| one.target == format!("svc/{}", MAX_USED - 1)));
    }
}
