//! `kubectl-fwd` beside kubectl, kube's own way, a relay that encrypts and one that only copies, on one machine, against one cluster, in one run.
//!
//! ```text
//! cargo bench --bench forward                                  all of it, some ten minutes
//! cargo bench --bench forward -- --quick --only download
//! cargo bench --bench forward -- --cluster ~/.kube/config svc/api --http-port 80 --stalled-port 0
//! ```
//!
//! Each measurement is a function over a local port ([`measure`]), so that all of them run the same code. They take
//! turns, each with a fresh process in every round; a cell is the median over the rounds, with the least and the most.
//! The cluster, kube's way and the relays are this very program, started once more, so that nothing but the load shares a
//! process with the measuring.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table on stdout is what it is for")]

mod client;
mod cluster;
mod contender;
mod goal;
mod isolation;
mod legacy;
mod local_port;
mod measure;
mod number;
mod outcome;
mod process;
mod progress;
mod relay;
mod setting;
mod table;
mod tls_ends;
mod tls_relay;

use std::{path::PathBuf, process::ExitCode};

use argh::FromArgs;

use cluster::{Cluster, Ports};
use contender::Contender;
use legacy::PodPort;
use measure::{MEASURES, Measure};
use outcome::{Failure, Outcome, Results};
use setting::{Kubectl, Setting};

/// Measure `kubectl-fwd` beside kubectl and a plain TCP relay.
#[derive(FromArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct Args {
    /// fewer rounds of smaller transfers
    #[argh(switch)]
    quick: bool,
    /// measure only this; may be repeated
    #[argh(option)]
    only: Vec<String>,
    /// rounds; default: 5, quick 1
    #[argh(option)]
    rounds: Option<u32>,
    /// list what is measured
    #[argh(switch)]
    list: bool,
    /// use the cluster of this kubeconfig, not the sandbox
    #[argh(option)]
    cluster: Option<PathBuf>,
    /// the port that serves what the sandbox's does: /, /bytes?n=N, /sink; default: 8080
    #[argh(option, default = "8080")]
    http_port: u16,
    /// the port of an application that never reads, 0 for none; default: 9004
    #[argh(option, default = "9004")]
    stalled_port: u16,
    /// the kubectl to compare with; default: the newest beside the one in PATH
    #[argh(option)]
    kubectl: Option<PathBuf>,
    /// another kubectl-fwd to compare with, such as one built before a change
    #[argh(option)]
    before: Option<PathBuf>,
    /// what cargo adds
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "taken and of no meaning")]
    bench: bool,
    /// be the cluster
    #[argh(switch, hidden_help)]
    serve: bool,
    /// be kube's way to this POD:PORT; may be repeated
    #[argh(option, hidden_help)]
    legacy: Vec<PodPort>,
    /// be the relay to this address; may be repeated
    #[argh(option, hidden_help)]
    relay: Vec<std::net::SocketAddr>,
    /// be the TLS relay to this address; may be repeated
    #[argh(option, hidden_help)]
    tls_relay: Vec<std::net::SocketAddr>,
    /// the certificate that is there, in Base64
    #[argh(option, hidden_help, default = "String::new()")]
    certificate: String,
    /// what to forward to in the cluster; default: the sandbox's deployment/api
    #[argh(positional)]
    service: Option<String>,
}

fn main() -> ExitCode {
    let args: Args = argh::from_env();
    let outcome = if args.serve {
        cluster::serve()
    } else if !args.legacy.is_empty() {
        legacy::serve(&args.legacy)
    } else if !args.tls_relay.is_empty() {
        tls_relay::serve(&args.tls_relay, &args.certificate)
    } else if !args.relay.is_empty() {
        relay::serve(&args.relay)
    } else {
        compare(&args)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Outcome {
    if args.list {
        for measure in MEASURES {
            println!("{}", measure.name);
        }
        return Ok(());
    }
    if let Some(unknown) = args.only.iter().find(|only| MEASURES.iter().all(|measure| measure.name != **only))
    {
        return Err(format!("nothing measured is called {unknown:?}; --list lists all").into());
    }
    let cluster = match &args.cluster {
        None => Cluster::sandbox()?,
        Some(kubeconfig) => {
            let ports = Ports { http: args.http_port, stalled: args.stalled_port };
            let service = args.service.as_deref().ok_or("--cluster wants a SERVICE to forward to")?;
            Cluster::real(kubeconfig, service, ports)
        }
    };
    let contenders = contender::all(&cluster, args.kubectl.as_deref(), args.before.as_deref())?;
    let kubectl = Kubectl {
        program: contender::kubectl(args.kubectl.as_deref())?,
        kubeconfig: cluster.kubeconfig.clone(),
        target: cluster.target.clone(),
    };
    let setting = Setting { quick: args.quick, cluster: &cluster, kubectl };
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 5 });
    table::print_head(&contenders, rounds);
    for measure in MEASURES {
        let wanted = args.only.is_empty() || args.only.iter().any(|only| only == measure.name);
        if wanted && measure.can_use(&cluster) {
            cluster.set_round_trip(measure.round_trip)?;
            table::print_rows(measure, &contenders, &take_turns(measure, &contenders, &setting, rounds));
        }
    }
    Ok(())
}

fn take_turns(measure: &Measure, contenders: &[Contender], setting: &Setting<'_>, rounds: u32) -> Results {
    let mut results = Results::new();
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            // Nobody is always the one behind the same other.
            let index = (turn + round as usize) % contenders.len();
            let contender = &contenders[index];
            if measure.suits(contender.kind) {
                eprintln!("{}, round {}: {}", measure.name, round + 1, contender.name);
                let result = setting.cluster.wait_until_quiet().map_err(Failure::from);
                let result = result.and_then(|()| contender.start()).and_then(|mut running| {
                    let result = (measure.run)(setting, &mut running);
                    result.map_err(|failure| if running.has_ended() { Failure::Ends } else { failure })
                });
                results.entry(index).or_default().push(result);
            }
        }
    }
    results
}
