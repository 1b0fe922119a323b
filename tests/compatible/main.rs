//! `kubectl fwd` beside `kubectl port-forward`: both with the same arguments on the same cluster, and what comes of it compared
//! row by row. `rows.rs` has the rows.
//!
//! Compared are stdout, the addresses that the process listens on, the exit status, and whether anything is said on stderr.
//! What differs on purpose is in docs/KUBECTL.md, each difference with its reason; that document is what this test writes.

// Processes are ended by signals, and rows listen on 127.0.0.2, which other systems do not have without being told.
#![cfg(target_os = "linux")]

mod differences;
mod document;
mod lane;
mod outcome;
mod rows;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;
use sandbox::support::kubectl;
use sandbox::support::{Failure, Test};
use tokio::task::JoinSet;

use self::{document::Compared, lane::Lane, rows::Row};

/// How many rows are run at a time, each with both programs one after the other. They are mostly short processes, and the
/// clusters that they run against share one thread.
const LANES: u16 = 3;

/// The document that is compared with what this run found.
const DOCUMENT: &str = "docs/KUBECTL.md";

/// Set, it lets the document be written.
const WRITE: &str = "FWD_WRITE_DOCS";

/// The minor version of the oldest kubectl that does all of this. Older ones also warn of a kubeconfig that is not there.
const OLDEST: u32 = 28;

/// The newest kubectl that is there, unless that is too old.
fn kubectl() -> Result<Option<PathBuf>, Failure> {
    let Some(newest) = kubectl::newest() else { return Ok(None) };
    let minor = minor_version(&newest)?;
    if minor < OLDEST {
        skip(&format!("kubectl 1.{minor} is older than 1.{OLDEST}"));
        return Ok(None);
    }
    Ok(Some(newest))
}

/// The `33` of kubectl 1.33.
fn minor_version(kubectl: &Path) -> Result<u32, Failure> {
    let said = Command::new(kubectl).args(["version", "--client", "--output", "json"]).output()?;
    let version: serde_json::Value = serde_json::from_slice(&said.stdout)?;
    let minor = version["clientVersion"]["minor"].as_str().ok_or("kubectl tells no minor version")?;
    // Some builds put a sign behind the number.
    Ok(minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse()?)
}

/// Says so past the test runner, which swallows what `eprintln` prints where a test passes.
fn skip(why: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED: {why}\n").as_bytes());
}

#[tokio::test]
async fn with_the_same_arguments() -> Test {
    let Some(kubectl) = kubectl()? else { return Ok(()) };
    if TcpListener::bind("[::1]:0").is_err() {
        skip("this machine has no IPv6");
        return Ok(());
    }
    let rows: Vec<(usize, &'static Row)> = rows::all().enumerate().collect();
    let queue = Arc::new(Mutex::new(VecDeque::from(rows)));
    let mut lanes = JoinSet::new();
    for number in 0..LANES {
        let lane = Lane::start(number, kubectl.clone()).await?;
        let queue = queue.clone();
        lanes.spawn(async move {
            let mut done = Vec::new();
            loop {
                let Some((index, row)) = queue.lock().pop_front() else { return done };
                done.push((index, row, lane.both(row).await));
            }
        });
    }
    let mut done = lanes.join_all().await.concat();
    done.sort_by_key(|(index, ..)| *index);

    let (mut compared, mut wrong) = (Vec::new(), String::new());
    for (_, row, outcomes) in done {
        match outcomes {
            Ok((kubectl, fwd)) => {
                let one = Compared { row, kubectl, fwd };
                if let Some(why) = one.wrong() {
                    let _ = writeln!(
                        wrong,
                        "{}\n  {why}\n  kubectl: {}\n  fwd:     {}",
                        row.line,
                        one.kubectl.full(),
                        one.fwd.full()
                    );
                }
                compared.push(one);
            }
            Err(failure) => {
                let _ = writeln!(wrong, "{}\n  {failure}", row.line);
            }
        }
    }
    assert!(wrong.is_empty(), "of {} rows:\n{wrong}", rows::all().count());

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = document::of(&compared);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &document)?;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == document,
        "{DOCUMENT} is not what the two programs do now; {WRITE}=1 cargo test --test compatible writes it"
    );
    Ok(())
}
