//! How fast the applications are through kubectl-fwd, beside kubectl and without a forward: a table, and no test.
//!
//! ```text
//! cargo test --release --test applications -- --ignored --nocapture figures
//! ```
//!
//! The clients are those of the tests, each against the three in turns, with a fresh process in every round. Applications,
//! clients, forwarders and sandbox share the machine. What is not there is left out.

#![expect(clippy::print_stderr, reason = "a table is what it is for")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbox::support::forward::Forward;
use sandbox::support::{Failure, Test, connect, kubectl, within};
use tokio::process::Command;

use super::behind::Behind;
use super::programs;
use super::running::{number, run};
use super::servers::nginx::Nginx;
use super::servers::postgres::Postgres;
use super::servers::redis::Redis;

/// How often each is measured.
const ROUNDS: usize = 3;

/// When a pod is deleted, within the seconds that `wrk` runs.
const DELETE_AFTER: Duration = Duration::from_secs(2);

/// The ports of the pods.
const POSTGRES: u16 = 5432;
const REDIS: u16 = 6379;
const HTTP: u16 = 80;
const HTTP2: u16 = 81;

/// Something that is measured by one run of a client.
struct Measure<'a> {
    what: &'static str,
    unit: &'static str,
    /// The port of the pods.
    port: u16,
    pod: Pod,
    client: Box<dyn Fn(u16) -> Command + 'a>,
    read: fn(&Report) -> Result<f64, Failure>,
}

/// What becomes of the pod meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pod {
    Stays,
    IsDeleted,
}

/// What a client wrote, and how long it took.
struct Report {
    text: String,
    took: Duration,
}

/// Who forwards.
enum Contender {
    Nobody,
    Kubectl(PathBuf),
    Ours,
}

/// What came of one run.
enum Outcome {
    Figure(f64),
    /// The forwarder is gone.
    Ended {
        connections: u64,
        /// Its last word.
        said: String,
    },
    Fails(String),
}

impl Contender {
    async fn start(
        &self,
        behind: &Behind,
        measure: &Measure<'_>,
        direct: u16,
    ) -> Result<(Option<Forward>, u16), Failure> {
        match self {
            Self::Nobody => Ok((None, direct)),
            Self::Ours => behind.forward(measure.port).await.map(|(forward, port)| (Some(forward), port)),
            Self::Kubectl(kubectl) => {
                let words = ["port-forward", "svc/app", &format!(":{}", measure.port)].map(str::to_owned);
                let mut forward = Forward::start(kubectl, &behind.world.kubeconfig(), &words)?;
                let port = forward.port().await?;
                Ok((Some(forward), port))
            }
        }
    }
}

/// What is measured of PostgreSQL.
fn postgres(postgres: &Postgres) -> Vec<Measure<'_>> {
    let pgbench = |what, words: &'static str| Measure {
        what,
        unit: "transactions/s",
        port: POSTGRES,
        pod: Pod::Stays,
        client: Box::new(move |port| postgres.pgbench(port, words)),
        read: |report| number(&report.text, "tps = "),
    };
    vec![
        pgbench("PostgreSQL over TLS, pgbench with 8 clients", "--no-vacuum -c 8 -j 2 -T 4"),
        pgbench("… a new connection for each transaction", "--no-vacuum -c 8 -j 2 -T 4 --connect"),
        Measure {
            what: "… pg_dump of 1,000,000 rows",
            unit: "s",
            port: POSTGRES,
            pod: Pod::Stays,
            client: Box::new(|port| {
                let mut command = postgres.pg_dump(port);
                command.args(["--file", "/dev/null"]);
                command
            }),
            read: |report| Ok(report.took.as_secs_f64()),
        },
    ]
}

/// What is measured of Redis.
fn redis(redis: &Redis) -> Vec<Measure<'_>> {
    let benchmark = |what, words: &'static str| Measure {
        what,
        unit: "requests/s",
        port: REDIS,
        pod: Pod::Stays,
        client: Box::new(move |port| redis.benchmark(port, words)),
        read: |report| number(&report.text, "\"SET\",\""),
    };
    vec![
        benchmark("Redis, redis-benchmark with 50 clients", "--csv -t set -c 50 -n 30000"),
        benchmark("… 16 commands at a time", "--csv -t set -c 50 -n 320000 -P 16"),
        benchmark("… a new connection for each command", "--csv -t set -c 50 -n 8000 -k 0"),
    ]
}

