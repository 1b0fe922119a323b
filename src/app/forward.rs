//! Forwarding: from what is wanted to the end of it.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use futures_util::{FutureExt as _, future::join_all};

use super::{
    background::DetachedChild,
    beside::{CommandTemplate, StartedForwards},
    browser,
    command::{CommandLine, RunningCommand},
    held::tell_held,
    history::History,
    lifecycle::INTERRUPTED,
    log_file::Log,
    manage::find_all,
    panel::{
        self, PanelEnd, PanelSetup,
        adding::{Adding, PickStart},
    },
    process::Process,
    ready_file::ReadyFile,
    set_status::{SetStatus, set_status},
    set_sync::SetSync,
    signals::StopSignal,
};
use crate::{
    cli::{
        beside::{BesideOptions, HistoryUse},
        resolve::{CommonOptions, Config},
    },
    control::sockets::{SocketDirectories, SocketEnvironment},
    error::{Fatal, io_message},
    forward::{ForwardOptions, ForwardSpec, registry::Registry},
    model::forward::{ForwardId, PortForward},
    sets::SetStore,
    system::terminal,
    ui::{
        OutputSettings, Presentation,
        color::Styling,
        list,
        output_writer::{OutputWriter, StdoutUse},
        people::PeopleOutput,
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
    /// How what is added while it runs is forwarded.
    pub added: ForwardOptions,
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
        let wanted = wanted.collect();
        Self { wanted, common, keep_going: false, skipped: None, beside, added: options, set: None }
    }
}

/// Where a process that forwards is, and what it speaks through.
pub(super) struct ForwardEnvironment<'a> {
    pub sockets: &'a SocketEnvironment,
    pub configuration: Option<&'a Path>,
    pub background: Option<DetachedChild>,
    pub people: PeopleOutput,
    /// `$BROWSER`.
    pub browser: Option<String>,
    /// How many files this process could have open when it began.
    pub open_files: Option<u64>,
    /// Where what is forwarded is remembered.
    pub history: Option<History>,
}

/// Forwards until there is an end to it.
pub(super) async fn forward(plan: ForwardPlan, environment: ForwardEnvironment<'_>) -> Result<u8, Fatal> {
    let ForwardPlan { wanted, mut common, keep_going, skipped, beside, added, set } = plan;
    // A command that cannot be told what it wants to know, and a path that cannot be written, are known before anything
    // starts.
    let command = CommandTemplate::new(beside.command, &wanted)?;
    let people = environment.people.clone();
    if let Some(path) = &beside.log {
        lead_to_log(path, &people, &mut common.ui)?;
    }
    let ready_file = beside.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let stdout = stdout_use(command.as_ref(), beside.log.as_deref());
    let writer = match &environment.background {
        Some(background) => background.output_writer(),
        None => OutputWriter::open(people.clone(), stdout),
    };
    let mut process = Process::new(common.clone(), writer, people.clone(), environment.background.clone())?;
    #[cfg(unix)]
    let _reports = if command.is_none() { process.dump_on_signal() } else { None };
    let is_listed = listen(&mut process, environment.sockets);
    let mut set_sync = SetSync::new(&process.registry, environment.configuration);
    if let Some(fatal) = &skipped {
        process.print_notice(&report::warning(fatal, common.ui.colors.stderr));
    }
    let run = ForwardRun {
        process: &mut process,
        set_sync: &mut set_sync,
        common: &common,
        environment: &environment,
        keep_going,
        set,
        command,
        ready_file,
        open: beside.open,
        panel: beside.panel.then_some(added),
        history: environment.history.clone().filter(|_| beside.history == HistoryUse::Remember),
        is_listed,
    };
    let ended = run.run(wanted).await;
    let ended = process.end(ended, Some(set_sync)).await;
    if let (Some(_), Err(fatal)) = (&beside.log, &ended) {
        // On stderr as well; a log that does not say what ended it helps nobody.
        let style = ReportStyle { fancy: false, color: Styling::Plain };
        let _ = people.clone().write_all(report::render(fatal, style).as_bytes());
    }
    // What is said of the time until here is there now.
    tell_held(&people, if beside.panel { "the panel was shown" } else { "the command ran" });
    ended
}

/// Lets other processes see this one, and says whether they can. It forwards all the same.
fn listen(process: &mut Process, sockets: &SocketEnvironment) -> bool {
    let listens = process.listen(sockets);
    if let Err(fatal) = &listens {
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("'kubectl fwd list' cannot show this process: {why}");
    }
    listens.is_ok()
}

/// What is done between the beginning of a process that forwards and its end.
struct ForwardRun<'a> {
    process: &'a mut Process,
    set_sync: &'a mut SetSync,
    common: &'a CommonOptions,
    environment: &'a ForwardEnvironment<'a>,
    keep_going: bool,
    set: Option<PlannedSet>,
    command: Option<CommandTemplate>,
    ready_file: Option<ReadyFile>,
    open: bool,
    /// The panel is shown, and what is added there is forwarded so.
    panel: Option<ForwardOptions>,
    /// Where what is forwarded is noted.
    history: Option<History>,
    /// Other processes can see this one.
    is_listed: bool,
}

