//! What every process that forwards has, and the order in which it ends: the forwards stop accepting and drain for a
//! while, clients get their last answers, the view says what is left to say.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::signals::Signals;
use crate::{
    cli::resolve::Common,
    control::{
        place::{Place, Surroundings},
        server::Server,
    },
    error::Fatal,
    forward::{GRACE, registry::Registry},
    ui::{
        Output, Settings,
        door::{Door, Stream},
        json, lines,
    },
};

/// How long a slow terminal may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Events a slow view may fall behind by.
const EVENTS: usize = 1024;
/// The exit status of a command that was interrupted before it had done its work: what a shell gives to SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// A process that forwards, or is ready to.
pub(super) struct Process {
    pub registry: Registry,
    pub signals: Signals,
    pub server: Arc<Server>,
    ui: Settings,
    view: JoinHandle<Door>,
    stop_view: oneshot::Sender<()>,
}

impl Process {
    /// Gets everything ready but the control socket.
    pub(super) fn new(common: Common, door: io::Result<Door>) -> Result<Self, Fatal> {
        // Before anything else: whoever interrupts early shall be heard.
        let signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
        let door = door.map_err(|error| no_start("the printer", &error))?;
        let (events, receiver) = broadcast::channel(EVENTS);
        let (stop_view, stopped) = oneshot::channel::<()>();
        let ui = common.ui;
        let view = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            match ui.output {
                Output::Text => lines::run(receiver, door, ui, stopped).await,
                Output::Json => json::run(receiver, door, ui.quiet, stopped).await,
            }
        });
        let registry = Registry::new(common.flags, common.environment, common.credit, events);
        let server = Server::new(registry.clone());
        Ok(Self { registry, signals, server, ui, view, stop_view })
    }

    /// Lets other processes of this user ask. Says where.
    pub(super) fn listen(&self, sockets: &Surroundings) -> Result<String, Fatal> {
        let listener = Place::new(sockets)?.listen()?;
        let path = listener.path().display().to_string();
        self.server.listen(listener);
        Ok(path)
    }

    /// Ends everything, with what the command came to.
    pub(super) async fn end(self, ended: Result<u8, Fatal>) -> Result<u8, Fatal> {
        let Self { registry, mut signals, server, ui, view, stop_view } = self;
        let ended = tokio::select! {
            () = async {
                registry.shutdown(GRACE).await;
                server.shutdown().await;
            } => ended,
            // Whoever asks twice does not want to wait.
            () = signals.next() => Ok(INTERRUPTED),
        };
        // The view ends by itself once every sender is gone; this is for one that somebody kept.
        drop((registry, server, stop_view));
        if let Ok(Ok(mut door)) = timeout(LAST_WORDS, view).await {
            if let (Output::Json, Err(fatal)) = (ui.output, &ended) {
                door.say(Stream::Out, json::error(fatal));
            }
            door.close(LAST_WORDS);
        }
        ended
    }
}

pub(super) fn no_start(what: &str, error: &io::Error) -> Fatal {
    Fatal::new("fwd::start", format!("{what} cannot be started")).because(error)
}