/// What is measured of nginx.
fn nginx(wrk: &Path, curl: &Path) -> Vec<Measure<'static>> {
    let wrk = |what, unit, pod, header: &'static str, read| {
        let wrk = wrk.to_owned();
        let client = Box::new(move |port| {
            let mut command = Command::new(&wrk);
            command.args(["-t", "2", "-c", "32", "-d", "5s", "--timeout", "10s", "-H", header]);
            command.arg(format!("http://127.0.0.1:{port}/small"));
            command
        });
        Measure { what, unit, port: HTTP, pod, client, read }
    };
    let curl = |what, port, version: &'static str| {
        let curl = curl.to_owned();
        let client = Box::new(move |port| {
            let mut command = Command::new(&curl);
            command.args(["-q", "-sSf", "--noproxy", "*", version, "-o", "/dev/null", "-o", "/dev/null"]);
            command.args(["-w", "speed=%{speed_download}\n"]).arg(format!("http://127.0.0.1:{port}/large"));
            command
        });
        let read = |report: &Report| Ok(number::<f64>(&report.text, "speed=")? / f64::from(1 << 20));
        Measure { what, unit: "MiB/s", port, pod: Pod::Stays, client, read }
    };
    let rate = |report: &Report| number(&report.text, "Requests/sec:");
    let (stay, close) = ("Connection: keep-alive", "Connection: close");
    vec![
        wrk("nginx, wrk with 32 connections", "requests/s", Pod::Stays, stay, rate),
        wrk("… a new connection for each request", "requests/s", Pod::Stays, close, rate),
        wrk("… that, and the pod is deleted: requests failed", "", Pod::IsDeleted, close, failed),
        curl("… a file of 24 MiB, HTTP/1.1", HTTP, "--http1.1"),
        curl("… HTTP/2 without TLS", HTTP2, "--http2-prior-knowledge"),
    ]
}

