//! Clients that stop reading beside others that read on: nobody waits for them, however many connections begin at once, and
//! however long a session takes to be dialled.

use std::sync::LazyLock;
use std::time::Duration;

use sandbox::node::Support;
use sandbox::support::forward::Forward;
use sandbox::support::pods::seen;
use sandbox::support::{Failure, Test, answer, ask, connect, send, within};
use sandbox::{Options, Sandbox};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
#[cfg(target_os = "linux")]
use tokio::time::sleep;

#[cfg(target_os = "linux")]
use crate::pool::resident;
use crate::{start::fwd, traffic::echo};

const MIB: usize = 1024 * 1024;

/// What a client takes before it stops.
const STOP_AT: usize = MIB;

/// A download that all buffers on the way together do not hold.
const ENDLESS: usize = 1 << 40;

/// One that they do not hold either, of a client that reads it to its end after all.
const LONG: usize = 32 * MIB;

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(60 * 60);

/// Beyond any answer under way.
const DRAIN: Duration = Duration::from_secs(5 * 60);

/// How the server is reached: what it speaks, and the milliseconds of a dial.
type Way = (Support, u64);

const WAYS: [Way; 6] = [
    (Support::Full, 0),
    (Support::NoTunnel, 0),
    (Support::Full, 20),
    (Support::NoTunnel, 20),
    (Support::Full, 100),
    (Support::NoTunnel, 100),
];

/// A forward to `api`, HTTP and echo, that has just begun to work.
async fn forward(way: Way) -> Result<(Sandbox, Forward, u16, u16), Failure> {
    forward_in(way, Options::default()).await
}

async fn forward_in((support, dial): Way, options: Options) -> Result<(Sandbox, Forward, u16, u16), Failure> {
    let sandbox = Sandbox::start(options).await?;
    sandbox.node().set_support(support);
    sandbox.faults().dial_time(Duration::from_millis(dial));
    let mut forward = fwd(&sandbox, "--address 127.0.0.1 svc/api :80 :9000")?;
    let (http, raw) = (forward.port().await?, forward.port().await?);
    Ok((sandbox, forward, http, raw))
}

/// A download, whose bytes are checked as they come.
struct Download {
    stream: TcpStream,
    length: usize,
    /// Bytes of it that have come; `None` as long as its head has not.
    at: Option<usize>,
}

/// How much of one is read at a time.
const CHUNK: usize = 64 * 1024;

/// What `/bytes` answers, from any offset below its period on.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..251).cycle().take(251 + CHUNK).collect());

impl Download {
    async fn begin(port: u16, length: usize) -> Result<Self, Failure> {
        let stream = send(port, &format!("/bytes?n={length}")).await?;
        Ok(Self { stream, length, at: None })
    }

    /// Reads up to an offset.
    async fn read_to(&mut self, end: usize) -> Test {
        if self.at.is_none() {
            self.skip_head().await?;
        }
        let mut at = self.at.unwrap_or_default();
        let mut buffer = vec![0; CHUNK];
        while at < end {
            let room = CHUNK.min(end - at);
            let next = within("more of a download", self.stream.read(&mut buffer[..room]));
            let read = next.await.map_err(|why| format!("{why}, of which {at} bytes have come"))??;
            let expected = &PATTERN[at % 251..][..read];
            if read == 0 || buffer[..read] != *expected {
                return Err(format!("a download ended or went wrong behind {at} bytes").into());
            }
            at += read;
            self.at = Some(at);
        }
        Ok(())
    }

    async fn skip_head(&mut self) -> Test {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the head of a download", self.stream.read_u8()).await??);
        }
        Ok(())
    }

    async fn finish(mut self) -> Test {
        self.read_to(self.length).await
    }
}

/// Downloads that were begun at once.
struct Downloads {
    /// Those that are read to their end.
    read: JoinSet<Test>,
    /// Those whose clients stop. The first may be read to its end later.
    stopped: JoinSet<Result<Download, Failure>>,
}

impl Downloads {
    /// Begins `count` downloads of `length`, of which `stop` are not read beyond [`STOP_AT`].
    fn begin(port: u16, count: usize, stop: usize, length: usize) -> Self {
        let (mut read, mut stopped) = (JoinSet::new(), JoinSet::new());
        for index in 0..count {
            if index % (count / stop) == 0 {
                let length = if index == 0 { LONG } else { ENDLESS };
                stopped.spawn(async move {
                    let mut download = Download::begin(port, length).await?;
                    download.read_to(STOP_AT).await?;
                    Ok(download)
                });
            } else {
                read.spawn(async move { Download::begin(port, length).await?.finish().await });
            }
        }
        Self { read, stopped }
    }

    /// Waits until all that read have finished, and returns those that have stopped.
    async fn finished(self) -> Result<Vec<Download>, Failure> {
        let (stopped, read) =
            tokio::join!(all("clients that stop", self.stopped), all("downloads", self.read));
        read?;
        stopped
    }
}

