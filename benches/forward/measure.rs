//! What is measured, each by a function over the local ports of a forwarder that was just started.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{self, MIB, PATIENCE, at_once},
    cluster::Cluster,
    contender::{Kind, Running},
    goal::{Goal, Row},
    isolation,
    number::{median, milliseconds, number},
    outcome::Failure,
    process,
    setting::Setting,
};

/// Connections at once where connections are counted.
const AT_ONCE: usize = 32;

/// Connections held open where memory is looked at.
const OPEN: usize = 500;

/// Clients that ask while somebody else stalls; few, so that they do not wait for the processor.
const OTHERS: usize = 2;

/// How long one of their requests may take, and all of them.
const OTHERS_PATIENCE: Duration = Duration::from_secs(2);
const OTHERS_WITHIN: Duration = Duration::from_secs(6);

/// After what was begun had its effect: buffers are full, memory has been asked for.
const SETTLE: Duration = Duration::from_millis(500);

/// How long after a load its memory is to be given back.
const AFTER: Duration = Duration::from_secs(30);

const FAR: Duration = Duration::from_millis(50);

/// Clients that ask while pods are replaced, for how long from the change on, and how many requests one may lose before
/// it has lost enough.
const ASKING: usize = 4;
const ASKING_FOR: Duration = Duration::from_secs(4);
const LOST_ENOUGH: usize = 100;

/// Something measured: one run gives one number a row. `NAN` is a number that is not known.
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) rows: &'static [Row],
    /// To the cluster.
    pub(super) round_trip: Duration,
    /// Who is measured besides kubectl and `kubectl-fwd`: the relays where they are a limit, kube's legacy way where it shows
    /// what isolation costs.
    pub(super) besides: &'static [Kind],
    /// Whether it wants an application that never reads.
    pub(super) stalls: bool,
    /// Whether it replaces pods.
    pub(super) recovers: bool,
    pub(super) run: fn(&Setting<'_>, &mut Running) -> Result<Vec<f64>, Failure>,
}

impl Measure {
    /// Whether it can be made there. Nobody's real workload is restarted.
    pub(super) fn can_use(&self, cluster: &Cluster) -> bool {
        ((self.round_trip.is_zero() && !self.recovers) || cluster.is_sandbox())
            && (!self.stalls || cluster.ports.stalled != 0)
    }

    /// Whether it says anything of such a contender.
    pub(super) fn suits(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Kubectl | Kind::Ours | Kind::Before) || self.besides.contains(&kind)
    }
}

/// Downloads of which so many stop being read.
macro_rules! downloads_beside {
    ($stalled:literal) => {
        Measure {
            name: concat!("downloads-beside-", $stalled),
            rows: &[
                Row(
                    concat!("beside ", $stalled, " stalled of 24 downloads: the others finish"),
                    "%",
                    Goal::AtLeast(100.0),
                ),
                Row("… the last of them", "s", Goal::None),
                Row("… resident memory", "MiB", Goal::AtMost(64.0)),
                Row("… sessions at once", "", Goal::None),
            ],
            besides: &[Kind::Legacy, Kind::Relay],
            run: |setting, running| isolation::downloads(setting, running, $stalled),
            ..PLAIN
        }
    };
}

const PLAIN: Measure = Measure {
    name: "",
    rows: &[],
    round_trip: Duration::ZERO,
    besides: &[Kind::Relay],
    stalls: false,
    recovers: false,
    run: |_, _| Ok(vec![]),
};

