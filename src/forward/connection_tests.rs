//! Connections over a pod in memory, whose clock stands still unless all wait.

use std::{io, sync::atomic::Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::broadcast,
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    cluster::pods::target::ResolvedTarget,
    forward::{
        linger::{LINGER, SLOW_ANSWER},
        listener::{self, BoundListener},
        local::LocalListener,
        route::Route,
    },
    model::{
        endpoint::Endpoint,
        event::{Event, LocalAddress},
        forward::ForwardId,
        ports::RemotePort,
    },
    policy::placement::OWN_SESSIONS,
    tunnel::fake::{FakePeer, FakePod, settled},
};

/// A forward to a pod in memory.
struct Forwarded {
    pod: FakePod,
    address: std::net::SocketAddr,
    end: Arc<ForwardedPort>,
    suspect: CancellationToken,
    events: broadcast::Receiver<Arc<Event>>,
    descriptors: &'static Descriptors,
}

impl Forwarded {
    async fn start() -> Self {
        let pod = FakePod::default();
        let (events, told) = broadcast::channel(64);
        let stop = CancellationToken::new();
        let listener = LocalListener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        let listening = BoundListener { listener, bound: LocalAddress::Tcp(address) };
        let remote = RemotePort::Number(80);
        let end =
            Arc::new(ForwardedPort::new(ForwardId::from_bits(1), remote, vec![LocalAddress::Tcp(address)]));
        let mut context = ConnectionContext::new(
            RouteReceiver::new(&end.route),
            Arc::new(LiveTarget::new(Arc::new(ResolvedTarget::pod("default", "db-0")))),
            Arc::clone(&end),
            Duration::from_secs(30),
            RetryMode::None,
            Reporter::new(events, "pod/db-0".to_owned(), None).for_port(&end),
            stop.clone(),
        );
        // Of its own, for other tests must not find them short.
        let descriptors = &*Box::leak(Box::new(Descriptors::new()));
        context.descriptors = descriptors;
        let tasks = TaskTracker::new();
        let (context, kill) = (Arc::new(context), CancellationToken::new());
        tasks.spawn(listener::accept(listening, context, tasks.clone(), stop, kill));
        let suspect = CancellationToken::new();
        let mut forwarded = Self { pod, address, end, suspect, events: told, descriptors };
        forwarded.open(1).await;
        forwarded
    }

    /// Has a new backend.
    async fn open(&mut self, generation: u64) {
        let (pod, tunnel) = (Endpoint::example("db-0"), self.pod.tunnel().await);
        self.suspect = CancellationToken::new();
        self.end.route.send_replace(Route::Open(Arc::new(Backend {
            generation,
            pod,
            tunnel: Arc::new(tunnel),
            since: Instant::now(),
            unusable: self.suspect.clone(),
        })));
    }

    /// A client, and the session that it got.
    async fn connect(&self) -> (TcpStream, FakePeer) {
        let before = self.pod.connections();
        let client = TcpStream::connect(self.address).await.unwrap();
        loop {
            settled().await;
            let after = self.pod.connections();
            let at = (0..after.len()).find(|at| after[*at] > before.get(*at).copied().unwrap_or(0));
            if let Some(at) = at {
                return (client, self.pod.peer(at));
            }
        }
    }
}

/// Until a peer has heard so much.
async fn heard(peer: &FakePeer, length: usize) {
    while peer.heard.lock().len() < length {
        settled().await;
    }
}

