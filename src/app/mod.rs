//! Wiring, and the order of shutdown.
//!
//! Words become a `Config`, a `Config` becomes forwards, and the command then waits for one of two ends: a signal, or
//! nothing left to do. What ends is ended in order (`process`), and only then the error, if there is one, is printed. It
//! is printed here and nowhere else.

mod background;
mod forward;
mod keep;
mod lifecycle;
mod log_file;
mod logs;
mod manage;
mod panics;
mod process;
mod ready_file;
mod save;
mod serve;
mod signals;
mod stdio;
mod stdout;
mod trust;
mod up;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::Stdio,
};

use tokio::runtime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use self::{background::Background, forward::Work, lifecycle::no_start, stdout::print};
use crate::{
    cli::{
        self, Invocation,
        args::Command,
        resolve::{self, Common, Surroundings},
    },
    control::place::{self, Place},
    descriptors::descriptors,
    error::Fatal,
    sets::{self, Sets},
    ui::{
        Output,
        color::{Styling, When},
        json, log,
        report::{self, Look},
    },
};

/// Open files that are asked for: more than all connections of a few busy ports.
const DESCRIPTORS: u64 = 64 * 1024;

/// Pipes, of two open files each, that there is room for where the runtime can start: it takes a poller and its waker, a pair
/// of sockets for signals and a copy of one of them.
const PIPES_AT_LEAST: usize = 3;

/// How an error is told, as far as that is known.
struct Manner {
    look: Look,
    output: Output,
    /// This is the child of a `--detach`.
    is_child: bool,
    child: Option<Background>,
    /// Where log lines go, once that is known.
    log: Option<log::Stderr>,
}

/// Runs the command line (the program's name left out), and returns the exit status.
pub fn run(argv: &[OsString]) -> u8 {
    panics::install();
    let surroundings = Surroundings::read();
    // Until `--color` is understood an error is coloured as the environment has it.
    let look =
        Look { fancy: surroundings.signals.draws(), color: surroundings.signals.decide(When::Auto).stderr };
    let mut manner = Manner { look, output: Output::Text, is_child: false, child: None, log: None };
    let ended = panics::or_error(|| command(argv, surroundings, &mut manner));
    if let Some(log) = &manner.log {
        log.settle(lifecycle::LAST_WORDS);
    }
    match ended {
        Ok(status) => status,
        Err(fatal) => {
            manner.tell(&fatal);
            1
        }
    }
}

impl Manner {
    /// From here on it is known what the user wants to see.
    fn begin(&mut self, common: &mut Common) {
        // Nobody answers questions in the background, whatever stdin is.
        common.environment.stdin_is_terminal &= !self.is_child;
        common.can_ask &= !self.is_child;
        self.look.color = common.ui.colors.stderr;
        self.output = common.ui.output;
        if !self.is_child {
            self.log = log::Stderr::open().ok();
            let to = self.log.clone().map_or_else(
                || BoxMakeWriter::new(io::stderr),
                |stderr| BoxMakeWriter::new(move || stderr.clone()),
            );
            log::install(common.ui.verbosity, common.ui.colors.stderr, to);
        }
    }

    fn tell(&self, fatal: &Fatal) {
        match &self.child {
            Some(background) => return background.failed(fatal),
            None if self.is_child => return background::stillborn(fatal),
            None => {}
        }
        if self.output == Output::Json {
            let _ = writeln!(io::stdout().lock(), "{}", json::error(fatal));
        }
        // A closed stderr leaves nobody to tell.
        let _ = io::stderr().lock().write_all(report::render(fatal, self.look).as_bytes());
    }
}

