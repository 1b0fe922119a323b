//! Events as processes tell them (docs/EVENTS.md), in a few words. They come from processes of any version, so nothing but the
//! common fields is relied on.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    model::forward::ForwardId,
    ui::{escape, wording::Severity},
};

/// An event of a forward.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ToldEvent {
    /// When.
    pub at: Timestamp,
    /// Which forward.
    pub id: ForwardId,
    /// What happened.
    pub event: String,
    /// What goes with it.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// How a forward ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToldEnd {
    /// Somebody wanted it.
    Stopped,
    /// It was given up, with the reason.
    Failed(String),
}

impl ToldEvent {
    fn text(&self, field: &str) -> String {
        match self.fields.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    fn seconds(&self, field: &str) -> String {
        let millis = self.fields.get(field).and_then(Value::as_u64).unwrap_or_default();
        format!("{}.{} s", millis / 1000, millis % 1000 / 100)
    }

    /// How it ended, where this tells it.
    pub fn end(&self) -> Option<ToldEnd> {
        (self.event == "stopped").then(|| match self.text("by").as_str() {
            "error" => ToldEnd::Failed(self.text("why")),
            _ => ToldEnd::Stopped,
        })
    }

    /// What it says to people, and how bad it is; harmless to a terminal.
    pub fn words(&self) -> (Severity, String) {
        let text = |field| self.text(field);
        let (severity, words) = match self.event.as_str() {
            "started" => (Severity::Plain, "started".to_owned()),
            "active" => {
                (Severity::Good, format!("works: {} -> {}:{}", text("local"), text("pod"), text("podPort")))
            }
            "retargeted" => (Severity::Plain, self.retargeted()),
            "waiting" => (Severity::Warning, format!("waiting for a ready pod: {}", text("why"))),
            "reconnecting" if text("attempt") == "0" => {
                (Severity::Warning, format!("reconnecting to pod {}: {}", text("pod"), text("why")))
            }
            "reconnecting" => {
                let (attempt, of, delay) = (text("attempt"), text("of"), self.seconds("delayMs"));
                let pod = text("pod");
                (
                    Severity::Warning,
                    format!("attempt {attempt} of {of} to reach pod {pod} in {delay}: {}", text("why")),
                )
            }
            "recovered" => (Severity::Good, format!("connected to pod {} again", text("pod"))),
            "lost" => (
                Severity::Error,
                format!("lost: {}; next attempt in {}", text("why"), self.seconds("nextMs")),
            ),
            "connection_failed" => (Severity::Error, format!("a connection failed: {}", text("why"))),
            "blocked" => {
                let waiting = text("connections");
                (Severity::Warning, format!("{waiting} connections wait for a client that does not read"))
            }
            "stopped" => match self.end() {
                Some(ToldEnd::Failed(why)) => (Severity::Error, format!("given up: {why}")),
                _ if text("by") == "exit" => (Severity::Plain, "stopped: its process ended".to_owned()),
                _ => (Severity::Plain, "stopped".to_owned()),
            },
            "notice" => (Severity::Plain, text("text")),
            other => (Severity::Plain, other.to_owned()),
        };
        (severity, escape::line(&words).into_owned())
    }

    fn retargeted(&self) -> String {
        let (from, to) = (self.text("from"), self.text("pod"));
        let why = match self.text("why").as_str() {
            "requested" => return format!("new connections go to pod {to}, as requested"),
            "terminating" => "is terminating".to_owned(),
            "deleted" => "is gone".to_owned(),
            "not ready" => "is not ready".to_owned(),
            "no port" => "lacks the port".to_owned(),
            "ended" => "has ended".to_owned(),
            "unreachable" => "cannot be reached".to_owned(),
            other => format!("is left ({other})"),
        };
        // A stateful set's pod comes back under its own name.
        let to = if from == to { "the new one".to_owned() } else { format!("pod {to}") };
        format!("pod {from} {why}; new connections go to {to}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::ui::panel) fn told(id: u64, mut fields: Value) -> ToldEvent {
        fields["at"] = json!("1970-01-01T00:00:01Z");
        fields["id"] = json!(ForwardId::from_bits(id));
        fields["target"] = json!("svc/api");
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn words_of_events() {
        for (fields, severity, expected) in [
            (
                json!({ "event": "active", "local": "127.0.0.1:1", "pod": "a", "podPort": 80 }),
                Severity::Good,
                "works: 127.0.0.1:1 -> a:80",
            ),
            (
                json!({ "event": "retargeted", "from": "a", "why": "terminating", "pod": "b" }),
                Severity::Plain,
                "pod a is terminating; new connections go to pod b",
            ),
            (
                json!({ "event": "retargeted", "from": "a", "why": "deleted", "pod": "a" }),
                Severity::Plain,
                "pod a is gone; new connections go to the new one",
            ),
            (
                json!({ "event": "reconnecting", "pod": "a", "attempt": 2, "of": 3, "delayMs": 1500, "why": "w" }),
                Severity::Warning,
                "attempt 2 of 3 to reach pod a in 1.5 s: w",
            ),
            (
                json!({ "event": "stopped", "by": "error", "why": "\u{1b}[2J" }),
                Severity::Error,
                "given up: \\u{1b}[2J",
            ),
            (json!({ "event": "something_new", "x": [1] }), Severity::Plain, "something_new"),
        ] {
            assert_eq!(told(0, fields).words(), (severity, expected.to_owned()));
        }
    }
}
