//! Keeps the record of this process current, from its first forwards to the end of the last.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{broadcast::Receiver, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{ProcessRecord, RecordedEnd, RecordedForward};
use crate::{
    app::event_batch::EventBatch,
    forward::registry::Registry,
    model::event::{Event, EventKind, StopReason},
};

/// How long the last writing may take at the end: it is one small file.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// The task that writes.
pub(in crate::app) struct RecordWriter {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl RecordWriter {
    /// Begins with what runs now, which is written when this returns.
    pub(in crate::app) async fn begin(registry: &Registry, path: &Path) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (registry, events) = (registry.clone(), registry.events());
        let mut record = ProcessRecord::default();
        record.add(&registry);
        let record = saved(record, path).await;
        Self { task: tokio::spawn(write(registry, record, events, path.to_owned(), stopped)), stop }
    }

    /// Writes how the last ones ended.
    pub(in crate::app) async fn end(self) {
        drop(self.stop);
        let _ = timeout(LAST_WRITE, self.task).await;
    }
}

async fn write(
    registry: Registry,
    mut record: ProcessRecord,
    mut events: Receiver<Arc<Event>>,
    path: PathBuf,
    mut stopped: oneshot::Receiver<()>,
) {
    while let Some(batch) = EventBatch::next(&mut events, &mut stopped).await {
        let mut changed = batch.missed;
        for event in &batch.events {
            changed |= record.note(event);
        }
        if changed {
            record.add(&registry);
            record = saved(record, &path).await;
        }
    }
}

/// Writes it, off the thread that moves bytes. Without it a list lacks what has ended, and nothing else.
async fn saved(mut record: ProcessRecord, path: &Path) -> ProcessRecord {
    record.trim(Timestamp::now());
    let (path, copy) = (path.to_owned(), record.clone());
    if let Ok(Err(error)) = spawn_blocking(move || copy.save(&path)).await {
        tracing::debug!(%error, "cannot write down which forwards there are");
    }
    record
}

impl ProcessRecord {
    /// Adds what runs and is not known yet.
    fn add(&mut self, registry: &Registry) {
        for forward in registry.list() {
            if !self.forwards.iter().any(|known| known.forward.id == forward.id) {
                self.forwards.push(RecordedForward { forward, end: None });
            }
        }
    }

    /// Notes an event. Says whether there is something to write.
    fn note(&mut self, event: &Event) -> bool {
        let (failed, reason) = match &event.kind {
            EventKind::Forwarding { .. } => return true,
            EventKind::Stopped { by: StopReason::Asked } => {
                (false, "stopped by kubectl fwd stop or another program")
            }
            EventKind::Stopped { by: StopReason::Exit } => (false, "its process ended"),
            EventKind::Stopped { by: StopReason::GaveUp { why } } => (true, why.as_str()),
            _ => return false,
        };
        let end = RecordedEnd { at: event.at, failed, reason: reason.to_owned() };
        for one in self.forwards.iter_mut().filter(|one| event.forwards.contains(&one.forward.id)) {
            one.end.get_or_insert_with(|| end.clone());
        }
        true
    }
}
