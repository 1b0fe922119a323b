//! How it went: of the program as a whole, of one measurement, of a measurement with everybody in all rounds.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, ErrorKind},
};

/// How the program ends.
pub(super) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The results of a measurement, by contender and round.
pub(super) type Results = BTreeMap<usize, Vec<Result<Vec<f64>, Failure>>>;

/// How a measurement came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was answered in time.
    TimesOut,
    /// The forwarder ended.
    Ends,
    /// What else went wrong.
    Other(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_timeout(&error) { Self::TimesOut } else { Self::Other(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimesOut => f.write_str("all time out"),
            Self::Ends => f.write_str("ends"),
            Self::Other(error) => write!(f, "fails: {error}"),
        }
    }
}

/// Whether it was patience that ended.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