pub(super) const MEASURES: &[Measure] = &[
    Measure {
        name: "ready",
        rows: &[Row("start to ready", "ms", Goal::None)],
        besides: &[],
        run: |_, running| Ok(vec![milliseconds(running.ready)]),
        ..PLAIN
    },
    Measure {
        name: "start-far",
        rows: &[Row("start to first answer, 50 ms round trip", "ms", Goal::AtMostOfKubectl(0.6))],
        round_trip: FAR,
        besides: &[],
        run: start,
        ..PLAIN
    },
    Measure {
        name: "first-near",
        rows: &[Row("first answer on a new connection", "ms", Goal::None)],
        besides: &[Kind::Legacy, Kind::Relay],
        run: first,
        ..PLAIN
    },
    Measure {
        name: "first-far",
        rows: &[Row("first answer on a new connection, 50 ms round trip", "ms", Goal::AtMost(55.0))],
        round_trip: FAR,
        besides: &[],
        run: first,
        ..PLAIN
    },
    Measure {
        name: "connections",
        rows: &[
            Row("new connections a second, 32 at a time", "/s", Goal::AtLeastOfKubectl(2.0)),
            Row("of them answered", "%", Goal::AtLeast(100.0)),
        ],
        besides: &[Kind::Legacy, Kind::Relay],
        run: connections,
        ..PLAIN
    },
    Measure {
        name: "download",
        rows: &[
            Row("download, one stream", "MiB/s", Goal::AtLeastOfKubectl(1.2)),
            Row("CPU of the forwarder, down", "s/GiB", Goal::AtMostOfTlsRelay(1.15)),
            Row("CPU of the sandbox, down", "s/GiB", Goal::None),
        ],
        besides: &[Kind::TlsRelay, Kind::Relay],
        run: |setting, running| transfer(setting, running, client::download, 1),
        ..PLAIN
    },
    Measure {
        name: "download-8",
        rows: &[
            Row("download, eight streams", "MiB/s", Goal::None),
            Row("CPU of the forwarder, down, eight streams", "s/GiB", Goal::AtMostOfTlsRelay(1.15)),
            Row("CPU of the sandbox, down, eight streams", "s/GiB", Goal::None),
        ],
        besides: &[Kind::TlsRelay, Kind::Relay],
        run: |setting, running| transfer(setting, running, client::download, 8),
        ..PLAIN
    },
    Measure {
        name: "upload",
        rows: &[
            Row("upload, one stream", "MiB/s", Goal::AtLeastOfKubectl(1.4)),
            Row("CPU of the forwarder, up", "s/GiB", Goal::AtMostOfTlsRelay(1.15)),
            Row("CPU of the sandbox, up", "s/GiB", Goal::None),
        ],
        besides: &[Kind::TlsRelay, Kind::Relay],
        run: |setting, running| transfer(setting, running, client::upload, 1),
        ..PLAIN
    },
    Measure {
        name: "upload-8",
        rows: &[
            Row("upload, eight streams", "MiB/s", Goal::None),
            Row("CPU of the forwarder, up, eight streams", "s/GiB", Goal::AtMostOfTlsRelay(1.15)),
            Row("CPU of the sandbox, up, eight streams", "s/GiB", Goal::None),
        ],
        besides: &[Kind::TlsRelay, Kind::Relay],
        run: |setting, running| transfer(setting, running, client::upload, 8),
        ..PLAIN
    },
    Measure {
        name: "memory",
        rows: &[
            Row("resident memory, idle", "MiB", Goal::AtMost(12.0)),
            Row("resident memory, 500 open connections", "MiB", Goal::AtMost(16.0)),
        ],
        besides: &[Kind::Legacy, Kind::Relay],
        run: memory,
        ..PLAIN
    },
    Measure {
        name: "memory-after",
        rows: &[
            Row("resident memory, before a load of 4 GiB", "MiB", Goal::None),
            Row("… at its peak", "MiB", Goal::None),
            Row("… 30 s after it", "MiB", Goal::None),
            Row("… to before", "x", Goal::AtMost(1.3)),
        ],
        besides: &[],
        run: memory_after,
        ..PLAIN
    },
    Measure {
        name: "stalled-client",
        rows: &[
            Row("beside a client that stops reading: answered", "%", Goal::AtLeast(100.0)),
            Row("… p50", "ms", Goal::None),
            Row("… p99", "ms", Goal::None),
            Row("… p99, to that without", "x", Goal::AtMost(2.0)),
        ],
        besides: &[Kind::Legacy, Kind::Relay],
        run: |setting, running| beside(setting, running.http, || client::stall_download(running.http)),
        ..PLAIN
    },
    Measure {
        name: "stalled-application",
        rows: &[
            Row("beside an application that stops reading: answered", "%", Goal::AtLeast(100.0)),
            Row("… p50", "ms", Goal::None),
            Row("… p99", "ms", Goal::None),
            Row("… p99, to that without", "x", Goal::AtMost(2.0)),
        ],
        besides: &[Kind::Legacy, Kind::Relay],
        stalls: true,
        run: |setting, running| beside(setting, running.http, || client::stall_upload(running.stalled)),
        ..PLAIN
    },
    downloads_beside!(0),
    downloads_beside!(2),
    downloads_beside!(6),
    downloads_beside!(12),
    Measure {
        name: "burst-cold",
        rows: &[
            Row("burst of six right after the start, 50 ms round trip: median", "ms", Goal::None),
            Row("… the last first answer", "ms", Goal::AtMostOfKubectl(1.4)),
        ],
        round_trip: FAR,
        besides: &[Kind::Legacy],
        run: isolation::cold_burst,
        ..PLAIN
    },
    Measure {
        name: "burst-warm",
        rows: &[
            Row("burst of six after another, 50 ms round trip: median", "ms", Goal::None),
            Row("… the last first answer", "ms", Goal::AtMost(110.0)),
        ],
        round_trip: FAR,
        besides: &[Kind::Legacy],
        run: isolation::warm_bursts,
        ..PLAIN
    },
    Measure {
        name: "rolling-restart",
        rows: &[
            Row("requests lost in a rolling restart under load", "", Goal::AtMost(0.0)),
            Row("… the longest answer", "ms", Goal::None),
        ],
        besides: &[],
        recovers: true,
        run: |setting, running| {
            recover(running, || setting.kubectl.run(&["rollout", "restart", &setting.kubectl.target]))
        },
        ..PLAIN
    },
    Measure {
        name: "pod-deleted",
        rows: &[
            Row("requests lost when the serving pod is deleted", "", Goal::AtMost(0.0)),
            Row("… the longest answer", "ms", Goal::None),
        ],
        besides: &[],
        recovers: true,
        run: |setting, running| {
            let pod = client::pod(running.http)?;
            recover(running, || setting.kubectl.run(&["delete", "pod", "--wait=false", &pod]))
        },
        ..PLAIN
    },
];

