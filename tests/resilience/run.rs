//! Runs a row: with the forward, whose promises are held to, and for the document with kubectl.

use std::path::Path;
use std::time::Duration;

use sandbox::support::{Failure, within};
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::clients::{CLIENTS, Seen};
use crate::row::{Long, Lost, Row};
use crate::scene::Scene;
use crate::words::{PodNames, fit};

/// How long a row may take in all: the longest waits for a silence of 15 s, some for two.
const LIMIT: Duration = Duration::from_secs(120);

/// An answer so old is one to the last request of all.
const RECENT: Duration = Duration::from_secs(1);

/// What a row came to.
pub(crate) struct Outcome {
    /// From when it was possible to the first right answer.
    pub(crate) recovery: Option<Duration>,
    pub(crate) seen: Seen,
    pub(crate) long: Long,
    /// The lines on stderr, in words that are the same for each run.
    pub(crate) said: Vec<String>,
}

/// What became of kubectl.
pub(crate) struct KubectlOutcome {
    /// From when it was possible to the first right answer, if there was one.
    pub(crate) recovery: Option<Duration>,
    pub(crate) seen: Seen,
    /// Whether some pod answered to the last.
    pub(crate) answers: bool,
    /// Its exit status, if it ended by itself.
    pub(crate) exit: Option<i32>,
    /// Its last line on stderr.
    pub(crate) last: Option<String>,
}

/// A row with the forward. What is not as the row says is an error.
pub(crate) async fn run(row: &Row) -> Result<Outcome, Failure> {
    let running = async {
        let mut scene = Scene::open(row, None).await?;
        let mut events = Events::of(&scene).await?;
        let played = (row.play)(&mut scene).await;
        let ended = match played {
            Ok(()) => finished(row, &mut scene, &mut events).await,
            Err(failure) => Err(failure),
        };
        let told =
            |names: &[String]| format!("events: {names:?}\nstderr:\n{}", scene.forward.said_on_stderr());
        ended.map_err(|failure| format!("{failure}\n{}", told(&events.names())))?;
        let seen_before_end = scene.clients.stop().await?;
        let names = events.names();
        let ended = scene.forward.end("INT").await?;
        let (seen, long) = seen_before_end;
        let said = lines(&ended.stderr);
        if let Some(why) = broken(row, &seen, long, &said, &names, ended.code) {
            return Err(format!("{why}\nevents: {names:?}\nstderr:\n{}", said.join("\n")).into());
        }
        Ok::<_, Failure>(Outcome { recovery: scene.recovery, seen, long, said })
    };
    timeout(LIMIT, running).await.map_err(|_| format!("it takes longer than {} s", LIMIT.as_secs()))?
}

/// The same with kubectl, of which nothing is asked.
pub(crate) async fn run_kubectl(row: &Row, kubectl: &Path) -> Result<KubectlOutcome, Failure> {
    let running = async {
        let mut scene = Scene::open(row, Some(kubectl)).await?;
        // What the row waits for may never come with kubectl; what it came to so far is the answer then.
        let _ = (row.play)(&mut scene).await;
        let (recovery, over) = (scene.recovery, scene.forward.has_exited());
        let recent = Instant::now() - RECENT;
        let answers = scene.clients.seen().answers.last().is_some_and(|last| last.at >= recent);
        let (seen, _) = scene.clients.stop().await?;
        let ended = if over { scene.forward.wait().await } else { scene.forward.end("KILL").await }?;
        let last = lines(&ended.stderr).pop();
        Ok::<_, Failure>(KubectlOutcome { recovery, seen, answers, exit: ended.code, last })
    };
    timeout(LIMIT, running).await.map_err(|_| format!("kubectl takes longer than {} s", LIMIT.as_secs()))?
}

/// Waits until all is told that the row says, and the forward is active.
async fn finished(row: &Row, scene: &mut Scene, events: &mut Events) -> Result<(), Failure> {
    let all_said = async {
        while !fit(row.says, &lines(&scene.forward.said_on_stderr())) {
            scene.forward.stderr("").await?;
        }
        Ok::<_, Failure>(())
    };
    within("all lines", all_said).await??;
    within("all events", events.until(|names| fit(row.events, names))).await?;
    let mut client = scene.world.client().await?;
    let active = async {
        loop {
            let all = client.call("portforward:list", json!({})).await?;
            let mut states = all.as_array().into_iter().flatten().map(|one| &one["state"]);
            if states.all(|state| state == "active") {
                return Ok::<_, Failure>(());
            }
            // A change of state is an event.
            events.more().await;
        }
    };
    within("the state to be active", active).await?
}

/// What is not as the row says.
fn broken(
    row: &Row,
    seen: &Seen,
    long: Long,
    said: &[String],
    events: &[String],
    code: Option<i32>,
) -> Option<String> {
    let most_lost = match row.lost {
        Lost::None => 0,
        Lost::UnderWay => CLIENTS as u64,
        Lost::Meanwhile => u64::MAX,
    };
    if let Some(wrong) = &seen.wrong {
        return Some(format!("wrong bytes: {wrong}"));
    }
    if seen.lost() > most_lost {
        return Some(format!("{} refused and {} reset, of {most_lost}", seen.refused, seen.reset));
    }
    if !row.long.contains(&long) {
        return Some(format!("the connection that stays open is {long:?}, not one of {:?}", row.long));
    }
    if !fit(row.says, said) {
        return Some(format!("the lines are to be {:#?}", row.says));
    }
    if !fit(row.events, events) {
        return Some(format!("the events are to be {:?}", row.events));
    }
    (code != Some(0)).then(|| format!("the exit status is {code:?}"))
}

fn lines(text: &str) -> Vec<String> {
    let mut names = PodNames::default();
    text.lines().map(|line| names.plain(line)).collect()
}

/// The events of the forward, since it works.
struct Events {
    names: watch::Receiver<Vec<String>>,
    _reader: AbortOnDrop,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Events {
    async fn of(scene: &Scene) -> Result<Self, Failure> {
        let mut client = scene.world.client().await?;
        client.call("portforward:subscribe", json!({})).await?;
        let (sender, names) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let tell = |message: &Value| {
                if let Some(name) = message.pointer("/params/event").and_then(Value::as_str) {
                    sender.send_modify(|names: &mut Vec<String>| names.push(name.to_owned()));
                }
            };
            client.events.iter().for_each(tell);
            let mut lines = client.stream.lines();
            // The end of the process is the end of its events.
            while let Ok(Some(line)) = lines.next_line().await {
                tell(&serde_json::from_str(&line).unwrap_or_default());
            }
        });
        Ok(Self { names, _reader: AbortOnDrop(reader) })
    }

    fn names(&self) -> Vec<String> {
        self.names.borrow().clone()
    }

    async fn until(&mut self, enough: impl Fn(&[String]) -> bool) {
        if self.names.wait_for(|names| enough(names)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn more(&mut self) {
        if self.names.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
