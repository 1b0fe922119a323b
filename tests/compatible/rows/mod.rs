//! The rows: what is typed behind `kubectl port-forward` and `kubectl fwd`, and how many lines each says before it is told to end.
//!
//! A row is written as in a shell: `NAME=value` in front sets a variable, `''` is an empty word. `END=TERM` in front ends both by
//! that signal instead of Ctrl-C. Where the word `FWD` stands in a row, kubectl's own flags are before it, and the plugin is called
//! through kubectl. Ports 8001 to 8006 are free and 8007 is taken; `lane.rs` has the objects and files.

mod cluster;
mod ports;
mod targets;
mod words;

use crate::differences::Difference;

/// One command line.
pub(crate) struct Row {
    pub(crate) line: &'static str,
    /// How many lines kubectl says, and how many the program; none of one that ends by itself.
    pub(crate) lines: (usize, usize),
    /// Why they come to something else.
    pub(crate) difference: Option<Difference>,
}

/// Rows about one thing.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) rows: &'static [Row],
}

/// A word of a row.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// A variable and its value.
    Environment(&'static str, &'static str),
    /// `port-forward`, or `fwd`.
    Command,
    Word(&'static str),
}

const END: &str = "END";
const COMMAND: &str = "FWD";

impl Row {
    /// The words, without the signal.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        self.all_steps().filter(|step| !matches!(step, Step::Environment(END, _)))
    }

    fn all_steps(&self) -> impl Iterator<Item = Step> {
        let mut front = true;
        self.line.split_whitespace().map(move |word| {
            let variable =
                |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            let assigned = word.split_once('=').filter(|(name, _)| front && variable(name));
            front = assigned.is_some();
            match (assigned, word) {
                (Some((name, value)), _) => Step::Environment(name, value),
                (None, COMMAND) => Step::Command,
                (None, word) => Step::Word(word),
            }
        })
    }

    /// How both are told to end.
    pub(crate) fn signal(&self) -> &'static str {
        let end = self.all_steps().find_map(|step| match step {
            Step::Environment(END, signal) => Some(signal),
            _ => None,
        });
        end.unwrap_or("INT")
    }

    /// Whether the plugin is called through kubectl.
    pub(crate) fn through_kubectl(&self) -> bool {
        self.all_steps().any(|step| matches!(step, Step::Command))
    }
}

const fn same(line: &'static str, lines: usize) -> Row {
    Row { line, lines: (lines, lines), difference: None }
}

const fn other(difference: Difference, line: &'static str, kubectl: usize, fwd: usize) -> Row {
    Row { line, lines: (kubectl, fwd), difference: Some(difference) }
}

/// Every group, in the order of the document.
pub(crate) fn groups() -> impl Iterator<Item = &'static Group> {
    [targets::GROUPS, ports::GROUPS, words::GROUPS, cluster::GROUPS].into_iter().flatten()
}

/// Every row, in its order.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    groups().flat_map(|group| group.rows)
}