fn start(_: &Setting<'_>, running: &mut Running) -> Result<Vec<f64>, Failure> {
    client::first_answer(running.http, PATIENCE)?;
    Ok(vec![milliseconds(running.started.elapsed())])
}

/// The median of some, once the first has made all ready that is made once.
fn first(setting: &Setting<'_>, running: &mut Running) -> Result<Vec<f64>, Failure> {
    client::first_answer(running.http, PATIENCE)?;
    let count = if setting.quick { 10 } else { 40 };
    let answers = (0..count).map(|_| client::first_answer(running.http, PATIENCE).map(milliseconds));
    Ok(vec![median(&mut answers.collect::<io::Result<Vec<_>>>()?)])
}

fn connections(setting: &Setting<'_>, running: &mut Running) -> Result<Vec<f64>, Failure> {
    let port = running.http;
    client::first_answer(port, PATIENCE)?;
    let within = Duration::from_secs(if setting.quick { 1 } else { 3 });
    let begun = Instant::now();
    let asked = at_once(AT_ONCE, || {
        let mut asked = Vec::new();
        while begun.elapsed() < within {
            asked.push(client::first_answer(port, PATIENCE));
        }
        asked
    });
    let took = begun.elapsed().as_secs_f64();
    let (all, answered) = (asked.len(), asked.iter().flatten().count());
    if answered == 0 {
        // There are none without a first.
        return Err(asked.into_iter().find_map(Result::err).map_or(Failure::TimesOut, Failure::from));
    }
    Ok(vec![number(answered) / took, 100.0 * number(answered) / number(all)])
}

/// Moves bytes through so many connections at once.
fn transfer(
    setting: &Setting<'_>,
    running: &mut Running,
    carry: fn(u16, u64) -> io::Result<()>,
    streams: usize,
) -> Result<Vec<f64>, Failure> {
    let port = running.http;
    let mib: u32 = if setting.quick { 256 } else { 768 };
    let length = u64::from(mib) * MIB / streams as u64;
    // Buffers and windows grow to their size first.
    carry(port, 16 * MIB)?;
    let pids = [Some(running.pid()), setting.cluster.pid()];
    let cpu = || pids.map(|pid| pid.and_then(process::cpu_seconds).unwrap_or(f64::NAN));
    let before = cpu();
    let begun = Instant::now();
    at_once(streams, || vec![carry(port, length)]).into_iter().collect::<io::Result<()>>()?;
    let took = begun.elapsed().as_secs_f64();
    let after = cpu();
    let per_gib = |index: usize| (after[index] - before[index]) / f64::from(mib) * 1024.0;
    Ok(vec![f64::from(mib) / took, per_gib(0), per_gib(1)])
}

