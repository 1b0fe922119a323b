//! What came of all that clients did.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandbox::node::Node;

use crate::excuses::{Excuses, Length, Life};
use crate::schedule::App;

/// What is right and comes after that counts as late.
const LATE: Duration = Duration::from_secs(1);

/// How many flaws are told in full.
const TOLD: usize = 20;

/// Why something did not go right.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// It came, and was not what it had to be.
    Wrong(String),
    /// It did not come to its end.
    Broke(String),
}

impl From<std::io::Error> for Flaw {
    fn from(error: std::io::Error) -> Self {
        Self::Broke(error.to_string())
    }
}

/// Connections that broke under a trouble.
#[derive(Debug, Clone, Copy, Default)]
struct Broken {
    /// Of these, requests that had reached an application.
    arrived: u64,
    /// Requests that had not, and were on the way: in a session that was gone, or in the socket of an application that was.
    unread: u64,
    /// Others than single requests.
    long: u64,
}

/// The counts.
pub(crate) struct Tally {
    excuses: Arc<Excuses>,
    node: Node,
    begun: Instant,
    ids: AtomicU64,
    requests: AtomicU64,
    late: AtomicU64,
    lines: AtomicU64,
    transfers: AtomicU64,
    bytes: AtomicU64,
    stalls: AtomicU64,
    wrong: AtomicU64,
    lost: AtomicU64,
    broken: Mutex<BTreeMap<&'static str, Broken>>,
    flaws: Mutex<Vec<String>>,
    serving: Mutex<[String; 3]>,
    /// Nothing goes wrong at the moment.
    pub(crate) calm: AtomicBool,
    /// The most answers that others got while one waited for its own, in the calm.
    most_overtaken: AtomicU64,
    answers: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Tally {
    pub(crate) fn new(excuses: Arc<Excuses>, node: Node) -> Self {
        Self {
            excuses,
            node,
            begun: Instant::now(),
            ids: AtomicU64::default(),
            requests: AtomicU64::default(),
            late: AtomicU64::default(),
            lines: AtomicU64::default(),
            transfers: AtomicU64::default(),
            bytes: AtomicU64::default(),
            stalls: AtomicU64::default(),
            wrong: AtomicU64::default(),
            lost: AtomicU64::default(),
            broken: Mutex::default(),
            flaws: Mutex::default(),
            serving: Mutex::default(),
            calm: AtomicBool::new(false),
            most_overtaken: AtomicU64::default(),
            answers: Mutex::default(),
        }
    }

    /// A number for a request, which no other has.
    pub(crate) fn id(&self) -> u64 {
        self.ids.fetch_add(1, Relaxed)
    }

    /// The pod of an app that answered last.
    pub(crate) fn serving(&self, app: App) -> String {
        self.serving.lock()[app as usize].clone()
    }

    pub(super) fn served(&self, app: App, pod: &str) {
        let serving = &mut self.serving.lock()[app as usize];
        if serving != pod {
            pod.clone_into(serving);
        }
    }

    /// The answers of one more client are counted.
    pub(super) fn join(&self) -> Arc<AtomicU64> {
        let answers = Arc::default();
        self.answers.lock().push(Arc::clone(&answers));
        answers
    }

    /// Requests that were answered rightly so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(super) fn request(&self, begun: Instant) {
        self.requests.fetch_add(1, Relaxed);
        if begun.elapsed() > LATE {
            self.late.fetch_add(1, Relaxed);
        }
    }

    /// That many others were answered during one wait.
    pub(super) fn overtaken(&self, by: u64) {
        self.most_overtaken.fetch_max(by, Relaxed);
    }

    pub(super) fn line(&self) {
        self.lines.fetch_add(1, Relaxed);
    }

    pub(super) fn transfer(&self) {
        self.transfers.fetch_add(1, Relaxed);
    }

    pub(super) fn bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn stalled(&self) {
        self.stalls.fetch_add(1, Relaxed);
    }

    /// What `who` did went wrong; `id` is the request's.
    pub(super) fn flaw(&self, who: &str, life: Life, id: Option<u64>, flaw: &Flaw) {
        let why = match flaw {
            Flaw::Wrong(what) => {
                self.wrong.fetch_add(1, Relaxed);
                format!("WRONG: {what}")
            }
            Flaw::Broke(why) => {
                let arrived = id.map(|id| self.node.arrivals().times(id) > 0);
                if let Some(excuse) = self.excuses.excuse(life) {
                    let mut all = self.broken.lock();
                    let broken = all.entry(excuse).or_default();
                    match (life.length, arrived) {
                        (Length::Long, _) | (_, None) => broken.long += 1,
                        (_, Some(true)) => broken.arrived += 1,
                        (_, Some(false)) => broken.unread += 1,
                    }
                    return;
                }
                self.lost.fetch_add(1, Relaxed);
                let reached = match arrived {
                    Some(true) => ", which had reached an application",
                    Some(false) => ", which had reached no application",
                    None => "",
                };
                format!("LOST with no cause{reached}: {why}")
            }
        };
        let mut flaws = self.flaws.lock();
        if flaws.len() < TOLD {
            let (at, took) = (life.begun.saturating_duration_since(self.begun), life.ended - life.begun);
            flaws.push(format!(
                "{who}, begun at {:.3} s, over after {:.3} s: {why}",
                at.as_secs_f64(),
                took.as_secs_f64()
            ));
        }
    }

    /// How often each client was answered.
    pub(crate) fn answers(&self) -> Vec<u64> {
        self.answers.lock().iter().map(|answers| answers.load(Relaxed)).collect()
    }

    /// The most answers that others got while one waited, in the calm.
    pub(crate) fn most_overtaken(&self) -> u64 {
        self.most_overtaken.load(Relaxed)
    }

    /// What must not be, a line each.
    pub(crate) fn flaws(&self) -> Vec<String> {
        let mut flaws = self.flaws.lock().clone();
        let twice = self.node.arrivals().twice();
        if twice > 0 {
            flaws.push(format!("{twice} requests reached an application twice, and were sent once"));
        }
        flaws
    }

    /// For a line of samples: requests right, late, broken with a cause, lost with none; wrong ones; bytes checked.
    pub(crate) fn sample(&self) -> [u64; 6] {
        let broken = self.broken.lock().values().map(|broken| broken.arrived + broken.unread).sum();
        let read = |count: &AtomicU64| count.load(Relaxed);
        [
            read(&self.requests),
            read(&self.late),
            broken,
            read(&self.lost),
            read(&self.wrong) + self.node.arrivals().twice(),
            read(&self.bytes),
        ]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |count: &AtomicU64| count.load(Relaxed);
        let [requests, late, broken, lost, _, bytes] = self.sample();
        let (wrong, twice) = (read(&self.wrong), self.node.arrivals().twice());
        writeln!(
            f,
            "{requests} requests right ({late} late), {broken} reset, {lost} lost, {twice} twice, {wrong} wrong"
        )?;
        writeln!(
            f,
            "{} transfers and {} lines right, {} MiB checked, {} stalled clients and applications",
            read(&self.transfers),
            read(&self.lines),
            bytes >> 20,
            read(&self.stalls),
        )?;
        write!(f, "broken while under way:")?;
        for (trouble, Broken { arrived, unread, long }) in &*self.broken.lock() {
            write!(
                f,
                " {trouble}: {arrived} requests that an application had read and {unread} that none had, {long} others;"
            )?;
        }
        Ok(())
    }
}
