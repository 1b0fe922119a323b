//! Everything at once, at random: pods, the API server, the network and the process itself fail under checked load, by a
//! schedule that a seed makes. What must hold then: no byte is wrong, no request reaches an application twice, none is lost
//! but those that were under way on what failed; then all forwards are active again, nobody waits for those that are stalled,
//! and what was taken is given back.
//!
//! | variable | |
//! |---|---|
//! | `FWD_CHAOS_SEED` | the schedule; a random one without |
//! | `FWD_CHAOS_SECONDS` | how long things go wrong; 60 without |
//! | `FWD_CHAOS_SAMPLES` | a file of figures, every five seconds; then it is mild, and ends with a minute of rest: a soak (`scripts/soak`) |
//! | `FWD_PROGRAM` | another program than the one that was built with the tests |
//!
//! What comes of a run stands on stderr itself, so that it is seen of a test that passes, too.

#![cfg(unix)]

mod carry_out;
mod excuses;
mod load;
mod process;
mod samples;
mod schedule;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandbox::support::forward;
use sandbox::support::{ControlClient, Failure, Test, World};
use sandbox::{Options, Sandbox};
use tokio::time::{sleep, timeout};

use carry_out::{Scene, say};
use excuses::Excuses;
use load::client::Pace;
use load::tally::Tally;
use load::{Load, Ports};
use process::Held;
use samples::Samples;
use schedule::{App, Mood, Schedule};
use serde_json::json;

/// What is forwarded.
const FORWARDS: &str =
    "--timestamps --address 127.0.0.1 svc/api :80 deploy/web :8080 :9005 :9004 pod/db-0 :8080 :9005";

/// How many ports that is.
const FORWARDED: usize = 6;

/// Until all forwards are active after the last failure: a cool-down of a lost target is 30 s at most, and a round takes 4 s.
const RECOVERY: Duration = Duration::from_secs(40);

/// How often each client is answered in the calm at the end, beside those that are stalled.
const ROUNDS: u64 = 20;

/// How many answers all may have until each has had as many: some twenty clients take turns, and each gets fewer than that.
const ENOUGH: u64 = 10_000;

/// How long that may take at most. It takes seconds; the rest is for a machine that does ten other things.
const CALM: Duration = Duration::from_secs(240);

/// How many others may be answered while one waits, in the calm: some twenty clients have their turns meanwhile, and a machine
/// that is busy may leave out some turns of one of them. Whoever waits for a client that is stalled misses thousands.
const OVERTAKEN: u64 = 1_000;

/// Sessions that are kept for later, to each of the three pods (DESIGN §2).
const KEPT: u64 = 3 * 16;

/// Descriptors beside those of sessions and clients that come and go: requests to the API server under way, and their watches.
const REQUESTS: u64 = 24;

/// From one sample to the next.
const EVERY: Duration = Duration::from_secs(5);

/// After which sessions that nobody used are closed (DESIGN §2), and somewhat more.
const REST: Duration = Duration::from_secs(70);

/// What a run is asked to be.
struct Run {
    seed: u64,
    time: Duration,
    samples: Option<PathBuf>,
}