fn memory(_: &Setting<'_>, running: &mut Running) -> Result<Vec<f64>, Failure> {
    let resident = || {
        thread::sleep(SETTLE);
        process::resident_mib(running.pid()).unwrap_or(f64::NAN)
    };
    client::first_answer(running.http, PATIENCE)?;
    let idle = resident();
    let open = (0..OPEN).map(|_| client::open(running.http)).collect::<io::Result<Vec<_>>>()?;
    let full = resident();
    drop(open);
    Ok(vec![idle, full])
}

/// What is kept of a load, once everything that ends with it by and by has ended.
fn memory_after(setting: &Setting<'_>, running: &mut Running) -> Result<Vec<f64>, Failure> {
    let (pid, port) = (running.pid(), running.http);
    let resident = || process::resident_mib(pid).unwrap_or(f64::NAN);
    client::first_answer(port, PATIENCE)?;
    thread::sleep(SETTLE);
    let before = resident();
    let length = if setting.quick { 256 * MIB } else { 1024 * MIB };
    for streams in [1, 8] {
        for carry in [client::download, client::upload] {
            let carried = at_once(streams, || vec![carry(port, length / streams as u64)]);
            carried.into_iter().collect::<io::Result<()>>()?;
        }
    }
    let peak = process::peak_mib(pid).unwrap_or(f64::NAN);
    thread::sleep(AFTER);
    let after = resident();
    Ok(vec![before, peak, after, after / before])
}

/// What others get while somebody stalls, and what they got before.
fn beside<T>(
    setting: &Setting<'_>,
    port: u16,
    stall: impl Fn() -> io::Result<T>,
) -> Result<Vec<f64>, Failure> {
    client::first_answer(port, PATIENCE)?;
    let usual = Others::ask(setting, port)?;
    let stalled = stall()?;
    thread::sleep(SETTLE);
    let others = Others::ask(setting, port)?;
    drop(stalled);
    Ok(vec![others.answered, others.p50, others.p99, others.p99 / usual.p99])
}

/// What others got: a share in percent, and milliseconds.
struct Others {
    answered: f64,
    p50: f64,
    p99: f64,
}

impl Others {
    fn ask(setting: &Setting<'_>, port: u16) -> Result<Self, Failure> {
        let each = if setting.quick { 250 } else { 1000 };
        let begun = Instant::now();
        let asked = at_once(OTHERS, || {
            let ask =
                |_| (begun.elapsed() < OTHERS_WITHIN).then(|| client::first_answer(port, OTHERS_PATIENCE));
            (0..each).map_while(ask).collect()
        });
        let all = asked.len();
        let mut times: Vec<f64> = asked.into_iter().flatten().map(milliseconds).collect();
        times.sort_by(f64::total_cmp);
        let p99 = *times.get(times.len() * 99 / 100).ok_or(Failure::TimesOut)?;
        Ok(Self { answered: 100.0 * number(times.len()) / number(all), p50: median(&mut times), p99 })
    }
}

/// Requests that were lost while `change` took place and for a while after it, and the longest that one waited.
fn recover(running: &mut Running, change: impl FnOnce() -> io::Result<()>) -> Result<Vec<f64>, Failure> {
    let port = running.http;
    client::first_answer(port, PATIENCE)?;
    let over = AtomicBool::new(false);
    let ask = || {
        let (mut lost, mut longest) = (0, Duration::ZERO);
        while !over.load(Ordering::Relaxed) && lost < LOST_ENOUGH {
            match client::first_answer(port, PATIENCE) {
                Ok(took) => longest = longest.max(took),
                Err(_) => lost += 1,
            }
        }
        vec![(lost, longest)]
    };
    let (changed, asked) = thread::scope(|scope| {
        let asking = scope.spawn(|| at_once(ASKING, ask));
        let changed = change();
        if changed.is_ok() {
            thread::sleep(ASKING_FOR);
        }
        over.store(true, Ordering::Relaxed);
        (changed, asking.join().unwrap_or_default())
    });
    changed?;
    if running.has_ended() {
        return Err(Failure::Ends);
    }
    let lost = asked.iter().map(|(lost, _)| number(*lost)).sum();
    Ok(vec![lost, asked.iter().map(|(_, longest)| milliseconds(*longest)).fold(0.0, f64::max)])
}
