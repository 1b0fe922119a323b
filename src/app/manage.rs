//! `list` and `stop`: they ask the processes that forward, and are done.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{
    records::{self, FoundRecords},
    stdout::print,
};
use crate::{
    cli::{resolve::CommonOptions, subcommands},
    cluster::config::{flags::Flags, place::check_context},
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
        list::{self, ListRow, ListStyle, RowState},
        report,
    },
};

/// A forward and where its process listens.
pub(super) type FoundForward = (ControlSocket, PortForward);

/// What all processes have told.
pub(super) struct ForwardListing {
    pub found: Vec<FoundForward>,
    /// Processes that did not answer.
    pub unanswered: Vec<ListRow>,
    /// Every process has answered, and every directory could be looked into.
    pub complete: bool,
}

/// Shows every forward of this user.
pub(super) async fn list(
    directories: &SocketDirectories,
    style: &ListStyle,
    ended: bool,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    let ForwardListing { found, unanswered, complete } = find(directories, common).await?;
    let mut rows: Vec<ListRow> = found.into_iter().map(|(_, forward)| forward.into()).collect();
    if rows.is_empty() && complete && style.format.is_for_people() {
        print_none(common);
    }
    let for_people = style.format.is_for_people();
    if ended || for_people {
        let records = read_records(directories).await;
        if for_people {
            rows.extend(unanswered.into_iter().flat_map(|row| recorded(row, &records.running, common)));
        }
        let ended = records.ended.into_iter().map(|found| found.row);
        rows.extend(
            ended.filter(|row| row.forward.as_ref().is_some_and(|one| is_wanted(one, &common.flags))),
        );
    }
    let printed = print(&list::render(&rows, style, Timestamp::now()))?;
    Ok(printed.max(u8::from(!complete)))
}

/// What processes in the background have left behind.
pub(super) async fn read_records(directories: &SocketDirectories) -> FoundRecords {
    let directories = directories.clone();
    let read = spawn_blocking(move || records::read(&directories)).await;
    read.unwrap_or_else(|_| FoundRecords { ended: Vec::new(), running: Vec::new() })
}

/// A process that does not answer: its forwards, where it has written down which it has.
fn recorded(row: ListRow, running: &[(PortForward, PathBuf)], common: &CommonOptions) -> Vec<ListRow> {
    let own = running.iter().map(|(one, _)| one).filter(|one| one.pid == row.pid);
    let rows: Vec<_> =
        own.map(|one| ListRow { state: row.state, since: None, ..ListRow::from(one.clone()) }).collect();
    if rows.is_empty() {
        return vec![row];
    }
    rows.into_iter()
        .filter(|row| row.forward.as_ref().is_some_and(|one| is_wanted(one, &common.flags)))
        .collect()
}

/// Says that no forwards are running, and how to start one.
pub(super) fn print_none(common: &CommonOptions) {
    if common.ui.quiet {
        return;
    }
    let filter = filter(common);
    let next = if filter.is_empty() {
        "Start one: kubectl fwd svc/api 8080:80"
    } else {
        "All forwards: kubectl fwd list"
    };
    print_notice(&format!("No forwards are running{}. {next}", escape::line(&filter)));
}

/// Stops those that are named, or all.
pub(super) async fn stop(
    directories: &SocketDirectories,
    stop: &subcommands::StopArgs,
    common: &CommonOptions,
) -> Result<u8, Fatal> {
    match (stop.all, stop.words.is_empty()) {
        (false, true) => {
            Err(Fatal::new("fwd::usage::missing_arguments", "which forwards? none is named").help(
                "usage: kubectl fwd stop ID, NAME, PORT or TARGET, as 'kubectl fwd list' shows them; or --all",
            ))
        }
        (true, false) => Err(Fatal::new("fwd::usage::arguments", "--all stops every forward, so name none")
            .help("leave out either --all or the names")),
        (true, true) if filter(common).is_empty() => stop_all(directories, common).await,
        (true, true) => stop_all_of(directories, common).await,
        (false, false) => stop_some(directories, &stop.words, common).await,
    }
}

