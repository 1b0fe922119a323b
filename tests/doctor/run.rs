//! One run of the doctor, and what is true of each.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use sandbox::support::forward::{Ended, isolated_command, program};
use sandbox::{Options, Sandbox, User};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// How long a diagnosis may take: the longest waits 10 s for a server that says nothing, twice.
const PATIENCE: Duration = Duration::from_secs(60);

/// What no diagnosis may show.
const NEVER: [&str; 9] =
    ["os error", "panicked", "Err(", "Error(", "Some(", "hyper", "token-of-", "s3cret", "\u{1b}"];

/// What a run has found.
pub(crate) struct Diagnosis {
    pub all: Value,
}

/// A default sandbox.
pub(crate) async fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).await.unwrap()
}

/// A sandbox where `someone` may do just this, told as verbs and resources.
pub(crate) async fn sandbox_with(rights: &[(&str, &str)]) -> Sandbox {
    let user = rights.iter().fold(User::new("someone"), |user, (verbs, what)| user.may(verbs, what));
    Sandbox::start(Options { users: vec![user], ..Options::default() }).await.unwrap()
}

/// The doctor with these words, in surroundings that hold this kubeconfig, and this program on the PATH.
pub(crate) fn doctor(kubeconfig: &Path, line: &str) -> Command {
    let words: Vec<&str> = ["doctor"].into_iter().chain(line.split_whitespace()).collect();
    let mut command = isolated_command(program(PROGRAM), kubeconfig, &words);
    command.env("LC_ALL", "C.UTF-8").env("PATH", path());
    command
}

/// The PATH with the program in front.
pub(crate) fn path() -> OsString {
    let folder = program(PROGRAM).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&others))).unwrap()
}

/// Runs a command to its end, which comes.
pub(crate) async fn run(mut command: Command) -> Ended {
    let output = timeout(PATIENCE, command.output()).await.expect("the doctor hangs").unwrap();
    let ended = Ended::try_from(output).unwrap();
    for word in NEVER {
        assert!(!ended.stdout.contains(word) && !ended.stderr.contains(word), "{word}: {ended:?}");
    }
    ended
}

/// What the doctor finds, as JSON.
pub(crate) async fn examine(kubeconfig: &Path, line: &str) -> Diagnosis {
    examine_with(doctor(kubeconfig, line)).await
}

/// The same for a command that was made ready.
pub(crate) async fn examine_with(mut command: Command) -> Diagnosis {
    command.args(["-o", "json"]);
    let ended = run(command).await;
    let all: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("no JSON: {ended:?}"));
    let diagnosis = Diagnosis { all };
    let failed = diagnosis.with("failed");
    assert_eq!(ended.code, Some(i32::from(!failed.is_empty())), "{}", diagnosis.all);
    assert_eq!(diagnosis.all["ok"], failed.is_empty());
    for check in diagnosis.checks() {
        let advised = check["advice"].is_string();
        assert!(advised || check["status"] != "failed", "it does not say what to do: {check}");
        assert!(check["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{check}");
    }
    diagnosis
}

impl Diagnosis {
    pub(crate) fn checks(&self) -> impl Iterator<Item = &Value> {
        self.all["checks"].as_array().into_iter().flatten()
    }

    /// The names of the checks that came out so.
    pub(crate) fn with(&self, status: &str) -> Vec<&str> {
        self.checks()
            .filter(|check| check["status"] == status)
            .filter_map(|check| check["name"].as_str())
            .collect()
    }

    /// One check came out so, and says all of these words in its detail or its advice.
    #[track_caller]
    pub(crate) fn says(&self, name: &str, status: &str, words: &[&str]) {
        let check = self.checks().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("there is no check {name}: {:#}", self.all));
        assert_eq!(check["status"], status, "{check:#}");
        let text =
            format!("{}\n{}", check["detail"].as_str().unwrap(), check["advice"].as_str().unwrap_or(""));
        for word in words {
            assert!(text.contains(word), "no {word:?} in {check:#}");
        }
    }

    /// These checks failed and no others.
    #[track_caller]
    pub(crate) fn fails(&self, names: &[&str]) {
        assert_eq!(self.with("failed"), names, "{:#}", self.all);
    }
}
