//! The view for programs: one JSON object a line on stdout, and nothing else there (docs/EVENTS.md).

use std::{path::Path, pin::pin, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use super::{
    door::{Door, Stream},
    escape,
    wording::{self, Gravity},
};
use crate::{
    error::Fatal,
    model::{event::Event, forward::ForwardId, message},
};

/// What is no event of a forward.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Beside<'a> {
    /// Events came faster than they could be written.
    Missed { at: Timestamp, count: u64 },
    /// All of it works, in the background.
    Detached { at: Timestamp, pid: Option<u32>, ids: &'a [ForwardId], log: &'a Path },
    /// The command ends with an error.
    Error {
        at: Timestamp,
        code: &'a str,
        message: String,
        causes: Vec<&'a str>,
        help: Option<&'a str>,
        places: Vec<Place<'a>>,
    },
}

/// A place in a file, where the error is about one.
#[derive(Debug, Serialize)]
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
    help: Option<&'a str>,
}

/// Shows every event until there are no more senders, or until `stop`; then hands the door back.
pub async fn run(
    events: &mut broadcast::Receiver<Arc<Event>>,
    mut door: Door,
    quiet: bool,
    stop: impl Future<Output = ()>,
) -> Door {
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            // What has happened is shown before the end is.
            biased;
            event = events.recv() => match event {
                Ok(event) => show(&mut door, &event, quiet),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    say(&mut door, &Beside::Missed { at: Timestamp::now(), count });
                }
                Err(broadcast::error::RecvError::Closed) => break,
            },
            () = &mut stop => break,
        }
    }
    door
}

fn show(door: &mut Door, event: &Event, quiet: bool) {
    let line = wording::line(event);
    // As the other view: what is no error is not told.
    if quiet && line.as_ref().is_none_or(|line| line.gravity < Gravity::Error) {
        return;
    }
    // What is about no forward is no event of one. It is for a person.
    if let (true, Some(line)) = (event.forwards.is_empty(), line) {
        door.say(Stream::Err, line.text);
    }
    for message in message::of(event) {
        say(door, &message);
    }
}

fn say(door: &mut Door, message: &impl Serialize) {
    // Text, numbers and names: there is nothing in a message that JSON could not hold.
    if let Ok(text) = serde_json::to_string(message) {
        door.say(Stream::Out, escape::json(&text).into_owned());
    }
}

fn text(message: &impl Serialize) -> String {
    let text = serde_json::to_string(message).unwrap_or_default();
    escape::json(&text).into_owned()
}

/// That it goes on in the background, as an event.
pub fn detached(pid: Option<u32>, ids: &[ForwardId], log: &Path) -> String {
    let detached = Beside::Detached { at: Timestamp::now(), pid, ids, log };
    text(&detached)
}

/// The error that ends the command, as an event.
pub fn error(fatal: &Fatal) -> String {
    let places = fatal.excerpt().into_iter().flat_map(|excerpt| {
        excerpt.places.iter().map(|place| Place {
            file: &excerpt.name,
            line: place.line,
            column: place.column,
            message: &place.what,
            help: place.help.as_deref(),
        })
    });
    let error = Beside::Error {
        at: Timestamp::now(),
        code: fatal.code(),
        message: fatal.to_string(),
        causes: fatal.causes().collect(),
        help: fatal.advice(),
        places: places.collect(),
    };
    text(&error)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, future::pending, time::Duration};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        error::{self, Excerpt},
        model::{
            endpoint::PodId,
            event::{Bound, Gone, Happening, Stop},
        },
        ui::door::tests::Seen,
    };

    const SOON: Duration = Duration::from_secs(10);

    fn pod() -> PodId {
        PodId { namespace: "n".into(), name: "api-1\u{1b}\u{9b}".into(), uid: "u".into() }
    }

    /// One of each kind.
    fn all() -> Vec<Happening> {
        let why = || "w".to_owned();
        vec![
            Happening::Started,
            Happening::Forwarding {
                local: Bound::Tcp("127.0.0.1:80".parse().unwrap()),
                pod_port: 8,
                pod: pod(),
            },
            Happening::OtherPort { wanted: 1, bound: 2 },
            Happening::Retargeted { from: pod(), why: Gone::Deleted, to: pod() },
            Happening::Waiting { why: why(), hold: SOON },
            Happening::Reconnecting { pod: pod(), attempt: 1, of: 3, delay: SOON, why: why() },
            Happening::Recovered { pod: pod() },
            Happening::Lost { why: why(), next: SOON },
            Happening::ConnectionFailed { pod: Some(pod()), pod_port: Some(8), why: why() },
            Happening::Blocked { connections: 3 },
            Happening::Stopped { by: Stop::Asked },
            Happening::Notice { text: why() },
        ]
    }

    async fn shown(happenings: Vec<Happening>, quiet: bool) -> Vec<Value> {
        let (sender, mut events) = broadcast::channel(64);
        for what in happenings {
            let forwards = [ForwardId::from_bits(0), ForwardId::from_bits(1)].into();
            let event = Event {
                at: Timestamp::UNIX_EPOCH,
                forwards,
                target: "svc/api".into(),
                ports: vec![],
                label: None,
                what,
            };
            sender.send(Arc::new(event)).unwrap();
        }
        drop(sender);
        let out = Seen::default();
        let door = Door::to(out.clone(), Seen::closed()).unwrap();
        assert!(run(&mut events, door, quiet, pending()).await.close(SOON));
        assert!(!out.text().contains(['\u{1b}', '\u{9b}']), "a terminal may show it");
        out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_line_an_event_of_a_forward() {
        let lines = shown(all(), false).await;
        assert_eq!(lines.len(), all().len() * 2);
        assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&json!("aaaaaa"), &json!("baaaaa")));
        assert_eq!(lines[2]["pod"], "api-1\u{1b}\u{9b}", "programs get names as they are");
        let quiet: Vec<_> = shown(all(), true).await;
        let quiet: BTreeSet<_> = quiet.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(quiet, BTreeSet::from(["connection_failed", "lost"]));
    }

    #[tokio::test]
    async fn a_slow_view_says_what_it_missed() {
        let (sender, mut events) = broadcast::channel(1);
        for _ in 0..3 {
            let event = Event {
                at: Timestamp::UNIX_EPOCH,
                forwards: [ForwardId::from_bits(0)].into(),
                target: "svc/api".into(),
                ports: vec![],
                label: None,
                what: Happening::Started,
            };
            sender.send(Arc::new(event)).unwrap();
        }
        drop(sender);
        let out = Seen::default();
        let door = Door::to(out.clone(), Seen::closed()).unwrap();
        assert!(run(&mut events, door, false, pending()).await.close(SOON));
        let first: Value = serde_json::from_str(out.text().lines().next().unwrap()).unwrap();
        assert_eq!((&first["event"], &first["count"]), (&json!("missed"), &json!(2)));
    }

    fn fatal() -> Fatal {
        let place = error::Place { offset: 0, length: 1, line: 1, column: 2, what: "bad".into(), help: None };
        let excerpt = Excerpt { name: "fwd.yaml".into(), text: "x".into(), places: vec![place] };
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
        let mut lines = shown(all(), false).await;
        lines.push(serde_json::from_str(&error(&fatal())).unwrap());
        lines.push(serde_json::to_value(Beside::Missed { at: Timestamp::UNIX_EPOCH, count: 1 }).unwrap());
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
}
