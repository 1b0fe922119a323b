//! Every event in words, one line each. kubectl's own line goes to stdout, byte for byte; all others to stderr.

use std::time::Duration;

use owo_colors::Style;

use super::{door::Stream, escape};
use crate::model::{
    endpoint::PodId,
    event::{Event, Gone, Happening, Stop},
};

/// How bad it is. With `--quiet` only errors are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
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
pub struct Line {
    /// Where it goes.
    pub stream: Stream,
    /// How bad it is.
    pub gravity: Gravity,
    /// What it is about, in front of the text; none on stdout, and where it is about no target.
    pub subject: Option<String>,
    /// The text.
    pub text: String,
}

impl Gravity {
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

/// Words an event. Some are for programs only: that a local end is bound says nothing to a person who waits for it to
/// work, nor that everything stops to one who has just asked for that.
pub fn line(event: &Event) -> Option<Line> {
    let (gravity, text) = match &event.what {
        Happening::Started | Happening::Stopped { by: Stop::Exit | Stop::GaveUp { .. } } => return None,
        Happening::Stopped { by: Stop::Asked } => (Gravity::Plain, "stopped".to_owned()),
        Happening::Forwarding { local, pod_port, .. } => {
            return Some(Line {
                stream: Stream::Out,
                gravity: Gravity::Good,
                subject: None,
                text: escape::line(&format!("Forwarding from {local} -> {pod_port}")).into_owned(),
            });
        }
        Happening::OtherPort { wanted, bound } => {
            (Gravity::Plain, format!("local port {wanted} is taken, using {bound}"))
        }
        Happening::Retargeted { from, why, to } => (Gravity::Plain, retargeted(from, *why, to)),
        Happening::Waiting { why, hold } => {
            let meanwhile = match *hold {
                Duration::ZERO => "connections are refused until then".to_owned(),
                hold => format!("connections are held for up to {}", span(hold)),
            };
            (Gravity::Warning, format!("waiting for a ready pod: {why}; {meanwhile}"))
        }
        Happening::Reconnecting { pod, attempt, of, delay, why } => {
            let when = match attempt {
                // At once; the round of announced attempts begins when this one fails.
                0 => "now".to_owned(),
                attempt => format!("attempt {attempt} of {of} in {}", span(*delay)),
            };
            (Gravity::Warning, format!("reconnecting to pod {} ({when}: {why})", pod.name))
        }
        Happening::Recovered { pod } => (Gravity::Good, format!("connected to pod {} again", pod.name)),
        Happening::Lost { why, next } => {
            (Gravity::Error, format!("lost: {why}; trying again in {} at the latest", span(*next)))
        }
        Happening::ConnectionFailed { pod, pod_port, why } => {
            (Gravity::Error, failed(pod.as_ref(), *pod_port, why))
        }
        Happening::Blocked { connections } => (Gravity::Warning, blocked(*connections)),
        Happening::Notice { text } => (Gravity::Plain, text.clone()),
    };
    Some(Line {
        stream: Stream::Err,
        gravity,
        subject: (!event.target.is_empty()).then(|| escape::line(&subject(event)).into_owned()),
        text: escape::line(&text).into_owned(),
    })
}

/// The target, with its ports where the others have nothing to do with it: `svc/api:http,metrics`.
fn subject(event: &Event) -> String {
    let ports: Vec<String> = event.ports.iter().map(ToString::to_string).collect();
    if ports.is_empty() { event.target.clone() } else { format!("{}:{}", event.target, ports.join(",")) }
}

fn retargeted(from: &PodId, why: Gone, to: &PodId) -> String {
    let why = match why {
        Gone::Terminating => "is terminating",
        Gone::Deleted => "is gone",
        Gone::NotReady => "is not ready",
        Gone::NoPort => "lacks the port",
        Gone::Ended => "has ended",
        Gone::Unreachable => "cannot be reached",
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
pub fn span(duration: Duration) -> String {
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

    use jiff::Timestamp;

    use super::*;
    use crate::model::{event::Bound, forward::ForwardId};

    fn pod(name: &str) -> PodId {
        PodId { namespace: "prod".into(), name: name.into(), uid: "u".into() }
    }

    fn worded(what: Happening) -> String {
        let forwards = [ForwardId::from_bits(1)].into();
        let event = Event {
            at: Timestamp::UNIX_EPOCH,
            forwards,
            target: "svc/api".into(),
            ports: vec![],
            label: None,
            what,
        };
        let Some(line) = line(&event) else { return String::new() };
        let stream = if line.stream == Stream::Out { "out " } else { "err " };
        let subject = line.subject.map(|subject| subject + ": ").unwrap_or_default();
        format!("{stream}{subject}{}", line.text)
    }

    #[test]
    fn kubectls_own_line() {
        let of = |local| worded(Happening::Forwarding { local, pod_port: 80, pod: pod("api-x") });
        for (address, expected) in [
            ("127.0.0.1:8080", "out Forwarding from 127.0.0.1:8080 -> 80"),
            ("[::1]:8080", "out Forwarding from [::1]:8080 -> 80"),
            ("[fe80::1%3]:8080", "out Forwarding from [fe80::1]:8080 -> 80"),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(of(Bound::Tcp(address)), expected);
        }
        assert_eq!(of(Bound::Unix("/tmp/a b".into())), "out Forwarding from unix:/tmp/a b -> 80");
    }

    #[test]
    fn everything_else() {
        let half = Duration::from_millis(500);
        let why = || "why".to_owned();
        for (what, expected) in [
            (Happening::OtherPort { wanted: 80, bound: 81 }, "local port 80 is taken, using 81"),
            (
                Happening::Retargeted { from: pod("api-x"), why: Gone::Terminating, to: pod("api-y") },
                "pod api-x is terminating, new connections go to api-y",
            ),
            (
                Happening::Retargeted { from: pod("db-0"), why: Gone::Deleted, to: pod("db-0") },
                "pod db-0 is gone, new connections go to the new one",
            ),
            (
                Happening::Waiting { why: why(), hold: Duration::from_secs(30) },
                "waiting for a ready pod: why; connections are held for up to 30 s",
            ),
            (
                Happening::Waiting { why: why(), hold: Duration::ZERO },
                "waiting for a ready pod: why; connections are refused until then",
            ),
            (
                Happening::Reconnecting { pod: pod("a"), attempt: 1, of: 3, delay: half, why: why() },
                "reconnecting to pod a (attempt 1 of 3 in 0.5 s: why)",
            ),
            (
                Happening::Reconnecting {
                    pod: pod("a"),
                    attempt: 0,
                    of: 3,
                    delay: Duration::ZERO,
                    why: why(),
                },
                "reconnecting to pod a (now: why)",
            ),
            (Happening::Recovered { pod: pod("a") }, "connected to pod a again"),
            (
                Happening::Lost { why: why(), next: Duration::from_secs(5) },
                "lost: why; trying again in 5 s at the latest",
            ),
            (
                Happening::ConnectionFailed { pod: Some(pod("a")), pod_port: Some(80), why: why() },
                "connection to pod a port 80 failed: why",
            ),
            (Happening::ConnectionFailed { pod: None, pod_port: None, why: why() }, "connection failed: why"),
            (
                Happening::Blocked { connections: 1 },
                "1 connection waits for another client of this process, which does not read what it has asked for; it goes on \
                 when that reads or closes",
            ),
            (
                Happening::Blocked { connections: 3 },
                "3 connections wait for another client of this process, which does not read what it has asked for; they go on \
                 when that reads or closes",
            ),
            (Happening::Notice { text: "a\u{1b}b".into() }, "a\\u{1b}b"),
            (Happening::Stopped { by: Stop::Asked }, "stopped"),
        ] {
            assert_eq!(worded(what), format!("err svc/api: {expected}"));
        }
        let exit = Happening::Stopped { by: Stop::Exit };
        for what in [Happening::Started, exit, Happening::Stopped { by: Stop::GaveUp { why: why() } }] {
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
            assert_eq!(span(Duration::from_millis(millis)), expected);
        }
    }
}
