//! Forwarding: from what is wanted to the end of it.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::{
    background::DetachedChild, lifecycle::INTERRUPTED, process::Process, ready_file::ReadyFile,
    set_sync::SetSync, signals::StopSignal,
};
use crate::{
    cli::resolve::{CommonOptions, Config},
    control::sockets::SocketEnvironment,
    error::Fatal,
    forward::{ForwardSpec, registry::Registry},
    model::forward::ForwardId,
    ui::{output_writer::OutputWriter, report},
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
        Self { wanted: wanted.collect(), common, keep_going: false, skipped: None, ready_file }
    }
}

/// Forwards until there is an end to it.
pub(super) async fn forward(
    work: ForwardPlan,
    sockets: &SocketEnvironment,
    configuration: Option<&Path>,
    background: Option<DetachedChild>,
) -> Result<u8, Fatal> {
    let ForwardPlan { wanted, common, keep_going, skipped: left_out, ready_file } = work;
    // A path that cannot be written is known before anything starts.
    let mut ready_file = ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let color = common.ui.colors.stderr;
    let writer = background.as_ref().map_or_else(OutputWriter::open, DetachedChild::output_writer);
    let mut process = Process::new(common, writer, background)?;
    if let Err(fatal) = process.listen(sockets) {
        // It forwards all the same.
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("'kubectl fwd list' cannot show this process: {why}");
    }
    let mut set_sync = SetSync::new(&process.registry, configuration);
    if let Some(fatal) = &left_out {
        process.print_notice(&report::warning(fatal, color));
    }
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
        Err(fatal) => Err(fatal),
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
