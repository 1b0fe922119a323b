//! Wiring, and the order of shutdown.
//!
//! Words become a `Config`, a `Config` becomes forwards, and the command then waits for one of two ends: a signal, or
//! nothing left to do. What ends is ended in order (`process`), and only then the error, if there is one, is printed. It
//! is printed here and nowhere else.

mod manage;
mod process;
mod serve;
mod signals;
mod stdio;

use std::{
    ffi::OsString,
    io::{self, Write as _},
};

use tokio::runtime;

use self::process::{INTERRUPTED, Process, no_start};
use crate::{
    cli::{
        self, Invocation,
        args::Command,
        resolve::{self, Common, Config, Surroundings},
    },
    control::place::{self, Place},
    error::Fatal,
    forward::Wanted,
    ui::{
        Output,
        color::When,
        door::Door,
        json, log,
        report::{self, Look},
    },
};

/// Open files that are asked for: more than all connections of a few busy ports.
const DESCRIPTORS: u64 = 64 * 1024;

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
    let sockets = surroundings.sockets.clone();
    match cli::parse(argv)? {
        Invocation::Help(text) => print(&text),
        Invocation::Version => print(&version()),
        Invocation::Forward(typed) => {
            *output = resolve::output(typed.args.output.as_deref())?;
            let config = resolve::resolve(*typed, surroundings)?;
            begin(&config.common, look);
            raise_descriptor_limit();
            // From here on the error that ends it is the last event.
            *output = Output::Text;
            run_async(forward(config, &sockets))
        }
        Invocation::Command(command, args) => {
            let common = resolve::common(*args, surroundings)?;
            begin(&common, look);
            match command {
                Command::List(list) => {
                    let format = resolve::list_format(list.output.as_deref())?;
                    run_async(async { manage::list(&Place::new(&sockets)?, format, &common).await })
                }
                Command::Stop(stop) => {
                    run_async(async { manage::stop(&Place::new(&sockets)?, &stop, &common).await })
                }
                Command::Serve(serve) => {
                    raise_descriptor_limit();
                    run_async(serve::serve(common, &sockets, serve.stdio))
                }
                Command::Version(_) => print(&version()),
            }
        }
    }
}

/// From here on it is known what the user wants to see.
fn begin(common: &Common, look: &mut Look) {
    look.color = common.ui.colors.stderr;
    log::install(common.ui.verbosity, common.ui.colors.stderr);
}

fn run_async(work: impl Future<Output = Result<u8, Fatal>>) -> Result<u8, Fatal> {
    let runtime = runtime().map_err(|error| no_start("the asynchronous runtime", &error))?;
    let ended = runtime.block_on(work);
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
async fn forward(config: Config, sockets: &place::Surroundings) -> Result<u8, Fatal> {
    let Config { requests, options, common } = config;
    let mut process = Process::new(common, Door::open())?;
    if let Err(fatal) = process.listen(sockets) {
        // It forwards all the same.
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("'kubectl fwd list' will not show this: {why}");
    }
    let wanted = requests.into_iter().map(|request| Wanted {
        request,
        options: options.clone(),
        context: None,
        label: None,
    });
    let started = tokio::select! {
        () = process.signals.next() => return process.end(Ok(INTERRUPTED)).await,
        started = process.registry.start(wanted.collect()) => started,
    };
    let ended = if let Err(fatal) = started {
        Err(fatal)
    } else {
        tokio::select! {
            () = process.signals.next() => Ok(0),
            finished = process.registry.finished() => finished.map(|()| 0),
        }
    };
    process.end(ended).await
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
