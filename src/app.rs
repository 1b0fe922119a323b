//! Wiring, and the order of shutdown.
//!
//! Words become a `Config`, a `Config` becomes forwards, and the command then waits for one of two ends: a signal, or
//! nothing left to do. What ends is ended in order: the forwards stop accepting and drain for a while, the view says
//! what is left to say, and only then the error, if there is one, is printed. It is printed here and nowhere else.

mod signals;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    time::Duration,
};

use tokio::{
    runtime,
    sync::{broadcast, oneshot},
    time::timeout,
};

use self::signals::Signals;
use crate::{
    cli::{
        self, Invocation,
        resolve::{Config, Surroundings, resolve},
    },
    error::Fatal,
    forward::{self, GRACE, Wanted, registry::Registry},
    ui::{
        Output,
        color::When,
        door::{Door, Stream},
        json, lines, log,
        report::{self, Look},
    },
};

/// How long a slow terminal may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Open files that are asked for: more than all connections of a few busy ports.
const DESCRIPTORS: u64 = 64 * 1024;
/// Events a slow view may fall behind by.
const EVENTS: usize = 1024;

/// The exit status of a command that was interrupted before it had done its work: what a shell gives to SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the command line (the program's name left out), and returns the exit status.
pub fn run(argv: &[OsString]) -> u8 {
    let surroundings = Surroundings::read();
    // Until `--color` is understood an error is coloured as the environment has it.
    let mut look =
        Look { fancy: surroundings.signals.draws(), color: surroundings.signals.decide(When::Auto).stderr };
    let mut output = Output::Text;
    match command(argv, surroundings, &mut look, &mut output) {
        Ok(status) => status,
        Err(fatal) => {
            if output == Output::Json {
                let _ = writeln!(io::stdout().lock(), "{}", json::error(&fatal));
            }
            // A closed stderr leaves nobody to tell.
            let _ = io::stderr().lock().write_all(report::render(&fatal, look).as_bytes());
            1
        }
    }
}

fn command(
    argv: &[OsString],
    surroundings: Surroundings,
    look: &mut Look,
    output: &mut Output,
) -> Result<u8, Fatal> {
    let typed = match cli::parse(argv)? {
        Invocation::Help(text) => return print(&text),
        Invocation::Version => return print(&version()),
        Invocation::Forward(typed) => *typed,
    };
    *output = cli::resolve::output(typed.args.output.as_deref())?;
    let config = resolve(typed, surroundings)?;
    look.color = config.common.ui.colors.stderr;
    log::install(config.common.ui.verbosity, config.common.ui.colors.stderr);
    raise_descriptor_limit();
    let runtime = runtime().map_err(|error| no_start("the asynchronous runtime", &error))?;
    // From here on the error that ends it is the last event.
    *output = Output::Text;
    let ended = runtime.block_on(forward(config));
    // Not the destructor, which would wait for a name lookup that nobody wants any more.
    runtime.shutdown_background();
    ended
}

/// Asks for as many file descriptors as the system allows. Go programs, kubectl among them, do so at their start; what
/// cannot be had shows when a connection cannot be accepted.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(DESCRIPTORS) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// One thread carries all. Between a connection's task and its session's each frame is handed over at least once, and on
/// two threads that costs more than the second one gives (docs/BENCHMARKS.md). What would block it (name lookups, a look
/// at all processes) goes to the runtime's blocking threads.
fn runtime() -> io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().thread_name("fwd").build()
}

fn no_start(what: &str, error: &io::Error) -> Fatal {
    Fatal::new("fwd::start", format!("{what} cannot be started")).because(error)
}

fn version() -> String {
    format!(
        "kubectl-fwd {} ({}/{})\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// For text that is asked for. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> Result<u8, Fatal> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fatal::new("fwd::output", "stdout cannot be written to").because(error))
        }
        _ => Ok(0),
    }
}

/// Forwards until there is an end to it.
async fn forward(config: Config) -> Result<u8, Fatal> {
    // Before anything else: whoever interrupts early shall be heard.
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let door = Door::open().map_err(|error| no_start("the printer", &error))?;
    let (events, receiver) = broadcast::channel(EVENTS);
    let (stop_view, stopped) = oneshot::channel::<()>();
    let ui = config.common.ui;
    let view = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        match ui.output {
            Output::Text => lines::run(receiver, door, ui, stopped).await,
            Output::Json => json::run(receiver, door, ui.quiet, stopped).await,
        }
    });
    let ended = until_the_end(config, events, &mut signals).await;
    // The view ends by itself once every sender is gone; this is for one that somebody kept.
    drop(stop_view);
    if let Ok(Ok(mut door)) = timeout(LAST_WORDS, view).await {
        if let (Output::Json, Err(fatal)) = (ui.output, &ended) {
            door.say(Stream::Out, json::error(fatal));
        }
        door.close(LAST_WORDS);
    }
    ended
}

async fn until_the_end(config: Config, events: forward::Events, signals: &mut Signals) -> Result<u8, Fatal> {
    let Config { requests, options, common } = config;
    let wanted = requests.into_iter().map(|request| Wanted {
        request,
        options: options.clone(),
        context: None,
        label: None,
    });
    let registry = Registry::new(common.flags, common.environment, common.credit, events);
    let started = tokio::select! {
        () = signals.next() => return Ok(INTERRUPTED),
        started = registry.start(wanted.collect()) => started,
    };
    let ended = if let Err(fatal) = started {
        Err(fatal)
    } else {
        tokio::select! {
            () = signals.next() => Ok(0),
            finished = registry.finished() => finished.map(|()| 0),
        }
    };
    tokio::select! {
        () = registry.shutdown(GRACE) => ended,
        // Whoever asks twice does not want to wait.
        () = signals.next() => Ok(INTERRUPTED),
    }
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
