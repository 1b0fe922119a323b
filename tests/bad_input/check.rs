//! Rows, and the one way in which each is run and judged.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use sandbox::support::forward::isolated_command;
use sandbox::{Options, Sandbox};
use tokio::process::Command;
use tokio::time::timeout;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// How long a command that is to fail may take: the slowest waits 10 s for a server that says nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What no error may show: escape codes, Rust's own forms of things, the names of libraries, secrets.
const NEVER: [&str; 14] = [
    "\u{1b}",
    "Os {",
    "os error",
    "panicked",
    "RUST_BACKTRACE",
    "Err(",
    "Error(",
    "Some(",
    "Name(",
    "kube::",
    "hyper",
    "rustls",
    "token-of-",
    "s3cret",
];

/// A command line (`''` is an empty word), and the words that its error has to hold.
pub(crate) type Row<'a> = (&'a str, &'a [&'a str]);

/// A default sandbox.
pub(crate) async fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).await.unwrap()
}

/// The program with these words, in surroundings that hold nothing but this kubeconfig.
pub(crate) fn fwd(kubeconfig: &Path, line: &str) -> Command {
    let words: Vec<&str> = line
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| if word == "''" { "" } else { word })
        .collect();
    isolated_command(Path::new(PROGRAM), kubeconfig, &words)
}

/// Runs every row, and tells about all that are not as they should be.
pub(crate) async fn check(kubeconfig: &Path, rows: &[Row<'_>]) {
    let mut complaints = String::new();
    for (line, words) in rows {
        if let Err(complaint) = judge(fwd(kubeconfig, line), words).await {
            let _ = writeln!(complaints, "kubectl-fwd {line}\n{complaint}");
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Runs one command that is to fail.
pub(crate) async fn check_one(command: Command, words: &[&str]) {
    judge(command, words).await.unwrap_or_else(|complaint| panic!("\n{complaint}"));
}

async fn judge(mut command: Command, words: &[&str]) -> Result<(), String> {
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| format!("  did not end within {PATIENCE:?}"))?.unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    let mut wrong = Vec::new();
    if output.status.code() != Some(1) {
        wrong.push(format!("ended with {}", output.status));
    }
    if !stdout.is_empty() {
        wrong.push(format!("stdout: {stdout}"));
    }
    if stderr.matches("error: ").count() != 1 {
        wrong.push("not one error".to_owned());
    }
    if !stderr.contains("\n  help: ") {
        wrong.push("does not say what to do".to_owned());
    }
    if stderr.lines().any(|line| line != line.trim_end() || line.is_empty()) {
        wrong.push("blanks at a line's end".to_owned());
    }
    wrong.extend(words.iter().filter(|word| !stderr.contains(**word)).map(|word| format!("no {word:?}")));
    wrong.extend(NEVER.iter().filter(|word| stderr.contains(**word)).map(|word| format!("has {word:?}")));
    if wrong.is_empty() { Ok(()) } else { Err(format!("  {}\n{stderr}", wrong.join("\n  "))) }
}
