//! `serve`: no forwards of its own; other programs start and stop them, on the socket and on stdin.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use tokio::task::spawn_blocking;

use super::{lifecycle::no_start, process::Process, set_sync::SetSync, signals::StopSignal, stdio::streams};
use crate::{
    cli::{resolve::CommonOptions, subcommands},
    control::sockets::SocketEnvironment,
    error::Fatal,
    ui::{
        output_writer::{OutputWriter, StdoutUse},
        people::PeopleOutput,
    },
};

/// Serves until a signal, or, with `stdio`, until the parent closes the pipe.
pub(super) async fn serve(
    common: CommonOptions,
    sockets: &SocketEnvironment,
    configuration: Option<&Path>,
    args: &subcommands::ServeArgs,
) -> Result<u8, Fatal> {
    let stdio = args.stdio;
    // stdout is the parent's alone.
    let people = PeopleOutput::default();
    let stdout = if stdio { StdoutUse::Unused } else { StdoutUse::Written };
    let writer = OutputWriter::open(people.clone(), stdout);
    let mut parent = None;
    if stdio {
        parent = Some(streams().map_err(|error| no_start("speaking on stdin and stdout", &error))?);
    }
    let mut process = Process::new(common, writer, people, None)?;
    #[cfg(unix)]
    let _reports = process.dump_on_signal();
    match process.listen(sockets) {
        Ok(path) if !stdio => {
            // A parent that closed stdout does not want to know, and one that does not read it holds up nobody else.
            spawn_blocking(move || {
                let _ = writeln!(io::stdout().lock(), "Serving on {path}");
            });
        }
        Ok(_) => {}
        Err(fatal) if !stdio => return process.end(Err(fatal), None).await,
        Err(fatal) => {
            let why = fatal.causes().collect::<Vec<_>>().join(": ");
            tracing::warn!("it can be reached by this pipe only: {why}");
        }
    }
    let server = Arc::clone(&process.server);
    let parent = async {
        match parent {
            Some((input, output)) => server.answer(input, output).await,
            None => std::future::pending().await,
        }
    };
    let mut set_sync = SetSync::new(&process.registry, configuration);
    set_sync.begin();
    tokio::select! {
        said = process.signals.next() => {
            if said == StopSignal::Interrupt {
                set_sync.interrupted();
            }
        }
        () = parent => {}
    }
    process.end(Ok(0), Some(set_sync)).await
}