fn finished(peer: &FakePeer) -> bool {
    peer.finished.load(Ordering::Relaxed) > 0
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_an_answer_is_not_cut_off() {
    let forwarded = Forwarded::start().await;
    let (mut client, peer) = forwarded.connect().await;
    client.write_all(b"what is it?").await.unwrap();
    client.shutdown().await.unwrap();
    heard(&peer, 11).await;
    tokio::time::sleep(SLOW_ANSWER / 2).await;
    assert!(!finished(&peer), "the runtime would cut the answer off");
    for _ in 0..10 {
        peer.says(b"part", false);
        tokio::time::sleep(LINGER / 2).await;
        assert!(!finished(&peer));
    }
    let mut answer = [0; 40];
    client.read_exact(&mut answer).await.unwrap();
    // It has said all: most clients are gone then.
    tokio::time::sleep(LINGER).await;
    assert!(finished(&peer));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_learns_of_the_end() {
    let forwarded = Forwarded::start().await;
    let (mut client, peer) = forwarded.connect().await;
    client.write_all(b"take this").await.unwrap();
    client.shutdown().await.unwrap();
    heard(&peer, 9).await;
    tokio::time::sleep(SLOW_ANSWER + LINGER).await;
    assert!(finished(&peer));
}

/// A client that is gone, for all that is known, keeps its descriptor from nobody.
#[tokio::test(start_paused = true)]
async fn what_lingers_gives_way_where_descriptors_are_short() {
    let forwarded = Forwarded::start().await;
    let (mut client, peer) = forwarded.connect().await;
    client.write_all(b"what is it?").await.unwrap();
    client.shutdown().await.unwrap();
    heard(&peer, 11).await;
    let begun = Instant::now();
    while !finished(&peer) {
        forwarded.descriptors.ran_out();
        settled().await;
    }
    assert!(begun.elapsed() < LINGER);
}

/// What it has not taken yet is there when it does, however long that takes: it is not the pod that is silent.
#[tokio::test(start_paused = true)]
async fn a_half_closed_client_may_read_late() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let forwarded = Forwarded::start().await;
    let (mut client, peer) = forwarded.connect().await;
    client.write_all(b"all of it").await.unwrap();
    client.shutdown().await.unwrap();
    heard(&peer, 9).await;
    peer.floods(LENGTH);
    tokio::time::sleep(SLOW_ANSWER * 10).await;
    assert!(!finished(&peer));
    let mut answer = vec![0; LENGTH];
    client.read_exact(&mut answer).await.unwrap();
}

/// It hangs on to its session no more than a while ago it did: the next request finds it idle.
#[tokio::test(start_paused = true)]
async fn a_client_that_closed_is_no_load() {
    let forwarded = Forwarded::start().await;
    for _ in 0..20 {
        let (mut client, peer) = forwarded.connect().await;
        let before = peer.heard.lock().len();
        client.write_all(b"x").await.unwrap();
        heard(&peer, before + 1).await;
        peer.says(b"y", false);
        client.read_u8().await.unwrap();
        drop(client);
        settled().await;
    }
    assert_eq!(forwarded.pod.dialled(), 3, "the one in use, and two ahead of need");
}

/// Held for as long as it is told, counted from when there is something to wait for.
#[tokio::test(start_paused = true)]
async fn an_old_connection_is_held_like_a_new_one() {
    let mut forwarded = Forwarded::start().await;
    let (mut client, peer) = forwarded.connect().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    forwarded.end.route.send_replace(Route::Held);
    for at in 0..forwarded.pod.dialled() {
        forwarded.pod.peer(at).hangs_up.cancel();
    }
    forwarded.suspect.cancelled().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    forwarded.open(2).await;
    client.write_all(b"hello").await.unwrap();
    settled().await;
    let again = (0..forwarded.pod.dialled()).map(|at| forwarded.pod.peer(at)).filter(|other| {
        let heard = other.heard.lock();
        heard.as_slice() == b"hello"
    });
    assert_eq!(again.count(), 1);
    assert!(peer.heard.lock().is_empty());
    assert!(forwarded.events.try_recv().is_err(), "nothing to tell");
}

/// Nothing is taken of what it says, and yet that it is gone is noticed.
#[tokio::test(start_paused = true)]
async fn a_client_may_go_while_the_pod_takes_nothing() {
    let mut forwarded = Forwarded::start().await;
    forwarded.pod.deaf.store(true, Ordering::Relaxed);
    forwarded.open(2).await;
    let client = TcpStream::connect(forwarded.address).await.unwrap();
    let flood = vec![7; 1024 * 1024];
    while timeout(Duration::from_secs(1), client.writable()).await.is_ok() {
        let _ = client.try_write(&flood);
        settled().await;
    }
    assert_eq!(forwarded.end.counters.connections().open, 1);
    client.set_zero_linger().unwrap();
    drop(client);
    let gone = async {
        while forwarded.end.counters.connections().open > 0 {
            settled().await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.expect("it is noticed");
}

/// A panic ends the connection in whose task it is, with a reset, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_panic_is_one_connections_own() {
    let forwarded = Forwarded::start().await;
    let (mut other, peer) = forwarded.connect().await;
    forwarded.pod.panics.store(true, Ordering::Relaxed);
    // It takes the last idle session, and dials another: there it happens.
    let mut client = TcpStream::connect(forwarded.address).await.unwrap();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(!forwarded.pod.panics.load(Ordering::Relaxed));
    // The one beside it goes on, and new ones come.
    other.write_all(b"x").await.unwrap();
    heard(&peer, 1).await;
    peer.says(b"y", false);
    assert_eq!(other.read_u8().await.unwrap(), b'y');
    let (mut next, peer) = forwarded.connect().await;
    let before = peer.heard.lock().len();
    next.write_all(b"z").await.unwrap();
    heard(&peer, before + 1).await;
}

/// Hundreds are open at once, and each has its future for as long. What is large and rare is boxed.
#[test]
fn a_connections_future_is_small() {
    fn size<F>(_: fn(Arc<ConnectionContext>, LocalStream) -> F) -> usize {
        size_of::<F>()
    }
    assert!(size(run) <= 1704, "{} bytes", size(run));
}

/// What a connection that is open and idle takes, everything of it: its task, its stream at either end, its session's part in it.
/// The buffers of bytes under way are no part of it: there are none.
#[test]
fn an_idle_connection_takes_little() {
    const MANY: usize = 500;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let forwarded = runtime.block_on(Forwarded::start());
    let answered = async |count: usize| {
        let mut clients = Vec::new();
        for _ in 0..count {
            let mut client = TcpStream::connect(forwarded.address).await.unwrap();
            client.write_all(b"get 5\n").await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
            // Only the socket: what the runtime keeps for it is let go of.
            clients.push(client.into_std().unwrap());
            // At rest, so that others may share its session.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        clients
    };
    let _first = runtime.block_on(answered(2 * OWN_SESSIONS));
    let mut clients = Vec::new();
    let sessions = forwarded.pod.dialled();
    let counted = allocation_counter::measure(|| clients = runtime.block_on(answered(MANY)));
    assert_eq!((clients.len(), forwarded.pod.dialled()), (MANY, sessions));
    let each = usize::try_from(counted.bytes_current).unwrap() / MANY;
    assert!(each < 6 * 1024, "{each} bytes each");
}
