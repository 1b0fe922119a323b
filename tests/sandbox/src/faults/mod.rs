//! Misbehaviour on request: of the network below TLS ([`Faults::wrap`]), of the API server above it
//! ([`Faults::intercept`]), and of the container runtime at the far end ([`Runtime`]).
//!
//! Out of process the same is to be had by `POST /admin/faults/NAME` with a JSON body:
//!
//! | name | body |
//! |---|---|
//! | `latency` | `{"ms": 25}`: each way, on connections accepted from now on |
//! | `black-hole` | `{"on": true}`: bytes vanish, connections stay |
//! | `frozen` | `{"on": true}`: no byte passes either way; all of them do later |
//! | `orphan` | none: bytes vanish on every live connection, for ever; new ones work |
//! | `read-rate` | `{"bytes_per_second": 1000}`; 0 freezes, `null` lifts it |
//! | `reset`, `close` | none: every live connection ends with a RST, with a FIN |
//! | `end-sessions` | none: every port-forward session ends, as when the kubelet restarts |
//! | `cut-off` | `"api-5d4f7c-x2b7k"`: this pod's node is gone, and nobody says so |
//! | `end-watches` | none: every live watch ends in order |
//! | `silence-watches` | `{"on": true}`: watches stay and tell nothing |
//! | `deny` | a [`Denial`], which may be a [`BadAnswer`] |
//! | `pair-fault` | a [`PairFault`]: the next pair of streams fails so |
//! | `upgrade-fault` | `{"what": "unanswered", "times": 3}`: what becomes of the next upgrades, see [`UpgradeFault`]; without `times` of all |
//! | `dial-time` | `{"ms": 100}`: each answer to an upgrade comes so much later, however many are asked for at once |
//! | `pings` | how they are echoed: `"queued"`, `"at-once"`, `"swapped"` |
//! | `clock-skew` | `{"seconds": 90}`: the server's clock is so much ahead, or behind |
//! | `clear` | none: no faults from now on |

mod bad_answer;
mod cut_off;
mod delay;
mod denial;
mod link;
mod runtime;
pub(crate) mod upgrade_fault;
mod watches;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::serve::Body;
pub use bad_answer::BadAnswer;
pub(crate) use bad_answer::NeverAnswered;
pub(crate) use cut_off::CutOffIo;
pub use denial::Denial;
pub use link::Io;
use link::Link;
pub use runtime::{PairFault, Pings, Runtime};
pub use upgrade_fault::UpgradeFault;
pub(crate) use watches::WatchOrders;
use watches::Watches;

/// No limit on reading.
const UNLIMITED: u64 = u64::MAX;

/// The faults of one cluster. Clones are the same faults.
#[derive(Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
    runtime: Runtime,
}

/// What every connection looks at.
struct Shared {
    latency_us: AtomicU64,
    black_hole: AtomicBool,
    frozen: AtomicBool,
    /// Bytes a second.
    read_rate: AtomicU64,
    /// Seconds.
    clock_skew: AtomicI64,
    denials: Mutex<Vec<Denial>>,
    links: Mutex<Vec<Weak<Link>>>,
    watches: Watches,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            latency_us: AtomicU64::new(0),
            black_hole: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            read_rate: AtomicU64::new(UNLIMITED),
            clock_skew: AtomicI64::new(0),
            denials: Mutex::default(),
            links: Mutex::default(),
            watches: Watches::default(),
        }
    }
}

impl Faults {
    /// Delays bytes each way by `latency`, on connections accepted from now on.
    pub fn latency(&self, latency: Duration) {
        let micros = latency.as_micros().try_into().unwrap_or(u64::MAX);
        self.shared.latency_us.store(micros, Ordering::Relaxed);
    }

    /// Bytes vanish both ways, and neither side hears of the other's end.
    pub fn black_hole(&self, on: bool) {
        self.shared.black_hole.store(on, Ordering::Relaxed);
        self.wake();
    }

    /// No byte passes either way, and none is lost: the network is gone for a while, and TCP sends again what was not
    /// acknowledged.
    pub fn freeze(&self, on: bool) {
        self.shared.frozen.store(on, Ordering::Relaxed);
        self.wake();
    }

    /// On every live connection bytes vanish both ways from now on, as when the client has another address; new ones work.
    pub fn orphan_all(&self) {
        for link in self.links() {
            link.orphan();
        }
    }

    /// Every port-forward session ends, as when the kubelet or the container runtime restarts. Watches go on.
    pub fn end_sessions(&self) {
        self.runtime.end_sessions();
    }

    /// The node of a pod is gone, and nobody says so: its sessions fall silent, and a new one is refused after half a minute.
    pub fn cut_off(&self, pod: &str) {
        self.runtime.cut_off(pod);
    }

