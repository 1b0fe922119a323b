//! `list` and `stop`: they ask the processes that forward, and are done.

use std::io::{self, Write as _};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::stdout::print;
use crate::{
    cli::{args, resolve::CommonOptions},
    control::{
        client::{CallError, CallResults, call, call_all, no_answer},
        methods::names,
        pick::pick,
        rpc::codes,
        sockets::{ControlSocket, SocketDirectories},
    },
    error::Fatal,
    model::forward::{ForwardId, PortForward},
    ui::{
        escape,
        list::{self, ListFormat},
        report,
    },
};

/// A forward and where its process listens.
pub(super) type FoundForward = (ControlSocket, PortForward);

/// What all processes have told.
pub(super) struct ForwardListing {
    pub found: Vec<FoundForward>,
    /// Every process has answered, and every directory could be looked into.
    pub complete: bool,
}

/// Shows every forward of this user.
pub(super) async fn list(
    directories: &SocketDirectories,
    format: ListFormat,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    let ForwardListing { found, complete } = find(directories, common).await;
    let forwards: Vec<_> = found.into_iter().map(|(_, forward)| forward).collect();
    let for_people = matches!(format, ListFormat::Table | ListFormat::Wide) && !common.ui.quiet;
    if forwards.is_empty() && complete && for_people {
        let example = "for example 'kubectl fwd svc/api 8080:80' begins to";
        print_notice(&format!("nothing is forwarded{}; {example}", escape::line(&filter(common))));
    }
    let printed = print(&list::render(&forwards, format, Timestamp::now(), common.ui.colors.stdout))?;
    Ok(printed.max(u8::from(!complete)))
}

/// Stops those that are named, or all.
pub(super) async fn stop(
    directories: &SocketDirectories,
    stop: &args::StopArgs,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    match (stop.all, stop.words.is_empty()) {
        (false, true) => Err(Fatal::new("fwd::usage::missing_arguments", "there is nothing to stop")
            .help("name it by id, local port, --name or target, as 'kubectl fwd list' shows them; or --all")),
        (true, false) => {
            Err(Fatal::new("fwd::usage::arguments", "--all stops every forward, and more are named")
                .help("leave out either the names or --all"))
        }
        (true, true) if filter(common).is_empty() => stop_all(directories, common).await,
        (true, true) => stop_all_of(directories, common).await,
        (false, false) => stop_some(directories, &stop.words, common).await,
    }
}

async fn stop_all(directories: &SocketDirectories, common: &CommonOptions) -> Result<u8, Fatal> {
    let CallResults { results, problems } = call_all::<usize>(directories, names::STOP_ALL).await;
    stopped(results.iter().map(|(_, count)| count).sum(), common)?;
    outcome(problems, common)
}

/// All that the flags leave.
async fn stop_all_of(directories: &SocketDirectories, common: &CommonOptions) -> Result<u8, Fatal> {
    let ForwardListing { found, complete } = find(directories, common).await;
    let (gone, problems) = stop_these(&found).await;
    stopped(gone.len(), common)?;
    Ok(outcome(problems, common)?.max(u8::from(!complete)))
}

fn stopped(count: usize, common: &CommonOptions) -> Result<(), Fatal> {
    let text = match count {
        0 => format!("nothing was forwarded{}\n", escape::line(&filter(common))),
        1 => "1 forward stopped\n".to_owned(),
        count => format!("{count} forwards stopped\n"),
    };
    if common.ui.quiet { Ok(()) } else { print(&text).map(drop) }
}

async fn stop_some(
    directories: &SocketDirectories,
    words: &[String],
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    let listing = find(directories, common).await;
    let unlisted = listing.unlisted(common);
    let (sockets, forwards): (Vec<_>, Vec<_>) = listing.found.into_iter().unzip();
    let mut chosen: Vec<ForwardId> = Vec::new();
    for word in words {
        let picked = pick(word, &forwards).map_err(|fatal| match &unlisted {
            Some(why) => fatal.because(why).help("'kubectl fwd list' shows every forward"),
            None => fatal,
        })?;
        chosen.extend(picked.iter().map(|forward| forward.id));
    }
    let found: Vec<FoundForward> =
        sockets.into_iter().zip(forwards).filter(|(_, forward)| chosen.contains(&forward.id)).collect();
    let (gone, problems) = stop_these(&found).await;
    if !common.ui.quiet {
        let line = |forward: &&PortForward| format!("{} {} stopped\n", forward.id, list::target(forward));
        print(&gone.iter().map(line).collect::<String>())?;
    }
    outcome(problems, common)
}

