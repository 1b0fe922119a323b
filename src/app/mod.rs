//! Wiring, and the order of shutdown.
//!
//! Words become a `Config`, a `Config` becomes forwards, and the command then waits for one of two ends: a signal, or
//! nothing left to do. What ends is ended in order (`process`), and only then the error, if there is one, is printed. It
//! is printed here and nowhere else.

mod background;
mod beside;
mod browser;
mod command;
mod completion;
mod doctor;
mod down;
#[cfg(unix)]
mod dump;
mod event_batch;
mod forward;
mod held;
mod history;
mod lifecycle;
mod list_watch;
mod log_file;
mod logs;
mod manage;
mod panel;
mod panics;
mod picker;
mod process;
mod ready_file;
mod records;
mod save;
mod serve;
mod set_list;
mod set_status;
mod set_sync;
mod signals;
mod stdio;
mod stdout;
mod trust;
mod up;
mod version;

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    path::PathBuf,
    process::Stdio,
};

use tokio::runtime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use self::{
    background::DetachedChild,
    command::exit_status,
    doctor::DoctorPlan,
    forward::{ForwardEnvironment, ForwardPlan},
    history::History,
    lifecycle::{INTERRUPTED, no_start},
    panel::{
        PanelSetup,
        adding::{Adding, PickStart},
        suspend::suspend_as_usual,
    },
    picker::PickerPlan,
    stdout::print,
};
use crate::{
    cli::{
        self, Invocation, ParsedArgs,
        args::Args,
        beside::{BesideOptions, HistoryUse, TypedBeside},
        complete::scripts::{self, CompletionAction},
        grammar,
        picked::PickedLine,
        resolve::{self, CommonOptions, Config, Environment, PickOptions, Resolved},
        subcommands::{Subcommand, UiArgs},
    },
    control::sockets::{self, SocketDirectories},
    descriptors::descriptors,
    error::Fatal,
    sets::{self, SetStore},
    ui::{
        OutputFormat,
        color::{ColorChoice, Styling},
        doctor::CheckMarks,
        json, log,
        people::PeopleOutput,
        report::{self, ReportStyle},
    },
};

/// Open files that are asked for: more than all connections of a few busy ports.
const DESCRIPTORS: u64 = 64 * 1024;

/// Pipes, of two open files each, that there is room for where the runtime can start: it takes a poller and its waker, a pair
/// of sockets for signals and a copy of one of them.
const PIPES_AT_LEAST: usize = 3;

/// How an error is told, as far as that is known.
struct ErrorOutput {
    look: ReportStyle,
    output: OutputFormat,
    /// Events are shown, and the error is the last of them.
    is_event: bool,
    /// This is the child of a `--detach`.
    is_child: bool,
    child: Option<DetachedChild>,
    /// A full screen was shown, and is gone.
    had_screen: bool,
    /// Where log lines go, once that is known.
    log: Option<log::StderrLog>,
    /// Where all goes that is for people, but for the error itself.
    people: PeopleOutput,
}

/// Runs the command line, of the program by this name, and returns the exit status.
pub fn run(name: &OsStr, argv: &[OsString]) -> u8 {
    let environment = Environment::read();
    if let Some(words) = completion::asked(name, argv) {
        // A shell that completes has no use for an error.
        panics::silence();
        return panics::or_error(|| run_async(completion::complete(words, environment))).unwrap_or(0);
    }
    panics::install();
    // Until `--color` is understood an error is coloured as the environment has it.
    let look = ReportStyle {
        fancy: environment.signals.can_draw(),
        color: environment.signals.decide(ColorChoice::Auto).stderr,
    };
    let mut error_output = ErrorOutput {
        look,
        output: OutputFormat::Text,
        is_event: false,
        is_child: false,
        child: None,
        had_screen: false,
        log: None,
        people: PeopleOutput::default(),
    };
    let ended = panics::or_error(|| command(argv, environment, &mut error_output));
    if let Some(log) = &error_output.log {
        log.wait_written(lifecycle::FLUSH_TIMEOUT);
    }
    match ended {
        Ok(status) => status,
        Err(fatal) => {
            error_output.show(&fatal);
            exit_status(&fatal)
        }
    }
}