    /// Every live watch ends in order.
    pub fn end_watches(&self) {
        self.shared.watches.order(|orders| orders.ends += 1);
    }

    /// Every live watch tells how far it is, where something has happened that is none of its business. Resolves once one
    /// of pods has.
    pub async fn bookmark_watches(&self) {
        let mut sent = self.shared.watches.bookmarks();
        self.shared.watches.order(|orders| orders.bookmarks += 1);
        let _ = sent.changed().await;
    }

    /// A watch has sent a bookmark.
    pub(crate) fn bookmarked(&self) {
        self.shared.watches.bookmarked();
    }

    /// Watches stay and tell nothing, those that begin now too.
    pub fn silence_watches(&self, on: bool) {
        self.shared.watches.order(|orders| orders.silent = on);
    }

    /// For a watch.
    pub(crate) fn watch_orders(&self) -> tokio::sync::watch::Receiver<WatchOrders> {
        self.shared.watches.follow()
    }

    /// Reads no more than so many bytes a second from each connection; 0 freezes reading, `None` lifts the limit.
    pub fn read_rate(&self, bytes_per_second: Option<u64>) {
        self.shared.read_rate.store(bytes_per_second.unwrap_or(UNLIMITED), Ordering::Relaxed);
        self.wake();
    }

    /// Has the server's clock be so many seconds ahead, or behind.
    pub fn clock_skew(&self, seconds: i64) {
        self.shared.clock_skew.store(seconds, Ordering::Relaxed);
    }

    /// The date that answers bear, where it is not the true one.
    pub(crate) fn date(&self) -> Option<HeaderValue> {
        let skew = self.shared.clock_skew.load(Ordering::Relaxed);
        let at = Timestamp::now().checked_add(SignedDuration::from_secs(skew)).ok().filter(|_| skew != 0)?;
        let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
        HeaderValue::try_from(text).ok()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.links().len()
    }

    /// Ends every live connection with a RST.
    pub fn reset_all(&self) {
        for link in self.links() {
            link.end(true);
        }
    }

    /// Ends every live connection with a FIN, without a word of TLS.
    pub fn close_all(&self) {
        for link in self.links() {
            link.end(false);
        }
    }

    /// Refuses requests that match, until it has done so as often as it says. The first that matches counts.
    pub fn deny(&self, denial: Denial) {
        self.denials().push(denial);
    }

    /// Has the next pair of streams fail.
    pub fn pair_fault(&self, pair_fault: PairFault) {
        self.runtime.pair_fault(pair_fault);
    }

    /// Pair faults that no pair has met yet.
    pub fn pair_faults(&self) -> usize {
        self.runtime.pair_faults()
    }

    /// Has this become of the next upgrades, or of all from now on.
    pub fn upgrade_fault(&self, what: UpgradeFault, times: Option<u32>) {
        self.runtime.set_upgrade_fault(upgrade_fault::Asked { what, times });
    }

    /// How many upgrades met an upgrade fault so far.
    pub fn upgrade_faults(&self) -> u64 {
        self.runtime.upgrade_faults()
    }

    /// Resolves when that is as wanted.
    pub async fn upgrade_faults_are(&self, wanted: impl Fn(u64) -> bool) {
        self.runtime.upgrade_faults_are(wanted).await;
    }

    /// Resolves when clients have taken as many bytes of floods as wanted.
    pub async fn flooded_are(&self, wanted: impl Fn(usize) -> bool) {
        self.runtime.flooded_are(wanted).await;
    }

    /// Has each upgrade that is asked for from now on answered so much later, as by a server that is far from the node
    /// or busy. They wait side by side.
    pub fn dial_time(&self, time: Duration) {
        self.runtime.set_dial_time(time);
    }

    /// Resolves when as many upgrades wait for that as wanted.
    pub async fn dials_are(&self, wanted: impl Fn(usize) -> bool) {
        self.runtime.dials_are(wanted).await;
    }

    /// Has pings echoed so, from now on.
    pub fn pings(&self, pings: Pings) {
        self.runtime.set_pings(pings);
    }

    /// For the node.
    pub(crate) fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    /// No faults from now on. Connections and upgrades that were delayed stay so.
    pub fn clear(&self) {
        self.shared.latency_us.store(0, Ordering::Relaxed);
        self.shared.black_hole.store(false, Ordering::Relaxed);
        self.shared.frozen.store(false, Ordering::Relaxed);
        self.silence_watches(false);
        self.shared.read_rate.store(UNLIMITED, Ordering::Relaxed);
        self.shared.clock_skew.store(0, Ordering::Relaxed);
        self.denials().clear();
        self.runtime.clear();
        self.wake();
    }

