//! The view for programs: one JSON object a line on stdout, and nothing else there (docs/EVENTS.md).

use std::{path::Path, pin::pin, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use super::{
    OutputSettings, escape,
    output_writer::{OutputStream, OutputWriter},
    wording::{self, Severity},
};
use crate::{
    error::Fatal,
    model::{
        event::{Event, EventKind},
        forward::ForwardId,
        message,
    },
};

/// What is no event of a forward.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum ProcessEvent<'a> {
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
        places: Vec<JsonProblem<'a>>,
    },
}

/// A place in a file, where the error is about one.
#[derive(Debug, Serialize)]
struct JsonProblem<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
    help: Option<&'a str>,
}

/// Shows every event until there are no more senders, or until `stop`; then hands the door back.
pub async fn run(
    events: &mut broadcast::Receiver<Arc<Event>>,
    mut writer: OutputWriter,
    settings: OutputSettings,
    stop: impl Future<Output = ()>,
) -> OutputWriter {
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            // What has happened is shown before the end is.
            biased;
            event = events.recv() => match event {
                Ok(event) => show(&mut writer, &event, settings),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    write(&mut writer, &ProcessEvent::Missed { at: Timestamp::now(), count });
                }
                Err(broadcast::error::RecvError::Closed) => break,
            },
            () = &mut stop => break,
        }
    }
    writer
}

fn show(writer: &mut OutputWriter, event: &Event, settings: OutputSettings) {
    // As the other view: what is no error is not told.
    if settings.quiet && wording::severity(event).is_none_or(|severity| severity < Severity::Error) {
        return;
    }
    // What is about no forward is no event of one. It is for a person.
    if let (true, EventKind::Notice { text }) = (event.forwards.is_empty(), &event.kind) {
        writer.write_line(OutputStream::Err, escape::line(text).into_owned());
    }
    for message in message::of(event) {
        write(writer, &message);
    }
}

fn write(writer: &mut OutputWriter, message: &impl Serialize) {
    // Text, numbers and names: there is nothing in a message that JSON could not hold.
    if let Ok(text) = serde_json::to_string(message) {
        writer.write_line(OutputStream::Out, escape::json(&text).into_owned());
    }
}

fn text(message: &impl Serialize) -> String {
    let text = serde_json::to_string(message).unwrap_or_default();
    escape::json(&text).into_owned()
}

/// That it goes on in the background, as an event.
pub fn detached(pid: Option<u32>, ids: &[ForwardId], log: &Path) -> String {
    let detached = ProcessEvent::Detached { at: Timestamp::now(), pid, ids, log };
    text(&detached)
}

/// The error that ends the command, as an event.
pub fn error(fatal: &Fatal) -> String {
    let places = fatal.excerpt().into_iter().flat_map(|excerpt| {
        excerpt.problems.iter().map(|place| JsonProblem {
            file: &excerpt.name,
            line: place.line,
            column: place.column,
            message: &place.what,
            help: place.help.as_deref(),
        })
    });
    let error = ProcessEvent::Error {
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
#[path = "json_tests.rs"]
mod tests;
