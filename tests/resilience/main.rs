//! Every failure in turn: what is done to the cluster, what its clients see, what the terminal and the events say, and that the
//! forward recovers by itself.
//!
//! A row is one failure, see [`row`]; each file of rows is about one part of a cluster. Each runs on a cluster of its own, under
//! requests and beside a connection that stays open. `FWD_ROW=evicted cargo test --test resilience` runs those whose name has
//! that word.
//!
//! docs/RESILIENCE.md is written from a run of all of them, beside the same failures under `kubectl port-forward`.

// Processes are ended by signals, and their events come over Unix sockets.
#![cfg(unix)]
#![allow(clippy::unused_async, reason = "what a row does is async, whether or not it waits for anything")]

mod clients;
mod credentials;
mod document;
mod network;
mod pods;
mod row;
mod run;
mod scene;
mod server;
mod words;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use sandbox::support::Test;
use tokio::task::JoinSet;

use self::document::Measured;
use self::row::{Group, Row};

/// How many rows run at a time. They mostly wait, for a pod or for a silence to last; each has a cluster and its clients, and
/// machines of the continuous integration have two cores.
const LANES: usize = 6;

/// The same where times are measured: a row should not wait for another's work.
const MEASURING_LANES: usize = 2;

/// Set, the document is written.
const WRITE: &str = "FWD_WRITE_RESILIENCE";

/// Runs only the rows with this in their name.
const ONLY: &str = "FWD_ROW";

const DOCUMENT: &str = "docs/RESILIENCE.md";

/// All rows, by what fails.
static GROUPS: &[Group] = &[
    Group { title: "Pods, workloads and services", rows: pods::ROWS },
    Group { title: "The API server", rows: server::ROWS },
    Group { title: "Node, network and machine", rows: network::ROWS },
    Group { title: "Credentials", rows: credentials::ROWS },
];

fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|group| group.rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_is_recovered_from() -> Test {
    let writes = std::env::var_os(WRITE).is_some();
    let only = std::env::var(ONLY).unwrap_or_default();
    let kubectl = if writes { sandbox::support::kubectl::newest() } else { None };
    let queue: VecDeque<_> = rows().enumerate().filter(|(_, row)| row.name.contains(&only)).collect();
    let (count, queue) = (queue.len(), Arc::new(Mutex::new(queue)));
    let mut lanes = JoinSet::new();
    for _ in 0..if writes { MEASURING_LANES } else { LANES } {
        let (queue, kubectl) = (queue.clone(), kubectl.clone());
        lanes.spawn(async move {
            let mut done = Vec::new();
            loop {
                let Some((index, row)) = queue.lock().pop_front() else { return done };
                done.push((index, row, Measured::of(row, kubectl.as_deref()).await));
            }
        });
    }
    let mut done = lanes.join_all().await.into_iter().flatten().collect::<Vec<_>>();
    done.sort_by_key(|(index, ..)| *index);
    let (mut measured, mut wrong) = (Vec::new(), String::new());
    for (_, row, outcome) in done {
        match outcome {
            Ok(one) => measured.push(one),
            Err(failure) => {
                let _ = writeln!(wrong, "\n== {}\n{failure}", row.name);
            }
        }
    }
    assert!(wrong.is_empty(), "of {count} rows:\n{wrong}");
    if writes && only.is_empty() {
        std::fs::write(document(), document::of(&measured))?;
    }
    Ok(())
}

/// Times are those of the machine that wrote it, and are not compared.
#[test]
fn the_document_has_these_rows() -> Test {
    if std::env::var_os(WRITE).is_some() {
        return Ok(());
    }
    let written = std::fs::read_to_string(document())?;
    let written: Vec<&str> = document::names(&written).collect();
    let here: Vec<&str> = rows().map(|row| row.name).collect();
    assert_eq!(written, here, "{WRITE}=1 cargo test --test resilience writes {DOCUMENT}");
    Ok(())
}

fn document() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT)
}
