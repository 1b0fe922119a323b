//! The lines of one watch.
//!
//! A watch has no end, so nothing but its lines can be bounded: the length of each, and how many are read in a time. What
//! is not read stays with the server, whom TCP holds up; so a flood takes a small part of this thread, and other
//! connections have theirs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::{api::WatchEvent, client::Body};
use serde::de::DeserializeOwned;
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::list_watch::parse;
use crate::cluster::{error::response::ResponseTooLarge, http::response::SizeLimit};

/// What is read of one line: one object with a few words around it.
const LINE: SizeLimit = SizeLimit { of: "one line of a watch", ..crate::cluster::http::response::OBJECT };

/// Bytes of lines that are read in a second. Parsing them takes about a tenth of a core; a rollout of a thousand pods sends
/// less.
const RATE: usize = 8 << 20;

/// What a line counts for beyond its length: taking a short one in costs about as much as parsing this.
const LINE_COST: usize = 2 << 10;

/// What may be read at once after a rest, the events of a rollout's first moment.
const BURST: usize = 1 << 20;

/// After so much others have their turn: a millisecond's work.
const TURN: usize = 64 << 10;

/// A buffer that grew beyond this is given back once it is empty.
const KEPT: usize = 16 << 10;

/// A watch, read line by line.
pub(super) struct WatchEvents {
    body: Body,
    /// What arrived and is not a line yet.
    buffer: BytesMut,
    /// How much of it holds no end of a line.
    searched: usize,
    pace: RateLimit,
    /// Read since others had their turn.
    turn: usize,
}

impl WatchEvents {
    pub(in crate::cluster) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, pace: RateLimit::new(), turn: 0 }
    }

    /// The next event; `None` at the end of the watch, an orderly one or not: what is cut off is sent again by the next
    /// watch. May be dropped and called again.
    pub(in crate::cluster) async fn next<K: DeserializeOwned + Send + 'static>(
        &mut self,
    ) -> Option<kube::Result<WatchEvent<K>>> {
        loop {
            self.rest().await;
            match self.line() {
                Err(long) => return Some(Err(kube::Error::Service(long.into()))),
                Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Some(line)) => return Some(read(line).await),
                Ok(None) => match self.body.frame().await? {
                    Ok(frame) => self.buffer.extend_from_slice(frame.data_ref()?),
                    Err(error) if is_cut_off(&error) => return None,
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }

    /// Whether another line is there already, and may be read at once.
    pub(super) fn has_line(&self) -> bool {
        self.pace.debt().is_zero() && self.turn < TURN && self.buffer.contains(&b'\n')
    }

    /// Leaves others their turn, and waits where too much was read.
    async fn rest(&mut self) {
        let debt = self.pace.debt();
        if !debt.is_zero() {
            sleep(debt).await;
        } else if self.turn >= TURN {
            yield_now().await;
        } else {
            return;
        }
        self.turn = 0;
    }

    /// Takes a line out of the buffer.
    fn line(&mut self) -> Result<Option<Bytes>, ResponseTooLarge> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let length = end.map_or(self.buffer.len(), |end| self.searched + end);
        if length > LINE.bytes {
            return Err(LINE.too_long());
        }
        if end.is_none() {
            self.searched = length;
            return Ok(None);
        }
        let mut line = self.buffer.split_to(length + 1);
        line.truncate(length);
        self.searched = 0;
        self.pace.spend(length + LINE_COST);
        self.turn += length + LINE_COST;
        LINE.check_objects(&line)?;
        // A line that shares the buffer's memory would keep all of it.
        let line = Bytes::copy_from_slice(&line);
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = BytesMut::new();
        }
        Ok(Some(line))
    }
}

/// Reads a line: an event, or a refusal in the place of one.
async fn read<K: DeserializeOwned + Send + 'static>(line: Bytes) -> kube::Result<WatchEvent<K>> {
    match parse(line.clone()).await {
        Ok(event) => Ok(event),
        Err(error) => match serde_json::from_slice::<kube::core::Status>(&line) {
            Ok(status) if status.code != 0 => Err(kube::Error::Api(status.boxed())),
            _ => Err(error),
        },
    }
}

/// Whether a connection ended in the middle of a body, as those of an API server that restarts do.
fn is_cut_off(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| {
            matches!(io.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset)
        }) {
            return true;
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return true;
        }
        next = error.source();
    }
    false
}

/// How much may be read: a bucket of [`BURST`] bytes that fills at [`RATE`].
struct RateLimit {
    left: usize,
    overdrawn: usize,
    at: Instant,
}

impl RateLimit {
    fn new() -> Self {
        Self { left: BURST, overdrawn: 0, at: Instant::now() }
    }