/// What all of them come to. A failure tells how many failed.
async fn all<T: 'static>(what: &str, mut tasks: JoinSet<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    while let Some(outcome) = tasks.join_next().await {
        match outcome? {
            Ok(outcome) => done.push(outcome),
            Err(why) => failed.push(why),
        }
    }
    let Some(first) = failed.first() else { return Ok(done) };
    let of = done.len() + failed.len();
    Err(format!("{} of {of} {what} failed, the first with: {first}", failed.len()).into())
}

/// One of those that have stopped reads on, and every byte is right to the end.
async fn reads_on(stopped: &mut Vec<Download>) -> Test {
    let long = stopped.iter().position(|download| download.length == LONG).ok_or("it is not there")?;
    stopped.swap_remove(long).finish().await
}

/// Nothing failed, whatever else was told.
async fn ends_well(forward: Forward) -> Test {
    let said = forward.end("INT").await?.stderr;
    assert!(!said.contains("failed") && !said.contains("reconnecting"), "{said}");
    Ok(())
}

/// Of 24 downloads that begin at once `stop` are not read on: all others finish meanwhile. Each has its session to itself, so
/// that one of those which stopped may go on as well.
async fn some_of_24_stop(ways: &[Way], stop: usize, length: usize) -> Test {
    for &way in ways {
        let (_sandbox, forward, http, _) = forward(way).await?;
        let finished = Downloads::begin(http, 24, stop, length).finished().await;
        let mut stopped = finished.map_err(|why| format!("{way:?}: {why}"))?;
        ask(http).await?;
        reads_on(&mut stopped).await.map_err(|why| format!("{way:?}: {why}"))?;
        assert_eq!(stopped.len(), stop - 1);
        drop(stopped);
        ends_well(forward).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_24_downloads_stop() -> Test {
    some_of_24_stop(&[(Support::Full, 100)], 2, 32 * MIB).await?;
    some_of_24_stop(&[(Support::NoTunnel, 20)], 2, 8 * MIB).await
}

#[tokio::test(flavor = "multi_thread")]
async fn six_of_24_downloads_stop() -> Test {
    some_of_24_stop(&WAYS, 6, 4 * MIB).await
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_of_24_downloads_stop() -> Test {
    some_of_24_stop(&[(Support::Full, 0), (Support::Full, 20), (Support::NoTunnel, 100)], 12, 4 * MIB).await
}

/// More connections than have a session of their own: some share theirs with a client that stops.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_of_200_downloads_stop() -> Test {
    for way in [(Support::Full, 20), (Support::NoTunnel, 100)] {
        let (_sandbox, forward, http, _) = forward(way).await?;
        let finished = Downloads::begin(http, 200, 20, 256 * 1024).finished().await;
        let stopped = finished.map_err(|why| format!("{way:?}: {why}"))?;
        ask(http).await?;
        drop(stopped);
        ends_well(forward).await?;
    }
    Ok(())
}

/// Clients that take nothing at all from the first moment on, and small requests between them.
#[tokio::test(flavor = "multi_thread")]
async fn three_stop_right_after_the_start() -> Test {
    const REQUESTS: usize = 12;
    for way in WAYS {
        let (_sandbox, forward, http, _) = forward(way).await?;
        let (mut stopped, mut requests) = (Vec::new(), JoinSet::new());
        for index in 0..REQUESTS {
            if index % 4 == 0 {
                stopped.push(Download::begin(http, ENDLESS).await?);
            }
            let mut request = send(http, "/").await?;
            requests.spawn(async move { answer(&mut request).await });
        }
        all("requests", requests).await.map_err(|why| format!("{way:?}: {why}"))?;
        for _ in 0..REQUESTS {
            ask(http).await.map_err(|why| format!("{way:?}: later, {why}"))?;
        }
        drop(stopped);
        ends_well(forward).await?;
    }
    Ok(())
}

/// Clients that send a little and wait for its echo, over and over.
struct Exchanges(Vec<TcpStream>);

impl Exchanges {
    async fn begin(port: u16, count: usize) -> Result<Self, Failure> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(connect(port).await?);
        }
        Ok(Self(clients))
    }

    /// All of them go on at the same time.
    async fn go_on(&mut self, rounds: u64) -> Test {
        let mut tasks = JoinSet::new();
        for mut client in self.0.drain(..) {
            tasks.spawn(async move {
                for seed in 0..rounds {
                    echo(&mut client, seed, 100).await?;
                }
                Ok(client)
            });
        }
        self.0 = all("exchanges", tasks).await?;
        Ok(())
    }
}

/// Those that begin together with them, and those that are under way already, go on while downloads stop.
#[tokio::test(flavor = "multi_thread")]
async fn downloads_stop_in_the_middle_of_exchanges() -> Test {
    for way in [(Support::Full, 100), (Support::NoTunnel, 20), (Support::NoTunnel, 0)] {
        let (_sandbox, forward, http, raw) = forward(way).await?;
        let mut exchanges = Exchanges::begin(raw, 4).await?;
        let mut stopped = Vec::new();
        for _ in 0..2 {
            let downloads = Downloads::begin(http, 4, 4, 0);
            let (exchanged, downloads) = tokio::join!(exchanges.go_on(50), downloads.finished());
            exchanged.map_err(|why| format!("{way:?}: {why}"))?;
            stopped.extend(downloads.map_err(|why| format!("{way:?}: {why}"))?);
        }
        exchanges.go_on(50).await.map_err(|why| format!("{way:?}: all have stopped, and {why}"))?;
        drop(stopped);
        ends_well(forward).await?;
    }
    Ok(())
}