impl Run {
    fn asked() -> Result<Self, Failure> {
        let number = |name: &str| match std::env::var(name) {
            Ok(text) => {
                text.parse().map(Some).map_err(|_| format!("{name} is to be a number, and is {text:?}"))
            }
            Err(_) => Ok(None),
        };
        Ok(Self {
            seed: number("FWD_CHAOS_SEED")?.unwrap_or_else(|| fastrand::u64(..1_000_000)),
            time: Duration::from_secs(number("FWD_CHAOS_SECONDS")?.unwrap_or(60)),
            samples: std::env::var_os("FWD_CHAOS_SAMPLES").map(PathBuf::from),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_chaos() -> Test {
    let run = Run::asked()?;
    let again = format!("FWD_CHAOS_SEED={} FWD_CHAOS_SECONDS={}", run.seed, run.time.as_secs());
    say(&format!("again: {again} cargo test --test chaos"));
    let held = run.carry_out().await;
    held.map_err(|why| format!("{why}\n{again} has the same go wrong").into())
}

impl Run {
    async fn carry_out(&self) -> Test {
        let (mood, pace) = match self.samples {
            None => (Mood::Wild, Pace::Brisk),
            Some(_) => (Mood::Mild, Pace::Steady),
        };
        let options = Options {
            // Long enough for a request that has just come, on a busy machine.
            deletion: Duration::from_secs(2),
            pod_start: Duration::from_millis(300),
            ..Options::default()
        };
        let program = forward::program(env!("CARGO_BIN_EXE_kubectl-fwd")).to_str().ok_or("no program")?;
        let world = World::of(Sandbox::start(options).await?, program);
        let mut forward = world.start(FORWARDS)?;
        let pid = forward.pid().ok_or("it has ended")?;
        for _ in 0..FORWARDED {
            forward.port().await?;
        }
        let mut control = world.client().await?;
        let ports = ports(&mut control).await?;
        let idle = Held::by(pid, &mut control, world.sandbox.node().open_sessions()).await?;

        let excuses = Arc::new(Excuses::default());
        let tally = Arc::new(Tally::new(excuses.clone(), world.sandbox.node().clone()));
        let load = Load::start(&ports, &tally, self.seed, pace);
        let scene = Scene {
            sandbox: &world.sandbox,
            pid,
            excuses,
            tally: tally.clone(),
            begun: Instant::now(),
            counts: Mutex::default(),
        };
        let schedule = Schedule::new(self.seed, self.time, mood);
        let events = hear(world.client().await?, &scene.excuses);
        let outcome = async {
            tokio::select! {
                played = scene.play(&schedule) => played?,
                sampled = self.sample(&mut control, &scene) => sampled?,
            }
            let recovered = recovery(&world, pid, &mut control).await?;
            calm(&tally).await?;
            load.stop().await;
            let after = self.given_back(&world, &ports, pid, &mut control, idle).await?;
            Ok::<_, Failure>((recovered, after))
        };
        let outcome = tokio::select! {
            outcome = outcome => outcome,
            Err(unheard) = events => Err(unheard),
        };
        let counts: BTreeMap<_, _> = scene.counts.lock().clone();
        say(&format!("seed {}, {:?}: {}", self.seed, self.time, tally).replace('\n', "\nchaos:   "));
        say(&format!("  went wrong: {counts:?}"));
        let (losses, length) = scene.excuses.losses();
        say(&format!("  targets were lost {losses} times, for {length:.1?} in all"));
        let flaws = tally.flaws();
        let said = || format!("{}\n--- stderr\n{}", flaws.join("\n"), forward.said_on_stderr());
        let (recovered, after) = outcome.map_err(|why| format!("{why}\n{}", said()))?;
        say(&format!(
            "  all forwards active {recovered:.1?} after the last of it; {idle:?} before, {after:?} after"
        ));
        say(&format!("  at most {} answers to others during one wait in the calm", tally.most_overtaken()));
        if !flaws.is_empty() {
            return Err(said().into());
        }
        if tally.most_overtaken() > OVERTAKEN {
            return Err(format!(
                "one waited for its answer while {} others had theirs",
                tally.most_overtaken()
            )
            .into());
        }
        let ended = forward.end("INT").await?;
        if ended.code == Some(0) { Ok(()) } else { Err(format!("it ended with {:?}", ended.code).into()) }
    }

    /// Figures until the end of the schedule, if they are wanted.
    async fn sample(&self, control: &mut ControlClient, scene: &Scene<'_>) -> Test {
        let Some(path) = &self.samples else { return std::future::pending().await };
        let mut samples = Samples::create(path)?;
        loop {
            let sessions = scene.sandbox.node().open_sessions();
            samples.add(scene.begun, &Held::by(scene.pid, control, sessions).await?, &scene.tally)?;
            sleep(EVERY).await;
        }
    }

    /// Waits until nothing is held any more of what the load took.
    async fn given_back(
        &self,
        world: &World,
        ports: &Ports,
        pid: u32,
        control: &mut ControlClient,
        idle: Held,
    ) -> Result<Held, Failure> {
        // What its application never reads ends with the pod.
        let (kind, name, _) = ports.deaf.0.workload();
        world.sandbox.restart(kind, "default", name)?;
        world.sandbox.settled().await?;
        if self.samples.is_some() {
            sleep(REST).await;
        }
        let mut last = Held::default();
        let given_back = async {
            loop {
                let now = Held::by(pid, control, world.sandbox.node().open_sessions()).await?;
                last = now;
                let more = now.sessions.saturating_sub(idle.sessions);
                if now.connections == 0
                    && now.sessions <= KEPT
                    && now.descriptors <= idle.descriptors + more + REQUESTS
                {
                    return Ok(now);
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        let outcome = timeout(RECOVERY, given_back).await;
        outcome.unwrap_or_else(|_| {
            Err(format!("not all was given back: {idle:?} before, {last:?} after").into())
        })
    }
}

/// The local ports. Targets begin side by side, so the order of what is said means nothing.
async fn ports(control: &mut ControlClient) -> Result<Ports, Failure> {
    let list = control.call("portforward:list", json!({})).await?;
    let port = |name: &str, remote: u64| -> Result<u16, Failure> {
        let mut forwards = list.as_array().into_iter().flatten();
        let one = forwards.find(|one| one["name"] == name && one["remotePort"] == remote);
        let local = one.and_then(|one| one["localPort"].as_u64());
        Ok(u16::try_from(local.ok_or_else(|| format!("port {remote} of {name} is not listed"))?)?)
    };
    Ok(Ports {
        http: [(App::Api, port("api", 80)?), (App::Web, port("web", 8080)?), (App::Db, port("db-0", 8080)?)],
        lines: [(App::Web, port("web", 9005)?), (App::Db, port("db-0", 9005)?)],
        deaf: (App::Web, port("web", 9004)?),
    })
}

/// Takes note of targets that are lost.
async fn hear(mut control: ControlClient, excuses: &Excuses) -> Test {
    control.call("portforward:subscribe", json!({})).await?;
    loop {
        // In vain where nothing happens for long.
        let Ok(event) = control.event(|_| true).await else { continue };
        let target = event["target"].as_str().unwrap_or_default();
        let apps = [("api", App::Api), ("web", App::Web), ("db-0", App::Db)];
        let Some((_, app)) = apps.into_iter().find(|(name, _)| target.ends_with(name)) else { continue };
        match event["event"].as_str() {
            Some("lost") => excuses.lost(app, true),
            Some("recovered" | "retargeted" | "waiting") => excuses.lost(app, false),
            _ => {}
        }
    }
}

/// Nothing goes wrong any more: how long it takes until all forwards are active.
async fn recovery(world: &World, pid: u32, control: &mut ControlClient) -> Result<Duration, Failure> {
    let since = Instant::now();
    world.sandbox.settled().await?;
    let mut last = Held::default();
    let active = async {
        loop {
            last = Held::by(pid, control, 0).await?;
            if last.active == last.forwards {
                return Ok::<_, Failure>(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    match timeout(RECOVERY, active).await {
        Ok(active) => active.map(|()| since.elapsed()),
        Err(_) => Err(format!(
            "{} of {} forwards are active {RECOVERY:?} after the last failure",
            last.active, last.forwards
        )
        .into()),
    }
}

/// Every client is answered again and again, whatever others do not read.
async fn calm(tally: &Tally) -> Test {
    let before = tally.answers();
    tally.calm.store(true, Relaxed);
    let all = async {
        loop {
            let now = tally.answers();
            let answers: Vec<u64> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
            let (fewest, total) =
                (answers.iter().min().copied().unwrap_or(ROUNDS), answers.iter().sum::<u64>());
            if fewest >= ROUNDS {
                return Ok(());
            }
            if total > ENOUGH {
                return Err(format!(
                    "a client was answered {fewest} times in the calm, while all were {total} times"
                )
                .into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = timeout(CALM, all).await;
    outcome
        .unwrap_or_else(|_| Err(format!("not every client was answered {ROUNDS} times in {CALM:?}").into()))
}