    /// Asked for each request once its user is known: an answer is given instead of the real one.
    pub fn intercept(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        user: &str,
    ) -> Option<Response<Body>> {
        let mut denials = self.denials();
        let index = denials.iter().position(|denial| denial.matches(method, path, query, user))?;
        let response = denials[index].response();
        let resets = denials[index].resets();
        if denials[index].is_spent() {
            denials.remove(index);
        }
        drop(denials);
        if resets {
            self.reset_all();
        }
        Some(response)
    }

    /// Puts an accepted connection under the faults.
    pub fn wrap(&self, io: TcpStream) -> Io {
        let link = Arc::new(Link::new(io));
        let mut links = self.shared.links.lock();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        let io = Io::direct(link, self.shared.clone());
        match self.shared.latency_us.load(Ordering::Relaxed) {
            0 => io,
            micros => Io::delayed(delay::delay(io, Duration::from_micros(micros))),
        }
    }

    /// Serves `/admin/faults/NAME`.
    pub fn admin(&self, path: &str, body: &[u8]) -> Response<Body> {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let outcome = match name {
            "latency" => read(body).map(|Time { ms }| self.latency(Duration::from_millis(ms))),
            "black-hole" => read(body).map(|Switch { on }| self.black_hole(on)),
            "frozen" => read(body).map(|Switch { on }| self.freeze(on)),
            "silence-watches" => read(body).map(|Switch { on }| self.silence_watches(on)),
            "cut-off" => read(body).map(|pod: String| self.cut_off(&pod)),
            "read-rate" => read(body).map(|Rate { bytes_per_second }| self.read_rate(bytes_per_second)),
            "reset" => {
                self.reset_all();
                Ok(())
            }
            "close" => {
                self.close_all();
                Ok(())
            }
            "deny" => read(body).map(|denial| self.deny(denial)),
            "pair-fault" => read(body).map(|pair_fault| self.pair_fault(pair_fault)),
            "upgrade-fault" => read(body).map(|asked| self.runtime.set_upgrade_fault(asked)),
            "dial-time" => read(body).map(|Time { ms }| self.dial_time(Duration::from_millis(ms))),
            "clock-skew" => read(body).map(|Skew { seconds }| self.clock_skew(seconds)),
            "pings" => read(body).map(|pings| self.pings(pings)),
            "orphan" => {
                self.orphan_all();
                Ok(())
            }
            "end-sessions" => {
                self.end_sessions();
                Ok(())
            }
            "end-watches" => {
                self.end_watches();
                Ok(())
            }
            "clear" => {
                self.clear();
                Ok(())
            }
            _ => return answer(StatusCode::NOT_FOUND, format!("no fault is called {name:?}\n")),
        };
        match outcome {
            Ok(()) => answer(StatusCode::OK, "{}\n".to_owned()),
            Err(error) => answer(StatusCode::BAD_REQUEST, format!("{error}\n")),
        }
    }

    fn denials(&self) -> MutexGuard<'_, Vec<Denial>> {
        self.shared.denials.lock()
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let links = self.shared.links.lock();
        links.iter().filter_map(Weak::upgrade).collect()
    }

    /// Has every connection look at the faults anew.
    fn wake(&self) {
        for link in self.links() {
            link.wake();
        }
    }
}

#[derive(Deserialize)]
struct Time {
    ms: u64,
}

#[derive(Deserialize)]
struct Skew {
    seconds: i64,
}

#[derive(Deserialize)]
struct Switch {
    on: bool,
}

#[derive(Deserialize)]
struct Rate {
    bytes_per_second: Option<u64>,
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}