/// The pod that serves all of them is deleted: it goes on with those that it has, and others go elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_pod_is_deleted_meanwhile() -> Test {
    for way in [(Support::Full, 100), (Support::NoTunnel, 20)] {
        let (sandbox, mut forward, http, raw) =
            forward_in(way, Options { deletion: DRAIN, ..Options::default() }).await?;
        let pod = ask(http).await?;
        let mut exchanges = Exchanges::begin(raw, 4).await?;
        let downloads = Downloads::begin(http, 24, 6, 8 * MIB);
        // All have reached it.
        exchanges.go_on(1).await?;
        seen(&sandbox, &pod, 8080, |stats| stats.requests > 24).await?;
        sandbox.delete("pod", "default", &pod)?;
        forward.stderr("is terminating, new connections go to ").await?;
        let elsewhere = Downloads::begin(http, 24, 6, 256 * 1024);
        for _ in 0..12 {
            assert_ne!(ask(http).await?, pod, "{way:?}");
        }
        let (old, new, exchanged) =
            tokio::join!(downloads.finished(), elsewhere.finished(), exchanges.go_on(50));
        let mut old = old.map_err(|why| format!("{way:?}: at the old pod, {why}"))?;
        let mut new = new.map_err(|why| format!("{way:?}: at the new pod, {why}"))?;
        exchanged.map_err(|why| format!("{way:?}: {why}"))?;
        reads_on(&mut old).await?;
        reads_on(&mut new).await?;
        drop((old, new, exchanges));
        ends_well(forward).await?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn forty_stopped_clients_cost_little_memory_and_none_once_they_are_gone() -> Test {
    const MOST: usize = 64 * MIB;
    /// What idle sessions and the program itself may have grown by; the clients have cost some 25 MiB.
    const KEPT: usize = 6 * MIB;
    let (_sandbox, forward, http, _) = forward((Support::Full, 20)).await?;
    let pid = forward.pid().ok_or("it has ended")?;
    ask(http).await?;
    let before = resident(pid)?;
    let mut stopped = Vec::new();
    for _ in 0..40 {
        let mut download = Download::begin(http, ENDLESS).await?;
        download.read_to(STOP_AT).await?;
        stopped.push(download);
    }
    for _ in 0..20 {
        ask(http).await?;
        let resident = resident(pid)?;
        assert!(resident <= MOST, "{} MiB", resident / MIB);
    }
    drop(stopped);
    let given_back = async {
        while resident(pid)? > before + KEPT {
            sleep(Duration::from_millis(100)).await;
        }
        Ok::<_, Failure>(())
    };
    within("giving memory back", given_back).await??;
    ends_well(forward).await
}

/// More than have a session of their own, at once: each gets as far as it reads.
#[tokio::test(flavor = "multi_thread")]
async fn forty_stop_at_once() -> Test {
    for way in [(Support::Full, 20), (Support::NoTunnel, 0)] {
        let (_sandbox, forward, http, _) = forward(way).await?;
        let stopped = Downloads::begin(http, 40, 40, 0).finished().await;
        drop(stopped.map_err(|why| format!("{way:?}: {why}"))?);
        ends_well(forward).await?;
    }
    Ok(())
}

/// Six connections at once, as of a browser, which all stay.
async fn burst(port: u16) -> Result<Vec<TcpStream>, Failure> {
    let mut requests = JoinSet::new();
    for _ in 0..6 {
        let mut client = send(port, "/").await?;
        requests.spawn(async move { answer(&mut client).await.map(|_| client) });
    }
    all("requests", requests).await
}

/// The sessions of one burst are there for the next, which therefore waits for no dial.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_leaves_its_sessions_to_the_next() -> Test {
    /// Its own, and as many ahead of need.
    const MOST: usize = 12;
    for way in WAYS {
        let (sandbox, forward, http, _) = forward(way).await?;
        let node = sandbox.node();
        let first = burst(http).await.map_err(|why| format!("{way:?}: {why}"))?;
        within("a session for each", node.sessions_are(|open| open >= 6)).await?;
        drop(first);
        within("the last dial", sandbox.faults().dials_are(|dials| dials == 0)).await?;
        sandbox.faults().dial_time(FOR_EVER);
        for _ in 0..3 {
            drop(burst(http).await.map_err(|why| format!("{way:?}: once more, {why}"))?);
        }
        assert!(node.most_sessions() <= MOST, "{way:?}: {} sessions", node.most_sessions());
        ends_well(forward).await?;
    }
    Ok(())
}
