//! The clients of a row: requests without pause, each on a connection of its own, and one connection that stays open.

use std::error::Error;
use std::io;
use std::time::Duration;

use sandbox::support::{Failure, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::row::Long;

/// Clients that make requests, each one after the other.
pub(crate) const CLIENTS: usize = 2;

/// Between two requests of one client: this is about failures, not about load.
const PACE: Duration = Duration::from_millis(10);

/// What takes longer is told as late.
const LATE: Duration = Duration::from_millis(500);

/// How long one request may take: beyond any hold of the forwarder.
const LIMIT: Duration = Duration::from_secs(40);

/// The bytes of one turn on the connection that stays open.
const TURN: usize = 4096;

/// An answer.
#[derive(Clone)]
pub(crate) struct Answer {
    /// The pod that gave it.
    pub(crate) pod: String,
    pub(crate) at: Instant,
}

/// What the clients have seen.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) answers: Vec<Answer>,
    /// How many of them were late, and how late the latest was.
    pub(crate) late: u64,
    pub(crate) latest: Duration,
    /// Connections that were refused.
    pub(crate) refused: u64,
    /// Requests that were reset, or ended without an answer.
    pub(crate) reset: u64,
    /// When the last request failed.
    pub(crate) failed_at: Option<Instant>,
    /// Bytes that nobody sent.
    pub(crate) wrong: Option<String>,
}

impl Seen {
    pub(crate) fn lost(&self) -> u64 {
        self.refused + self.reset
    }

    fn add(&mut self, begun: Instant, outcome: io::Result<String>) {
        let at = Instant::now();
        match outcome {
            Ok(pod) => {
                let took = at - begun;
                self.latest = self.latest.max(took);
                self.late += u64::from(took >= LATE);
                self.answers.push(Answer { pod, at });
            }
            Err(error) => {
                self.failed_at = Some(at);
                match error.kind() {
                    io::ErrorKind::ConnectionRefused => self.refused += 1,
                    io::ErrorKind::InvalidData => self.wrong = Some(error.to_string()),
                    _ => self.reset += 1,
                }
            }
        }
    }
}

/// Clients at work.
pub(crate) struct Clients {
    seen: watch::Receiver<Seen>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    long: JoinHandle<(Long, Option<String>)>,
}

impl Clients {
    /// Begins to send to a local port, once the connection that stays open has had an answer.
    pub(crate) async fn start(port: u16) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let mut long = connect(port).await?;
        turn(&mut long, 0).await.map_err(|(_, error)| error)?;
        let long = tokio::spawn(stay(long, stop.clone()));
        let (sender, seen) = watch::channel(Seen::default());
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            let (sender, stop) = (sender.clone(), stop.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let begun = Instant::now();
                    let outcome = timeout(LIMIT, ask(port)).await;
                    let outcome = outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                    sender.send_modify(|seen| seen.add(begun, outcome));
                    sleep(PACE).await;
                }
            });
        }
        Ok(Self { seen, stop, tasks, long })
    }

    /// What they have seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Resolves once they have seen this.
    pub(crate) async fn until<T>(&self, enough: impl Fn(&Seen) -> Option<T>) -> T {
        let mut seen = self.seen.clone();
        loop {
            if let Some(found) = enough(&seen.borrow_and_update()) {
                return found;
            }
            if seen.changed().await.is_err() {
                // The senders live as long as this does.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends with the requests under way; what they saw, and what became of the connection that stayed open.
    pub(crate) async fn stop(mut self) -> Result<(Seen, Long), Failure> {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let (long, wrong) = self.long.await?;
        let mut seen = self.seen.borrow().clone();
        seen.wrong = seen.wrong.or(wrong);
        Ok((seen, long))
    }
}

/// One request on a connection of its own: the pod that answered.
pub(crate) async fn ask(port: u16) -> io::Result<String> {
    let mut stream = connect(port).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await?;
    let body = answer(&mut stream).await.map_err(|(_, error)| error)?;
    String::from_utf8(body).map(|pod| pod.trim().to_owned()).map_err(wrong)
}

/// Sends and receives until the connection ends, or it is told to stop: how it ended, and bytes that were wrong.
async fn stay(mut stream: TcpStream, stop: CancellationToken) -> (Long, Option<String>) {
    for number in 1.. {
        // With one more turn at the end: what was cut a moment ago is not whole.
        let is_last = stop.is_cancelled();
        match timeout(LIMIT, turn(&mut stream, number)).await {
            Ok(Ok(())) if is_last => break,
            Ok(Ok(())) => sleep(PACE).await,
            Ok(Err((_, error))) if error.kind() == io::ErrorKind::InvalidData => {
                return (Long::Cut, Some(error.to_string()));
            }
            Ok(Err((0, error))) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return (Long::Closed, None);
            }
            Ok(Err((_, error))) if error.kind() == io::ErrorKind::UnexpectedEof => return (Long::Cut, None),
            Ok(Err(_)) | Err(_) => return (Long::Reset, None),
        }
    }
    (Long::Whole, None)
}

/// Sends bytes that are of this turn alone, and compares those that come back.
async fn turn(stream: &mut TcpStream, number: usize) -> Result<(), (usize, io::Error)> {
    let bytes: Vec<u8> = (0..TURN).map(|at| ((at + number) * 31 % 251) as u8).collect();
    let head = format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {TURN}\r\n\r\n");
    let send = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&bytes).await
    };
    // The end of a connection is better told by what is read.
    let sent = send.await;
    let back = match (answer(stream).await, &sent) {
        // A reset is told once, here to who wrote.
        (Err((0, _)), Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err((0, io::ErrorKind::ConnectionReset.into()));
        }
        (back, _) => back?,
    };
    sent.map_err(|error| (back.len(), error))?;
    if back == bytes { Ok(()) } else { Err((back.len(), wrong("not the bytes that were sent"))) }
}

fn wrong(why: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The body of an answer. An error is with how many bytes had come.
async fn answer(stream: &mut TcpStream) -> Result<Vec<u8>, (usize, io::Error)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; TURN]);
    loop {
        if let Some(body) = body(&bytes).map_err(|error| (bytes.len(), error))? {
            return Ok(body.to_vec());
        }
        match stream.read(&mut chunk).await {
            Ok(0) => return Err((bytes.len(), io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) => return Err((bytes.len(), error)),
        }
    }
}

/// The body, once it is whole.
fn body(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let head = str::from_utf8(head).map_err(wrong)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(wrong(head));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
    let length = length.ok_or_else(|| wrong(head))?;
    if body.len() > length {
        return Err(wrong("more bytes than the answer has"));
    }
    Ok((body.len() == length).then_some(body))
}