impl ForwardListing {
    /// Why there may be forwards that it does not have: what was not looked at may have what was not found.
    fn unlisted(&self, common: &CommonOptions) -> Option<String> {
        let filter = filter(common);
        match (filter.is_empty(), self.complete) {
            (true, true) => None,
            (false, _) => Some(format!("only forwards{filter} were looked at")),
            (true, false) => Some("not every process has answered".to_owned()),
        }
    }
}

/// Stops these, of all processes at once. Returns those that are stopped, and what went wrong with others.
async fn stop_these(found: &[FoundForward]) -> (Vec<&PortForward>, Vec<Fatal>) {
    // A process at a time has one client of ours.
    let asked = found.chunk_by(|(one, _), (other, _)| one == other).map(|process| async move {
        let socket = process.first().map(|(socket, _)| socket)?;
        let requests: Vec<_> =
            process.iter().map(|(_, forward)| (names::STOP, json!({ "id": forward.id }))).collect();
        Some((socket, process, call(socket, &requests).await))
    });
    let (mut gone, mut problems) = (Vec::new(), Vec::new());
    for (socket, process, answers) in join_all(asked).await.into_iter().flatten() {
        let mut answers = answers.unwrap_or_else(|trouble| vec![Err(trouble)]);
        if !matches!(answers.last(), Some(Err(CallError::Silent(_)))) {
            // It ended meanwhile, and the rest with it.
            answers.resize_with(process.len(), || Ok(Value::Null));
        }
        for ((_, forward), answer) in process.iter().zip(answers) {
            match answer {
                Ok(_) => gone.push(forward),
                // It ended by itself meanwhile, which is as good.
                Err(CallError::Refused(error)) if error.code == codes::UNKNOWN_ID => gone.push(forward),
                Err(trouble) => problems.push(no_answer(socket, &trouble)),
            }
        }
    }
    (gone, problems)
}

/// Not all was done where there are problems: the last of them is what the command fails with.
fn outcome(mut problems: Vec<Fatal>, common: &CommonOptions) -> Result<u8, Fatal> {
    let fails = problems.pop();
    warn(&problems, common);
    fails.map_or(Ok(0), Err)
}

/// Every forward of this user, or of these the ones in the namespace and the context that the flags name. Processes that
/// do not answer are told about.
pub(super) async fn find(directories: &SocketDirectories, common: &CommonOptions) -> ForwardListing {
    let CallResults { results, problems } = call_all::<Vec<PortForward>>(directories, names::LIST).await;
    warn(&problems, common);
    let (namespace, context) = (&common.flags.namespace, &common.flags.context);
    let wanted = |forward: &PortForward| {
        namespace.as_ref().is_none_or(|namespace| *namespace == forward.namespace)
            && (context.is_none() || *context == forward.context)
    };
    let of = |(socket, forwards): (ControlSocket, Vec<PortForward>)| {
        forwards.into_iter().filter(wanted).map(move |forward| (socket.clone(), forward))
    };
    ForwardListing { found: results.into_iter().flat_map(of).collect(), complete: problems.is_empty() }
}

/// What the flags leave, in words behind a sentence; empty where that is everything.
pub(super) fn filter(common: &CommonOptions) -> String {
    match (&common.flags.namespace, &common.flags.context) {
        (None, None) => String::new(),
        (Some(namespace), None) => format!(" in namespace {namespace}"),
        (None, Some(context)) => format!(" in context {context}"),
        (Some(namespace), Some(context)) => format!(" in namespace {namespace} of context {context}"),
    }
}

fn warn(problems: &[Fatal], common: &CommonOptions) {
    for problem in problems {
        print_notice(report::warning(problem, common.ui.colors.stderr).trim_end());
    }
}

/// Tells what is waited for, unless only errors are wanted.
pub(super) fn print_waiting(what: &str, common: &CommonOptions) {
    if !common.ui.quiet {
        print_notice(&escape::line(&format!("waiting for {what}")));
    }
}

pub(super) fn print_notice(text: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
