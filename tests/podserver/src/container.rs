//! One run of a pod's container: a listener a port, a task a connection, and three ways to end.
//!
//! *Stopping* lets what is in flight finish, *ending* closes what is left, and *killing* closes everything with a
//! reset, as the kernel does for a process that died with unread data.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::app::{self, App};
use super::log::Log;
use super::socket::Socket;
use super::stats::Counts;

/// What the tasks of one run share: how far its end has come.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// No new connections; finish what is in flight.
    pub(super) stopping: CancellationToken,
    /// Drop everything now.
    over: CancellationToken,
    /// Drop it with a RST.
    killed: AtomicBool,
}

impl Life {
    pub(super) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}

/// A running container.
pub struct Container {
    addresses: HashMap<u16, SocketAddr>,
    life: Arc<Life>,
    tasks: TaskTracker,
}

impl Container {
    /// Listens for every port, where `at` says, and returns. Ports of `processes` are passed on to them.
    pub async fn start(
        pod: &Arc<str>,
        ports: &HashMap<u16, Arc<Counts>>,
        processes: &HashMap<u16, SocketAddr>,
        log: &Arc<Log>,
        at: impl Fn(u16) -> SocketAddr,
    ) -> io::Result<Self> {
        let life = Arc::new(Life::default());
        let tasks = TaskTracker::new();
        let mut addresses = HashMap::new();
        for (&port, counts) in ports {
            let listener = TcpListener::bind(at(port)).await?;
            addresses.insert(port, listener.local_addr()?);
            let process = processes.get(&port).copied();
            let app = App { pod: pod.clone(), port, counts: counts.clone(), log: log.clone(), process };
            tasks.spawn(accept(listener, app, life.clone(), tasks.clone()));
        }
        Ok(Self { addresses, life, tasks })
    }

    /// Where the application of `port` listens.
    pub fn address(&self, port: u16) -> Option<SocketAddr> {
        self.addresses.get(&port).copied()
    }

    /// Stops gracefully: `grace` for what is in flight, then closes.
    pub async fn stop(self, grace: Duration) {
        self.life.stopping.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        self.life.over.cancel();
        self.tasks.wait().await;
    }

    /// Dies: every connection is reset.
    pub async fn kill(self) {
        self.life.killed.store(true, Ordering::Release);
        self.life.over.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept(listener: TcpListener, app: App, life: Arc<Life>, tasks: TaskTracker) {
    let serve = |stream: TcpStream| {
        let socket = Socket::new(stream, app.counts.clone(), life.clone());
        let (app, life) = (app.clone(), life.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = life.over.cancelled() => {}
                () = app::serve(app, socket, &life) => {}
            }
        });
    };
    loop {
        tokio::select! {
            biased;
            () = life.over.cancelled() => return,
            () = life.stopping.cancelled() => break,
            Ok((stream, _)) = listener.accept() => serve(stream),
        }
    }
    // Connections the kernel took before the stop are in flight too: closing the listener would reset them.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        serve(stream);
    }
}
