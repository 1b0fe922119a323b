//! The answer to a shell, as cobra writes it and kubectl reads it: a candidate a line, behind a tab what it is, and on the
//! last line what the shell is to do.

use std::{collections::HashSet, fmt::Write as _};

use crate::ui::escape::is_harmless;

/// To put no blank behind what was completed.
const NO_SPACE: u8 = 2;
/// To complete no files where there is no candidate.
const NO_FILES: u8 = 4;
/// To complete directories only.
const DIRECTORIES: u8 = 16;

/// How much is said of a candidate: a line of a terminal beside it.
const ABOUT: usize = 60;

/// What can stand in a candidate that was looked up, beside letters and digits: what names, ports and URLs are made of,
/// and nothing that means something to a shell.
const PLAIN: &str = "-_.:/@+,=%";

/// What means something to a shell between double quotes.
const QUOTED: &str = "$`\"\\";

/// One way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    value: String,
    about: String,
}

/// What a shell does where there is no candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ShellFallback {
    #[default]
    Nothing,
    Files,
    Directories,
}

impl Candidate {
    /// A word, and what it is.
    pub fn new(value: impl Into<String>, about: impl Into<String>) -> Self {
        Self { value: value.into(), about: about.into() }
    }

    /// The same behind what stays of the word.
    pub(super) fn behind(self, kept: &str) -> Self {
        Self { value: format!("{kept}{}", self.value), ..self }
    }

    /// Whether a shell can take it for nothing else.
    pub(super) fn is_plain(&self) -> bool {
        let plain = |c: char| c.is_alphanumeric() || PLAIN.contains(c);
        !self.value.is_empty() && !self.value.starts_with('-') && self.value.chars().all(plain)
    }

    fn line(&self) -> String {
        let about = self.about.split("(default: ").next().unwrap_or_default().trim_end();
        let safe = |c: char| if is_harmless(c) && !QUOTED.contains(c) { c } else { '?' };
        let mut about: String = about.chars().map(safe).collect();
        if about.chars().count() > ABOUT {
            about = about.chars().take(ABOUT - 1).chain(['…']).collect();
        }
        if about.is_empty() { format!("{}\n", self.value) } else { format!("{}\t{about}\n", self.value) }
    }
}

/// The answer of those candidates that begin as what was typed, each once.
pub(super) fn answer(
    candidates: impl Iterator<Item = Candidate>,
    typed: &str,
    otherwise: ShellFallback,
) -> String {
    let mut seen = HashSet::new();
    let all: Vec<Candidate> = candidates
        .filter(|candidate| candidate.value.starts_with(typed) && candidate.value.chars().all(is_harmless))
        .filter(|candidate| seen.insert(candidate.value.clone()))
        .collect();
    let goes_on = all.iter().any(|candidate| candidate.value.ends_with('/'));
    let directive = match (all.is_empty(), otherwise) {
        (true, ShellFallback::Files) => 0,
        (true, ShellFallback::Directories) => DIRECTORIES,
        _ => NO_FILES | if goes_on { NO_SPACE } else { 0 },
    };
    let mut answer: String = all.iter().map(Candidate::line).collect();
    let _ = writeln!(answer, ":{directive}");
    answer
}
