//! The lines at the bottom of a terminal that say what is waited for at the moment. Pure: outages, waits and the time in, lines
//! out.
//!
//! indicatif has such lines too. Its bars draw from a thread of their own, know nothing of the lines that are written above
//! them by the log, and lose the end of a line that is too long, where the time stands.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    color::Styling,
    escape,
    outages::{Outage, OutageState},
    status_line::StatusLine,
    wording::{Severity, duration_text, unreachable_text, whole_seconds},
};
use crate::{
    cluster::wait_notifier::{TerminalUser, Wait},
    model::event::Unreachable,
};

/// How many lines there are at most: what is above them is what a person came for. The rest is counted.
const MAX_LINES: usize = 6;

/// How long a wait may be before it is shown. A line that is gone at once only flickers.
pub const SHOW_AFTER: Duration = Duration::from_secs(1);

/// How often a line changes although nothing happens: it counts seconds.
pub const TICK: Duration = Duration::from_secs(1);

/// What turns in front of a wait, one for each tick. Every terminal can show these.
const SPINNER: [char; 4] = ['-', '\\', '|', '/'];

/// The lines for what is the case now.
pub fn lines(outages: &[Outage], waits: &[Wait], styling: Styling, now: Instant) -> Vec<StatusLine> {
    if waits.iter().any(|wait| wait.user == TerminalUser::Plugin) {
        // It may ask something there.
        return Vec::new();
    }
    let mut waits: Vec<&Wait> = waits.iter().filter(|wait| now >= wait.since + SHOW_AFTER).collect();
    // Targets of one cluster wait for the same server.
    waits.sort_by(|a, b| (&a.what, a.since).cmp(&(&b.what, b.since)));
    waits.dedup_by(|later, first| later.what == first.what);
    waits.sort_by_key(|wait| wait.since);
    let waits = waits.into_iter().map(|wait| wait_line(wait, now));
    let mut lines: Vec<_> =
        waits.chain(outages.iter().map(|outage| outage_line(outage, styling, now))).collect();
    if lines.len() > MAX_LINES {
        let left_out = lines.split_off(MAX_LINES - 1).len();
        lines.push(StatusLine { text: format!("and {left_out} more"), ..StatusLine::default() });
    }
    lines
}

/// When the lines change although nothing happens; `None` while there is nothing to show.
pub fn next_change(outages: &[Outage], waits: &[Wait], now: Instant) -> Option<Instant> {
    let outages = (!outages.is_empty()).then_some(now + TICK);
    let waits = waits.iter().map(|wait| (wait.since + SHOW_AFTER).max(now + TICK)).min();
    outages.into_iter().chain(waits).min()
}

fn wait_line(wait: &Wait, now: Instant) -> StatusLine {
    let waited = whole_seconds(now - wait.since);
    let frame = SPINNER[(waited.as_secs() % SPINNER.len() as u64) as usize];
    StatusLine {
        text: format!("{frame} {}", escape::line(&wait.what)),
        time: format!(", {} so far", duration_text(waited)),
        ..StatusLine::default()
    }
}

