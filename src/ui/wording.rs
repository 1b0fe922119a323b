//! Every event in words, one line each. kubectl's own line goes to stdout, byte for byte; all others to stderr.

use std::time::Duration;

use owo_colors::Style;

use tokio::time::Instant;

use super::{
    StdoutReader, escape,
    known::KnownForwards,
    outages::{Outage, OutageState},
    output_writer::OutputStream,
};
use crate::model::{
    endpoint::PodId,
    event::{Event, EventKind, RetargetReason, StopReason, Unreachable},
};

/// How bad it is. With `--quiet` only errors are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// Good to know.
    Plain,
    /// Not working for the moment, and being seen to.
    Warning,
    /// Something failed.
    Error,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageLine {
    /// Where it goes.
    pub stream: OutputStream,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, in front of the text; none on stdout, and where it is about no target.
    pub subject: Option<String>,
    /// The text.
    pub text: String,
}

impl Severity {
    /// The colour of what a line is about.
    pub fn style(self) -> Style {
        match self {
            Self::Good => Style::new().green(),
            Self::Plain => Style::new().bold(),
            Self::Warning => Style::new().yellow(),
            Self::Error => Style::new().red(),
        }
    }
}

/// What a line may say beside what is in the event.
#[derive(Debug, Clone, Copy)]
pub struct EventContext<'a> {
    /// The outage that the event ends.
    pub ended: Option<&'a Outage>,
    /// Whether the reader has a line of that outage already.
    pub outage_told: OutageTold,
    /// The forwards before the event.
    pub known: &'a KnownForwards,
    /// Who reads kubectl's lines.
    pub stdout: StdoutReader,
    /// When the event is told.
    pub now: Instant,
}

/// Whether there was a line of an outage before the one of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageTold {
    /// There was: its reason is known.
    Yes,
    /// There was a status line that is gone: the line of the end says the reason.
    No,
}

/// How bad an event is. None where there is no line of it.
pub fn severity(event: &Event) -> Option<Severity> {
    let (known, now, stdout) = (&KnownForwards::default(), Instant::now(), StdoutReader::Program);
    let context = EventContext { ended: None, outage_told: OutageTold::Yes, known, stdout, now };
    line(event, context).map(|line| line.severity)
}

/// Words an event. Some are for programs only: that a local address is bound says nothing to a person who waits for it to
/// work, nor that everything stops to one who has just asked for that.
pub fn line(event: &Event, context: EventContext<'_>) -> Option<MessageLine> {
    let (severity, text) = match &event.kind {
        EventKind::Started | EventKind::Stopped { by: StopReason::Exit | StopReason::GaveUp { .. } } => {
            return None;
        }
        EventKind::Stopped { by: StopReason::Asked } => {
            let local = event.forwards.first().and_then(|id| context.known.local(*id));
            let local = local.map(|local| format!(" ({local})")).unwrap_or_default();
            return Some(MessageLine {
                stream: OutputStream::Err,
                severity: Severity::Plain,
                subject: None,
                text: escape::line(&format!("{}{local} stopped", event.subject())).into_owned(),
            });
        }
        EventKind::Forwarding { local, pod_port, .. } => {
            let names_target = context.stdout == StdoutReader::Person && context.known.of_several_targets();
            let target = if names_target { format!(" ({})", event.target) } else { String::new() };
            return Some(MessageLine {
                stream: OutputStream::Out,
                severity: Severity::Good,
                subject: None,
                text: escape::line(&format!("Forwarding from {local} -> {pod_port}{target}")).into_owned(),
            });
        }
        EventKind::OtherPort { wanted, bound } => {
            (Severity::Plain, format!("local port {wanted} is taken, using {bound}"))
        }
        EventKind::Retargeted { from, why, to } => (Severity::Plain, retargeted(from, *why, to, context)),
        EventKind::Waiting { why, hold } => {
            let meanwhile = match *hold {
                Duration::ZERO => "connections are refused until then".to_owned(),
                hold => format!("connections are held for up to {}", duration_text(hold)),
            };
            (Severity::Warning, format!("waiting for a ready pod ({why}), {meanwhile}"))
        }
        EventKind::Reconnecting { pod, attempt, of, delay, why } => {
            let text = match attempt {
                // At once; the round of announced attempts begins when this one fails.
                0 => format!("connection to pod {} lost ({why}), reconnecting", pod.name),
                attempt => {
                    let delay = duration_text(*delay);
                    format!("cannot reach pod {} ({why}), attempt {attempt} of {of} in {delay}", pod.name)
                }
            };
            (Severity::Warning, text)
        }
        EventKind::Recovered { pod } => (Severity::Good, recovered(&pod.name, context)),
        EventKind::Lost { pod, unreachable, why, next } => {
            let what = unreachable_text(*unreachable, Some(&pod.name));
            (Severity::Error, format!("{what} ({why}), retrying within {}", duration_text(*next)))
        }
        EventKind::ConnectionFailed { pod, pod_port, why } => {
            (Severity::Error, failed(pod.as_ref(), *pod_port, why))
        }
        EventKind::Blocked { connections } => (Severity::Warning, blocked(*connections)),
        EventKind::Notice { text } => (Severity::Plain, text.clone()),
    };
    Some(MessageLine {
        stream: OutputStream::Err,
        severity,
        subject: (!event.target.is_empty()).then(|| escape::line(&event.subject()).into_owned()),
        text: escape::line(&text).into_owned(),
    })
}

