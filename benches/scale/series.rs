//! The series: what is measured for a growing number of something.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    cluster::Cluster,
    failure::Failure,
    fit::{self, number},
    program::{self, Program, Taken},
};

/// Connections that are being opened at a time.
const AT_ONCE: usize = 64;

/// A short command is run so many times, and the quickest counts.
const TRIES: usize = 5;

/// Changes of pods whose cost is measured.
const CHANGES: usize = 1000;

/// Prints a table's head.
fn head(columns: &[&str]) {
    println!("\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

/// Prints what memory is as a line, in KiB.
fn print_fit(what: &str, points: &[(f64, f64)]) {
    let (base, slope) = fit::line(points);
    println!("\n{what}: {:.1} MiB, and {slope:.2} KiB for each.", base / 1024.0);
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Forwards, each to the service that `service` says.
pub(super) async fn forwards(
    cluster: &mut Cluster,
    of: &str,
    service: impl Fn(usize) -> usize,
) -> Result<(), Failure> {
    head(&[
        &format!("forwards to {of}"),
        "resident, MiB",
        "start, ms",
        "processor time of it, ms",
        "API requests",
        "sessions",
        "list, ms",
        "stop all, ms",
    ]);
    let mut points = Vec::new();
    for count in [1, 10, 100, 1000] {
        let mut words = Vec::new();
        let mut by_service: Vec<usize> = (0..count).map(&service).collect();
        by_service.sort_unstable();
        for (at, service) in by_service.iter().enumerate() {
            if at == 0 || by_service[at - 1] != *service {
                words.push(format!("svc/api-{service}"));
            }
            words.push(":80".to_owned());
        }
        let before = cluster.counts()?;
        let program = Program::start(cluster, &words, count).await?;
        let (ready, taken) = (program.ready, program.taken().await?);
        let counts = cluster.counts()?;
        let (mut listing, mut listed) = program::run(cluster, &["list", "-o", "name"]).await?;
        for _ in 1..TRIES {
            let again = program::run(cluster, &["list", "-o", "name"]).await?;
            (listing, listed) = (listing.min(again.0), again.1);
        }
        let (stopping, _) = program::run(cluster, &["stop", "--all"]).await?;
        program.ended().await?;
        if listed.stdout.lines().count() != count {
            return Err(format!("{count} forwards, and listed are:\n{}", listed.stdout).into());
        }
        points.push((number(count), taken.memory));
        println!(
            "| {count} | {:.1} | {:.0} | {:.0} | {} | {} | {:.0} | {:.0} |",
            taken.memory / 1024.0,
            milliseconds(ready),
            taken.cpu,
            counts.since(&before),
            counts.sessions,
            milliseconds(listing),
            milliseconds(stopping),
        );
    }
    print_fit("Forwards", &points);
    Ok(())
}

/// Connections over a thousand forwards to two clusters, open and idle once each had an answer.
pub(super) async fn connections(mut clusters: [Cluster; 2], most: usize) -> Result<(), Failure> {
    const FORWARDS: usize = 1000;
    head(&[
        "connections over 1,000 forwards",
        "resident, MiB",
        "processor time for each, ms",
        "sessions",
        "API requests",
    ]);
    let program = Program::serve(&clusters, FORWARDS).await?;
    let (mut open, mut points) = (Vec::new(), Vec::new());
    let begun = [clusters[0].counts()?, clusters[1].counts()?];
    let mut before: Taken = program.taken().await?;
    for count in [0, 100, 1000, most] {
        let ports = (open.len()..count).map(|at| program.ports[at % FORWARDS]);
        let more = ports.len();
        let opened: Vec<TcpStream> =
            stream::iter(ports).map(answered).buffer_unordered(AT_ONCE).try_collect().await?;
        open.extend(opened);
        let taken = program.taken().await?;
        let counts = [clusters[0].counts()?, clusters[1].counts()?];
        let sessions: usize = counts.iter().map(|counts| counts.sessions).sum();
        let requests: usize = counts.iter().zip(&begun).map(|(counts, begun)| counts.since(begun)).sum();
        let each = if more == 0 { 0.0 } else { (taken.cpu - before.cpu) / number(more) };
        println!("| {count} | {:.1} | {each:.2} | {sessions} | {requests} |", taken.memory / 1024.0);
        points.push((number(count), taken.memory));
        before = taken;
    }
    print_fit("Connections", &points);
    drop(open);
    program.end().await
}

/// A connection that had an answer, to be kept open.
async fn answered(port: u16) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: scale\r\n\r\n").await?;
    let mut answer = [0; 1024];
    match stream.read(&mut answer).await? {
        0 => Err("a connection ended without an answer".into()),
        _ => Ok(stream),
    }
}

/// Pods of a service in the watch.
pub(super) async fn pods(cluster: &mut Cluster) -> Result<(), Failure> {
    head(&[
        "pods in the watch",
        "resident, MiB",
        "at most, MiB",
        "start, ms",
        "processor time of it, ms",
        "API requests",
        &format!("processor time of {CHANGES} changes, ms"),
    ]);
    let (mut points, mut there) = (Vec::new(), 0);
    for count in [10, 500, 5000] {
        cluster.add_pods(count - there)?;
        there = count;
        let before = cluster.counts()?;
        let program = Program::start(cluster, &["svc/crowd".to_owned(), ":80".to_owned()], 1).await?;
        let (ready, taken) = (program.ready, program.taken().await?);
        let requests = cluster.counts()?.since(&before);
        cluster.change_pods(CHANGES)?;
        let after = program.at_rest().await?;
        println!(
            "| {count} | {:.1} | {:.1} | {:.0} | {:.0} | {requests} | {:.0} |",
            taken.memory / 1024.0,
            taken.peak / 1024.0,
            milliseconds(ready),
            taken.cpu,
            after.cpu - taken.cpu,
        );
        points.push((number(count), taken.memory));
        program.end().await?;
    }
    print_fit("Pods", &points);
    Ok(())
}

/// Services of a namespace that are not forwarded to.
pub(super) async fn names(cluster: &mut Cluster) -> Result<(), Failure> {
    head(&[
        "services in the namespace",
        "start, ms",
        "resident, MiB",
        "completion of `svc/`, ms",
        "names",
        "an unknown name, ms",
        "the picker: resident, MiB",
        "… processor time, ms",
    ]);
    let mut there = 0;
    for count in [0, 500, 5000] {
        cluster.add_services(count - there)?;
        there = count;
        let program = Program::start(cluster, &["svc/api-0".to_owned(), ":80".to_owned()], 1).await?;
        let (ready, taken) = (program.ready, program.taken().await?);
        program.end().await?;
        let (completing, completed) = program::run(cluster, &["__complete", "svc/"]).await?;
        let (unknown, _) = program::run(cluster, &["svc/unknown", "80"]).await?;
        let picker = Program::picker(cluster)?;
        let picking = picker.at_rest().await?;
        drop(picker);
        println!(
            "| {} | {:.0} | {:.1} | {:.0} | {} | {:.0} | {:.1} | {:.0} |",
            count + super::cluster::SAME + 1,
            milliseconds(ready),
            taken.memory / 1024.0,
            milliseconds(completing),
            completed.stdout.lines().filter(|line| line.starts_with("svc/")).count(),
            milliseconds(unknown),
            picking.memory / 1024.0,
            picking.cpu,
        );
    }
    Ok(())
}