fn outage_line(outage: &Outage, styling: Styling, now: Instant) -> StatusLine {
    let pod = outage.pod.as_deref().unwrap_or("it");
    let (severity, text) = match outage.state {
        OutageState::Waiting => (Severity::Warning, "waiting for a ready pod".to_owned()),
        OutageState::Disconnected => (Severity::Warning, format!("connection to pod {pod} lost")),
        OutageState::Retrying => (Severity::Warning, unreachable_text(Unreachable::Pod, Some(pod))),
        OutageState::Lost(unreachable) => (Severity::Error, unreachable_text(unreachable, Some(pod))),
    };
    let left = outage.next.map(|next| next.saturating_duration_since(now).as_secs_f64().ceil());
    let next = match (outage.state, left) {
        (OutageState::Waiting, _) | (_, None) => String::new(),
        (OutageState::Disconnected, _) => ", reconnecting".to_owned(),
        (_, Some(left)) if left < 1.0 => ", retrying now".to_owned(),
        (_, Some(left)) => format!(", retrying in {}", duration_text(Duration::from_secs_f64(left))),
    };
    let lasted = whole_seconds(now - outage.since);
    let lasted = if lasted.is_zero() { String::new() } else { format!(", {} so far", duration_text(lasted)) };
    StatusLine {
        subject: format!("{}:", escape::line(&outage.subject)),
        style: (styling == Styling::Ansi).then(|| severity.style()),
        text: escape::line(&text).into_owned(),
        why: Some(escape::line(&outage.why).into_owned()),
        time: next + &lasted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            endpoint::PodId,
            event::{Event, EventKind},
        },
        ui::outages::Outages,
    };

    fn lost(target: u64, seconds: u64) -> Event {
        let pod = PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        let (unreachable, next) = (Unreachable::Cluster, Duration::from_secs(seconds));
        let kind = EventKind::Lost { pod, unreachable, why: "connection refused".into(), next };
        Event { target: format!("svc/{target}"), ..Event::example([target], kind) }
    }

    fn wait(what: &str, since: Instant) -> Wait {
        Wait { what: what.into(), since, user: TerminalUser::Us }
    }

    fn texts(lines: &[StatusLine], columns: usize) -> Vec<String> {
        lines.iter().map(|line| line.fit(columns)).collect()
    }

    #[test]
    fn what_is_wrong_for_how_long_and_what_comes_next() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outages = Outages::default();
        outages.observe(&lost(1, 30), start);
        for (seconds, expected) in [
            (0, "svc/1: cluster unreachable (connection refused), retrying in 30 s"),
            (18, "svc/1: cluster unreachable (connection refused), retrying in 12 s, 18 s so far"),
            (180, "svc/1: cluster unreachable (connection refused), retrying now, 3 min so far"),
        ] {
            assert_eq!(texts(&lines(outages.open(), &[], Styling::Plain, at(seconds)), 100), [expected]);
        }
        let waiting = EventKind::Waiting { why: "pod a is Pending".into(), hold: Duration::ZERO };
        outages.observe(&Event::example([1], waiting), at(181));
        assert_eq!(
            texts(&lines(outages.open(), &[], Styling::Plain, at(181)), 100),
            ["svc/api: waiting for a ready pod (pod a is Pending), 3 min so far"]
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_the_time() {
        let mut outages = Outages::default();
        let start = Instant::now();
        outages.observe(&lost(1, 30), start);
        let later = start + Duration::from_secs(18);
        let line = &lines(outages.open(), &[], Styling::Plain, later)[0];
        for (columns, expected) in [
            (71, "svc/1: cluster unreachable (connection …), retrying in 12 s, 18 s so f…"),
            (75, "svc/1: cluster unreachable (connection ref…), retrying in 12 s, 18 s so far"),
            (20, "svc/1: cluster unre…"),
            (4, "svc…"),
            (0, ""),
        ] {
            let text = line.fit(columns);
            assert_eq!(text, expected);
        }
        let colored = &lines(outages.open(), &[], Styling::Ansi, later)[0];
        assert_eq!(colored.fit(80).matches('\u{1b}').count(), 2);
    }

    #[test]
    fn forty_targets_take_a_few_lines() {
        let mut outages = Outages::default();
        let now = Instant::now();
        for target in 0..40 {
            outages.observe(&lost(target, 5), now);
        }
        let lines = lines(outages.open(), &[], Styling::Plain, now);
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(texts(&lines, 80)[MAX_LINES - 1], "and 35 more");
    }

    #[test]
    fn waits_are_shown_once_they_are_long() {
        let start = Instant::now();
        let waits = [wait("connecting to https://a", start), wait("connecting to https://a", start)];
        assert_eq!(lines(&[], &waits, Styling::Plain, start), []);
        assert_eq!(next_change(&[], &waits, start), Some(start + SHOW_AFTER));
        let later = start + Duration::from_secs(5);
        assert_eq!(
            texts(&lines(&[], &waits, Styling::Plain, later), 80),
            ["\\ connecting to https://a, 5 s so far"]
        );
        assert_eq!(next_change(&[], &waits, later), Some(later + TICK));
        assert_eq!(next_change(&[], &[], later), None);
    }

    #[test]
    fn a_plugin_has_the_terminal() {
        let now = Instant::now();
        let mut outages = Outages::default();
        outages.observe(&lost(1, 5), now);
        let plugin = Wait { user: TerminalUser::Plugin, ..wait("waiting for a plugin", now) };
        assert_eq!(lines(outages.open(), &[plugin], Styling::Plain, now), []);
    }
}
