//! Events as programs read them: one JSON object each, about one forward. The names are a contract (docs/CONTROL.md):
//! fields and events may be added, none renamed or removed.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    event::{Event, EventKind, LocalAddress, RetargetReason, StopReason},
    forward::ForwardId,
};

/// One event of one forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventMessage<'a> {
    /// When, RFC 3339.
    pub at: Timestamp,
    /// Which forward.
    pub id: ForwardId,
    /// Its target, `svc/api`.
    pub target: &'a str,
    /// What the user calls it.
    pub label: Option<&'a str>,
    /// What happened: the field `event`, and what goes with it.
    #[serde(flatten)]
    pub what: EventPayload<'a>,
}

/// What happened. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "docs/CONTROL.md tells each; they are what `EventKind` has")]
pub enum EventPayload<'a> {
    Started,
    Active { local: String, local_port: Option<u16>, pod: &'a str, pod_port: u16 },
    Retargeted { from: &'a str, why: &'static str, pod: &'a str },
    Waiting { why: &'a str, hold_ms: u64 },
    Reconnecting { pod: &'a str, attempt: u32, of: u32, delay_ms: u64, why: &'a str },
    Recovered { pod: &'a str },
    Lost { why: &'a str, next_ms: u64 },
    ConnectionFailed { pod: Option<&'a str>, pod_port: Option<u16>, why: &'a str },
    Blocked { connections: u64 },
    Stopped { by: &'static str, why: Option<&'a str> },
    Notice { text: String },
}

/// An event as it is told to programs: once for each forward that it is about.
pub fn of(event: &Event) -> Vec<EventMessage<'_>> {
    let what = what(&event.kind);
    let of = |id: &ForwardId| EventMessage {
        at: event.at,
        id: *id,
        target: &event.target,
        label: event.label.as_deref(),
        what: what.clone(),
    };
    event.forwards.iter().map(of).collect()
}

fn what(what: &EventKind) -> EventPayload<'_> {
    let millis = |duration: std::time::Duration| duration.as_millis() as u64;
    match what {
        EventKind::Started => EventPayload::Started,
        EventKind::Forwarding { local, pod_port, pod } => {
            let local_port = match local {
                LocalAddress::Tcp(address) => Some(address.port()),
                LocalAddress::Unix(_) => None,
            };
            EventPayload::Active { local: local.to_string(), local_port, pod: &pod.name, pod_port: *pod_port }
        }
        EventKind::OtherPort { wanted, bound } => {
            EventPayload::Notice { text: format!("local port {wanted} is taken, using {bound}") }
        }
        EventKind::Retargeted { from, why, to } => {
            let why = match why {
                RetargetReason::Terminating => "terminating",
                RetargetReason::Deleted => "deleted",
                RetargetReason::NotReady => "not ready",
                RetargetReason::NoPort => "no port",
                RetargetReason::Ended => "ended",
                RetargetReason::Unselected => "not selected",
                RetargetReason::Unreachable => "unreachable",
                RetargetReason::Requested => "requested",
            };
            EventPayload::Retargeted { from: &from.name, why, pod: &to.name }
        }
        EventKind::Waiting { why, hold } => EventPayload::Waiting { why, hold_ms: millis(*hold) },
        EventKind::Reconnecting { pod, attempt, of, delay, why } => EventPayload::Reconnecting {
            pod: &pod.name,
            attempt: *attempt,
            of: *of,
            delay_ms: millis(*delay),
            why,
        },
        EventKind::Recovered { pod } => EventPayload::Recovered { pod: &pod.name },
        EventKind::Lost { why, next, .. } => EventPayload::Lost { why, next_ms: millis(*next) },
        EventKind::ConnectionFailed { pod, pod_port, why } => EventPayload::ConnectionFailed {
            pod: pod.as_ref().map(|pod| pod.name.as_str()),
            pod_port: *pod_port,
            why,
        },
        EventKind::Blocked { connections } => EventPayload::Blocked { connections: *connections },
        EventKind::Stopped { by } => {
            let (by, why) = match by {
                StopReason::Asked => ("request", None),
                StopReason::Exit => ("exit", None),
                StopReason::GaveUp { why } => ("error", Some(why.as_str())),
            };
            EventPayload::Stopped { by, why }
        }
        EventKind::Notice { text } => EventPayload::Notice { text: text.clone() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::{endpoint::PodId, event::Unreachable};

    fn told(what: EventKind) -> Value {
        let event = Event::example([0, 1], what);
        let mut all = serde_json::to_value(of(&event)).unwrap();
        assert_eq!((&all[0]["id"], &all[1]["id"]), (&json!("aaaaaa"), &json!("baaaaa")));
        let mut first = all[0].take();
        assert_eq!((&first["at"], &first["target"]), (&json!("1970-01-01T00:00:00Z"), &json!("svc/api")));
        for common in ["at", "id", "target", "label"] {
            first.as_object_mut().unwrap().remove(common);
        }
        first
    }

    /// Other programs are built on exactly this.
    #[test]
    fn every_event() {
        let pod = |name: &str| PodId { namespace: "n".into(), name: name.into(), uid: "u".into() };
        let (why, second) = (|| "w".to_owned(), Duration::from_secs(1));
        let local = |local: &str| LocalAddress::Tcp(local.parse().unwrap());
        for (what, expected) in [
            (EventKind::Started, json!({ "event": "started" })),
            (
                EventKind::Forwarding { local: local("[::1]:80"), pod_port: 8, pod: pod("a") },
                json!({ "event": "active", "local": "[::1]:80", "localPort": 80, "pod": "a", "podPort": 8 }),
            ),
            (
                EventKind::Forwarding { local: LocalAddress::Unix("/s".into()), pod_port: 8, pod: pod("a") },
                json!({ "event": "active", "local": "unix:/s", "localPort": null, "pod": "a", "podPort": 8 }),
            ),
            (
                EventKind::OtherPort { wanted: 1, bound: 2 },
                json!({ "event": "notice", "text": "local port 1 is taken, using 2" }),
            ),
            (
                EventKind::Retargeted { from: pod("a"), why: RetargetReason::NotReady, to: pod("b") },
                json!({ "event": "retargeted", "from": "a", "why": "not ready", "pod": "b" }),
            ),
            (
                EventKind::Waiting { why: why(), hold: second },
                json!({ "event": "waiting", "why": "w", "holdMs": 1000 }),
            ),
            (
                EventKind::Reconnecting { pod: pod("a"), attempt: 1, of: 3, delay: second, why: why() },
                json!({ "event": "reconnecting", "pod": "a", "attempt": 1, "of": 3, "delayMs": 1000, "why": "w" }),
            ),
            (EventKind::Recovered { pod: pod("a") }, json!({ "event": "recovered", "pod": "a" })),
            (
                EventKind::Lost {
                    pod: pod("a"),
                    unreachable: Unreachable::Cluster,
                    why: why(),
                    next: second,
                },
                json!({ "event": "lost", "why": "w", "nextMs": 1000 }),
            ),
            (
                EventKind::ConnectionFailed { pod: None, pod_port: Some(8), why: why() },
                json!({ "event": "connection_failed", "pod": null, "podPort": 8, "why": "w" }),
            ),
            (EventKind::Blocked { connections: 3 }, json!({ "event": "blocked", "connections": 3 })),
            (
                EventKind::Stopped { by: StopReason::GaveUp { why: why() } },
                json!({ "event": "stopped", "by": "error", "why": "w" }),
            ),
            (
                EventKind::Stopped { by: StopReason::Asked },
                json!({ "event": "stopped", "by": "request", "why": null }),
            ),
            (
                EventKind::Stopped { by: StopReason::Exit },
                json!({ "event": "stopped", "by": "exit", "why": null }),
            ),
            (EventKind::Notice { text: why() }, json!({ "event": "notice", "text": "w" })),
        ] {
            assert_eq!(told(what), expected);
        }
    }
}
