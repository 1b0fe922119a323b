//! Forwarding: from what is wanted to the end of it.

use std::{
    io::{self, Write as _},
    iter,
    path::Path,
};

use futures_util::{FutureExt as _, future::join_all};

use super::{
    background::DetachedChild,
    beside::{CommandTemplate, StartedForwards},
    browser,
    command::{CommandLine, RunningCommand},
    lifecycle::{FLUSH_TIMEOUT, INTERRUPTED},
    log_file::Log,
    manage::find_all,
    process::Process,
    ready_file::ReadyFile,
    set_status::{SetStatus, set_status},
    set_sync::SetSync,
    signals::StopSignal,
};
use crate::{
    cli::{
        beside::BesideOptions,
        resolve::{CommonOptions, Config},
    },
    control::sockets::{SocketDirectories, SocketEnvironment},
    error::{Fatal, io_message},
    forward::{ForwardSpec, registry::Registry},
    model::forward::ForwardId,
    system::terminal,
    ui::{
        OutputSettings, Presentation,
        color::Styling,
        list,
        log::StderrLog,
        output_writer::{OutputWriter, StdoutUse},
        people::{HeldLines, PeopleOutput},
        report::{self, ReportStyle},
    },
};

/// What to forward, and how it is told.
pub(super) struct ForwardPlan {
    pub wanted: Vec<ForwardSpec>,
    pub common: CommonOptions,
    /// Start what can be started, and tell what cannot.
    pub keep_going: bool,
    /// What will not be started: mistakes of a set.
    pub skipped: Option<Fatal>,
    /// What is done beside it.
    pub beside: BesideOptions,
    /// The set that it is: what of it runs already, in whichever process, is not started again.
    pub set: Option<PlannedSet>,
}

/// What messages call a set.
pub(super) struct PlannedSet {
    /// In a sentence.
    pub name: String,
    /// Behind `up` and `down`.
    pub words: String,
}

impl From<Config> for ForwardPlan {
    fn from(config: Config) -> Self {
        let Config { requests, options, label, beside, common } = config;
        let wanted = requests.into_iter().map(|request| ForwardSpec {
            request,
            options: options.clone(),
            context: None,
            label: label.clone(),
            origin: None,
        });
        Self { wanted: wanted.collect(), common, keep_going: false, skipped: None, beside, set: None }
    }
}

/// Where a process that forwards is, and what it speaks through.
pub(super) struct Surroundings<'a> {
    pub sockets: &'a SocketEnvironment,
    pub configuration: Option<&'a Path>,
    pub background: Option<DetachedChild>,
    pub people: PeopleOutput,
    /// `$BROWSER`.
    pub browser: Option<String>,
    /// How many files this process could have open when it began.
    pub open_files: Option<u64>,
}

