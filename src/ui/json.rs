//! The view for programs: one JSON object a line on stdout, and nothing else there (docs/EVENTS.md).

use std::{path::Path, pin::pin, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use super::{
    Settings,
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
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> Door {
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            // What has happened is shown before the end is.
            biased;
            event = events.recv() => match event {
                Ok(event) => show(&mut door, &event, settings),
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

fn show(door: &mut Door, event: &Event, settings: Settings) {
    let line = wording::line(event);
    // As the other view: what is no error is not told.
    if settings.quiet && line.as_ref().is_none_or(|line| line.gravity < Gravity::Error) {
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
#[path = "json_tests.rs"]
mod tests;
