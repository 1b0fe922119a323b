//! A line of figures every few seconds, for a run of hours.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use crate::load::tally::Tally;
use crate::process::Held;

/// The columns.
const HEADER: &str = "seconds,resident_kib,descriptors,threads,sessions,connections,active,\
                      right,late,reset,lost,wrong,bytes";

/// A file of comma-separated values.
pub(crate) struct Samples(File);

impl Samples {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        writeln!(file, "{HEADER}")?;
        Ok(Self(file))
    }

    pub(crate) fn add(&mut self, begun: Instant, held: &Held, tally: &Tally) -> io::Result<()> {
        let [right, late, reset, lost, wrong, bytes] = tally.sample();
        let Held { resident, descriptors, threads, sessions, connections, active, .. } = held;
        writeln!(
            self.0,
            "{:.1},{resident},{descriptors},{threads},{sessions},{connections},{active},{right},{late},{reset},{lost},{wrong},{bytes}",
            begun.elapsed().as_secs_f64()
        )
    }
}