fn command(argv: &[OsString], surroundings: Surroundings, manner: &mut Manner) -> Result<u8, Fatal> {
    let system = System {
        sockets: surroundings.sockets.clone(),
        configuration: surroundings.configuration.clone(),
        program: surroundings.program.clone(),
    };
    match cli::parse(argv)? {
        Invocation::Help(text) => print(&text),
        Invocation::Version => print(&version()),
        Invocation::Forward(typed) => {
            manner.is_child = typed.args.in_background;
            manner.output = resolve::output(typed.args.output.as_deref())?;
            let detach = typed.args.detach;
            let mut config = resolve::resolve(*typed, surroundings)?;
            manner.begin(&mut config.common);
            if detach && !manner.is_child {
                return run_async(background::detach(
                    system.program,
                    &[],
                    argv,
                    Stdio::null(),
                    config.common.ui,
                ));
            }
            forward(Work::from(config), &system, manner)
        }
        Invocation::Command(Command::Up(up), mut args) => {
            if up.schema {
                return print(sets::SCHEMA);
            }
            manner.is_child = up.in_background;
            args.output.clone_from(&up.output);
            let mut common = resolve::common(*args, surroundings)?;
            manner.begin(&mut common);
            if up.detach && !manner.is_child {
                let stdin = if up.reads_stdin() { Stdio::inherit() } else { Stdio::null() };
                let consents = up::consent(&up, &common, system.sets().as_ref())?;
                let flags = if consents { &[background::TRUST][..] } else { &[] };
                return run_async(background::detach(system.program, flags, argv, stdin, common.ui));
            }
            let work = up::work(&up, common, system.sets().as_ref())?;
            forward(work, &system, manner)
        }
        Invocation::Command(command, args) => {
            let mut common = resolve::common(*args, surroundings)?;
            manner.begin(&mut common);
            let place = || Place::new(&system.sockets);
            match command {
                Command::List(list) => {
                    let format = resolve::list_format(list.output.as_deref())?;
                    run_async(async { manage::list(&place()?, format, &common).await })
                }
                Command::Stop(stop) => run_async(async { manage::stop(&place()?, &stop, &common).await }),
                Command::Serve(serve) => {
                    raise_descriptor_limit();
                    let configuration = system.configuration.as_deref();
                    run_async(serve::serve(common, &system.sockets, configuration, &serve))
                }
                Command::Save(save) => {
                    let sets = system.sets();
                    run_async(async { save::save(&place()?, &save, sets.as_ref(), &common).await })
                }
                Command::Logs(logs) => run_async(async { logs::logs(&place()?, &logs, &common).await }),
                Command::Up(_) | Command::Version(_) => print(&version()),
            }
        }
    }
}

/// What of the system a command may need.
struct System {
    sockets: place::Surroundings,
    configuration: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl System {
    fn sets(&self) -> Option<Sets> {
        self.configuration.as_deref().map(Sets::new)
    }
}

/// Forwards, here or as the child of a `--detach`.
fn forward(work: Work, system: &System, manner: &mut Manner) -> Result<u8, Fatal> {
    raise_descriptor_limit();
    let Manner { output, is_child, child, .. } = manner;
    run_async(async {
        if *is_child {
            let background = Background::begin(&Place::new(&system.sockets)?)?;
            let log = background.log.clone();
            log::install(work.common.ui.verbosity, Styling::Plain, BoxMakeWriter::new(move || log.clone()));
            *child = Some(background);
        }
        // From here on the error that ends it is the last event.
        *output = Output::Text;
        forward::forward(work, &system.sockets, system.configuration.as_deref(), child.clone()).await
    })
}

fn run_async(work: impl Future<Output = Result<u8, Fatal>>) -> Result<u8, Fatal> {
    let runtime = runtime().map_err(|error| no_start("the asynchronous runtime", &error))?;
    let ended = runtime.block_on(work);
    // Not the destructor, which would wait for a name lookup that nobody wants any more.
    runtime.shutdown_background();
    ended
}

/// Asks for as many file descriptors as the system allows, and keeps some in reserve. Go programs, kubectl among them, do
/// the first at their start; what cannot be had shows when a connection cannot be accepted.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(DESCRIPTORS) {
        Ok(limit) => descriptors().keep_some(limit),
        Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
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

fn version() -> String {
    format!(
        "kubectl-fwd {} ({}/{})\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
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
