//! What does not work at the moment, and which news of it are worth a line. Pure: it is told events and the time.
//!
//! An outage lasts from the first event that tells of trouble to the one that tells of its end. Each state that it comes to
//! and each reason is told once. What comes after that is counted, and told by a reminder: after a minute, and then after
//! twice as long each time, up to an hour.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{
    event::{Event, EventKind, Unreachable},
    forward::ForwardId,
};

/// When the first reminder of an outage comes: a person who looks at a log of an hour should find the outage in it, and
/// not lines about it alone.
const FIRST_REMINDER: Duration = Duration::from_secs(60);

/// The longest time between two reminders: a log of a weekend has some fifty of them.
const LONGEST_BETWEEN: Duration = Duration::from_secs(3600);

/// How many different troubles are told of one outage. A reason may have a number in it, and so be a new one each time.
const MAX_TOLD: usize = 8;

/// What an outage is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageState {
    /// No pod is ready.
    Waiting,
    /// The session to the pod is gone, and is made again at once.
    Disconnected,
    /// The pod was not reached; the next attempt of the round follows.
    Retrying,
    /// A round of attempts failed.
    Lost(Unreachable),
}

/// What does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The target, with its ports where it is about some of them.
    pub subject: String,
    forwards: Vec<ForwardId>,
    /// What it is at the moment.
    pub state: OutageState,
    /// The pod, where it is about one.
    pub pod: Option<String>,
    /// The last reason.
    pub why: String,
    /// Since when.
    pub since: Instant,
    /// Attempts that failed.
    pub attempts: u32,
    /// When the next attempt is made at the latest.
    pub next: Option<Instant>,
    told: Vec<(OutageState, String)>,
    reminder: Reminder,
}

/// When the next reminder comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reminder {
    at: Instant,
    after: Duration,
}

/// What an event means to the outages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutageNews {
    /// It is about something else.
    Unrelated,
    /// Trouble that was not told of yet.
    New,
    /// Trouble that is known.
    Known,
    /// The end of this outage.
    Over(Outage),
}

/// The outages of all targets, in the order in which they began.
#[derive(Debug, Default)]
pub struct Outages {
    open: Vec<Outage>,
}

impl Outages {
    /// Takes note of an event.
    pub fn observe(&mut self, event: &Event, now: Instant) -> OutageNews {
        match &event.kind {
            EventKind::Waiting { why, .. } => self.trouble(event, OutageState::Waiting, None, why, None, now),
            EventKind::Reconnecting { pod, attempt, delay, why, .. } => {
                let state = if *attempt == 0 { OutageState::Disconnected } else { OutageState::Retrying };
                self.trouble(event, state, Some(&pod.name), why, Some(now + *delay), now)
            }
            EventKind::Lost { pod, unreachable, why, next } => {
                let state = OutageState::Lost(*unreachable);
                self.trouble(event, state, Some(&pod.name), why, Some(now + *next), now)
            }
            EventKind::Forwarding { .. }
            | EventKind::Recovered { .. }
            | EventKind::Retargeted { .. }
            | EventKind::Stopped { .. } => self.take(event).map_or(OutageNews::Unrelated, OutageNews::Over),
            _ => OutageNews::Unrelated,
        }
    }

    fn trouble(
        &mut self,
        event: &Event,
        state: OutageState,
        pod: Option<&str>,
        why: &str,
        next: Option<Instant>,
        now: Instant,
    ) -> OutageNews {
        let mut outage = self.take(event).unwrap_or_else(|| Outage::begin(now));
        outage.subject = event.subject();
        outage.forwards = event.forwards.to_vec();
        (outage.state, outage.next) = (state, next);
        (outage.pod, outage.why) = (pod.map(str::to_owned), why.to_owned());
        if matches!(state, OutageState::Retrying | OutageState::Lost(_)) {
            outage.attempts += 1;
        }
        let is_new = outage.tell();
        self.open.push(outage);
        self.open.sort_by_key(|outage| outage.since);
        if is_new { OutageNews::New } else { OutageNews::Known }
    }

    /// Takes the forwards of an event out of the outages that they are in, and returns what they were in. Ports of a target
    /// may part during an outage, and are out of order apart from then on.
    fn take(&mut self, event: &Event) -> Option<Outage> {
        let mut taken = None;
        for outage in &mut self.open {
            if outage.forwards.iter().any(|id| event.forwards.contains(id)) {
                taken.get_or_insert_with(|| outage.clone());
                outage.forwards.retain(|id| !event.forwards.contains(id));
            }
        }
        self.open.retain(|outage| !outage.forwards.is_empty());
        taken
    }

