//! Every event in words, one line each. kubectl's own line goes to stdout, byte for byte; all others to stderr.

use std::time::Duration;

use owo_colors::Style;

use super::{escape, output_writer::OutputStream};
use crate::model::{
    endpoint::PodId,
    event::{Event, EventKind, RetargetReason, StopReason},
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

/// Words an event. Some are for programs only: that a local address is bound says nothing to a person who waits for it to
/// work, nor that everything stops to one who has just asked for that.
pub fn line(event: &Event) -> Option<MessageLine> {
    let (severity, text) = match &event.kind {
        EventKind::Started | EventKind::Stopped { by: StopReason::Exit | StopReason::GaveUp { .. } } => {
            return None;
        }
        EventKind::Stopped { by: StopReason::Asked } => (Severity::Plain, "stopped".to_owned()),
        EventKind::Forwarding { local, pod_port, .. } => {
            return Some(MessageLine {
                stream: OutputStream::Out,
                severity: Severity::Good,
                subject: None,
                text: escape::line(&format!("Forwarding from {local} -> {pod_port}")).into_owned(),
            });
        }
        EventKind::OtherPort { wanted, bound } => {
            (Severity::Plain, format!("local port {wanted} is taken, using {bound}"))
        }
        EventKind::Retargeted { from, why, to } => (Severity::Plain, retargeted(from, *why, to)),
        EventKind::Waiting { why, hold } => {
            let meanwhile = match *hold {
                Duration::ZERO => "connections are refused until then".to_owned(),
                hold => format!("connections are held for up to {}", duration_text(hold)),
            };
            (Severity::Warning, format!("waiting for a ready pod: {why}; {meanwhile}"))
        }
        EventKind::Reconnecting { pod, attempt, of, delay, why } => {
            let when = match attempt {
                // At once; the round of announced attempts begins when this one fails.
                0 => "now".to_owned(),
                attempt => format!("attempt {attempt} of {of} in {}", duration_text(*delay)),
            };
            (Severity::Warning, format!("reconnecting to pod {} ({when}: {why})", pod.name))
        }
        EventKind::Recovered { pod } => (Severity::Good, format!("connected to pod {} again", pod.name)),
        EventKind::Lost { why, next } => {
            (Severity::Error, format!("lost: {why}; trying again in {} at the latest", duration_text(*next)))
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
        subject: (!event.target.is_empty()).then(|| escape::line(&subject(event)).into_owned()),
        text: escape::line(&text).into_owned(),
    })
}

/// The target, with its ports where the others have nothing to do with it: `svc/api:http,metrics`.
fn subject(event: &Event) -> String {
    let ports: Vec<String> = event.ports.iter().map(ToString::to_string).collect();
    if ports.is_empty() { event.target.clone() } else { format!("{}:{}", event.target, ports.join(",")) }
}

fn retargeted(from: &PodId, why: RetargetReason, to: &PodId) -> String {
    let why = match why {
        RetargetReason::Terminating => "is terminating",
        RetargetReason::Deleted => "is gone",
        RetargetReason::NotReady => "is not ready",
        RetargetReason::NoPort => "lacks the port",
        RetargetReason::Ended => "has ended",
        RetargetReason::Unreachable => "cannot be reached",
    };
    // A stateful set's pod comes back under its own name.
    let to = if from.name == to.name { "the new one".to_owned() } else { to.name.clone() };
    format!("pod {} {why}, new connections go to {to}", from.name)
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
        "{who} for another client of this process, which does not read what it has asked for; {they} on when that reads or closes"
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
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::model::event::LocalAddress;

    fn pod(name: &str) -> PodId {
        PodId { namespace: "prod".into(), name: name.into(), uid: "u".into() }
    }

    fn worded(what: EventKind) -> String {
        let event = Event::example([1], what);
        let Some(line) = line(&event) else { return String::new() };
        let stream = if line.stream == OutputStream::Out { "out " } else { "err " };
        let subject = line.subject.map(|subject| subject + ": ").unwrap_or_default();
        format!("{stream}{subject}{}", line.text)
    }

    #[test]
    fn kubectls_own_line() {
        let of = |local| worded(EventKind::Forwarding { local, pod_port: 80, pod: pod("api-x") });
        for (address, expected) in [
            ("127.0.0.1:8080", "out Forwarding from 127.0.0.1:8080 -> 80"),
            ("[::1]:8080", "out Forwarding from [::1]:8080 -> 80"),
            ("[fe80::1%3]:8080", "out Forwarding from [fe80::1]:8080 -> 80"),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(of(LocalAddress::Tcp(address)), expected);
        }
        assert_eq!(of(LocalAddress::Unix("/tmp/a b".into())), "out Forwarding from unix:/tmp/a b -> 80");
    }

    #[test]
    fn everything_else() {
        let half = Duration::from_millis(500);
        let why = || "why".to_owned();
        for (what, expected) in [
            (EventKind::OtherPort { wanted: 80, bound: 81 }, "local port 80 is taken, using 81"),
            (
                EventKind::Retargeted {
                    from: pod("api-x"),
                    why: RetargetReason::Terminating,
                    to: pod("api-y"),
                },
                "pod api-x is terminating, new connections go to api-y",
            ),
            (
                EventKind::Retargeted { from: pod("db-0"), why: RetargetReason::Deleted, to: pod("db-0") },
                "pod db-0 is gone, new connections go to the new one",
            ),
            (
                EventKind::Waiting { why: why(), hold: Duration::from_secs(30) },
                "waiting for a ready pod: why; connections are held for up to 30 s",
            ),
            (
                EventKind::Waiting { why: why(), hold: Duration::ZERO },
                "waiting for a ready pod: why; connections are refused until then",
            ),
            (
                EventKind::Reconnecting { pod: pod("a"), attempt: 1, of: 3, delay: half, why: why() },
                "reconnecting to pod a (attempt 1 of 3 in 0.5 s: why)",
            ),
            (
                EventKind::Reconnecting {
                    pod: pod("a"),
                    attempt: 0,
                    of: 3,
                    delay: Duration::ZERO,
                    why: why(),
                },
                "reconnecting to pod a (now: why)",
            ),
            (EventKind::Recovered { pod: pod("a") }, "connected to pod a again"),
            (
                EventKind::Lost { why: why(), next: Duration::from_secs(5) },
                "lost: why; trying again in 5 s at the latest",
            ),
            (
                EventKind::ConnectionFailed { pod: Some(pod("a")), pod_port: Some(80), why: why() },
                "connection to pod a port 80 failed: why",
            ),
            (EventKind::ConnectionFailed { pod: None, pod_port: None, why: why() }, "connection failed: why"),
            (
                EventKind::Blocked { connections: 1 },
                "1 connection waits for another client of this process, which does not read what it has asked for; it goes on \
                 when that reads or closes",
            ),
            (
                EventKind::Blocked { connections: 3 },
                "3 connections wait for another client of this process, which does not read what it has asked for; they go on \
                 when that reads or closes",
            ),
            (EventKind::Notice { text: "a\u{1b}b".into() }, "a\\u{1b}b"),
            (EventKind::Stopped { by: StopReason::Asked }, "stopped"),
        ] {
            assert_eq!(worded(what), format!("err svc/api: {expected}"));
        }
        let exit = EventKind::Stopped { by: StopReason::Exit };
        for what in [EventKind::Started, exit, EventKind::Stopped { by: StopReason::GaveUp { why: why() } }] {
            assert_eq!(worded(what), "");
        }
    }

    #[test]
    fn spans() {
        for (millis, expected) in [
            (500, "0.5 s"),
            (1000, "1 s"),
            (1250, "1.2 s"),
            (30_000, "30 s"),
            (30_500, "30 s"),
            (90_000, "90 s"),
            (150_000, "2 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(duration_text(Duration::from_millis(millis)), expected);
        }
    }
}