impl ErrorOutput {
    /// From here on it is known what the user wants to see.
    fn begin(&mut self, common: &mut CommonOptions) {
        // Nobody answers questions in the background, whatever stdin is.
        common.environment.stdin_is_terminal &= !self.is_child;
        common.can_ask &= !self.is_child;
        self.look.color = common.ui.colors.stderr;
        self.output = common.ui.output;
        if !self.is_child {
            self.log = log::StderrLog::open(self.people.clone()).ok();
            let people = self.people.clone();
            let to = self.log.clone().map_or_else(
                || BoxMakeWriter::new(move || people.clone()),
                |stderr| BoxMakeWriter::new(move || stderr.clone()),
            );
            log::install(common.ui.verbosity, common.ui.colors.stderr, to);
        }
    }

    fn show(&self, fatal: &Fatal) {
        match &self.child {
            Some(background) => return background.report_failure(fatal),
            None if self.is_child => return background::report_startup_failure(fatal),
            None => {}
        }
        if self.output == OutputFormat::Json && !self.is_event {
            let _ = writeln!(io::stdout().lock(), "{}", json::error(fatal));
        }
        // A closed stderr leaves nobody to tell.
        let _ = io::stderr().lock().write_all(report::render(fatal, self.look).as_bytes());
    }
}

fn command(argv: &[OsString], environment: Environment, error_output: &mut ErrorOutput) -> Result<u8, Fatal> {
    let system = SystemPaths {
        sockets: environment.sockets.clone(),
        configuration: environment.configuration.clone(),
        program: environment.program.clone(),
        browser: environment.browser.clone(),
        path: environment.path.clone(),
        state: environment.state.clone(),
        marks: if environment.is_utf8 { CheckMarks::Unicode } else { CheckMarks::Ascii },
    };
    match cli::parse(argv)? {
        Invocation::Help(request) => print(&request.render(environment.columns)),
        Invocation::Version => print(&version::line()),
        Invocation::Forward(typed) => {
            error_output.is_child = typed.args.in_background;
            error_output.output = resolve::output(typed.args.output.as_deref())?;
            let detach = typed.args.detach;
            match resolve::resolve(*typed, environment.clone())? {
                Resolved::Forward(config) => start(config, detach, argv, &system, error_output),
                Resolved::Pick(options) => pick(options, argv, environment, &system, error_output),
            }
        }
        Invocation::Command(command, typed) => {
            let ParsedArgs { args, rest, .. } = *typed;
            let begin = |args, error_output: &mut ErrorOutput| {
                let mut common = resolve::common(args, environment)?;
                error_output.begin(&mut common);
                Ok(common)
            };
            let words = TypedWords { argv, rest };
            subcommand(command, args, begin, words, &system, error_output)
        }
    }
}

/// Forwards, in the background where that is wanted.
fn start(
    mut config: Config,
    detach: bool,
    argv: &[OsString],
    system: &SystemPaths,
    error_output: &mut ErrorOutput,
) -> Result<u8, Fatal> {
    error_output.begin(&mut config.common);
    if detach && !error_output.is_child {
        let (program, ui) = (system.program.clone(), config.common.ui);
        return run_async(background::detach(program, &[], argv, Stdio::null(), ui));
    }
    if config.beside.panel {
        config.common.terminal.check()?;
    }
    forward(ForwardPlan::from(config), system, error_output)
}

/// Has a person pick what to forward, and does as if that had been typed.
fn pick(
    mut options: PickOptions,
    argv: &[OsString],
    environment: Environment,
    system: &SystemPaths,
    error_output: &mut ErrorOutput,
) -> Result<u8, Fatal> {
    error_output.begin(&mut options.common);
    let history = system.history().filter(|_| options.history == HistoryUse::Remember);
    let plan =
        PickerPlan { common: &options.common, addresses: &options.addresses, history: history.as_ref() };
    let Some(picked) = run_async(picker::pick(plan, &error_output.people))? else { return Ok(INTERRUPTED) };
    error_output.had_screen = true;
    let line = PickedLine::new(argv, &picked)?;
    if !options.common.ui.quiet {
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(error_output.people.clone(), "{}", line.shown);
    }
    let Invocation::Forward(typed) = cli::parse(&line.argv)? else { return Ok(0) };
    let detach = typed.args.detach;
    match resolve::resolve(*typed, environment)? {
        Resolved::Forward(config) => start(config, detach, &line.argv, system, error_output),
        Resolved::Pick(_) => Ok(0),
    }
}

