//! What every process that forwards has, and the order in which it ends: the forwards stop accepting and drain for a
//! while, clients get their last answers, the view says what is left to say.

use std::{
    cell::OnceCell,
    io::{self, Write as _},
    pin::pin,
    sync::Arc,
};

use tokio::{
    sync::{broadcast, oneshot},
    task::JoinHandle,
    time::timeout,
};

#[cfg(unix)]
use tokio_util::task::AbortOnDropHandle;

#[cfg(unix)]
use super::dump::{self, DumpOutput};
use super::{
    background::DetachedChild,
    lifecycle::{FLUSH_TIMEOUT, no_start},
    records::RecordWriter,
    set_sync::SetSync,
    signals::Signals,
};
use crate::{
    cli::resolve::CommonOptions,
    control::{
        server::ControlServer,
        sockets::{SocketDirectories, SocketEnvironment},
        user_forwards::ControlledForwards,
    },
    error::Fatal,
    forward::{GRACE, registry::Registry},
    model::{
        event::Event,
        forward::{ForwardId, PortForward},
    },
    ui::{
        OutputFormat, OutputSettings, Presentation, json,
        log::StderrLog,
        output_writer::{OutputStream, OutputWriter},
        people::PeopleOutput,
        text::{self, TextState},
    },
};

/// A process that forwards, or is ready to.
pub(super) struct Process {
    pub registry: Registry,
    pub signals: Signals,
    pub server: Arc<ControlServer>,
    ui: OutputSettings,
    view: JoinHandle<OutputWriter>,
    /// What works, sent once to those who wait for it.
    ready: oneshot::Sender<ReadyReport>,
    stop_view: oneshot::Sender<()>,
    background: Option<DetachedChild>,
    people: PeopleOutput,
    /// Of a process in the background that others can ask.
    record: Option<RecordWriter>,
    /// Once there is something to say on it.
    stderr: OnceCell<Option<StderrLog>>,
}

/// What works.
struct ReadyReport {
    forwards: Vec<PortForward>,
    /// Answered once all that happened before is shown, where somebody waits for that.
    shown: Option<oneshot::Sender<()>>,
}

impl Process {
    /// Gets everything ready but the control socket.
    pub(super) fn new(
        common: CommonOptions,
        writer: io::Result<OutputWriter>,
        people: PeopleOutput,
        background: Option<DetachedChild>,
    ) -> Result<Self, Fatal> {
        // Before anything else, so that an early interrupt is noticed.
        let signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
        let writer = writer.map_err(|error| no_start("the printer", &error))?;
        let registry = Registry::with_credit(common.flags, common.environment, common.credit);
        let (stop_view, stopped) = oneshot::channel::<()>();
        let (works, working) = oneshot::channel();
        let ui = common.ui;
        let (events, text) = (registry.events(), TextState::new(registry.waits()));
        let view = View { events, text, ui, background: background.clone() };
        let view = tokio::spawn(view.run(writer, working, stopped));
        let server = ControlServer::new(registry.clone());
        let stderr = OnceCell::new();
        let record = None;
        Ok(Self {
            registry,
            signals,
            server,
            ui,
            view,
            ready: works,
            stop_view,
            background,
            people,
            record,
            stderr,
        })
    }

    /// Lets other processes of this user ask. Says where.
    pub(super) fn listen(&self, sockets: &SocketEnvironment) -> Result<String, Fatal> {
        let directories = SocketDirectories::new(sockets)?;
        self.registry.know_user_forwards(Arc::new(ControlledForwards::new(directories.clone())));
        let listener = directories.listen()?;
        let path = listener.path().display().to_string();
        self.server.listen(listener);
        Ok(path)
    }

    /// The forwards of these ids, in their order, as they are now.
    pub(super) fn forwards(&self, ids: &[ForwardId]) -> Vec<PortForward> {
        let mut all = self.registry.list();
        all.retain(|forward| ids.contains(&forward.id));
        // Those that were started each by itself stand in the list as they came about.
        all.sort_by_key(|forward| ids.iter().position(|id| *id == forward.id));
        all
    }

    /// Says something on stderr, or what is in its place.
    pub(super) fn print_notice(&self, text: &str) {
        let text = format!("{}{}", self.ui.times.prefix(), text.trim_end());
        match &self.background {
            Some(background) => background.say(&text),
            // A paused terminal must not keep the process from hearing Ctrl-C.
            None => {
                if let Some(mut stderr) =
                    self.stderr.get_or_init(|| StderrLog::open(self.people.clone()).ok()).clone()
                {
                    // It makes a line of each write.
                    let _ = stderr.write_all(text.as_bytes());
                }
            }
        }
    }

    /// From now on a signal asks for a report of how things are, for as long as what is returned is held.
    #[cfg(unix)]
    pub(super) fn dump_on_signal(&self) -> Option<AbortOnDropHandle<()>> {
        let (background, people) = (self.background.clone(), self.people.clone());
        let output = DumpOutput { background, people, times: self.ui.times };
        dump::on_signal(self.registry.clone(), output)
    }

