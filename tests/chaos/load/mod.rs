//! Checked load: clients of several kinds on every forward, each of which knows what it has to get.

pub(crate) mod client;
mod http;
mod lines;
mod pattern;
mod requests;
mod stalled;
pub(crate) mod tally;
mod transfers;

use std::sync::Arc;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::client::{Client, Pace};
use self::tally::Tally;
use crate::schedule::App;

/// The local ports of what is forwarded.
pub(crate) struct Ports {
    /// HTTP of each app.
    pub(crate) http: [(App, u16); 3],
    /// Lines that are echoed.
    pub(crate) lines: [(App, u16); 2],
    /// An application that never reads.
    pub(crate) deaf: (App, u16),
}

/// All clients at work.
pub(crate) struct Load {
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Load {
    /// Begins. What clients draw is a matter of the seed, as far as they come.
    pub(crate) fn start(ports: &Ports, tally: &Arc<Tally>, seed: u64, pace: Pace) -> Self {
        let mut load = Self { stop: CancellationToken::new(), clients: JoinSet::new() };
        let mut rng = Rng::with_seed(seed);
        let mut client = |kind: &str, at: usize, app, port| {
            Client::new(
                format!("{kind} {at} of {app:?}"),
                app,
                port,
                tally,
                rng.fork(),
                pace,
                load.stop.clone(),
            )
        };
        for (app, port) in ports.http {
            for at in 0..4 {
                load.clients.spawn(requests::single(client("client", at, app, port)));
            }
            load.clients.spawn(requests::kept_alive(client("client kept alive", 0, app, port)));
            load.clients.spawn(transfers::download(client("download", 0, app, port)));
            load.clients.spawn(transfers::upload(client("upload", 0, app, port)));
            load.clients.spawn(transfers::echo(client("exchange", 0, app, port)));
            for at in 0..2 {
                load.clients.spawn(stalled::reader(client("stalled client", at, app, port)));
            }
        }
        for (app, port) in ports.lines {
            for at in 0..2 {
                load.clients.spawn(lines::talk(client("talk", at, app, port)));
            }
        }
        let (app, port) = ports.deaf;
        for at in 0..3 {
            load.clients.spawn(stalled::application(client("stalled application", at, app, port)));
        }
        load
    }

    /// Ends with what is under way.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        // A client that panics has found something out.
        while let Some(ended) = self.clients.join_next().await {
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic.into_panic());
            }
        }
    }
}