    /// What does not work, the oldest first.
    pub fn open(&self) -> &[Outage] {
        &self.open
    }

    /// When the next reminder is due.
    pub fn due(&self) -> Option<Instant> {
        self.open.iter().map(|outage| outage.reminder.at).min()
    }

    /// The outages that a reminder is due of by now.
    pub fn overdue(&mut self, now: Instant) -> Vec<Outage> {
        let due = |outage: &&mut Outage| outage.reminder.at <= now;
        self.open
            .iter_mut()
            .filter(due)
            .map(|outage| {
                outage.reminder.after = (outage.reminder.after * 2).min(LONGEST_BETWEEN);
                outage.reminder.at = now + outage.reminder.after;
                outage.clone()
            })
            .collect()
    }
}

impl Outage {
    fn begin(now: Instant) -> Self {
        Self {
            subject: String::new(),
            forwards: Vec::new(),
            state: OutageState::Waiting,
            pod: None,
            why: String::new(),
            since: now,
            attempts: 0,
            next: None,
            told: Vec::new(),
            reminder: Reminder { at: now + FIRST_REMINDER, after: FIRST_REMINDER },
        }
    }

    /// Whether what it is now was not told of it yet; then it counts as told.
    fn tell(&mut self) -> bool {
        let now = (self.state, self.why.clone());
        if self.told.contains(&now) || self.told.len() >= MAX_TOLD {
            return false;
        }
        self.told.push(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoint::PodId;

    fn pod() -> PodId {
        PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() }
    }

    fn attempt(attempt: u32, why: &str) -> EventKind {
        EventKind::Reconnecting { pod: pod(), attempt, of: 3, delay: Duration::ZERO, why: why.into() }
    }

    fn lost(why: &str) -> EventKind {
        let (unreachable, next) = (Unreachable::Cluster, Duration::from_secs(5));
        EventKind::Lost { pod: pod(), unreachable, why: why.into(), next }
    }

    fn recovered() -> EventKind {
        EventKind::Recovered { pod: pod() }
    }

    #[test]
    fn each_trouble_is_told_once() {
        let now = Instant::now();
        let mut outages = Outages::default();
        let mut news = |kind, ids: &[u64]| outages.observe(&Event::example(ids.iter().copied(), kind), now);
        for (kind, expected) in [
            (recovered(), OutageNews::Unrelated),
            (attempt(0, "closed"), OutageNews::New),
            (attempt(1, "refused"), OutageNews::New),
            (attempt(2, "refused"), OutageNews::Known),
            (lost("refused"), OutageNews::New),
            (attempt(1, "refused"), OutageNews::Known),
            (lost("refused"), OutageNews::Known),
            (lost("expired"), OutageNews::New),
            (lost("refused"), OutageNews::Known),
        ] {
            assert_eq!(news(kind, &[1]), expected);
        }
        let OutageNews::Over(outage) = news(recovered(), &[1]) else { panic!("it is not over") };
        assert_eq!(
            (outage.attempts, outage.why.as_str(), outage.subject.as_str()),
            (7, "refused", "svc/api")
        );
        assert_eq!(news(attempt(0, "closed"), &[1]), OutageNews::New, "another outage is news");
        for number in 0..100 {
            news(lost(&number.to_string()), &[1]);
        }
        assert_eq!(news(lost("and another"), &[1]), OutageNews::Known);
    }

    #[test]
    fn ports_may_part_and_end_apart() {
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        let mut outages = Outages::default();
        outages.observe(&Event::example([1, 2], lost("a")), now);
        outages.observe(&Event::example([2], lost("b")), later);
        let open: Vec<_> = outages.open().iter().map(|one| (one.forwards.len(), one.since)).collect();
        assert_eq!(open, [(1, now), (1, now)]);
        for id in [1, 2] {
            let over = outages.observe(&Event::example([id], recovered()), later);
            assert!(matches!(over, OutageNews::Over(_)), "{over:?}");
        }
        assert_eq!((outages.open(), outages.due()), (&[][..], None));
    }

    #[test]
    fn reminders_come_ever_more_seldom() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut outages = Outages::default();
        outages.observe(&Event::example([1], lost("a")), start);
        let mut minutes = Vec::new();
        for minute in 0..=48 * 60 {
            // As attempts go on all the time.
            outages.observe(&Event::example([1], lost("a")), at(minute));
            if !outages.overdue(at(minute)).is_empty() {
                minutes.push(minute);
            }
        }
        assert_eq!(minutes[..8], [1, 3, 7, 15, 31, 63, 123, 183]);
        assert_eq!(minutes.len(), 6 + 46, "{minutes:?}");
    }
}
