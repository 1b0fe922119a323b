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

use super::{
    background::Background,
    keep::Keeper,
    lifecycle::{LAST_WORDS, no_start},
    signals::Signals,
};
use crate::{
    cli::resolve::Common,
    control::{
        place::{Place, Surroundings},
        server::Server,
    },
    error::Fatal,
    forward::{GRACE, registry::Registry},
    model::{
        event::Event,
        forward::{ForwardId, PortForward},
    },
    ui::{
        Output, Settings,
        door::{Door, Stream},
        json, lines,
        log::Stderr,
    },
};

/// A process that forwards, or is ready to.
pub(super) struct Process {
    pub registry: Registry,
    pub signals: Signals,
    pub server: Arc<Server>,
    ui: Settings,
    view: JoinHandle<Door>,
    /// What works, for whoever waits for it.
    works: oneshot::Sender<Vec<PortForward>>,
    stop_view: oneshot::Sender<()>,
    background: Option<Background>,
    /// Once there is something to say on it.
    stderr: OnceCell<Option<Stderr>>,
}

impl Process {
    /// Gets everything ready but the control socket.
    pub(super) fn new(
        common: Common,
        door: io::Result<Door>,
        background: Option<Background>,
    ) -> Result<Self, Fatal> {
        // Before anything else: whoever interrupts early shall be heard.
        let signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
        let door = door.map_err(|error| no_start("the printer", &error))?;
        let registry = Registry::with_credit(common.flags, common.environment, common.credit);
        let (stop_view, stopped) = oneshot::channel::<()>();
        let (works, working) = oneshot::channel();
        let ui = common.ui;
        let view = tokio::spawn(view(registry.events(), door, ui, working, stopped, background.clone()));
        let server = Server::new(registry.clone());
        let stderr = OnceCell::new();
        Ok(Self { registry, signals, server, ui, view, works, stop_view, background, stderr })
    }

    /// Lets other processes of this user ask. Says where.
    pub(super) fn listen(&self, sockets: &Surroundings) -> Result<String, Fatal> {
        let listener = Place::new(sockets)?.listen()?;
        let path = listener.path().display().to_string();
        self.server.listen(listener);
        Ok(path)
    }

    /// The forwards of these ids, as they are now.
    pub(super) fn forwards(&self, ids: &[ForwardId]) -> Vec<PortForward> {
        let mut all = self.registry.list();
        all.retain(|forward| ids.contains(&forward.id));
        all
    }

    /// Says something on stderr, or what is in its place.
    pub(super) fn tell(&self, text: &str) {
        let text = text.trim_end();
        match &self.background {
            Some(background) => background.say(text),
            // A paused terminal must not keep the process from hearing Ctrl-C.
            None => {
                if let Some(mut stderr) = self.stderr.get_or_init(|| Stderr::open().ok()).clone() {
                    let _ = writeln!(stderr, "{text}");
                }
            }
        }
    }

    /// Tells whoever waits for it that all of it works.
    pub(super) fn works(&mut self, forwards: Vec<PortForward>) {
        let (works, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.works, works).send(forwards);
    }

    /// Ends everything, with what the command came to. A second signal, in any phase, ends the waiting, and what it came
    /// to is the same.
    pub(super) async fn end(self, ended: Result<u8, Fatal>, keeper: Option<Keeper>) -> Result<u8, Fatal> {
        let Self { registry, mut signals, server, ui, view, works, stop_view, background, stderr } = self;
        tokio::select! {
            () = async {
                registry.shutdown(GRACE).await;
                server.shutdown().await;
                if let Some(keeper) = keeper {
                    keeper.end().await;
                }
            } => {}
            // Once may come with whatever else ended it: Ctrl-C in a terminal closes a parent's pipe as well.
            () = async {
                while signals.heard() < 2 {
                    signals.next().await;
                }
            } => {}
        }
        // The view ends by itself once every sender is gone; this is for one that somebody kept.
        drop((registry, server, works, stop_view));
        if let Ok(Ok(mut door)) = timeout(LAST_WORDS, view).await {
            // Whoever waits for a process in the background says it himself.
            let alone = background.is_none_or(|background| !background.is_awaited());
            if let (Output::Json, Err(fatal), true) = (ui.output, &ended, alone) {
                door.say(Stream::Out, json::error(fatal));
            }
            door.close(LAST_WORDS);
        }
        if let Some(stderr) = stderr.into_inner().flatten() {
            stderr.settle(LAST_WORDS);
        }
        ended
    }
}

/// Shows what happens, until there is an end to it. What happened before all of it worked is shown before whoever waits
/// for a process in the background hears that it works.
async fn view(
    mut events: broadcast::Receiver<Arc<Event>>,
    mut door: Door,
    ui: Settings,
    works: oneshot::Receiver<Vec<PortForward>>,
    stopped: oneshot::Receiver<()>,
    background: Option<Background>,
) -> Door {
    let mut stopped = pin!(async {
        let _ = stopped.await;
    });
    if let Some(background) = background {
        let mut working = None;
        let first = async {
            tokio::select! {
                Ok(forwards) = works => working = Some(forwards),
                () = &mut stopped => {}
            }
        };
        door = show(&mut events, door, ui, first).await;
        let Some(forwards) = working else { return door };
        door.settle(LAST_WORDS);
        background.works(forwards);
    }
    show(&mut events, door, ui, stopped).await
}

async fn show(
    events: &mut broadcast::Receiver<Arc<Event>>,
    door: Door,
    ui: Settings,
    stop: impl Future<Output = ()>,
) -> Door {
    match ui.output {
        Output::Text => lines::run(events, door, ui, stop).await,
        Output::Json => json::run(events, door, ui, stop).await,
    }
}