    /// From now on what becomes of the forwards is written down, for those who find this process gone.
    pub(super) async fn keep_record(&mut self) {
        if let Some(background) = &self.background {
            self.record = Some(RecordWriter::begin(&self.registry, &background.record).await);
        }
    }

    /// Shows nothing more of what happens: something else does from now on.
    pub(super) async fn end_view(&mut self) {
        let (stop_view, _) = oneshot::channel();
        // Its end is what the view waits for.
        self.stop_view = stop_view;
        if let Ok(Ok(writer)) = timeout(FLUSH_TIMEOUT, &mut self.view).await {
            writer.wait_written(FLUSH_TIMEOUT);
            self.view = tokio::spawn(async move { writer });
        }
    }

    /// Tells those who wait that all of it works.
    pub(super) fn report_ready(&mut self, forwards: Vec<PortForward>) {
        self.send_ready(ReadyReport { forwards, shown: None });
    }

    fn send_ready(&mut self, report: ReadyReport) {
        let (works, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.ready, works).send(report);
    }

    /// The same. Resolves once all that happened before is shown, or would be if the terminal were not paused.
    pub(super) async fn show_ready(&mut self, forwards: Vec<PortForward>) {
        let (shown, is_shown) = oneshot::channel();
        self.send_ready(ReadyReport { forwards, shown: Some(shown) });
        let _ = is_shown.await;
        if let Some(Some(stderr)) = self.stderr.get() {
            stderr.wait_written(FLUSH_TIMEOUT);
        }
    }

    /// Ends everything, with what the command came to. A second signal, in any phase, ends the waiting, and what it came
    /// to is the same.
    pub(super) async fn end(self, ended: Result<u8, Fatal>, set_sync: Option<SetSync>) -> Result<u8, Fatal> {
        let Self {
            registry,
            mut signals,
            server,
            ui,
            view,
            ready: works,
            stop_view,
            background,
            record,
            stderr,
            ..
        } = self;
        tokio::select! {
            () = async {
                registry.shutdown(GRACE).await;
                // Before the socket goes: a record without an end and without a process is that of a killed one.
                if let Some(record) = record {
                    record.end().await;
                }
                server.shutdown().await;
                if let Some(set_sync) = set_sync {
                    set_sync.end().await;
                }
            } => {}
            // Once may come with whatever else ended it: Ctrl-C in a terminal closes a parent's pipe as well.
            () = async {
                while signals.count() < 2 {
                    signals.next().await;
                }
            } => {}
        }
        // The view ends by itself once every sender is gone; this is for one that somebody kept.
        drop((registry, server, works, stop_view));
        if let Ok(Ok(writer)) = timeout(FLUSH_TIMEOUT, view).await {
            // The command that waits for a process in the background prints it itself.
            let alone = background.is_none_or(|background| !background.has_waiting_parent());
            if let (OutputFormat::Json, Err(fatal), true) = (ui.output, &ended, alone) {
                writer.write_line(OutputStream::Out, json::error(fatal));
            }
            writer.close(FLUSH_TIMEOUT);
        }
        if let Some(stderr) = stderr.into_inner().flatten() {
            stderr.wait_written(FLUSH_TIMEOUT);
        }
        ended
    }
}

/// What is shown, and how.
struct View {
    events: broadcast::Receiver<Arc<Event>>,
    text: TextState,
    ui: OutputSettings,
    background: Option<DetachedChild>,
}

impl View {
    /// Shows what happens, until there is an end to it. What happened before all of it worked is shown before those who wait
    /// for that hear of it: the command that waits for a process in the background, and the one that is to have the terminal.
    async fn run(
        mut self,
        mut writer: OutputWriter,
        works: oneshot::Receiver<ReadyReport>,
        stopped: oneshot::Receiver<()>,
    ) -> OutputWriter {
        let mut stopped = pin!(async {
            let _ = stopped.await;
        });
        let mut working = None;
        let first = async {
            tokio::select! {
                // One that has nothing to do ends at once, and says that all is well.
                biased;
                Ok(report) = works => working = Some(report),
                () = &mut stopped => {}
            }
        };
        writer = self.show(writer, first).await;
        let Some(ReadyReport { forwards, shown }) = working else { return writer };
        if shown.is_some() || self.background.is_some() {
            writer.wait_written(FLUSH_TIMEOUT);
        }
        if let Some(background) = self.background.take() {
            background.report_ready(forwards);
        }
        if let Some(shown) = shown {
            // What comes up while a command has the terminal is told afterwards, by lines.
            self.ui.presentation = Presentation::Lines;
            let _ = shown.send(());
        }
        self.show(writer, stopped).await
    }

    async fn show(&mut self, writer: OutputWriter, stop: impl Future<Output = ()>) -> OutputWriter {
        let Self { events, text, ui, .. } = self;
        match ui.output {
            OutputFormat::Text => text::run(events, text, writer, *ui, stop).await,
            OutputFormat::Json => json::run(events, writer, *ui, stop).await,
        }
    }
}
