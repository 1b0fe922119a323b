//! A container runtime that fails pairs on purpose, and one that answers pings in a way of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::upgrade_fault::{Asked, UpgradeFault};

/// How one pair fails. Each is used up by one pair, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PairFault {
    /// The error stream is reset without having been taken.
    RefuseError,
    /// The data stream is reset without having been taken.
    RefuseData,
    /// The data stream is never heard of: the pair times out.
    Incomplete,
    /// Instead of a dial, this text on the error stream, once so many of the client's bytes have come.
    Text {
        /// As the runtime says it.
        text: String,
        /// Bytes.
        after: usize,
    },
    /// The application is dialled and asked, but its answer is cut after so many bytes, with this text.
    Cut {
        /// With an empty one the pair ends in order.
        text: String,
        /// Bytes.
        after: usize,
    },
    /// The same, with both streams reset and no word why.
    CutSilently {
        /// Bytes.
        after: usize,
    },
    /// The session's connection is closed when the first stream of the pair comes.
    LoseAtSyn,
    /// The session's connection is closed when so many of the client's bytes have come, none of which the application
    /// gets.
    LoseAtData {
        /// Bytes.
        after: usize,
    },
}

/// How pings are echoed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pings {
    /// In their turn, from five queues (PROTOCOL §2.7).
    #[default]
    Queued,
    /// At once, whatever came before them.
    AtOnce,
    /// In their turn, but each two the wrong way round.
    Swapped,
}

/// The faults of a node's container runtime. Clones are the same faults.
#[derive(Debug, Clone, Default)]
pub struct Runtime {
    state: Arc<Mutex<State>>,
    /// Upgrades that met an upgrade fault.
    upgrade_faults: watch::Sender<u64>,
    /// Bytes of floods that were taken.
    flooded: watch::Sender<usize>,
    /// Upgrades whose answer is delayed now.
    dials: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    /// Ends the sessions that there are now.
    sessions: CancellationToken,
    /// Of pods, by name: cancelled for those that are cut off.
    cut_off: HashMap<String, CancellationToken>,
    pair_faults: VecDeque<PairFault>,
    pings: Pings,
    upgrade_fault: Option<Asked>,
    dial_time: Duration,
}

/// An upgrade whose answer is delayed. Dropped when the delay is over, or its client gone.
struct Dial<'r>(&'r watch::Sender<usize>);

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|dials| *dials -= 1);
    }
}

impl Runtime {
    pub(super) fn pair_fault(&self, pair_fault: PairFault) {
        self.state().pair_faults.push_back(pair_fault);
    }

    pub(super) fn set_pings(&self, pings: Pings) {
        self.state().pings = pings;
    }

    pub(super) fn set_upgrade_fault(&self, asked: Asked) {
        self.state().upgrade_fault = Some(asked);
    }

    /// How many upgrades met an upgrade fault so far.
    pub(super) fn upgrade_faults(&self) -> u64 {
        *self.upgrade_faults.borrow()
    }

    pub(super) async fn upgrade_faults_are(&self, wanted: impl Fn(u64) -> bool) {
        let mut met = self.upgrade_faults.subscribe();
        // The sender lives as long as this does.
        let _ = met.wait_for(|met| wanted(*met)).await;
    }

    pub(super) fn flooded(&self, bytes: usize) {
        self.flooded.send_modify(|flooded| *flooded += bytes);
    }

    pub(super) async fn flooded_are(&self, wanted: impl Fn(usize) -> bool) {
        let mut flooded = self.flooded.subscribe();
        let _ = flooded.wait_for(|flooded| wanted(*flooded)).await;
    }

    /// What becomes of the upgrade that is asked for now.
    pub(crate) fn next_upgrade_fault(&self) -> Option<UpgradeFault> {
        let mut state = self.state();
        let asked = state.upgrade_fault.as_mut().filter(|asked| asked.times != Some(0))?;
        asked.times = asked.times.map(|times| times - 1);
        self.upgrade_faults.send_modify(|met| *met += 1);
        Some(asked.what)
    }

    pub(super) fn end_sessions(&self) {
        std::mem::take(&mut self.state().sessions).cancel();
    }

    /// Cancelled when the sessions that there are now are to end.
    pub(crate) fn sessions_end(&self) -> CancellationToken {
        self.state().sessions.clone()
    }

    pub(super) fn cut_off(&self, pod: &str) {
        self.cut_off_of(pod).cancel();
    }

    /// Cancelled when this pod is cut off.
    pub(crate) fn cut_off_of(&self, pod: &str) -> CancellationToken {
        self.state().cut_off.entry(pod.to_owned()).or_default().clone()
    }

    pub(super) fn set_dial_time(&self, time: Duration) {
        self.state().dial_time = time;
    }

    pub(super) fn dial_time(&self) -> Duration {
        self.state().dial_time
    }

    pub(super) async fn dials_are(&self, wanted: impl Fn(usize) -> bool) {
        let mut dials = self.dials.subscribe();
        let _ = dials.wait_for(|dials| wanted(*dials)).await;
    }

    /// Takes as long as a dial is to take now.
    pub(crate) async fn dial(&self) {
        let time = self.dial_time();
        if !time.is_zero() {
            self.dials.send_modify(|dials| *dials += 1);
            let _dial = Dial(&self.dials);
            tokio::time::sleep(time).await;
        }
    }

    pub(super) fn clear(&self) {
        let mut state = self.state();
        *state = State { sessions: state.sessions.clone(), ..State::default() };
    }

    /// Pair faults that no pair has met yet.
    pub(super) fn pair_faults(&self) -> usize {
        self.state().pair_faults.len()
    }

    /// How the pair that begins now is to fail.
    pub(crate) fn next_pair_fault(&self) -> Option<PairFault> {
        self.state().pair_faults.pop_front()
    }

    pub(crate) fn pings(&self) -> Pings {
        self.state().pings
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