    /// Counts what was read.
    fn spend(&mut self, bytes: usize) {
        let now = Instant::now();
        let gained = (now - self.at).as_micros().saturating_mul(RATE as u128) / 1_000_000;
        let mut gained = usize::try_from(gained).unwrap_or(usize::MAX);
        self.at = now;
        let paid = gained.min(self.overdrawn);
        self.overdrawn -= paid;
        gained -= paid;
        self.left = self.left.saturating_add(gained).min(BURST);
        let taken = bytes.min(self.left);
        self.left -= taken;
        self.overdrawn += bytes - taken;
    }

    /// How long nothing may be read.
    fn debt(&self) -> Duration {
        let time = Duration::from_micros((self.overdrawn as u128 * 1_000_000 / RATE as u128) as u64);
        (self.at + time).saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use kube::{Client, client::Body};
    use tower::{BoxError, service_fn};

    use super::*;
    use crate::cluster::{error::reason::reason, objects::Pod};

    /// A watch that sends these pieces; the last again and again where it is a flood.
    async fn watch(pieces: &[&[u8]], flood: bool) -> WatchEvents {
        let pieces: Vec<Bytes> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        let client = Client::new(
            service_fn(move |_: http::Request<Body>| {
                let last = pieces.last().cloned().unwrap_or_default();
                let more = stream::repeat(last).take(if flood { usize::MAX } else { 0 });
                let pieces = stream::iter(pieces.clone()).chain(more);
                let frames = pieces.map(|piece| Ok::<_, BoxError>(Frame::data(piece)));
                async move { Ok::<_, BoxError>(Response::new(StreamBody::new(frames))) }
            }),
            "default",
        );
        let answer = client.send(http::Request::get("/x").body(Body::empty()).unwrap()).await.unwrap();
        WatchEvents::new(answer.into_body())
    }

    fn line(name: &str) -> Vec<u8> {
        format!("{{\"type\":\"MODIFIED\",\"object\":{{\"metadata\":{{\"name\":\"{name}\"}}}}}}\n")
            .into_bytes()
    }

    async fn names(mut events: WatchEvents) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(event) = events.next::<Pod>().await {
            match event.unwrap() {
                WatchEvent::Modified(pod) => names.push(pod.metadata.name.unwrap()),
                other => panic!("{other:?}"),
            }
        }
        names
    }

    #[tokio::test]
    async fn lines_are_put_together() {
        let all = [line("a"), b"\n".to_vec(), line("b"), line("c")].concat();
        assert_eq!(names(watch(&[&all], false).await).await, ["a", "b", "c"]);
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(names(watch(&bytes, false).await).await, ["a", "b", "c"]);
        // What is cut off is no event.
        assert_eq!(names(watch(&[&all[..all.len() - 2]], false).await).await, ["a", "b"]);
        assert!(watch(&[&all], false).await.buffer.capacity() == 0);
    }

    #[tokio::test]
    async fn a_line_has_an_end() {
        let junk = vec![b'x'; 1 << 20];
        let error = watch(&[&junk], true).await.next::<Pod>().await.unwrap().unwrap_err();
        assert!(reason(&error).contains("8 MiB, the most that is read of one line of a watch"), "{error}");
        let empty = br#"{"type":"ADDED","object":{"spec":{"containers":["#.to_vec();
        let many = [empty, b"{},".repeat(LINE.objects), b"{}]}}}\n".to_vec()].concat();
        let error = watch(&[&many], false).await.next::<Pod>().await.unwrap().unwrap_err();
        assert!(reason(&error).contains("JSON objects, the most that are read of one line"), "{error}");
    }

    /// A flood is read at a pace, and each piece of it leaves others their turn.
    #[tokio::test(start_paused = true)]
    async fn a_flood_is_held_up() {
        let lines = line(&"a".repeat(900)).repeat(300);
        let mut events = watch(&[&lines], true).await;
        let mut turns = 0;
        let start = Instant::now();
        let reading = async {
            let mut read = 0;
            while start.elapsed() < Duration::from_secs(10) {
                events.next::<Pod>().await.unwrap().unwrap();
                read += lines.len() / 300;
            }
            read
        };
        let mut reading = std::pin::pin!(reading);
        let read = std::future::poll_fn(|context| {
            turns += 1;
            reading.as_mut().poll(context)
        })
        .await;
        assert!(read <= 10 * RATE + BURST, "{read}");
        assert!(turns > read / TURN, "{turns} turns of others in {read} bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_may_come_as_a_line() {
        let status = b"{\"kind\":\"Status\",\"code\":401,\"message\":\"no\"}\n";
        let error = watch(&[status], false).await.next::<Pod>().await.unwrap().unwrap_err();
        assert_eq!(reason(&error), "401: no");
        assert!(watch(&[b"junk\n"], false).await.next::<Pod>().await.unwrap().is_err());
    }
}
