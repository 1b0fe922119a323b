//! The processes that the panel follows: those of all sockets, or this one.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    control::{
        client::CallError,
        follow::{ControlRequest, ProcessNews, follow},
        server::ControlServer,
        sockets::{ControlSocket, SocketConnection, SocketDirectories},
    },
    system::process_state::is_suspended,
};

/// How often the directories are looked at for new processes: soon enough for a person who has just started one.
const LOOK: Duration = Duration::from_secs(1);
/// The pause before a process is connected to again that has ended the connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);
/// How long it may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests that wait for a process.
const MAX_REQUESTS: usize = 64;
/// News that wait to be shown. More wait with the processes, which leave out what is not read in time.
const MAX_NEWS: usize = 256;
/// Bytes on the way between the panel and its own process.
const OWN_PIPE: usize = 64 * 1024;

/// What is heard of a process.
pub(super) enum ProcessReport {
    News(u32, ProcessNews),
    /// It is no more.
    Ended(u32),
}

/// The processes.
pub(super) struct Processes {
    /// None for this process alone.
    directories: Option<SocketDirectories>,
    followed: HashMap<PathBuf, u32>,
    requests: HashMap<u32, mpsc::Sender<ControlRequest>>,
    tasks: JoinSet<(PathBuf, u32)>,
    news: mpsc::Receiver<(u32, ProcessNews)>,
    sender: mpsc::Sender<(u32, ProcessNews)>,
    next_look: Instant,
}

impl Processes {
    fn new(directories: Option<SocketDirectories>) -> Self {
        let (sender, news) = mpsc::channel(MAX_NEWS);
        Self {
            directories,
            followed: HashMap::new(),
            requests: HashMap::new(),
            tasks: JoinSet::new(),
            news,
            sender,
            next_look: Instant::now(),
        }
    }

    /// Those of all sockets in these directories.
    pub(super) fn of_user(directories: SocketDirectories) -> Self {
        Self::new(Some(directories))
    }

    /// This process, by a pipe to its server.
    pub(super) fn own(server: Arc<ControlServer>) -> Self {
        let mut all = Self::new(None);
        let (ours, theirs) = tokio::io::duplex(OWN_PIPE);
        let (reading, writing) = tokio::io::split(theirs);
        let pid = std::process::id();
        let (sender, mut requests) = mpsc::channel(MAX_REQUESTS);
        all.requests.insert(pid, sender);
        let news = all.sender.clone();
        all.tasks.spawn(async move {
            tokio::select! {
                () = server.answer(reading, writing) => {}
                _ = follow(pid, ours, &mut requests, &news) => {}
            }
            (PathBuf::new(), pid)
        });
        all
    }

    /// The next thing that is heard.
    pub(super) async fn next(&mut self) -> ProcessReport {
        loop {
            tokio::select! {
                // What a process has said comes before its end.
                biased;
                Some((pid, news)) = self.news.recv() => return ProcessReport::News(pid, news),
                Some(Ok((path, pid))) = self.tasks.join_next() => {
                    self.followed.remove(&path);
                    self.requests.remove(&pid);
                    return ProcessReport::Ended(pid);
                }
                () = sleep_until(self.next_look) => self.look(),
            }
        }
    }

    /// Follows the processes that are new.
    fn look(&mut self) {
        self.next_look = Instant::now() + LOOK;
        let Some(directories) = &self.directories else { return };
        let (sockets, _) = directories.sockets();
        for socket in sockets {
            if self.followed.contains_key(&socket.path) {
                continue;
            }
            self.followed.insert(socket.path.clone(), socket.pid);
            let (sender, requests) = mpsc::channel(MAX_REQUESTS);
            self.requests.insert(socket.pid, sender);
            let news = self.sender.clone();
            self.tasks.spawn(async move {
                follow_socket(&socket, requests, &news).await;
                (socket.path, socket.pid)
            });
        }
    }

    /// Where requests to a process go, while it is followed.
    pub(super) fn requests(&self, pid: u32) -> Option<mpsc::Sender<ControlRequest>> {
        self.requests.get(&pid).cloned()
    }
}

/// Follows a process until it is no more.
async fn follow_socket(
    socket: &ControlSocket,
    mut requests: mpsc::Receiver<ControlRequest>,
    news: &mpsc::Sender<(u32, ProcessNews)>,
) {
    loop {
        match timeout(CONNECT_TIMEOUT, socket.connect()).await {
            Ok(Ok(SocketConnection::Dead)) => return,
            Ok(Ok(SocketConnection::Stream(stream))) => {
                follow_stream(socket, stream, &mut requests, news).await;
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return,
            Ok(Err(_)) | Err(_) => {
                let silent = || CallError::Silent("it does not accept connections".to_owned());
                let why = if is_suspended(socket.pid).await { CallError::Suspended } else { silent() };
                let _ = news.send((socket.pid, ProcessNews::Unanswered(why))).await;
            }
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn follow_stream(
    socket: &ControlSocket,
    stream: impl AsyncRead + AsyncWrite + Send,
    requests: &mut mpsc::Receiver<ControlRequest>,
    news: &mpsc::Sender<(u32, ProcessNews)>,
) {
    if let Err(error) = follow(socket.pid, stream, requests, news).await {
        tracing::debug!(%error, pid = socket.pid, "the connection to a process ended");
    }
}