/// Forwards until there is an end to it.
pub(super) async fn forward(work: ForwardPlan, around: Surroundings<'_>) -> Result<u8, Fatal> {
    let ForwardPlan { mut wanted, mut common, keep_going, skipped: left_out, beside, set } = work;
    let Surroundings { sockets, configuration, background, people, browser, open_files } = around;
    // A command that cannot be told what it wants to know, and a path that cannot be written, are known before anything
    // starts.
    let command = CommandTemplate::new(beside.command, &wanted)?;
    if let Some(path) = &beside.log {
        lead_to_log(path, &people, &mut common.ui)?;
    }
    let mut ready_file = beside.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let color = common.ui.colors.stderr;
    let stdout = stdout_use(command.as_ref(), beside.log.as_deref());
    let writer = match &background {
        Some(background) => background.output_writer(),
        None => OutputWriter::open(people.clone(), stdout),
    };
    let mut process = Process::new(common.clone(), writer, people.clone(), background)?;
    let listens = process.listen(sockets);
    if let Err(fatal) = &listens {
        // It forwards all the same.
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("'kubectl fwd list' cannot show this process: {why}");
    }
    let mut set_sync = SetSync::new(&process.registry, configuration);
    if let Some(fatal) = &left_out {
        process.print_notice(&report::warning(fatal, color));
    }
    let mut elsewhere = Vec::new();
    if let (Some(set), Ok(directories)) = (&set, SocketDirectories::new(sockets)) {
        let status = tokio::select! {
            status = running_already(wanted, &common, &directories) => status,
            _ = process.signals.next() => return process.end(Ok(INTERRUPTED), Some(set_sync)).await,
        };
        for (_, forward) in status.running.iter().filter(|_| !common.ui.quiet) {
            let running = format!("{} is already running (process {})", list::named(forward), forward.pid);
            process.print_notice(&running);
        }
        if status.missing.is_empty() && command.is_none() {
            let what =
                format!("All of {} is already running. Stop it: kubectl fwd down {}", set.name, set.words);
            if !common.ui.quiet {
                process.print_notice(&what);
            }
            process.report_ready(Vec::new());
            return process.end(Ok(0), None).await;
        }
        elsewhere = status.running.into_iter().map(|(_, forward)| forward).collect();
        wanted = status.missing;
    }
    let several = wanted.iter().map(|one| one.request.ports.len()).sum::<usize>() > 1;
    let started = tokio::select! {
        // What works has said so already, and a reader of that may interrupt in the same moment.
        biased;
        started = async {
            if wanted.is_empty() {
                Ok((Vec::new(), Vec::new()))
            } else if keep_going {
                start_each(&process.registry, wanted).await
            } else {
                process.registry.start(wanted).await.map(|ids| (ids, Vec::new()))
            }
        } => started,
        _ = process.signals.next() => return process.end(Ok(INTERRUPTED), Some(set_sync)).await,
    };
    let ready = started.and_then(|(ids, failures)| {
        for fatal in &failures {
            process.print_notice(&report::warning(fatal, color));
        }
        let forwards = process.forwards(&ids);
        ready_file.as_mut().map_or(Ok(()), |file| file.publish(&forwards))?;
        if beside.open {
            browser::open(&process.registry, &forwards, browser);
        }
        Ok(forwards)
    });
    let ended = match (ready, command) {
        (Err(fatal), _) => Err(match &set {
            Some(set) if several && !keep_going => with_way_out(fatal, set),
            _ => fatal,
        }),
        (Ok(forwards), Some(command)) => {
            let started = StartedForwards { here: forwards, elsewhere };
            match command.line(&process.registry, &started, open_files) {
                Ok(line) => run_beside(&mut process, started, &line, &people).await,
                Err(fatal) => Err(fatal),
            }
        }
        (Ok(forwards), None) => {
            set_sync.begin();
            // Without a socket it would look as if it were dead.
            if listens.is_ok() {
                process.keep_record().await;
            }
            process.report_ready(forwards);
            stay(&mut process, &set_sync).await
        }
    };
    let ended = process.end(ended, Some(set_sync)).await;
    if let (Some(_), Err(fatal)) = (&beside.log, &ended) {
        // On stderr as well; a log that does not say what ended it helps nobody.
        let style = ReportStyle { fancy: false, color: Styling::Plain };
        let _ = people.clone().write_all(report::render(fatal, style).as_bytes());
    }
    // What is said of the time until here is there now.
    tell_held(&people);
    ended
}

/// Waits for a signal, or until nothing is left to do.
async fn stay(process: &mut Process, set_sync: &SetSync) -> Result<u8, Fatal> {
    tokio::select! {
        said = process.signals.next() => {
            if said == StopSignal::Interrupt {
                set_sync.interrupted();
            }
            Ok(0)
        }
        finished = process.registry.finished() => finished.map(|()| 0),
    }
}

/// Where kubectl's lines go: stdout is the command's alone, where there is one.
fn stdout_use(command: Option<&CommandTemplate>, log: Option<&Path>) -> StdoutUse {
    match (command, log) {
        (None, _) => StdoutUse::Written,
        (Some(_), Some(_)) => StdoutUse::ToPeople,
        (Some(_), None) => StdoutUse::Unused,
    }
}

