//! Follows a process: what it has, what happens to it, and what it answers to requests in between, all on one connection.
//!
//! What happens is told by the process (`portforward:subscribe`). Its list is asked for after each event, and for the counts of
//! bytes and connections, of which there are no events, now and then.

use std::{collections::HashMap, io, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
        WriteHalf,
    },
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    client::{CALL_TIMEOUT, CallError, MAX_ANSWER, SUSPENDED_AFTER, read},
    methods::names,
};
use crate::{model::forward::PortForward, system::process_state::is_suspended};

/// How often counts are asked for while they change.
const BUSY_PACE: Duration = Duration::from_secs(1);
/// How often they are while nothing changes.
const IDLE_PACE: Duration = Duration::from_secs(5);
/// Lists without a change after which nothing is taken to change.
const IDLE_AFTER: u32 = 5;
/// The list is not asked for more often than this, however many events there are.
const LIST_GAP: Duration = Duration::from_millis(100);

/// The ids of our own requests. Those of others follow.
const SUBSCRIBE_ID: u64 = 0;
const LIST_ID: u64 = 1;

/// What is learnt of a process.
#[derive(Debug, Clone, PartialEq)]
pub enum ProcessNews {
    /// Its forwards.
    Listed(Vec<PortForward>),
    /// An event (docs/EVENTS.md).
    Told(Value),
    /// It does not answer. A list is the end of that.
    Unanswered(CallError),
}

/// Something that is to be asked of a process.
pub struct ControlRequest {
    /// The method.
    pub method: &'static str,
    /// Its parameters.
    pub params: Value,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Value, CallError>>,
}

/// Follows the process behind `stream` until the connection ends.
pub async fn follow(
    pid: u32,
    stream: impl AsyncRead + AsyncWrite + Send,
    requests: &mut mpsc::Receiver<ControlRequest>,
    news: &mpsc::Sender<(u32, ProcessNews)>,
) -> io::Result<()> {
    let (reading, writing) = tokio::io::split(stream);
    let mut reading = BufReader::new(reading);
    let mut following = FollowedConnection {
        pid,
        writing,
        news,
        waiting: HashMap::new(),
        last_id: LIST_ID,
        listed: Vec::new(),
        unchanged: 0,
        asked: None,
        next: Instant::now(),
        told: false,
    };
    following.send(SUBSCRIBE_ID, names::SUBSCRIBE, &json!({})).await?;
    let mut line = Vec::new();
    loop {
        let room = MAX_ANSWER.saturating_sub(line.len() as u64);
        let mut limited = (&mut reading).take(room);
        tokio::select! {
            read = limited.read_until(b'\n', &mut line) => {
                if read? == 0 || line.last() != Some(&b'\n') {
                    return Ok(());
                }
                following.take(&line).await?;
                line.clear();
            }
            Some(request) = requests.recv() => following.ask(request).await?,
            () = sleep_until(following.next) => following.on_time().await?,
        }
    }
}

struct FollowedConnection<'a, S> {
    pid: u32,
    writing: WriteHalf<S>,
    news: &'a mpsc::Sender<(u32, ProcessNews)>,
    waiting: HashMap<u64, oneshot::Sender<Result<Value, CallError>>>,
    last_id: u64,
    listed: Vec<PortForward>,
    /// Lists in a row without a change.
    unchanged: u32,
    /// When the list was asked for that has not come yet.
    asked: Option<Instant>,
    /// When something is to be done next: to ask for a list, or to see why none has come.
    next: Instant,
    /// That it does not answer was told.
    told: bool,
}

impl<S: AsyncWrite> FollowedConnection<'_, S> {
    async fn send(&mut self, id: u64, method: &str, params: &Value) -> io::Result<()> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        // A process that reads nothing is noticed by the list that does not come; only a full socket ends here.
        let line = format!("{request}\n");
        timeout(CALL_TIMEOUT, self.writing.write_all(line.as_bytes())).await.map_err(io::Error::other)??;
        self.writing.flush().await
    }

    async fn ask(&mut self, request: ControlRequest) -> io::Result<()> {
        self.waiting.retain(|_, answer| !answer.is_closed());
        self.last_id += 1;
        let id = self.last_id;
        self.waiting.insert(id, request.answer);
        self.send(id, request.method, &request.params).await
    }

    async fn take(&mut self, line: &[u8]) -> io::Result<()> {
        let message: Value = serde_json::from_slice(line)?;
        match message["id"].as_u64() {
            None => {
                let mut message = message;
                if message["method"] == names::EVENT {
                    self.tell(ProcessNews::Told(message["params"].take())).await;
                    self.unchanged = 0;
                    if self.asked.is_none() {
                        self.next = self.next.min(Instant::now() + LIST_GAP);
                    }
                }
            }
            Some(SUBSCRIBE_ID) => {}
            Some(LIST_ID) => self.list_came(line).await?,
            Some(id) => {
                if let Some(answer) = self.waiting.remove(&id) {
                    let _ = answer.send(read(line));
                }
            }
        }
        Ok(())
    }

    async fn list_came(&mut self, line: &[u8]) -> io::Result<()> {
        let result = read(line).map_err(|_| io::Error::other("the list was refused"))?;
        let listed: Vec<PortForward> = serde_json::from_value(result)?;
        self.unchanged = if self.listed == listed { self.unchanged.saturating_add(1) } else { 0 };
        self.listed.clone_from(&listed);
        let pace = if self.unchanged >= IDLE_AFTER { IDLE_PACE } else { BUSY_PACE };
        (self.asked, self.next, self.told) = (None, Instant::now() + pace, false);
        self.tell(ProcessNews::Listed(listed)).await;
        Ok(())
    }

    async fn on_time(&mut self) -> io::Result<()> {
        let Some(asked) = self.asked else {
            self.asked = Some(Instant::now());
            self.next = Instant::now() + SUSPENDED_AFTER;
            return self.send(LIST_ID, names::LIST, &json!({})).await;
        };
        if is_suspended(self.pid).await {
            self.tell_unanswered(CallError::Suspended).await;
        } else if asked.elapsed() >= CALL_TIMEOUT {
            let why = format!("it did not answer for {} s", CALL_TIMEOUT.as_secs());
            self.tell_unanswered(CallError::Silent(why)).await;
        }
        self.next = Instant::now() + SUSPENDED_AFTER;
        Ok(())
    }

    async fn tell_unanswered(&mut self, why: CallError) {
        if !std::mem::replace(&mut self.told, true) {
            self.tell(ProcessNews::Unanswered(why)).await;
        }
    }

    async fn tell(&self, news: ProcessNews) {
        // Nobody who listens is nobody who follows.
        let _ = self.news.send((self.pid, news)).await;
    }
}
