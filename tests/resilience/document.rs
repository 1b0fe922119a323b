//! docs/RESILIENCE.md.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use sandbox::support::Failure;

use crate::GROUPS;
use crate::row::{Long, Row};
use crate::run::{self, KubectlOutcome, Outcome};

/// A row, and what came of it.
pub(crate) struct Measured {
    row: &'static Row,
    fwd: Outcome,
    kubectl: Option<KubectlOutcome>,
}

impl Measured {
    /// Runs a row, and with a kubectl, that too.
    pub(crate) async fn of(row: &'static Row, kubectl: Option<&Path>) -> Result<Self, Failure> {
        let fwd = run::run(row).await?;
        let kubectl = match kubectl {
            Some(kubectl) => Some(run::run_kubectl(row, kubectl).await?),
            None => None,
        };
        Ok(Self { row, fwd, kubectl })
    }
}

const HEAD: &str = "\
# Failures, and what is seen of them

A test writes this page: `FWD_WRITE_RESILIENCE=1 cargo test --test resilience`. Each row is a failure that is brought about on the
sandbox (DESIGN.md §5) while a forward is at work: two clients make requests without pause, each on a connection of its own, and one
connection stays open and sends bytes to and fro, all of which are compared. No byte was wrong in any row, the forward was active
again by itself in each, and its process went on. Every run of the tests holds these rows to what they say, but for the times, which
are those of the machine that wrote this page.

*Time to recovery* is that from the failure, or from the moment when recovery is possible (a new pod is ready, the server listens
again), to the first right answer. Requests that took longer than half a second are *late*. *Lost* are those that were refused or
reset; *the open connection* is the one that was there before. Pods are called A, B and C in the order in which they appear. The last
column is `kubectl port-forward` under the same failure, with up to 20 s to answer again.
";

/// The document for these rows.
pub(crate) fn of(measured: &[Measured]) -> String {
    let mut text = HEAD.to_owned();
    for group in GROUPS {
        let _ = writeln!(text, "\n## {}\n", group.title);
        text.push_str(
            "| failure | time to recovery | what clients saw | what the terminal says | kubectl port-forward |\n",
        );
        text.push_str("|---|---|---|---|---|\n");
        let here = |one: &&Measured| group.rows.iter().any(|row| std::ptr::eq(row, one.row));
        for one in measured.iter().filter(here) {
            let kubectl = one.kubectl.as_ref().map_or_else(|| "not measured".to_owned(), kubectl);
            let (row, fwd) = (one.row, &one.fwd);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {kubectl} |",
                row.name,
                time(fwd.recovery),
                clients(fwd),
                lines(&fwd.said)
            );
        }
    }
    text
}

/// The first column of the rows of a document.
pub(crate) fn names(document: &str) -> impl Iterator<Item = &str> {
    let cells = document.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.filter(|cell| *cell != "failure")
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "—".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

fn clients(fwd: &Outcome) -> String {
    let seen = &fwd.seen;
    let mut all = Vec::new();
    if seen.late > 0 {
        all.push(format!("{} late, by {:.1} s at most", seen.late, seen.latest.as_secs_f64()));
    }
    for (count, what) in [(seen.refused, "refused"), (seen.reset, "reset")] {
        if count > 0 {
            all.push(format!("{count} {what}"));
        }
    }
    if seen.lost() == 0 {
        all.push("none lost".to_owned());
    }
    let long = match fwd.long {
        Long::Whole => "goes on",
        Long::Closed => "was closed by the application",
        Long::Reset => "was reset",
        Long::Cut => "was closed in the midst of an answer",
    };
    format!("{}; the open connection {long}", all.join(", "))
}

fn lines(said: &[String]) -> String {
    if said.is_empty() {
        return "nothing".to_owned();
    }
    let lines: Vec<String> = said.iter().map(|line| code(line)).collect();
    lines.join("<br>")
}

fn kubectl(kubectl: &KubectlOutcome) -> String {
    let said = kubectl.last.as_ref().map(|line| format!(": {}", code(line))).unwrap_or_default();
    match (kubectl.recovery, kubectl.exit) {
        (_, Some(code)) => format!("exits with {code}{said}"),
        (Some(took), None) => {
            let lost = kubectl.seen.lost();
            let lost = if lost == 0 { "none lost".to_owned() } else { format!("{lost} lost") };
            format!("answers after {:.2} s, {lost}", took.as_secs_f64())
        }
        (None, None) if kubectl.answers => "stays with the old pod".to_owned(),
        (None, None) => format!("runs on and answers nothing{said}"),
    }
}

/// A line as code in a table.
fn code(line: &str) -> String {
    format!("`{}`", line.replace('|', "\\|").replace('`', "'"))
}
