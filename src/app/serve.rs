//! `serve`: no forwards of its own; other programs start and stop them, on the socket and on stdin.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use tokio::task::spawn_blocking;

use super::{keep::Keeper, lifecycle::no_start, process::Process, signals::Said, stdio::streams};
use crate::{
    cli::{args, resolve::Common},
    control::place::Surroundings,
    error::Fatal,
    ui::door::Door,
};

/// Serves until a signal, or, with `stdio`, until the parent closes the pipe.
pub(super) async fn serve(
    common: Common,
    sockets: &Surroundings,
    configuration: Option<&Path>,
    args: &args::Serve,
) -> Result<u8, Fatal> {
    let stdio = args.stdio;
    // stdout is the parent's alone.
    let door = if stdio { Door::to(io::sink(), io::stderr()) } else { Door::open() };
    let mut parent = None;
    if stdio {
        parent = Some(streams().map_err(|error| no_start("speaking on stdin and stdout", &error))?);
    }
    let mut process = Process::new(common, door, None)?;
    match process.listen(sockets) {
        Ok(path) if !stdio => {
            // Whoever closed stdout does not want to know, and whoever does not read it holds up nobody else.
            spawn_blocking(move || {
                let _ = writeln!(io::stdout().lock(), "Serving on {path}");
            });
        }
        Ok(_) => {}
        Err(fatal) if !stdio => return process.end(Err(fatal), None).await,
        Err(fatal) => {
            let why = fatal.causes().collect::<Vec<_>>().join(": ");
            tracing::warn!("only this pipe reaches it: {why}");
        }
    }
    let server = Arc::clone(&process.server);
    let parent = async {
        match parent {
            Some((input, output)) => server.answer(input, output).await,
            None => std::future::pending().await,
        }
    };
    let mut keeper = Keeper::new(&process.registry, configuration);
    keeper.begin();
    tokio::select! {
        said = process.signals.next() => {
            if said == Said::ByHand {
                keeper.by_hand();
            }
        }
        () = parent => {}
    }
    process.end(Ok(0), Some(keeper)).await
}
