//! What a process in the background leaves behind beside its log: which forwards it had, and how each of them ended.
//!
//! `writer` keeps the record of the process itself current, [`read`] finds what ended lately. A process that is killed says
//! nothing of it; whoever finds its record without an end, and no such process, writes down that it was killed.

mod writer;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub(super) use self::writer::RecordWriter;
use crate::{
    control::sockets::SocketDirectories,
    model::forward::PortForward,
    system::{file::AtomicFile, process_state::is_running},
    ui::list::{ListRow, RowState},
};

/// How long a forward that ended is shown: as long as somebody may wonder where it is.
const SHOWN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Ended forwards that a record has, beside those that run: many more than somebody looks through, for a process whose
/// forwards come and go all day.
const MAX_ENDED: usize = 100;

/// Bytes of a record: that of a thousand forwards has less than one megabyte.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The forwards of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ProcessRecord {
    forwards: Vec<RecordedForward>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedForward {
    forward: PortForward,
    /// None while it runs.
    end: Option<RecordedEnd>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedEnd {
    at: Timestamp,
    failed: bool,
    reason: String,
}

/// A forward that a record tells of.
pub(super) struct FoundRecord {
    /// How it is shown.
    pub row: ListRow,
    /// The log of its process.
    pub log: PathBuf,
}

/// Forwards of processes in the background: those that ended lately, the last one first, and those that are said to run.
pub(super) struct FoundRecords {
    pub ended: Vec<FoundRecord>,
    /// With the logs of their processes.
    pub running: Vec<(PortForward, PathBuf)>,
}

/// Reads all records. Sockets of dead processes have been swept by then.
pub(super) fn read(directories: &SocketDirectories) -> FoundRecords {
    let (sockets, refusals) = directories.sockets();
    // Where sockets cannot be looked for, nothing is known of any process. And what cleans up directories of temporary
    // files may have removed one.
    let may_run =
        |pid| !refusals.is_empty() || sockets.iter().any(|socket| socket.pid == pid) || is_running(pid);
    let now = Timestamp::now();
    let (mut ended, mut running) = (Vec::new(), Vec::new());
    for (pid, path) in directories.records() {
        let Ok(mut record) = ProcessRecord::load(&path) else { continue };
        if record.forwards.iter().any(|one| one.end.is_none()) && !may_run(pid) {
            record.was_killed(now);
            // Whoever looks next finds the same time of death.
            let _ = record.save(&path);
        }
        let log = directories.log_of(&path);
        for RecordedForward { forward, end } in record.forwards {
            match end {
                None => running.push((forward, log.clone())),
                Some(end) if now.duration_since(end.at) < SHOWN_FOR => {
                    ended.push(FoundRecord { row: end.row(forward), log: log.clone() });
                }
                Some(_) => {}
            }
        }
    }
    ended.sort_by_key(|found| std::cmp::Reverse(found.row.since));
    FoundRecords { ended, running }
}

impl ProcessRecord {
    fn load(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        AtomicFile::of(path)?.commit(&serde_json::to_string(self)?)
    }

    fn was_killed(&mut self, at: Timestamp) {
        for one in &mut self.forwards {
            let killed = || RecordedEnd { at, failed: true, reason: "the process was killed".to_owned() };
            one.end.get_or_insert_with(killed);
        }
    }

    /// Forgets what nobody is shown any more.
    fn trim(&mut self, now: Timestamp) {
        let mut room = MAX_ENDED;
        // The newest stand last.
        self.forwards.reverse();
        self.forwards.retain(|one| match &one.end {
            None => true,
            Some(end) if room > 0 && now.duration_since(end.at) < SHOWN_FOR => {
                room -= 1;
                true
            }
            Some(_) => false,
        });
        self.forwards.reverse();
    }
}

impl RecordedEnd {
    fn row(self, forward: PortForward) -> ListRow {
        let state = if self.failed { RowState::Failed } else { RowState::Stopped };
        ListRow { state, since: Some(self.at), reason: Some(self.reason), ..ListRow::from(forward) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::RemotePort;

    fn ended(minutes: i64) -> RecordedForward {
        let at = Timestamp::now() - SignedDuration::from_mins(minutes);
        let end = RecordedEnd { at, failed: false, reason: "x".into() };
        RecordedForward { end: Some(end), ..running() }
    }

    fn running() -> RecordedForward {
        let forward = PortForward::example("service", "api", RemotePort::Number(80));
        RecordedForward { forward, end: None }
    }

    /// A record does not grow for ever, and nothing that runs is forgotten.
    #[test]
    fn trimmed() {
        let mut record = ProcessRecord { forwards: vec![running(), ended(59), ended(61), running()] };
        record.trim(Timestamp::now());
        assert_eq!(
            record.forwards.iter().map(|one| one.end.is_some()).collect::<Vec<_>>(),
            [false, true, false]
        );
        record.forwards.extend((0..2 * MAX_ENDED).map(|_| ended(1)));
        record.trim(Timestamp::now());
        assert_eq!(record.forwards.len(), 2 + MAX_ENDED);
        assert!(
            record
                .forwards
                .iter()
                .all(|one| one.end.as_ref().is_none_or(|end| end.at > ended(2).end.unwrap().at))
        );
    }

    #[test]
    fn a_killed_process() {
        let mut record = ProcessRecord { forwards: vec![running(), ended(5)] };
        let before = record.forwards[1].clone();
        record.was_killed(Timestamp::now());
        let row = record.forwards[0].end.clone().unwrap().row(running().forward);
        assert_eq!((row.state, row.reason.as_deref()), (RowState::Failed, Some("the process was killed")));
        assert_eq!(record.forwards[1], before);
    }
}