/// All that was typed, and what of it stood behind `--`.
struct TypedWords<'a> {
    argv: &'a [OsString],
    rest: Vec<OsString>,
}

/// Runs a subcommand. `begin` reads the flags that it shares with all others.
#[expect(clippy::too_many_lines, reason = "a few lines for each command")]
fn subcommand(
    command: Subcommand,
    args: Args,
    begin: impl FnOnce(Args, &mut ErrorOutput) -> Result<CommonOptions, Fatal>,
    words: TypedWords<'_>,
    system: &SystemPaths,
    error_output: &mut ErrorOutput,
) -> Result<u8, Fatal> {
    let sockets = || SocketDirectories::new(&system.sockets);
    match command {
        Subcommand::Version(version) => {
            let common = begin(args, error_output)?;
            run_async(version::version(&version, common))
        }
        Subcommand::Completion(completion) => match scripts::action(&completion.action)? {
            CompletionAction::Print(script) => print(script),
            CompletionAction::Install => completion::install(system.path.as_deref()),
            CompletionAction::Uninstall => completion::uninstall(system.path.as_deref()),
        },
        Subcommand::Up(up) if up.schema => print(sets::SCHEMA),
        Subcommand::Up(up) if up.list => {
            let format = resolve::set_list_format(up.output.as_deref())?;
            let (common, sets) = (begin(args, error_output)?, system.sets());
            run_async(async { set_list::list_sets(&sockets()?, format, sets.as_ref(), &common).await })
        }
        Subcommand::Sets(list) => {
            let (common, sets) = (begin(args, error_output)?, system.sets());
            let format = resolve::set_list_format(list.output.as_deref())?;
            run_async(async { set_list::list_sets(&sockets()?, format, sets.as_ref(), &common).await })
        }
        Subcommand::Down(down) => {
            let (common, sets) = (begin(args, error_output)?, system.sets());
            run_async(async { down::down(&sockets()?, &down, sets.as_ref(), common).await })
        }
        Subcommand::Up(up) => {
            error_output.is_child = up.in_background;
            let beside = BesideOptions::new(&TypedBeside::from(&up), words.rest)?;
            let common = begin(Args { output: up.output.clone(), ..args }, error_output)?;
            if beside.panel {
                common.terminal.check()?;
            }
            if up.detach && !error_output.is_child {
                let stdin = if up.reads_stdin() { Stdio::inherit() } else { Stdio::null() };
                let consents = up::consent(&up, &common, system.sets().as_ref())?;
                let flags = if consents { &[background::TRUST][..] } else { &[] };
                return run_async(background::detach(
                    system.program.clone(),
                    flags,
                    words.argv,
                    stdin,
                    common.ui,
                ));
            }
            let work = up::work(&up, common, beside, system.sets().as_ref())?;
            forward(work, system, error_output)
        }
        Subcommand::List(list) => {
            let mut common = begin(args, error_output)?;
            if list.all_namespaces {
                common.flags.namespace = None;
            }
            let style = resolve::list_style(&list, &common)?;
            run_async(async {
                if list.watch {
                    return list_watch::watch(&sockets()?, &style, &common).await;
                }
                manage::list(&sockets()?, &style, list.ended, &common).await
            })
        }
        Subcommand::Stop(stop) => {
            let common = begin(args, error_output)?;
            run_async(async { manage::stop(&sockets()?, &stop, &common).await })
        }
        Subcommand::Serve(serve) => {
            let common = begin(args, error_output)?;
            raise_descriptor_limit();
            let configuration = system.configuration.as_deref();
            run_async(serve::serve(common, &system.sockets, configuration, &serve))
        }
        Subcommand::Save(save) => {
            let common = begin(args, error_output)?;
            let sets = system.sets();
            run_async(async { save::save(&sockets()?, &save, sets.as_ref(), &common).await })
        }
        Subcommand::Ui(UiArgs {}) => {
            let (common, sets) = (begin(args, error_output)?, system.sets());
            common.terminal.check()?;
            let start =
                PickStart::InBackground { program: system.program.clone(), argv: words.argv.to_vec() };
            let adding = Adding { start, history: system.history() };
            let setup = PanelSetup { sets, browser: system.browser.clone(), common: &common, adding };
            run_async(async { panel::ui(sockets()?, setup, &error_output.people).await })
        }
        Subcommand::Logs(logs) => {
            let common = begin(args, error_output)?;
            run_async(async { logs::logs(&sockets()?, &logs, &common).await })
        }
        Subcommand::Doctor(typed) => {
            error_output.output = resolve::output(typed.output.as_deref())?;
            let request = grammar::examined(typed.selector.as_deref(), &typed.words)?;
            let common = begin(Args { output: typed.output, ..args }, error_output)?;
            let open_files = raise_descriptor_limit();
            run_async(doctor::doctor(DoctorPlan {
                request,
                common,
                marks: system.marks,
                sockets: system.sockets.clone(),
                program: system.program.clone(),
                path: system.path.clone(),
                open_files,
            }))
        }
    }
}

