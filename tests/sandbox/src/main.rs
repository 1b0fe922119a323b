//! A sandbox to play with: prints the `KUBECONFIG` to use and stays until Ctrl-C.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use argh::FromArgs;
use sandbox::{Options, Sandbox};

/// A small Kubernetes cluster in one process.
#[derive(FromArgs)]
struct Args {
    /// port of the API server; any free one if not given
    #[argh(option, default = "0")]
    port: u16,
    /// milliseconds from the creation of a pod to its readiness
    #[argh(option, default = "50")]
    pods_start_delay: u64,
    /// milliseconds that a deleted pod gets to end what is in flight
    #[argh(option, default = "300")]
    deletion_time: u64,
    /// user whose kubeconfig is printed; default: admin
    #[argh(option, default = "String::from(\"admin\")")]
    user: String,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Demo(Demo),
}

/// Run the demo.
#[derive(FromArgs)]
#[argh(subcommand, name = "demo")]
struct Demo {
    /// keep the cluster after the demo, until Ctrl-C
    #[argh(switch)]
    stay: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args: Args = argh::from_env();
    if let Some(Command::Demo(demo)) = args.command {
        return Ok(sandbox::demo::run(demo.stay).await);
    }
    let options = Options {
        port: args.port,
        pod_start: Duration::from_millis(args.pods_start_delay),
        deletion: Duration::from_millis(args.deletion_time),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await?;
    writeln!(std::io::stdout(), "export KUBECONFIG={}", sandbox.kubeconfig(&args.user).display())?;
    told_to_stop().await?;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C, or what `kill` and the end of a CI job send.
async fn told_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