async fn stop_all(directories: &SocketDirectories, common: &CommonOptions) -> Result<u8, Fatal> {
    let CallResults { results, problems, .. } = call_all::<usize>(directories, names::STOP_ALL).await;
    print_stopped(results.iter().map(|(_, count)| count).sum(), common)?;
    outcome(problems, common)
}

/// All that the flags leave.
async fn stop_all_of(directories: &SocketDirectories, common: &CommonOptions) -> Result<u8, Fatal> {
    let ForwardListing { found, complete, .. } = find(directories, common).await?;
    let (gone, problems) = stop_these(&found).await;
    print_stopped(gone.len(), common)?;
    Ok(outcome(problems, common)?.max(u8::from(!complete)))
}

fn print_stopped(count: usize, common: &CommonOptions) -> Result<(), Fatal> {
    let text = match count {
        0 => {
            print_none(common);
            return Ok(());
        }
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
    let listing = find(directories, common).await?;
    let unlisted = listing.unlisted(common);
    let (sockets, forwards): (Vec<_>, Vec<_>) = listing.found.into_iter().unzip();
    let mut chosen: Vec<ForwardId> = Vec::new();
    for word in words {
        let picked = pick(word, &forwards).map_err(|fatal| match &unlisted {
            Some(why) => fatal.because(why).help("all forwards: kubectl fwd list"),
            None => fatal,
        })?;
        chosen.extend(picked.iter().map(|forward| forward.id));
    }
    let found: Vec<FoundForward> =
        sockets.into_iter().zip(forwards).filter(|(_, forward)| chosen.contains(&forward.id)).collect();
    stop_and_tell(&found, common).await
}

/// Stops these, and says so of each.
pub(super) async fn stop_and_tell(found: &[FoundForward], common: &CommonOptions) -> Result<u8, Fatal> {
    let (gone, problems) = stop_these(found).await;
    if !common.ui.quiet {
        let line = |forward: &&PortForward| format!("{} stopped\n", list::named(forward));
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
            (false, _) => Some(format!("only forwards{filter} were looked for")),
            (true, false) => Some("not every process answered".to_owned()),
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
        if !matches!(answers.last(), Some(Err(CallError::Silent(_) | CallError::Suspended))) {
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
///
/// A context that neither a forward nor a kubeconfig has is an error: it is misspelt.
pub(super) async fn find(
    directories: &SocketDirectories,
    common: &CommonOptions,
) -> Result<ForwardListing, Fatal> {
    let ForwardListing { mut found, unanswered, complete } = find_all(directories, common).await;
    let context = &common.flags.context;
    if complete && !found.iter().any(|(_, one)| context.is_none() || *context == one.context) {
        check_context(common.flags.clone(), common.environment.clone()).await?;
    }
    found.retain(|(_, forward)| is_wanted(forward, &common.flags));
    Ok(ForwardListing { found, unanswered, complete })
}

/// Every forward of this user. Processes that do not answer are told about.
pub(super) async fn find_all(directories: &SocketDirectories, common: &CommonOptions) -> ForwardListing {
    let CallResults { results, problems, unanswered } =
        call_all::<Vec<PortForward>>(directories, names::LIST).await;
    warn(&problems, common);
    let of = |(socket, forwards): (ControlSocket, Vec<PortForward>)| {
        forwards.into_iter().map(move |forward| (socket.clone(), forward))
    };
    let row = |(socket, why): (ControlSocket, CallError)| {
        let state = if why == CallError::Suspended { RowState::Suspended } else { RowState::Silent };
        ListRow::of_process(socket.pid, state)
    };
    ForwardListing {
        found: results.into_iter().flat_map(of).collect(),
        unanswered: unanswered.into_iter().map(row).collect(),
        complete: problems.is_empty(),
    }
}

/// Whether it is in the namespace and the context that the flags name.
pub(super) fn is_wanted(forward: &PortForward, flags: &Flags) -> bool {
    let (namespace, context) = (&flags.namespace, &flags.context);
    namespace.as_ref().is_none_or(|namespace| *namespace == forward.namespace)
        && (context.is_none() || *context == forward.context)
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
