//! One run of the doctor, and what is true of each.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::support::forward::{Ended, command, program};
use sandbox::{Options, Sandbox, User};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-fwd");

/// How long a diagnosis may take: the longest waits 10 s for a server that says nothing, twice.
const PATIENCE: Duration = Duration::from_secs(60);

/// What no diagnosis may show.
const NEVER: [&str; 9] =
    ["os error", "panicked", "Err(", "Error(", "Some(", "hyper", "token-of-", "s3cret", "\u{1b}"];

/// The variables that would lead the program astray.
const STRANGERS: [&str; 9] = [
    "KUBERNETES_SERVICE_HOST",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "NO_COLOR",
    "TERM",
];

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
    let mut command = command(program(PROGRAM), kubeconfig, &words);
    for name in STRANGERS {
        command.env_remove(name);
    }
    command
        .env("HOME", kubeconfig.parent().unwrap())
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", path())
        .kill_on_drop(true);
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

/// Writes a kubeconfig beside the sandbox's own: this cluster, this user.
pub(crate) fn kubeconfig(sandbox: &Sandbox, name: &str, cluster: &Value, user: &Value) -> PathBuf {
    let path = sandbox.directory().join(name);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{ "name": "there", "cluster": cluster }],
        "users": [{ "name": "me", "user": user }],
        "contexts": [{ "name": "here", "context": { "cluster": "there", "user": "me" } }],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// The cluster entry that leads to the sandbox.
pub(crate) fn cluster_of(sandbox: &Sandbox) -> Value {
    json!({ "server": sandbox.url(), "certificate-authority-data": base64(sandbox.ca_pem()) })
}

/// A kubeconfig for another server, whose certificate is not known.
pub(crate) fn for_server(sandbox: &Sandbox, name: &str, server: &str) -> PathBuf {
    kubeconfig(sandbox, name, &json!({ "server": server }), &json!({ "token": "s3cret" }))
}

/// As the `-data` fields of a kubeconfig have it.
pub(crate) fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

/// An address where nothing listens.
pub(crate) async fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

/// A server that reads something and then says this, to everyone. `None` never says a word.
pub(crate) async fn says(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(answer) = answer else {
                silent.push(stream);
                continue;
            };
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address.to_string()
}
