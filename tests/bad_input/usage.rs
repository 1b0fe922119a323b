//! Words that mean nothing: no cluster is asked.

use std::path::Path;

use crate::check::{PROGRAM, check};

/// Whoever reads it has gone too far.
const UNREAD: &str = "/no/such/kubeconfig";

#[tokio::test]
async fn ports() {
    check(
        Path::new(UNREAD),
        &[
            ("svc/api 0", &["'0' is not a port", "1 to 65535", ":PORT"]),
            ("svc/api 65536", &["'65536' is not a port", "1 to 65535"]),
            ("svc/api -1", &["'-1' is not a port", "1 to 65535"]),
            ("svc/api 8080:0", &["'0' in '8080:0' is not a port"]),
            ("svc/api 70000:80", &["'70000' in '70000:80' is not a port"]),
            ("svc/api abc:80", &["'abc' in 'abc:80' is not a local port", "unix:PATH"]),
            ("svc/api 1:2:3:4", &["'1:2:3:4' has too many parts", "8080:80"]),
            ("svc/api ''", &["a port is empty", "8080:80"]),
            ("svc/api :", &["':' has no remote port"]),
            ("svc/api 80:", &["'80:' has no remote port"]),
            ("svc/api ::", &["has no remote port"]),
            ("svc/api my_pod", &["'my_pod'", "pod/my_pod"]),
            ("svc/api unix:/tmp/x", &["unix:/tmp/x", "no remote port"]),
            ("svc/api example.org:8080:80", &["'example.org' is not a valid IP", "[::1]:8080:80"]),
            ("svc/api 80 --address example.org", &["'example.org' is not a valid IP", "--address localhost"]),
            (
                "svc/api 8080:80 8080:9000",
                &["local port 8080 is wanted twice", "svc/api asks for it twice", ":80"],
            ),
            (
                "svc/api 80 svc/web 80",
                &["local port 80 is wanted twice", "both svc/api and svc/web", "8081:80"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn targets() {
    check(
        Path::new(UNREAD),
        &[
            ("cronjob/x 80", &["'cronjob'", "the types are pod, svc, deploy", "-l"]),
            ("node/x 80", &["'node'", "the types are"]),
            ("scv/api 80", &["'scv'", "did you mean 'svc'?"]),
            ("svc/ 80", &["'svc/'", "TYPE/NAME"]),
            ("a/svc/b/c 80", &["a/svc/b/c", "NAMESPACE/TYPE/NAME"]),
            ("svc/api:80", &["'api:80' cannot be a name", "svc/api 80"]),
            ("svc/../secrets 80", &["'..'", "the types are"]),
            ("-l '' 80", &["the label selector is empty", "-l app=web"]),
            ("svc/api 80 -n a/b", &["'a/b' cannot be a namespace"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn flags_and_arguments() {
    check(
        Path::new(UNREAD),
        &[
            ("", &["TYPE/NAME and list of ports are required", "kubectl fwd svc/api 8080:80", "--help"]),
            ("svc/api", &["no port is given for svc/api", "kubectl fwd svc/api 8080:80"]),
            ("8080:80", &["no target", "kubectl fwd svc/api 8080:80"]),
            ("--port 80", &["no target"]),
            ("svc/api 80 --contxt x", &["unknown flag '--contxt'", "did you mean '--context'?"]),
            ("svc/api 80 --bogus", &["unknown flag '--bogus'", "--help"]),
            ("svc/api 80 -Z", &["unknown flag '-Z'", "--help"]),
            ("svc/api 80 -n", &["--namespace needs a value"]),
            ("svc/api 80 --context --user x", &["--context needs a value", "--context=--user"]),
            ("svc/api 80 --auto-port=maybe", &["--auto-port takes true or false", "maybe"]),
            ("svc/api 80 --hold 30", &["'30'", "--hold", "the unit is missing", "--hold 30s"]),
            ("svc/api 80 --hold soon", &["'soon'", "--hold", "30s"]),
            ("svc/api 80 --hold=-1s", &["'-1s'", "--hold", "negative"]),
            ("svc/api 80 --request-timeout soon", &["'soon'", "--request-timeout", "30s"]),
            (
                "svc/api 80 --pod-running-timeout 0",
                &["'0'", "--pod-running-timeout", "more than zero", "1m30s"],
            ),
            ("svc/api 80 --color sometimes", &["--color", "'sometimes'", "auto, always or never"]),
            ("svc/api 80 -v loud", &["-v", "'loud'", "9 everything"]),
            ("version extra", &["unexpected argument 'extra'", "--help"]),
            ("version -o toml", &["invalid value 'toml' for --output", "json or yaml"]),
            ("completion", &["which one? bash, zsh", "kubectl fwd completion"]),
            ("completion tcsh", &["'tcsh'", "bash, zsh, fish or powershell"]),
            ("logs", &["which forward?", "usage: kubectl fwd logs"]),
            ("list --auto-port", &["has no flag --auto-port", "kubectl fwd list --help"]),
        ],
    )
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn words_that_are_no_text() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use crate::check::{check_one, fwd};

    let mut command = fwd(Path::new(UNREAD), "svc/api");
    command.arg(OsStr::from_bytes(b"8080:\xff"));
    check_one(command, &["an argument is not valid UTF-8", "8080:", "quoting"]).await;
}

/// With hardly a file left to open it ends with an error, whatever it was about to open.
#[cfg(unix)]
#[tokio::test]
async fn a_limit_of_open_files_that_is_too_low() {
    let mut first = None;
    for limit in 5..16 {
        let script = format!("ulimit -n {limit}; exec '{PROGRAM}' --server http://127.0.0.1:1 svc/api :80");
        let mut shell = tokio::process::Command::new("sh");
        let output = shell.args(["-c", &script]).env("KUBECONFIG", "/dev/null").output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).to_ascii_lowercase();
        // With fewer than a dynamic loader needs nothing of the program has run.
        if output.status.code() != Some(127) {
            assert_eq!(output.status.code(), Some(1), "{limit}: {said}");
            assert!(!said.contains("panicked") && !said.contains("os error"), "{limit}: {said}");
            first.get_or_insert(said);
        }
    }
    assert!(first.unwrap().contains("cannot start the asynchronous runtime\n  because: too many open files"));
}
