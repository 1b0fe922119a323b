//! What connections that come at once do to each other: downloads beside others that nobody reads on, and bursts.

use std::{
    io,
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{self, ENDLESS, MIB, PATIENCE, at_once},
    contender::Running,
    number::{median, milliseconds, number},
    outcome::Failure,
    process,
    progress::Progress,
    setting::Setting,
};

/// Downloads begun at once, those that stop included.
const DOWNLOADS: usize = 24;

/// What each of the others is to get: more than all buffers between it and its application hold, or nobody would see that
/// it is held up.
const LENGTH: u64 = 32 * MIB;

/// What one that stops has read by then.
const READ_BEFORE_STALL: u64 = MIB;

/// After so long without a byte for anybody all that have not finished are held up.
const FREEZE: Duration = Duration::from_secs(20);
const QUICK_FREEZE: Duration = Duration::from_secs(5);

/// Connections that a browser opens at once to one host.
const BURST: usize = 6;

/// Bursts that are measured in one run, after one that is not.
const BURSTS: usize = 3;

/// From a burst to the next: all connections of the first are gone from their sessions, which a container runtime takes a
/// second for once an application has closed (PROTOCOL §3.4).
const BETWEEN_BURSTS: Duration = Duration::from_secs(2);

/// How a download ended.
enum End {
    /// So long after all had begun.
    Finished(Duration),
    /// It stopped, and is there as long as this.
    Stalled(#[expect(dead_code, reason = "held open")] TcpStream),
    /// It failed, or nobody got on any more.
    HeldUp,
}

/// How many percent of the downloads that are read to their end get there beside `stalled` others, after how many seconds
/// the last of them does, the forwarder's memory then, and the most sessions there were.
pub(super) fn downloads(
    setting: &Setting<'_>,
    running: &mut Running,
    stalled: usize,
) -> Result<Vec<f64>, Failure> {
    let ends = download_beside(stalled, running.http, if setting.quick { QUICK_FREEZE } else { FREEZE });
    if running.has_ended() {
        return Err(Failure::Ends);
    }
    let resident = process::resident_mib(running.pid()).unwrap_or(f64::NAN);
    let sessions = setting.cluster.most_sessions()?.map_or(f64::NAN, number);
    let finished: Vec<_> = ends
        .iter()
        .filter_map(|end| match end {
            End::Finished(after) => Some(after.as_secs_f64()),
            End::Stalled(_) | End::HeldUp => None,
        })
        .collect();
    let share = 100.0 * number(finished.len()) / number(DOWNLOADS - stalled);
    Ok(vec![share, finished.into_iter().reduce(f64::max).unwrap_or(f64::NAN), resident, sessions])
}

/// Begins all downloads at once, and returns when nobody reads any more.
fn download_beside(stalled: usize, port: u16, freeze: Duration) -> Vec<End> {
    let progress = Progress::new(freeze);
    let (barrier, begun) = (Barrier::new(DOWNLOADS), Instant::now());
    let download = |stalls: bool| -> io::Result<End> {
        barrier.wait();
        let (asked, read) = if stalls { (ENDLESS, READ_BEFORE_STALL) } else { (LENGTH, LENGTH) };
        let mut reader = progress.reader(client::ask_download(port, asked)?)?;
        client::read_download(&mut reader, read)?;
        Ok(if stalls { End::Stalled(reader.stream) } else { End::Finished(begun.elapsed()) })
    };
    // Spread evenly among the others.
    let stalls = |index| (index + 1) * stalled / DOWNLOADS > index * stalled / DOWNLOADS;
    thread::scope(|scope| {
        let download = &download;
        let threads: Vec<_> =
            (0..DOWNLOADS).map(|index| scope.spawn(move || download(stalls(index)))).collect();
        let end = |ended: thread::Result<io::Result<End>>| ended.ok().and_then(Result::ok);
        threads.into_iter().map(|thread| end(thread.join()).unwrap_or(End::HeldUp)).collect()
    })
}

/// The median and the worst of the first answers to a burst that comes right after the start.
pub(super) fn cold_burst(_: &Setting<'_>, running: &mut Running) -> Result<Vec<f64>, Failure> {
    Ok(median_and_worst(&mut burst(running.http)?))
}

/// The same of bursts that come after another whose connections are all closed.
pub(super) fn warm_bursts(setting: &Setting<'_>, running: &mut Running) -> Result<Vec<f64>, Failure> {
    burst(running.http)?;
    let mut answers = Vec::new();
    for _ in 0..if setting.quick { 1 } else { BURSTS } {
        thread::sleep(BETWEEN_BURSTS);
        answers.extend(burst(running.http)?);
    }
    Ok(median_and_worst(&mut answers))
}

/// One burst: how many milliseconds each first answer took.
fn burst(port: u16) -> io::Result<Vec<f64>> {
    let barrier = Barrier::new(BURST);
    let answers = at_once(BURST, || {
        barrier.wait();
        vec![client::first_answer(port, PATIENCE).map(milliseconds)]
    });
    answers.into_iter().collect()
}

fn median_and_worst(answers: &mut [f64]) -> Vec<f64> {
    vec![median(answers), answers.iter().copied().fold(f64::NAN, f64::max)]
}
