//! Forwarding: from what is wanted to the end of it.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::{
    background::Background, keep::Keeper, lifecycle::INTERRUPTED, process::Process, ready_file::ReadyFile,
    signals::Said,
};
use crate::{
    cli::resolve::{Common, Config},
    control::place::Surroundings,
    error::Fatal,
    forward::{Wanted, registry::Registry},
    model::forward::ForwardId,
    ui::{door::Door, report},
};

/// What to forward, and how it is told.
pub(super) struct Work {
    pub wanted: Vec<Wanted>,
    pub common: Common,
    /// Start what can be started, and tell what cannot.
    pub keep_going: bool,
    /// What will not be started: mistakes of a set.
    pub left_out: Option<Fatal>,
    /// Written once it works.
    pub ready_file: Option<PathBuf>,
}

impl From<Config> for Work {
    fn from(config: Config) -> Self {
        let Config { requests, options, label, ready_file, common } = config;
        let wanted = requests.into_iter().map(|request| Wanted {
            request,
            options: options.clone(),
            context: None,
            label: label.clone(),
        });
        Self { wanted: wanted.collect(), common, keep_going: false, left_out: None, ready_file }
    }
}

/// Forwards until there is an end to it.
pub(super) async fn forward(
    work: Work,
    sockets: &Surroundings,
    configuration: Option<&Path>,
    background: Option<Background>,
) -> Result<u8, Fatal> {
    let Work { wanted, common, keep_going, left_out, ready_file } = work;
    // A path that cannot be written is known before anything starts.
    let mut ready_file = ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let color = common.ui.colors.stderr;
    let door = background.as_ref().map_or_else(Door::open, Background::door);
    let mut process = Process::new(common, door, background)?;
    if let Err(fatal) = process.listen(sockets) {
        // It forwards all the same.
        let why = fatal.causes().collect::<Vec<_>>().join(": ");
        tracing::warn!("'kubectl fwd list' will not show this: {why}");
    }
    let mut keeper = Keeper::new(&process.registry, configuration);
    if let Some(fatal) = &left_out {
        process.tell(&report::warning(fatal, color));
    }
    let started = tokio::select! {
        // What works has said so already, and whoever read that may interrupt in the same moment.
        biased;
        started = async {
            if keep_going {
                start_each(&process.registry, wanted).await
            } else {
                process.registry.start(wanted).await.map(|ids| (ids, Vec::new()))
            }
        } => started,
        _ = process.signals.next() => return process.end(Ok(INTERRUPTED), Some(keeper)).await,
    };
    let ready = started.and_then(|(ids, failures)| {
        for fatal in &failures {
            process.tell(&report::warning(fatal, color));
        }
        let forwards = process.forwards(&ids);
        ready_file.as_mut().map_or(Ok(()), |file| file.publish(&forwards))?;
        Ok(forwards)
    });
    let ended = match ready {
        Err(fatal) => Err(fatal),
        Ok(forwards) => {
            keeper.begin();
            process.works(forwards);
            tokio::select! {
                said = process.signals.next() => {
                    if said == Said::ByHand {
                        keeper.by_hand();
                    }
                    Ok(0)
                }
                finished = process.registry.finished() => finished.map(|()| 0),
            }
        }
    };
    process.end(ended, Some(keeper)).await
}

/// Starts each by itself, as long as one of them works.
async fn start_each(registry: &Registry, wanted: Vec<Wanted>) -> Result<(Vec<ForwardId>, Vec<Fatal>), Fatal> {
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
