//! Follows the forwards of one process: by its events, each of which is a reason to ask for the list again.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::{
    client::MAX_ANSWER,
    methods::names,
    rpc,
    sockets::{ControlSocket, ControlStream, SocketConnection},
};
use crate::model::forward::{ForwardId, PortForward};

/// The id of the request for events; those for the list have others.
const SUBSCRIBE_ID: u64 = 0;
const LIST_ID: u64 = 1;

/// Forwards that may have ended between two lists. A process has no more than a thousand.
const MAX_ENDS: usize = 1000;

/// A process that is followed.
pub struct ForwardWatch {
    stream: BufReader<ControlStream>,
    /// The list was asked for, and has not come.
    asked: bool,
    /// Something has happened since then.
    stale: bool,
    ends: Vec<WatchedEnd>,
}

/// What is new.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchUpdate {
    /// The forwards of the process, and those that ended since the last time.
    Forwards(Vec<PortForward>, Vec<WatchedEnd>),
    /// The connection is over, and these ended before.
    Closed(Vec<WatchedEnd>),
}

/// A forward that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedEnd {
    /// Which.
    pub id: ForwardId,
    /// Why, where it was against everybody's will.
    pub failure: Option<String>,
}

impl ForwardWatch {
    /// Begins to follow a process. None where it is dead.
    pub async fn open(socket: &ControlSocket) -> io::Result<Option<Self>> {
        let SocketConnection::Stream(stream) = socket.connect().await? else { return Ok(None) };
        let (asked, stale, ends) = (false, false, Vec::new());
        let mut watch = Self { stream: BufReader::new(stream), asked, stale, ends };
        watch.send(SUBSCRIBE_ID, names::SUBSCRIBE).await?;
        watch.ask().await?;
        Ok(Some(watch))
    }

    /// What is new: at first all that there is.
    pub async fn next(&mut self) -> WatchUpdate {
        match self.read().await {
            Ok(Some(forwards)) => WatchUpdate::Forwards(forwards, std::mem::take(&mut self.ends)),
            // An answer that cannot be read is no better than none.
            Ok(None) | Err(_) => WatchUpdate::Closed(std::mem::take(&mut self.ends)),
        }
    }

    async fn read(&mut self) -> io::Result<Option<Vec<PortForward>>> {
        loop {
            let mut line = Vec::new();
            if (&mut self.stream).take(MAX_ANSWER).read_until(b'\n', &mut line).await? == 0 {
                return Ok(None);
            }
            let mut message: Value = serde_json::from_slice(&line)?;
            if message["method"] == names::EVENT {
                self.note(&message["params"]);
                if !self.asked {
                    self.ask().await?;
                }
            } else if message["id"] == LIST_ID {
                self.asked = false;
                if std::mem::take(&mut self.stale) {
                    self.ask().await?;
                }
                return Ok(Some(serde_json::from_value(message["result"].take())?));
            }
        }
    }

    /// An event: the list that was asked for may not have it.
    fn note(&mut self, event: &Value) {
        self.stale |= self.asked;
        if event["event"] == "stopped"
            && let Some(id) = event["id"].as_str().and_then(|id| id.parse().ok())
            && self.ends.len() < MAX_ENDS
        {
            let failed = event["by"] == "error";
            let failure = failed.then(|| event["why"].as_str().unwrap_or_default().to_owned());
            self.ends.push(WatchedEnd { id, failure });
        }
    }

    async fn ask(&mut self) -> io::Result<()> {
        self.asked = true;
        self.send(LIST_ID, names::LIST).await
    }

    async fn send(&mut self, id: u64, method: &str) -> io::Result<()> {
        let request = rpc::request(id, method, &json!({}));
        self.stream.write_all(format!("{request}\n").as_bytes()).await?;
        self.stream.flush().await
    }
}
