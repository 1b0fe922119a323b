//! `list` and `stop`: they ask the processes that forward, and are done.

use std::io::{self, Write as _};

use jiff::Timestamp;
use serde_json::json;

use super::print;
use crate::{
    cli::{args, resolve::Common},
    control::{
        client::{Answers, Trouble, ask, ask_all, no_answer},
        methods::names,
        pick::pick,
        place::{Place, Socket},
        rpc::codes,
    },
    error::Fatal,
    model::forward::{ForwardId, PortForward},
    ui::{
        escape,
        list::{self, Format},
        report,
    },
};

/// A forward and where its process listens.
pub(super) type Found = (Socket, PortForward);

/// Shows every forward of this user.
pub(super) async fn list(place: &Place, format: Format, common: &Common) -> Result<u8, Fatal> {
    let forwards: Vec<_> = find(place, common).await.into_iter().map(|(_, forward)| forward).collect();
    if forwards.is_empty() && matches!(format, Format::Table | Format::Wide) && !common.ui.quiet {
        tell("nothing is forwarded; for example 'kubectl fwd svc/api 8080:80' begins to");
    }
    print(&list::render(&forwards, format, Timestamp::now(), common.ui.colors.stdout))
}

/// Stops those that are named, or all.
pub(super) async fn stop(place: &Place, stop: &args::Stop, common: &Common) -> Result<u8, Fatal> {
    match (stop.all, stop.words.is_empty()) {
        (false, true) => Err(Fatal::new("fwd::usage::missing_arguments", "there is nothing to stop")
            .help("name it by id, local port, --name or target, as 'kubectl fwd list' shows them; or --all")),
        (true, false) => {
            Err(Fatal::new("fwd::usage::arguments", "--all stops every forward, and more are named")
                .help("leave out either the names or --all"))
        }
        (true, true) => stop_all(place, common).await,
        (false, false) => stop_some(place, &stop.words, common).await,
    }
}

async fn stop_all(place: &Place, common: &Common) -> Result<u8, Fatal> {
    let Answers { results, mut problems } = ask_all::<usize>(place, names::STOP_ALL).await;
    // Not all of them, then: the last of the problems is what the command fails with.
    let fails = problems.pop();
    warn(&problems, common);
    let text = match results.iter().map(|(_, count)| count).sum() {
        0 => "nothing was forwarded\n".to_owned(),
        1 => "1 forward stopped\n".to_owned(),
        count => format!("{count} forwards stopped\n"),
    };
    let printed = if common.ui.quiet { Ok(0) } else { print(&text) };
    fails.map_or(printed, Err)
}

async fn stop_some(place: &Place, words: &[String], common: &Common) -> Result<u8, Fatal> {
    let (sockets, forwards): (Vec<_>, Vec<_>) = find(place, common).await.into_iter().unzip();
    let mut chosen: Vec<ForwardId> = Vec::new();
    for word in words {
        chosen.extend(pick(word, &forwards)?.iter().map(|forward| forward.id));
    }
    let found: Vec<Found> =
        sockets.into_iter().zip(forwards).filter(|(_, forward)| chosen.contains(&forward.id)).collect();
    // A process at a time has one client of ours.
    for process in found.chunk_by(|(one, _), (other, _)| one == other) {
        let Some((socket, _)) = process.first() else { continue };
        let requests: Vec<_> =
            process.iter().map(|(_, forward)| (names::STOP, json!({ "id": forward.id }))).collect();
        let answers = ask(socket, &requests).await.map_err(|trouble| no_answer(socket, &trouble))?;
        for ((_, forward), answer) in process.iter().zip(answers) {
            match answer {
                // It ended by itself meanwhile, which is as good.
                Err(Trouble::Refused(error)) if error.code == codes::UNKNOWN_ID => {}
                Err(trouble) => return Err(no_answer(socket, &trouble)),
                Ok(_) => {}
            }
            if !common.ui.quiet {
                print(&format!("{} {} stopped\n", forward.id, list::target(forward)))?;
            }
        }
    }
    Ok(0)
}

/// Every forward of this user. Processes that do not answer are told about.
pub(super) async fn find(place: &Place, common: &Common) -> Vec<Found> {
    let Answers { results, problems } = ask_all::<Vec<PortForward>>(place, names::LIST).await;
    warn(&problems, common);
    let of = |(socket, forwards): (Socket, Vec<PortForward>)| {
        forwards.into_iter().map(move |forward| (socket.clone(), forward))
    };
    results.into_iter().flat_map(of).collect()
}

fn warn(problems: &[Fatal], common: &Common) {
    for problem in problems {
        tell(report::warning(problem, common.ui.colors.stderr).trim_end());
    }
}

/// Tells what is waited for, unless only errors are wanted.
pub(super) fn waiting(what: &str, common: &Common) {
    if !common.ui.quiet {
        tell(&escape::line(&format!("waiting for {what}")));
    }
}

pub(super) fn tell(text: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
