//! What the process in the background hands over to the command that waits for it: messages, one per line, as JSON, and
//! a heartbeat while there is nothing to say, so that silence means that it hangs.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::mpsc::{self, SyncSender, TrySendError},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines},
    time::{Instant, sleep_until},
};

use crate::{
    app::lifecycle::FLUSH_TIMEOUT, error::Fatal, model::forward::PortForward, sets,
    system::wait_limit::NOTICE_AFTER,
};

/// How often the child says that it is there while it has nothing else to say.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How long the child may say nothing once it has begun to: many heartbeats, on a machine that is busy with other things.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// And before that, while it reads the set that it is to start.
const START_SILENCE_TIMEOUT: Duration = sets::WITHIN.saturating_add(SILENCE_TIMEOUT);

/// Messages that may wait for the command that waits for us. It may be suspended.
const MAX_PENDING_MESSAGES: usize = 256;

/// Between one try to send the last message and the next.
const PAUSE: Duration = Duration::from_millis(10);

/// What the child writes: one per line, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChildMessage {
    Out(String),
    Err(String),
    /// The child is there, and has nothing to say.
    Beat,
    /// All of it works, and the child lets go.
    Works {
        forwards: Vec<PortForward>,
        log: PathBuf,
    },
    Failed(Fatal),
}

/// What the child has to say.
pub(super) struct ChildMessages<R> {
    lines: Lines<BufReader<R>>,
    last_message: Instant,
    begun: bool,
    /// That it says nothing has been told.
    noticed: bool,
}

/// What was heard of the child.
pub(super) enum ChildEvent {
    Message(ChildMessage),
    /// Nothing for a while.
    Quiet,
    /// Nothing for so long that there will be no more.
    TimedOut(Duration),
    /// It has closed its end.
    Closed,
}

impl<R: AsyncRead + Unpin> ChildMessages<R> {
    /// From its stdout.
    pub(super) fn of(stdout: R) -> Self {
        Self {
            lines: BufReader::new(stdout).lines(),
            last_message: Instant::now(),
            begun: false,
            noticed: false,
        }
    }

    /// The next of it. Loses nothing when it is dropped half-way.
    pub(super) async fn next(&mut self) -> ChildEvent {
        let silence = if self.begun { SILENCE_TIMEOUT } else { START_SILENCE_TIMEOUT };
        let (message, end) = (self.last_message + NOTICE_AFTER, self.last_message + silence);
        let line = tokio::select! {
            biased;
            line = self.lines.next_line() => line,
            () = sleep_until(message), if !self.noticed => {
                self.noticed = true;
                return ChildEvent::Quiet;
            }
            () = sleep_until(end) => return ChildEvent::TimedOut(silence),
        };
        (self.last_message, self.begun, self.noticed) = (Instant::now(), true, false);
        // What is no message is the end as well: our own child says nothing else.
        let message = line.ok().flatten().and_then(|line| serde_json::from_str(&line).ok());
        message.map_or(ChildEvent::Closed, ChildEvent::Message)
    }
}

/// Writes messages on a thread of its own: the command that waits for us may be suspended, and its pipe full.
pub(super) struct ParentPipe {
    messages: SyncSender<String>,
    done: mpsc::Receiver<()>,
}

impl ParentPipe {
    /// To our own stdout.
    pub(super) fn open() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    fn to(mut stdout: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, waiting) = mpsc::sync_channel::<String>(MAX_PENDING_MESSAGES);
        let (finished, done) = mpsc::channel();
        thread::Builder::new().name("hand".to_owned()).spawn(move || {
            for message in waiting {
                // Who was killed meanwhile waits no more.
                if stdout.write_all(message.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                    break;
                }
            }
            let _ = finished.send(());
        })?;
        Ok(Self { messages, done })
    }

    /// Sends a message, unless there are too many already: what it says is in the log as well. Whether anybody is there who
    /// could hear it.
    pub(super) fn send(&self, message: &ChildMessage) -> bool {
        !matches!(self.hand_over(message), Err(TrySendError::Disconnected(_)))
    }

    fn hand_over(&self, message: &ChildMessage) -> Result<(), TrySendError<String>> {
        self.messages.try_send(serde_json::to_string(message).unwrap_or_default() + "\n")
    }

    /// Sends the last message, and waits for a moment until it is written.
    pub(super) fn send_last(self, message: &ChildMessage) {
        let end = Instant::now() + FLUSH_TIMEOUT;
        while matches!(self.hand_over(message), Err(TrySendError::Full(_))) && Instant::now() < end {
            thread::sleep(PAUSE);
        }
        drop(self.messages);
        let _ = self.done.recv_timeout(FLUSH_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A child that never says anything has an end, and a word before it; one that beats may take its time.
    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end() {
        let (mut child, stdout) = tokio::io::duplex(1024);
        let (mut messages, begin) = (ChildMessages::of(stdout), Instant::now());
        assert!(matches!(messages.next().await, ChildEvent::Quiet));
        assert_eq!(begin.elapsed(), NOTICE_AFTER);
        for _ in 0..200 {
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
            child.write_all(b"\"beat\"\n").await.unwrap();
            assert!(matches!(messages.next().await, ChildEvent::Message(ChildMessage::Beat)));
        }
        let silent = Instant::now();
        assert!(matches!(messages.next().await, ChildEvent::Quiet), "it is told again");
        assert!(matches!(messages.next().await, ChildEvent::TimedOut(SILENCE_TIMEOUT)));
        assert_eq!(silent.elapsed(), SILENCE_TIMEOUT);
        let mut messages = ChildMessages::of(tokio::io::duplex(1).0);
        assert!(matches!(messages.next().await, ChildEvent::Closed));
        let (_child, stdout) = tokio::io::duplex(1);
        let (mut messages, begin) = (ChildMessages::of(stdout), Instant::now());
        assert!(matches!(messages.next().await, ChildEvent::Quiet));
        assert!(matches!(messages.next().await, ChildEvent::TimedOut(START_SILENCE_TIMEOUT)));
        assert_eq!(begin.elapsed(), START_SILENCE_TIMEOUT);
    }

    /// A pipe that nobody reads from takes what it takes, and holds nobody up.
    #[test]
    fn a_suspended_command_holds_nobody_up() {
        let (reader, writer) = io::pipe().unwrap();
        let parent = ParentPipe::to(writer).unwrap();
        let message = ChildMessage::Err("x".repeat(4096));
        for _ in 0..2 * MAX_PENDING_MESSAGES {
            assert!(parent.send(&message), "it may go on reading");
        }
        parent.send_last(&ChildMessage::Beat);
        drop(reader);
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let parent = ParentPipe::to(writer).unwrap();
        while parent.send(&ChildMessage::Beat) {
            thread::yield_now();
        }
    }
}
