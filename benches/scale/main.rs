//! How memory, processor time, sessions and API requests grow with forwards, connections, pods and services.
//!
//! ```text
//! cargo bench --bench scale                          all of it, some five minutes
//! cargo bench --bench scale -- --only connections
//! ```
//!
//! Each figure is of a fresh `kubectl-fwd`, in a process of its own, and so are the sandbox and the clients: only the program
//! is measured. Linux only, for what a process takes is read from `/proc`. Ten thousand connections take as many descriptors
//! here and in the program, and twice as many at the sandbox, so they go to two of them. Where the hard limit (`ulimit -Hn`)
//! is below 13,000 there are fewer.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tables on stdout are what it is for")]

mod cluster;
mod failure;
mod fit;
#[path = "../forward/process.rs"]
mod process;
mod program;
mod series;

use std::process::ExitCode;

use argh::FromArgs;

use cluster::Cluster;
use failure::Failure;

/// Measure how it grows.
#[derive(FromArgs)]
struct Args {
    /// measure only this; may be repeated: forwards, services, connections, pods, names
    #[argh(option)]
    only: Vec<String>,
    /// another kubectl-fwd to measure in the place of the one that is built
    #[argh(option)]
    program: Option<std::path::PathBuf>,
    /// be the cluster
    #[argh(switch, hidden_help)]
    serve: bool,
    /// what cargo adds
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "taken and of no meaning")]
    bench: bool,
}

fn main() -> ExitCode {
    // The clients' connections are this process's.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_default();
    let args: Args = argh::from_env();
    let outcome = tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            if args.serve { cluster::serve().await } else { measure(&args, descriptors).await }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args, descriptors: u64) -> Result<(), Failure> {
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let program = args.program.as_deref().unwrap_or(built);
    let wanted = |what: &str| args.only.is_empty() || args.only.iter().any(|only| only == what);
    // There are two sandboxes, each with two descriptors for each of its connections, and some for all else.
    let connections = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(3000).min(10_000);
    if wanted("forwards") {
        series::forwards(&mut Cluster::start(program)?, "one service", |_| 0).await?;
    }
    if wanted("services") {
        series::forwards(&mut Cluster::start(program)?, "100 services of one selector", |at| at % 100)
            .await?;
    }
    if wanted("connections") {
        series::connections([Cluster::start(program)?, Cluster::start(program)?], connections).await?;
    }
    if wanted("pods") {
        series::pods(&mut Cluster::start(program)?).await?;
    }
    if wanted("names") {
        series::names(&mut Cluster::start(program)?).await?;
    }
    Ok(())
}
