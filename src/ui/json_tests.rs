use std::{collections::BTreeSet, future::pending, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    error::{self, Excerpt},
    model::{
        endpoint::PodId,
        event::{EventKind, LocalAddress, RetargetReason, StopReason, Unreachable},
    },
    ui::output_writer::tests::CapturedOutput,
};

const SOON: Duration = Duration::from_secs(10);

fn pod() -> PodId {
    PodId { namespace: "n".into(), name: "api-1\u{1b}\u{9b}".into(), uid: "u".into() }
}

/// One of each kind.
fn all() -> Vec<EventKind> {
    let why = || "w".to_owned();
    vec![
        EventKind::Started,
        EventKind::Forwarding {
            local: LocalAddress::Tcp("127.0.0.1:80".parse().unwrap()),
            pod_port: 8,
            pod: pod(),
        },
        EventKind::OtherPort { wanted: 1, bound: 2 },
        EventKind::Retargeted { from: pod(), why: RetargetReason::Deleted, to: pod() },
        EventKind::Waiting { why: why(), hold: SOON },
        EventKind::Reconnecting { pod: pod(), attempt: 1, of: 3, delay: SOON, why: why() },
        EventKind::Recovered { pod: pod() },
        EventKind::Lost { pod: pod(), unreachable: Unreachable::Cluster, why: why(), next: SOON },
        EventKind::ConnectionFailed { pod: Some(pod()), pod_port: Some(8), why: why() },
        EventKind::Blocked { connections: 3 },
        EventKind::Stopped { by: StopReason::Asked },
        EventKind::Notice { text: why() },
    ]
}

async fn shown(happenings: Vec<EventKind>, settings: OutputSettings) -> Vec<Value> {
    let (sender, mut events) = broadcast::channel(64);
    for what in happenings {
        sender.send(Arc::new(Event::example([0, 1], what))).unwrap();
    }
    drop(sender);
    let out = CapturedOutput::default();
    let writer = OutputWriter::to(out.clone(), CapturedOutput::closed()).unwrap();
    assert!(run(&mut events, writer, settings, pending()).await.close(SOON));
    assert!(!out.text().contains(['\u{1b}', '\u{9b}']), "a terminal may show it");
    out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_line_an_event_of_a_forward() {
    let lines = shown(all(), OutputSettings::default()).await;
    assert_eq!(lines.len(), all().len() * 2);
    assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&json!("aaaaaa"), &json!("baaaaa")));
    assert_eq!(lines[2]["pod"], "api-1\u{1b}\u{9b}", "programs get names as they are");
    let quiet: Vec<_> = shown(all(), OutputSettings { quiet: true, ..OutputSettings::default() }).await;
    let quiet: BTreeSet<_> = quiet.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(quiet, BTreeSet::from(["connection_failed", "lost"]));
}

#[tokio::test]
async fn a_slow_view_says_what_it_missed() {
    let (sender, mut events) = broadcast::channel(1);
    for _ in 0..3 {
        sender.send(Arc::new(Event::example([0], EventKind::Started))).unwrap();
    }
    drop(sender);
    let out = CapturedOutput::default();
    let writer = OutputWriter::to(out.clone(), CapturedOutput::closed()).unwrap();
    assert!(run(&mut events, writer, OutputSettings::default(), pending()).await.close(SOON));
    let first: Value = serde_json::from_str(out.text().lines().next().unwrap()).unwrap();
    assert_eq!((&first["event"], &first["count"]), (&json!("missed"), &json!(2)));
}

fn fatal() -> Fatal {
    let place = error::Problem { offset: 0, length: 1, line: 1, column: 2, what: "bad".into(), help: None };
    let excerpt = Excerpt { name: "fwd.yaml".into(), text: "x".into(), problems: vec![place] };
    Fatal::new("fwd::x::y", "it failed").because("a").because("b").help("do").found_in(excerpt)
}

#[test]
fn the_last_word() {
    let mut error: Value = serde_json::from_str(&error(&fatal())).unwrap();
    assert!(error["at"].take().as_str().is_some_and(|at| at.parse::<Timestamp>().is_ok()));
    assert_eq!(
        error,
        json!({
            "event": "error", "at": null, "code": "fwd::x::y", "message": "it failed", "causes": ["a", "b"],
            "help": "do",
            "places": [{ "file": "fwd.yaml", "line": 1, "column": 2, "message": "bad", "help": null }],
        })
    );
}

/// The document tells of every event, with all of its fields and no others.
#[tokio::test]
async fn the_document_is_true() {
    let document = include_str!("../../docs/EVENTS.md");
    let mut told = BTreeSet::new();
    for line in document.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let event = cells.next().unwrap().trim_matches('`');
        let fields = cells.next().unwrap().split('`').skip(1).step_by(2);
        told.extend(fields.map(|field| format!("{event}.{field}")));
        told.insert(event.to_owned());
    }
    let mut true_ones = BTreeSet::new();
    let mut lines = shown(all(), OutputSettings::default()).await;
    lines.push(serde_json::from_str(&error(&fatal())).unwrap());
    lines.push(serde_json::to_value(ProcessEvent::Missed { at: Timestamp::UNIX_EPOCH, count: 1 }).unwrap());
    lines.push(serde_json::from_str(&detached(Some(1), &[], Path::new("/l"))).unwrap());
    for line in lines {
        let event = line["event"].as_str().unwrap();
        let common = if line.get("id").is_some() {
            &["event", "at", "id", "target", "label"][..]
        } else {
            &["event", "at"]
        };
        let own = line.as_object().unwrap().keys().filter(|key| !common.contains(&key.as_str()));
        true_ones.extend(own.map(|field| format!("{event}.{field}")));
        true_ones.insert(event.to_owned());
    }
    assert_eq!(told, true_ones);
}