/// What of the system a command may need.
struct SystemPaths {
    sockets: sockets::SocketEnvironment,
    configuration: Option<PathBuf>,
    program: Option<PathBuf>,
    path: Option<OsString>,
    state: Option<PathBuf>,
    marks: CheckMarks,
    /// `$BROWSER`.
    browser: Option<String>,
}

impl SystemPaths {
    fn sets(&self) -> Option<SetStore> {
        self.configuration.as_deref().map(SetStore::new)
    }

    fn history(&self) -> Option<History> {
        self.state.as_deref().map(History::new)
    }
}

/// Forwards, here or as the child of a `--detach`.
fn forward(work: ForwardPlan, system: &SystemPaths, error_output: &mut ErrorOutput) -> Result<u8, Fatal> {
    let open_files = command::open_files();
    raise_descriptor_limit();
    let ErrorOutput { is_event, is_child, child, people, had_screen, .. } = error_output;
    run_async(async {
        if *had_screen && !work.beside.panel {
            tokio::spawn(suspend_as_usual());
        }
        if *is_child {
            let background = DetachedChild::begin(&SocketDirectories::new(&system.sockets)?)?;
            let log = background.log.clone();
            log::install(work.common.ui.verbosity, Styling::Plain, BoxMakeWriter::new(move || log.clone()));
            *child = Some(background);
        }
        *is_event = true;
        let environment = ForwardEnvironment {
            sockets: &system.sockets,
            configuration: system.configuration.as_deref(),
            background: child.clone(),
            people: people.clone(),
            browser: system.browser.clone(),
            open_files,
            history: system.history(),
        };
        forward::forward(work, environment).await
    })
}

fn run_async<T>(work: impl Future<Output = Result<T, Fatal>>) -> Result<T, Fatal> {
    let runtime = runtime().map_err(|error| no_start("the asynchronous runtime", &error))?;
    let ended = runtime.block_on(work);
    // Not the destructor, which would wait for a name lookup that nobody wants any more.
    runtime.shutdown_background();
    ended
}

/// Asks for as many file descriptors as the system allows, and keeps some in reserve. Go programs, kubectl among them, do
/// the first at their start; what cannot be had shows when a connection cannot be accepted. Gives the limit, where it is known.
fn raise_descriptor_limit() -> Option<u64> {
    match rlimit::increase_nofile_limit(DESCRIPTORS) {
        Ok(limit) => {
            descriptors().set_reserve(limit);
            Some(limit)
        }
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            None
        }
    }
}

/// One thread carries all. Between a connection's task and its session's each frame is handed over at least once, and on
/// two threads that costs more than the second one gives (docs/BENCHMARKS.md). What would block it (name lookups, a look
/// at all processes) goes to the runtime's blocking threads.
fn runtime() -> io::Result<runtime::Runtime> {
    // tokio panics where it cannot open its sockets for signals, so it is tried first; what is opened is closed again.
    (0..PIPES_AT_LEAST).map(|_| io::pipe()).collect::<io::Result<Vec<_>>>()?;
    runtime::Builder::new_current_thread().enable_all().thread_name("fwd").build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_its_own_task_alone() {
        let ended = runtime().unwrap().block_on(async {
            let other = tokio::spawn(async {
                tokio::task::yield_now().await;
                "still here"
            });
            let panicked = tokio::spawn(async { panic!("one connection's own trouble") });
            assert!(panicked.await.unwrap_err().is_panic());
            other.await
        });
        assert_eq!(ended.unwrap(), "still here");
    }
}