impl ForwardRun<'_> {
    /// Starts what is wanted and stays until there is an end to it.
    async fn run(mut self, wanted: Vec<ForwardSpec>) -> Result<u8, Fatal> {
        let Some(SetStatus { running, missing }) = self.find_running(wanted).await else {
            return Ok(INTERRUPTED);
        };
        if let Some(set) = self.set.as_ref().filter(|_| missing.is_empty() && self.command.is_none()) {
            self.print(&format!(
                "All of {} is already running. Stop it: kubectl fwd down {}",
                set.name, set.words
            ));
            self.process.report_ready(Vec::new());
            return Ok(0);
        }
        let several = missing.iter().map(|one| one.request.ports.len()).sum::<usize>() > 1;
        let here = match self.start(missing).await {
            None => return Ok(INTERRUPTED),
            Some(Ok(here)) => here,
            Some(Err(fatal)) => {
                return Err(match &self.set {
                    Some(set) if several && !self.keep_going => with_way_out(fatal, set),
                    _ => fatal,
                });
            }
        };
        let Some(command) = self.command.take() else { return self.stay(here).await };
        let elsewhere = running.into_iter().map(|(_, forward)| forward).collect();
        let started = StartedForwards { here, elsewhere };
        let line = command.line(&self.process.registry, &started, self.environment.open_files)?;
        run_beside(self.process, started, &line, &self.environment.people).await
    }

    /// What of a set runs already, in whichever process, which is told; of anything else nothing does. `None` where it was
    /// interrupted.
    async fn find_running(&mut self, wanted: Vec<ForwardSpec>) -> Option<SetStatus> {
        let directories =
            self.set.as_ref().and_then(|_| SocketDirectories::new(self.environment.sockets).ok());
        let Some(directories) = directories else {
            return Some(SetStatus { running: Vec::new(), missing: wanted });
        };
        let status = tokio::select! {
            status = running_already(wanted, self.common, &directories) => status,
            _ = self.process.signals.next() => return None,
        };
        for (_, forward) in &status.running {
            self.print(&format!("{} is already running (process {})", list::named(forward), forward.pid));
        }
        Some(status)
    }

    /// Starts these, and does what is to be done once they work. `None` where it was interrupted.
    async fn start(&mut self, wanted: Vec<ForwardSpec>) -> Option<Result<Vec<PortForward>, Fatal>> {
        let registry = &self.process.registry;
        let started = tokio::select! {
            // What works has said so already, and a reader of that may interrupt in the same moment.
            biased;
            started = async {
                if wanted.is_empty() {
                    Ok((Vec::new(), Vec::new()))
                } else if self.keep_going {
                    start_each(registry, wanted).await
                } else {
                    registry.start(wanted).await.map(|ids| (ids, Vec::new()))
                }
            } => started,
            _ = self.process.signals.next() => return None,
        };
        Some(started.and_then(|(ids, failures)| self.works(&ids, &failures)))
    }

    /// Says what does not work, and publishes what does.
    fn works(&mut self, ids: &[ForwardId], failures: &[Fatal]) -> Result<Vec<PortForward>, Fatal> {
        for fatal in failures {
            self.process.print_notice(&report::warning(fatal, self.common.ui.colors.stderr));
        }
        let forwards = self.process.forwards(ids);
        self.ready_file.as_mut().map_or(Ok(()), |file| file.publish(&forwards))?;
        if self.open {
            browser::open(&self.process.registry, &forwards, self.environment.browser.clone());
        }
        Ok(forwards)
    }

    /// Stays until a signal comes, or nothing is left to do.
    async fn stay(&mut self, forwards: Vec<PortForward>) -> Result<u8, Fatal> {
        self.set_sync.begin();
        if self.is_listed {
            // Without a socket it would look as if it were dead.
            self.process.keep_record().await;
        }
        let noting = self.history.clone().map(|history| tokio::spawn(history.note(forwards.clone())));
        self.process.report_ready(forwards);
        let over = match self.panel.take() {
            Some(added) => self.show_panel(added).await,
            None => stay(self.process, self.set_sync).await,
        };
        if let Some(noting) = noting {
            // It has an end of its own.
            let _ = noting.await;
        }
        over
    }

    /// Stays with the panel in place of lines. Leaving that is as good as Ctrl-C.
    async fn show_panel(&mut self, added: ForwardOptions) -> Result<u8, Fatal> {
        let ForwardEnvironment { configuration, people, browser, .. } = self.environment;
        let sets = configuration.map(SetStore::new);
        let start = PickStart::Here { registry: self.process.registry.clone(), options: added };
        let adding = Adding { start, history: self.history.clone() };
        let setup = PanelSetup { sets, browser: browser.clone(), common: self.common, adding };
        self.process.end_view().await;
        people.hold();
        let server = Arc::clone(&self.process.server);
        match panel::of_process(server, setup, stay(self.process, self.set_sync)).await? {
            PanelEnd::Quit => {
                self.set_sync.interrupted();
                Ok(0)
            }
            PanelEnd::Over(over) => over,
        }
    }

    /// Tells something, unless only errors are wanted.
    fn print(&self, text: &str) {
        if !self.common.ui.quiet {
            self.process.print_notice(text);
        }
    }
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
