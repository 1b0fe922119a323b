use std::net::SocketAddr;

use super::*;
use crate::{
    model::event::LocalAddress,
    ui::outages::{OutageNews, Outages},
};

fn pod(name: &str) -> PodId {
    PodId { namespace: "prod".into(), name: name.into(), uid: "u".into() }
}

fn worded(what: EventKind) -> String {
    let event = Event::example([1], what);
    let (known, now, stdout) = (&KnownForwards::default(), Instant::now(), StdoutReader::Person);
    let context = EventContext { ended: None, outage_told: OutageTold::Yes, known, stdout, now };
    let Some(line) = line(&event, context) else { return String::new() };
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
            EventKind::Retargeted { from: pod("api-x"), why: RetargetReason::Terminating, to: pod("api-y") },
            "pod api-x is terminating, new connections go to api-y",
        ),
        (
            EventKind::Retargeted { from: pod("db-0"), why: RetargetReason::Deleted, to: pod("db-0") },
            "pod db-0 is gone, new connections go to the new one",
        ),
        (
            EventKind::Waiting { why: why(), hold: Duration::from_secs(30) },
            "waiting for a ready pod (why), connections are held for up to 30 s",
        ),
        (
            EventKind::Waiting { why: why(), hold: Duration::ZERO },
            "waiting for a ready pod (why), connections are refused until then",
        ),
        (
            EventKind::Reconnecting { pod: pod("a"), attempt: 1, of: 3, delay: half, why: why() },
            "cannot reach pod a (why), attempt 1 of 3 in 0.5 s",
        ),
        (
            EventKind::Reconnecting { pod: pod("a"), attempt: 0, of: 3, delay: Duration::ZERO, why: why() },
            "connection to pod a lost (why), reconnecting",
        ),
        (EventKind::Recovered { pod: pod("a") }, "connected to pod a again"),
        (
            EventKind::Lost {
                pod: pod("a"),
                unreachable: Unreachable::Cluster,
                why: why(),
                next: Duration::from_secs(5),
            },
            "cluster unreachable (why), retrying within 5 s",
        ),
        (
            EventKind::Lost {
                pod: pod("a"),
                unreachable: Unreachable::Pod,
                why: why(),
                next: Duration::from_secs(5),
            },
            "pod a unreachable (why), retrying within 5 s",
        ),
        (
            EventKind::ConnectionFailed { pod: Some(pod("a")), pod_port: Some(80), why: why() },
            "connection to pod a port 80 failed: why",
        ),
        (EventKind::ConnectionFailed { pod: None, pod_port: None, why: why() }, "connection failed: why"),
        (
            EventKind::Blocked { connections: 1 },
            "1 connection waits for a client of this forward that has stopped reading its download; it goes on when that \
             client reads or closes",
        ),
        (
            EventKind::Blocked { connections: 3 },
            "3 connections wait for a client of this forward that has stopped reading its download; they go on when that \
             client reads or closes",
        ),
        (EventKind::Notice { text: "a\u{1b}b".into() }, "a\\u{1b}b"),
    ] {
        assert_eq!(worded(what), format!("err svc/api: {expected}"));
    }
    assert_eq!(worded(EventKind::Stopped { by: StopReason::Asked }), "err svc/api stopped");
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

/// What is told of the end of an outage, by an event that ends it.
fn ended(state: OutageState, told: OutageTold, seconds: u64, kind: EventKind) -> String {
    let (now, known) = (Instant::now(), KnownForwards::default());
    let trouble = match state {
        OutageState::Waiting => EventKind::Waiting { why: "why".into(), hold: Duration::ZERO },
        OutageState::Lost(unreachable) => {
            EventKind::Lost { pod: pod("a"), unreachable, why: "why".into(), next: Duration::from_secs(9) }
        }
        _ => EventKind::Reconnecting {
            pod: pod("a"),
            attempt: 0,
            of: 3,
            delay: Duration::ZERO,
            why: "why".into(),
        },
    };
    let mut outages = Outages::default();
    outages.observe(&Event::example([1], trouble), now);
    let event = Event::example([1], kind);
    let now = now + Duration::from_secs(seconds);
    let OutageNews::Over(outage) = outages.observe(&event, now) else { panic!("{event:?} ends nothing") };
    let context = EventContext {
        ended: Some(&outage),
        outage_told: told,
        known: &known,
        stdout: StdoutReader::Program,
        now,
    };
    line(&event, context).map(|line| line.text).unwrap_or_default()
}

#[test]
fn ends_of_outages() {
    let retargeted =
        |from, to| EventKind::Retargeted { from: pod(from), why: RetargetReason::Deleted, to: pod(to) };
    let recovered = || EventKind::Recovered { pod: pod("a") };
    let lost = OutageState::Lost(Unreachable::Cluster);
    for (state, told, seconds, kind, expected) in [
        (OutageState::Waiting, OutageTold::Yes, 0, retargeted("a", "b"), "ready again, now using pod b"),
        (
            OutageState::Waiting,
            OutageTold::Yes,
            240,
            retargeted("a", "a"),
            "ready again, now using the new pod a after 4 min",
        ),
        (
            OutageState::Waiting,
            OutageTold::No,
            2,
            recovered(),
            "ready again, now using pod a after 2 s (why)",
        ),
        (OutageState::Disconnected, OutageTold::Yes, 0, recovered(), "connected to pod a again"),
        (lost, OutageTold::Yes, 240, recovered(), "connected to pod a again after 4 min"),
        (lost, OutageTold::No, 240, recovered(), "connected to pod a again after 4 min (why)"),
        (
            OutageState::Disconnected,
            OutageTold::Yes,
            0,
            retargeted("a", "b"),
            "pod a is gone, new connections go to b",
        ),
        (
            lost,
            OutageTold::Yes,
            240,
            retargeted("a", "b"),
            "pod a is gone, new connections go to b, reconnected after 4 min",
        ),
    ] {
        assert_eq!(ended(state, told, seconds, kind), expected);
    }
}

#[test]
fn reminders() {
    let now = Instant::now();
    let later = now + Duration::from_secs(182);
    let next = Duration::from_secs(194);
    let mut outages = Outages::default();
    let mut last = |kind| {
        outages.observe(&Event::example([1], kind), now);
        reminder(&outages.open()[0], later).text
    };
    assert_eq!(
        last(EventKind::Waiting { why: "why".into(), hold: Duration::ZERO }),
        "still waiting for a ready pod (why), 3 min so far"
    );
    let lost = |unreachable| EventKind::Lost { pod: pod("a"), unreachable, why: "why".into(), next };
    assert_eq!(
        last(lost(Unreachable::Cluster)),
        "cluster unreachable for 3 min now (why), 1 attempt failed, retrying within 12 s"
    );
    assert_eq!(
        last(lost(Unreachable::Pod)),
        "pod a unreachable for 3 min now (why), 2 attempts failed, retrying within 12 s"
    );
}
