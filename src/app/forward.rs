//! Forwarding: from what is wanted to the end of it.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::{
    background::DetachedChild,
    lifecycle::INTERRUPTED,
    manage::find_all,
    process::Process,
    ready_file::ReadyFile,
    set_status::{SetStatus, set_status},
    set_sync::SetSync,
    signals::StopSignal,
};
use crate::{
    cli::resolve::{CommonOptions, Config},
    control::sockets::{SocketDirectories, SocketEnvironment},
    error::Fatal,
    forward::{ForwardSpec, registry::Registry},
    model::forward::ForwardId,
    ui::{list, output_writer::OutputWriter, report},
};

/// What to forward, and how it is told.
pub(super) struct ForwardPlan {
    pub wanted: Vec<ForwardSpec>,
    pub common: CommonOptions,
    /// Start what can be started, and tell what cannot.
    pub keep_going: bool,
    /// What will not be started: mistakes of a set.
    pub skipped: Option<Fatal>,
    /// Written once it works.
    pub ready_file: Option<PathBuf>,
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
        let Config { requests, options, label, ready_file, common } = config;
        let wanted = requests.into_iter().map(|request| ForwardSpec {
            request,
            options: options.clone(),
            context: None,
            label: label.clone(),
            origin: None,
        });
        Self { wanted: wanted.collect(), common, keep_going: false, skipped: None, ready_file, set: None }
    }
}

/// Forwards until there is an end to it.
pub(super) async fn forward(
    work: ForwardPlan,
    sockets: &SocketEnvironment,
    configuration: Option<&Path>,
    background: Option<DetachedChild>,
) -> Result<u8, Fatal> {
    let ForwardPlan { mut wanted, common, keep_going, skipped: left_out, ready_file, set } = work;
    // A path that cannot be written is known before anything starts.
    let mut ready_file = ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let color = common.ui.colors.stderr;
    let writer = background.as_ref().map_or_else(OutputWriter::open, DetachedChild::output_writer);
    let mut process = Process::new(common.clone(), writer, background)?;
    if let Err(fatal) = process.listen(sockets) {
        // It forwards all the same.
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("'kubectl fwd list' cannot show this process: {why}");
    }
    let mut set_sync = SetSync::new(&process.registry, configuration);
    if let Some(fatal) = &left_out {
        process.print_notice(&report::warning(fatal, color));
    }
    if let Some(set) = &set {
        let directories = SocketDirectories::new(sockets)?;
        let status = tokio::select! {
            status = running_already(wanted, &common, &directories) => status,
            _ = process.signals.next() => return process.end(Ok(INTERRUPTED), Some(set_sync)).await,
        };
        for (_, forward) in status.running.iter().filter(|_| !common.ui.quiet) {
            let running = format!("{} is already running (process {})", list::named(forward), forward.pid);
            process.print_notice(&running);
        }
        if status.missing.is_empty() {
            let what =
                format!("All of {} is already running. Stop it: kubectl fwd down {}", set.name, set.words);
            if !common.ui.quiet {
                process.print_notice(&what);
            }
            process.report_ready(Vec::new());
            return process.end(Ok(0), None).await;
        }
        wanted = status.missing;
    }
    let several = wanted.iter().map(|one| one.request.ports.len()).sum::<usize>() > 1;
    let started = tokio::select! {
        // What works has said so already, and a reader of that may interrupt in the same moment.
        biased;
        started = async {
            if keep_going {
                start_each(&process.registry, wanted).await
            } else {
                process.registry.start(wanted).await.map(|ids| (ids, Vec::new()))
            }
        } => started,
        _ = process.signals.next() => return process.end(Ok(INTERRUPTED), Some(set_sync)).await,
    };
    let ready = started.and_then(|(ids, failures)| {
        for fatal in &failures {
            process.print_notice(&report::warning(fatal, color));
        }
        let forwards = process.forwards(&ids);
        ready_file.as_mut().map_or(Ok(()), |file| file.publish(&forwards))?;
        Ok(forwards)
    });
    let ended = match ready {
        Err(fatal) => Err(match &set {
            Some(set) if several && !keep_going => with_way_out(fatal, set),
            _ => fatal,
        }),
        Ok(forwards) => {
            set_sync.begin();
            process.report_ready(forwards);
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
    };
    process.end(ended, Some(set_sync)).await
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