/// The requests that `wrk` could not do. It tells of them where there are any.
fn failed(report: &Report) -> Result<f64, Failure> {
    if !report.text.contains("Socket errors:") {
        return Ok(0.0);
    }
    ["connect ", "read ", "write ", "timeout "].iter().try_fold(0.0, |sum, kind| {
        let errors = report.text.split("Socket errors:").nth(1).unwrap_or_default();
        Ok(sum + number::<f64>(errors, kind)?)
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and prints a table"]
async fn figures() -> Test {
    let versions = kubectl::all();
    let version = versions.iter().rev().nth(usize::from(versions.len() > 1));
    let kubectl = version.ok_or("no kubectl to compare with")?;
    let head = format!(
        "| median of {ROUNDS} (least to most) | unit | no forward | {} | kubectl-fwd |",
        name(kubectl).await?
    );
    let mut table = vec![head, "|---|---|---|---|---|".to_owned()];
    let contenders = [Contender::Nobody, Contender::Kubectl(kubectl.clone()), Contender::Ours];
    if let Some(server) = Postgres::start().await? {
        let address = server.server.address;
        run(&mut server.pgbench(address.port(), "--initialize --quiet --scale 10")).await?;
        let behind = Behind::start(&[(POSTGRES, address)]).await?;
        for measure in postgres(&server) {
            table.push(row(&behind, &contenders, &measure, address.port()).await?);
        }
    }
    if let Some(server) = Redis::start().await? {
        let address = server.server.address;
        let behind = Behind::start(&[(REDIS, address)]).await?;
        for measure in redis(&server) {
            table.push(row(&behind, &contenders, &measure, address.port()).await?);
        }
    }
    if let (Some(server), Some([wrk, curl])) = (Nginx::start().await?, programs::find(["wrk", "curl"])) {
        let (http, http2) = (server.server.address, server.http2);
        let behind = Behind::start(&[(HTTP, http), (HTTP2, http2)]).await?;
        for measure in nginx(&wrk, &curl) {
            let address = if measure.port == HTTP2 { http2 } else { http };
            table.push(row(&behind, &contenders, &measure, address.port()).await?);
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\n{}\n\nLoad of the machine in the end, over 1, 5 and 15 minutes: {load}", table.join("\n"));
    Ok(())
}

async fn name(kubectl: &Path) -> Result<String, Failure> {
    let said = run(Command::new(kubectl).args(["version", "--client"])).await?;
    let version = said.lines().find_map(|line| line.strip_prefix("Client Version: v"));
    Ok(format!("kubectl {}", version.unwrap_or("of unknown version")))
}

/// Measures in turns, and makes a row of what came of it, which is told as it comes.
async fn row(
    behind: &Behind,
    contenders: &[Contender; 3],
    measure: &Measure<'_>,
    direct: u16,
) -> Result<String, Failure> {
    let mut outcomes = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            // Nobody is always the one behind the same other.
            let at = (turn + round) % contenders.len();
            if !(matches!(contenders[at], Contender::Nobody) && measure.pod == Pod::IsDeleted) {
                outcomes[at].push(once(behind, &contenders[at], measure, direct).await?);
            }
        }
    }
    let cells = outcomes.map(|outcomes| cell(&outcomes));
    let row = format!("| {} | {} | {} |", measure.what, measure.unit, cells.join(" | "));
    eprintln!("{row}");
    Ok(row)
}

async fn once(
    behind: &Behind,
    contender: &Contender,
    measure: &Measure<'_>,
    direct: u16,
) -> Result<Outcome, Failure> {
    behind.world.sandbox.settled().await?;
    let (forward, port) = contender.start(behind, measure, direct).await?;
    let before = behind.connections(measure.port);
    let mut client = (measure.client)(port);
    let started = Instant::now();
    let deletion = async {
        if measure.pod == Pod::IsDeleted {
            tokio::time::sleep(DELETE_AFTER).await;
            behind.delete_serving(measure.port)?;
        }
        Ok::<_, Failure>(())
    };
    let (ran, deleted) = tokio::join!(run(&mut client), deletion);
    let took = started.elapsed();
    deleted?;
    if let Some(forward) = forward
        && within("a connection", connect(port)).await?.is_err()
    {
        let connections = behind.connections(measure.port).saturating_sub(before);
        let ended = forward.wait().await?;
        let said = ended.stderr.lines().rev().find(|line| line.starts_with("error:"));
        let said = said.unwrap_or("without a word").to_owned();
        return Ok(Outcome::Ended { connections, said });
    }
    Ok(match ran.and_then(|text| (measure.read)(&Report { text, took })) {
        Ok(figure) => Outcome::Figure(figure),
        Err(failure) => Outcome::Fails(failure.to_string()),
    })
}

fn cell(outcomes: &[Outcome]) -> String {
    let mut figures = Vec::new();
    let mut others = BTreeMap::<_, usize>::new();
    for outcome in outcomes {
        let other = match outcome {
            Outcome::Figure(figure) => {
                figures.push(*figure);
                continue;
            }
            Outcome::Ended { connections, said } => {
                format!("ended after {connections} connections (`{said}`)")
            }
            Outcome::Fails(why) => format!("fails: {}", why.replace('\n', " ")),
        };
        *others.entry(other).or_default() += 1;
    }
    figures.sort_by(f64::total_cmp);
    let figure = match figures[..] {
        [] => None,
        [only] => Some(short(only)),
        [least, .., most] => {
            Some(format!("{} ({} to {})", short(figures[figures.len() / 2]), short(least), short(most)))
        }
    };
    let others = others.into_iter().map(|(what, rounds)| {
        if rounds == outcomes.len() {
            what
        } else {
            format!("{what} in {rounds} of {} rounds", outcomes.len())
        }
    });
    let cell: Vec<_> = figure.into_iter().chain(others).collect();
    if cell.is_empty() { "-".to_owned() } else { cell.join("; ") }
}

/// As many digits as mean something.
fn short(figure: f64) -> String {
    if figure == 0.0 || figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}
