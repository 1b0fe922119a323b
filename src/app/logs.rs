//! `logs`: what a process in the background has to say.

use std::{fs, io, path::PathBuf, time::Duration};

use tokio::time::sleep;

use super::{manage::find, process::no_start, put, signals::Signals};
use crate::{
    cli::{args, resolve::Common},
    control::{
        log::Tail,
        pick::pick,
        place::{Place, Reached, Socket},
    },
    error::{Fatal, plain},
    model::forward::ForwardId,
};

/// How often a log is looked at that is followed: soon enough for a person.
const PACE: Duration = Duration::from_millis(250);

/// Prints the log of the process that has the forward, or had it.
pub(super) async fn logs(place: &Place, logs: &args::Logs, common: &Common) -> Result<u8, Fatal> {
    let (path, socket) = locate(place, &logs.forward, common).await?;
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let mut tail = Tail::of(path.clone());
    loop {
        // Asked first: what it says last is printed.
        let alive = match &socket {
            Some(socket) if logs.follow => matches!(socket.connect().await, Ok(Reached::Stream(_))),
            _ => false,
        };
        let new = tail.more().map_err(|error| unreadable(&path, &error))?;
        if !put(&new)? || !alive {
            return Ok(0);
        }
        tokio::select! {
            () = sleep(PACE) => {}
            _ = signals.next() => return Ok(0),
        }
    }
}

/// Finds the log, and the socket of its process where that is there.
async fn locate(place: &Place, word: &str, common: &Common) -> Result<(PathBuf, Option<Socket>), Fatal> {
    let (sockets, forwards): (Vec<_>, Vec<_>) = find(place, common).await.into_iter().unzip();
    let all = place.logs();
    let unknown = match pick(word, &forwards) {
        Ok(found) => {
            let id = found.first().map(|forward| forward.id);
            // `pick` gives at least one, and of these: so the place is there, in both.
            let at = forwards.iter().position(|forward| Some(forward.id) == id).unwrap_or_default();
            let (socket, pid) = (sockets[at].clone(), forwards[at].pid);
            return match all.into_iter().find(|(other, _)| *other == pid) {
                Some((_, path)) => Ok((path, Some(socket))),
                None => Err(Fatal::new("fwd::logs::none", format!("'{word}' has no log"))
                    .because(format!("its process ({pid}) is not in the background"))
                    .help("what it has to say is in its terminal")),
            };
        }
        Err(unknown) => unknown,
    };
    // One that is gone is known by what it said.
    let said = |path: &PathBuf| {
        let id: Option<ForwardId> = word.parse().ok();
        id.is_some_and(|id| fs::read_to_string(path).is_ok_and(|text| text.contains(&id.to_string())))
    };
    match all.into_iter().find(|(_, path)| said(path)) {
        Some((_, path)) => Ok((path, None)),
        None => Err(none(word, &unknown)),
    }
}

/// What [`pick`] says is said to who wants to stop something.
fn none(word: &str, unknown: &Fatal) -> Fatal {
    let what = format!("there is no log of one forward '{word}'");
    let fatal = unknown.causes().fold(Fatal::new("fwd::logs::unknown", what), Fatal::because);
    match unknown.advice() {
        Some(advice) => fatal.help(advice),
        None => fatal,
    }
}

fn unreadable(path: &std::path::Path, error: &io::Error) -> Fatal {
    Fatal::new("fwd::logs::unreadable", format!("{} cannot be read", path.display())).because(plain(error))
}