fn answer(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn connection(faults: &Faults) -> (TcpStream, Io) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, faults.wrap(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn without_faults_bytes_pass() {
        let (mut client, mut server) = connection(&Faults::default()).await;
        client.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes).await.unwrap();
        server.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
    }

    #[tokio::test]
    async fn a_reset_is_seen_at_both_ends() {
        let faults = Faults::default();
        let (mut client, mut server) = connection(&faults).await;
        let reading = tokio::spawn(async move { server.read_u8().await });
        tokio::task::yield_now().await;
        assert_eq!(faults.admin("/admin/faults/reset", b"").status(), StatusCode::OK);
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn in_a_black_hole_bytes_vanish_and_the_connection_stays() {
        let faults = Faults::default();
        let (mut client, mut server) = connection(&faults).await;
        faults.black_hole(true);
        server.write_all(b"lost").await.unwrap();
        client.write_all(b"lost").await.unwrap();
        let mut byte = [0];
        let reading = server.read(&mut byte);
        assert!(tokio::time::timeout(Duration::from_millis(20), reading).await.is_err());
        faults.black_hole(false);
        server.write_all(b"!").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'!');
    }

    #[tokio::test]
    async fn what_is_frozen_comes_later_and_an_orphan_hears_nothing() {
        let faults = Faults::default();
        let (mut client, mut server) = connection(&faults).await;
        faults.freeze(true);
        client.write_all(b"x").await.unwrap();
        let mut reading = tokio::spawn(async move { (server.read_u8().await.unwrap(), server) });
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut reading).await.is_err());
        faults.freeze(false);
        let (byte, mut server) = reading.await.unwrap();
        assert_eq!(byte, b'x');
        faults.orphan_all();
        let (mut other_client, mut other) = connection(&faults).await;
        server.write_all(b"lost").await.unwrap();
        other.write_all(b"!").await.unwrap();
        assert_eq!(other_client.read_u8().await.unwrap(), b'!');
        assert!(tokio::time::timeout(Duration::from_millis(20), client.read_u8()).await.is_err());
    }

    #[tokio::test]
    async fn frozen_reading_goes_on_when_thawed() {
        let faults = Faults::default();
        let (mut client, mut server) = connection(&faults).await;
        faults.read_rate(Some(0));
        client.write_all(b"x").await.unwrap();
        let mut reading = tokio::spawn(async move { server.read_u8().await.unwrap() });
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut reading).await.is_err());
        faults.read_rate(None);
        assert_eq!(reading.await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn slow_reading_takes_its_time() {
        let faults = Faults::default();
        let (mut client, mut server) = connection(&faults).await;
        faults.read_rate(Some(1000));
        client.write_all(&[0; 100]).await.unwrap();
        let begun = Instant::now();
        server.read_exact(&mut [0; 100]).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(45), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn latency_counts_each_way_and_loses_nothing() {
        let faults = Faults::default();
        faults.latency(Duration::from_millis(30));
        let (mut client, mut server) = connection(&faults).await;
        let echo = tokio::spawn(async move {
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).await.unwrap();
            server.write_all(&bytes).await.unwrap();
            server.shutdown().await.unwrap();
        });
        let begun = Instant::now();
        let sent = vec![7; 1_000_000];
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        echo.await.unwrap();
        assert!(got == sent);
        assert!(begun.elapsed() >= Duration::from_millis(60), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn denials_match_and_run_out() {
        let faults = Faults::default();
        let body = br#"{"status": 429, "method": "GET", "path": "/pods?watch", "user": "eve", "retry_after": 2, "times": 1}"#;
        assert_eq!(faults.admin("/admin/faults/deny", body).status(), StatusCode::OK);
        let ask = |method, user| faults.intercept(method, "/api/v1/pods", Some("watch=1"), user);
        assert!(ask(&Method::POST, "eve").is_none());
        assert!(ask(&Method::GET, "bob").is_none());
        let denied = ask(&Method::GET, "eve").unwrap();
        assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(denied.headers()["retry-after"], "2");
        assert!(ask(&Method::GET, "eve").is_none());
        assert_eq!(faults.admin("/admin/faults/deny", b"{}").status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            faults.admin("/admin/faults/pair-fault", br#"{"cut":{"text":"","after":1}}"#).status(),
            200
        );
        assert_eq!(faults.admin("/admin/faults/pair-fault", br#""refuse-data""#).status(), 200);
        assert_eq!(
            faults.runtime().next_pair_fault(),
            Some(PairFault::Cut { text: String::new(), after: 1 })
        );
        assert_eq!(faults.pair_faults(), 1);
        assert_eq!(faults.admin("/admin/faults/pings", br#""at-once""#).status(), 200);
        assert_eq!(faults.runtime().pings(), Pings::AtOnce);
        assert_eq!(
            faults.admin("/admin/faults/upgrade-fault", br#"{"what":"go-away","times":1}"#).status(),
            200
        );
        let met = [faults.runtime().next_upgrade_fault(), faults.runtime().next_upgrade_fault()];
        assert_eq!((met, faults.upgrade_faults()), ([Some(UpgradeFault::GoAway), None], 1));
        assert_eq!(faults.admin("/admin/faults/dial-time", br#"{"ms":100}"#).status(), 200);
        assert_eq!(faults.runtime().dial_time(), Duration::from_millis(100));
        assert_eq!(faults.admin("/admin/faults/clock-skew", br#"{"seconds":90}"#).status(), 200);
        assert!(faults.date().is_some_and(|date| date.to_str().is_ok_and(|date| date.ends_with(" GMT"))));
        assert_eq!(faults.admin("/admin/faults/clear", b"").status(), 200);
        assert_eq!(faults.date(), None);
        assert_eq!((faults.pair_faults(), faults.runtime().pings()), (0, Pings::Queued));
        assert_eq!(faults.runtime().dial_time(), Duration::ZERO);
        assert_eq!(faults.admin("/admin/faults/wat", b"").status(), StatusCode::NOT_FOUND);
    }
}