/// The line of an outage that goes on.
pub fn reminder(outage: &Outage, now: Instant) -> MessageLine {
    let (why, lasted) = (&outage.why, duration_text(whole_seconds(now - outage.since)));
    let (severity, text) = match outage.state {
        OutageState::Waiting => {
            (Severity::Warning, format!("still waiting for a ready pod ({why}), {lasted} so far"))
        }
        state => {
            let what = match state {
                OutageState::Lost(unreachable) => unreachable_text(unreachable, outage.pod.as_deref()),
                _ => unreachable_text(Unreachable::Pod, outage.pod.as_deref()),
            };
            let attempts = match outage.attempts {
                1 => "1 attempt".to_owned(),
                many => format!("{many} attempts"),
            };
            let next = match outage.next.map(|next| whole_seconds(next.saturating_duration_since(now))) {
                None | Some(Duration::ZERO) => "retrying now".to_owned(),
                Some(left) => format!("retrying within {}", duration_text(left)),
            };
            (Severity::Error, format!("{what} for {lasted} now ({why}), {attempts} failed, {next}"))
        }
    };
    MessageLine {
        stream: OutputStream::Err,
        severity,
        subject: Some(escape::line(&outage.subject).into_owned()),
        text: escape::line(&text).into_owned(),
    }
}

/// What cannot be reached, in words.
pub(super) fn unreachable_text(unreachable: Unreachable, pod: Option<&str>) -> String {
    match (unreachable, pod) {
        (Unreachable::Pod, Some(pod)) => format!("pod {pod} unreachable"),
        (Unreachable::Pod, None) => "pod unreachable".to_owned(),
        (Unreachable::Cluster, _) => "cluster unreachable".to_owned(),
    }
}

/// Without what is less than a second.
pub(super) fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn recovered(pod: &str, context: EventContext<'_>) -> String {
    let text = match context.ended.map(|outage| outage.state) {
        Some(OutageState::Waiting) => format!("ready again, now using pod {pod}"),
        _ => format!("connected to pod {pod} again"),
    };
    text + &aftermath(context)
}

/// How long the outage was that is over, and its reason where that was not told.
fn aftermath(context: EventContext<'_>) -> String {
    let Some(outage) = context.ended else { return String::new() };
    let lasted = whole_seconds(context.now - outage.since);
    let after = if lasted.is_zero() { String::new() } else { format!(" after {}", duration_text(lasted)) };
    match context.outage_told {
        OutageTold::Yes => after,
        OutageTold::No => format!("{after} ({})", outage.why),
    }
}

fn retargeted(from: &PodId, why: RetargetReason, to: &PodId, context: EventContext<'_>) -> String {
    if context.ended.is_some_and(|outage| outage.state == OutageState::Waiting) {
        // A stateful set's pod comes back under its own name.
        let new = if from.name == to.name { "the new " } else { "" };
        return format!("ready again, now using {new}pod {}{}", to.name, aftermath(context));
    }
    if why == RetargetReason::Requested {
        return format!(
            "new connections go to pod {}, as requested, and no longer to {}",
            to.name, from.name
        );
    }
    let why = match why {
        RetargetReason::Terminating => "is terminating",
        RetargetReason::Deleted => "is gone",
        RetargetReason::NotReady => "is not ready",
        RetargetReason::NoPort => "lacks the port",
        RetargetReason::Ended => "has ended",
        RetargetReason::Unselected => "is not selected any more",
        RetargetReason::Unreachable | RetargetReason::Requested => "cannot be reached",
    };
    // A stateful set's pod comes back under its own name.
    let to = if from.name == to.name { "the new one".to_owned() } else { to.name.clone() };
    let outage = aftermath(context);
    let outage = if outage.is_empty() { outage } else { format!(", reconnected{outage}") };
    format!("pod {} {why}, new connections go to {to}{outage}", from.name)
}

fn failed(pod: Option<&PodId>, port: Option<u16>, why: &str) -> String {
    let pod = pod.map(|pod| format!(" to pod {}", pod.name)).unwrap_or_default();
    let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
    format!("connection{pod}{port} failed: {why}")
}

fn blocked(connections: u64) -> String {
    let (who, they) = match connections {
        1 => ("1 connection waits".to_owned(), "it goes"),
        more => (format!("{more} connections wait"), "they go"),
    };
    format!(
        "{who} for a client of this forward that has stopped reading its download; {they} on when that client reads or \
         closes"
    )
}

/// A duration as a person says it: `0.5 s`, `30 s`, `2 min`.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 if duration.subsec_millis() >= 50 => format!("{:.1} s", duration.as_secs_f64()),
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200.. => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
#[path = "wording_tests.rs"]
mod tests;
