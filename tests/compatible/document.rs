//! docs/KUBECTL.md.

use std::fmt::Write as _;

use crate::differences::Difference;
use crate::outcome::Outcome;
use crate::rows::{self, Row};

/// A row, and what came of it.
pub(crate) struct Compared {
    pub(crate) row: &'static Row,
    pub(crate) kubectl: Outcome,
    pub(crate) fwd: Outcome,
}

impl Compared {
    /// What is not as the table of rows says.
    pub(crate) fn wrong(&self) -> Option<String> {
        let (kubectl, fwd) = self.row.lines;
        let same = self.kubectl == self.fwd;
        if kubectl > 0 && self.kubectl.lines() != kubectl {
            return Some(format!("kubectl says {} lines, the row has {kubectl}", self.kubectl.lines()));
        }
        if fwd > 0 && !self.fwd.unannounced().is_empty() {
            return Some(format!("what it says and what it listens on differ: {:?}", self.fwd.unannounced()));
        }
        match self.row.difference {
            None if !same => Some("they differ".to_owned()),
            Some(_) if same => Some("they are to differ, and do not".to_owned()),
            _ => None,
        }
    }
}

const HEAD: &str = "\
# Beside `kubectl port-forward`

`kubectl fwd` takes the arguments of `kubectl port-forward` and does the same with them. This page lists what differs, and why.

A test writes this page: `FWD_WRITE_DOCS=1 cargo test --test compatible`. It runs both programs with the same arguments on the same
cluster. It compares stdout, the addresses that are listened on, the exit status after Ctrl-C or an error, and whether there is
anything on stderr (the words there are not compared). A difference that is not on this page fails the test.

In the tables `127.0.0.1:8001 -> 8080` is the line `Forwarding from 127.0.0.1:8001 -> 8080`, and `any` is a port that the system
chose. Port 8007 is taken by another program, and `$DIR` is a directory. Both programs are ended by Ctrl-C, or by the signal that
`END=` in front of a row names. Where `FWD` stands in a row, kubectl was called with `port-forward` or `fwd` in its place.
";

/// How wide its paragraphs are, as in the other documents.
const WIDTH: usize = 130;

/// The document for these rows.
pub(crate) fn of(compared: &[Compared]) -> String {
    let mut text = HEAD.to_owned();
    let differing = compared.iter().filter(|one| one.row.difference.is_some()).count();
    let _ = writeln!(text, "\nOf {} rows, {} come to the same.", compared.len(), compared.len() - differing);
    for difference in Difference::ALL {
        let (title, why) = difference.words();
        let why = textwrap::fill(why, WIDTH);
        let _ = writeln!(text, "\n## {title}\n\n{why}\n");
        let _ = writeln!(text, "| arguments | kubectl port-forward | kubectl fwd |\n|---|---|---|");
        for one in compared.iter().filter(|one| one.row.difference == Some(difference)) {
            let line = one.row.line.replace('|', "\\|");
            let _ = writeln!(text, "| `{line}` | {} | {} |", cell(&one.kubectl), cell(&one.fwd));
        }
    }
    text.push_str("\n## What is compared\n\n| | rows | of these on this page |\n|---|---|---|\n");
    for group in rows::groups() {
        let differing = group.rows.iter().filter(|row| row.difference.is_some()).count();
        let _ = writeln!(text, "| {} | {} | {differing} |", group.title, group.rows.len());
    }
    text
}

/// An outcome as the cell of a table.
fn cell(outcome: &Outcome) -> String {
    outcome.to_string().replace('|', "\\|")
}