/// Runs a command for as long as it takes, and returns its exit status. Where the forwards end first, because somebody has
/// stopped them or they were given up, it is asked to end.
///
/// They are the command's: no set keeps them (`save --auto`). Those of other processes go on without it.
async fn run_beside(
    process: &mut Process,
    started: StartedForwards,
    line: &CommandLine,
    people: &PeopleOutput,
) -> Result<u8, Fatal> {
    let is_alone = started.here.is_empty();
    process.show_ready(started.here).await;
    if process.signals.next().now_or_never().is_some() {
        return Ok(INTERRUPTED);
    }
    // From here on the terminal is the command's alone.
    people.hold();
    let _loan = terminal::lend();
    let ended = match RunningCommand::start(line) {
        Err(fatal) => Err(fatal),
        Ok(mut running) => tokio::select! {
            biased;
            status = running.wait() => status,
            finished = process.registry.finished(), if !is_alone => {
                running.terminate();
                let status = running.wait().await;
                finished.and(status)
            }
        },
    };
    // They were for the command.
    process.signals.forget();
    ended
}

/// From now on what is for people is appended to this file.
fn lead_to_log(path: &Path, people: &PeopleOutput, ui: &mut OutputSettings) -> Result<(), Fatal> {
    people.lead_to(Log::append(path).map_err(|error| unwritable(path, &error))?);
    ui.colors.stderr = Styling::Plain;
    ui.presentation = Presentation::Lines;
    Ok(())
}

fn unwritable(log: &Path, error: &io::Error) -> Fatal {
    Fatal::new("fwd::log::unwritable", format!("cannot write the log {}", log.display()))
        .because(io_message(error))
        .help("its directory has to exist, and you need the right to write there")
}

/// Tells what could not be told while a command had the terminal.
fn tell_held(people: &PeopleOutput) {
    if let Some(text) = summary(&people.release())
        && let Ok(mut stderr) = StderrLog::open(people.clone())
    {
        let _ = stderr.write_all(text.as_bytes());
        stderr.wait_written(FLUSH_TIMEOUT);
    }
}

/// What is told of the time in which nothing could be.
fn summary(held: &HeldLines) -> Option<String> {
    let HeldLines { lines, earlier } = held;
    if lines.is_empty() {
        return None;
    }
    let head = "kubectl fwd, while the command ran:".to_owned();
    let left_out =
        (*earlier > 0).then(|| format!("  ({earlier} earlier lines are left out; --log FILE keeps all)"));
    let lines = lines.iter().map(|line| format!("  {line}"));
    Some(iter::once(head).chain(left_out).chain(lines).collect::<Vec<_>>().join("\n"))
}

/// What of a set runs already. Where that cannot be told the start says why.
async fn running_already(
    wanted: Vec<ForwardSpec>,
    common: &CommonOptions,
    directories: &SocketDirectories,
) -> SetStatus {
    let all = find_all(directories, common).await.found;
    let nothing = SetStatus { running: Vec::new(), missing: wanted.clone() };
    if all.is_empty() { nothing } else { set_status(wanted, common, all).await.unwrap_or(nothing) }
}

/// One forward of a set stands against the others.
fn with_way_out(fatal: Fatal, set: &PlannedSet) -> Fatal {
    let way_out = format!("to start the others all the same: kubectl fwd up {} --keep-going", set.words);
    let help = match fatal.advice() {
        Some(advice) => format!("{advice}\n{way_out}"),
        None => way_out,
    };
    fatal.help(help)
}

/// Starts each by itself, as long as one of them works.
async fn start_each(
    registry: &Registry,
    wanted: Vec<ForwardSpec>,
) -> Result<(Vec<ForwardId>, Vec<Fatal>), Fatal> {
    let (mut ids, mut failures) = (Vec::new(), Vec::new());
    for started in join_all(wanted.into_iter().map(|one| registry.start(vec![one]))).await {
        match started {
            Ok(some) => ids.extend(some),
            Err(fatal) => failures.push(fatal),
        }
    }
    match failures.pop() {
        Some(last) if ids.is_empty() => Err(failures.into_iter().next().unwrap_or(last)),
        last => {
            failures.extend(last);
            Ok((ids, failures))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary() {
        assert_eq!(summary(&HeldLines::default()), None);
        let held = HeldLines { lines: ["svc/db: a".to_owned(), "svc/db: b".to_owned()].into(), earlier: 2 };
        let expected = "kubectl fwd, while the command ran:\n  (2 earlier lines are left out; --log FILE keeps all)\n  svc/db: a\n  svc/db: b";
        assert_eq!(summary(&held).as_deref(), Some(expected));
    }
}
