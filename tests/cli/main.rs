//! The built binary, as a shell sees it: what it prints where, and how it exits. No cluster is needed.

mod reference;

use std::process::{Command, Output, Stdio};

fn program() -> &'static std::path::Path {
    sandbox::support::forward::program(env!("CARGO_BIN_EXE_kubectl-fwd"))
}

/// Runs it with these words; of the variables that decide about colour it sees only these.
fn fwd_with(line: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    for name in ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM"] {
        command.env_remove(name);
    }
    command
        .args(line.split_whitespace())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn fwd(line: &str) -> Output {
    fwd_with(line, &[])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn help_goes_to_stdout() {
    let (whole, short) = (text(&fwd("--help").stdout), text(&fwd("-h").stdout));
    let expected = &whole;
    for (line, expected) in [
        ("help", &whole),
        ("svc/api 8080:80 --help", &whole),
        ("-h --help", &whole),
        ("svc/api 8080:80 -h", &short),
        ("--bogus -h", &short),
    ] {
        let output = fwd(line);
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_eq!(&text(&output.stdout), expected, "{line}");
        assert_eq!(text(&output.stderr), "", "{line}");
    }
    assert!(short.lines().count() < whole.lines().count() / 2 && short.contains("'kubectl fwd --help'"));
    assert!(expected.contains("kubectl fwd svc/api 8080:80"));
    assert!(expected.lines().all(|line| line.chars().count() <= 80));
    for line in ["version --help", "help version", "version -h"] {
        assert!(text(&fwd(line).stdout).contains("kubectl fwd version"), "{line}");
    }
}

#[test]
fn the_version() {
    for line in ["version", "--version", "-V", "-n x version", "version --context y"] {
        let output = fwd(line);
        assert_eq!(output.status.code(), Some(0), "{line}");
        let expected = concat!("kubectl-fwd ", env!("CARGO_PKG_VERSION"), " (");
        assert!(text(&output.stdout).starts_with(expected), "{line}");
    }
}

#[test]
fn usage_errors_are_a_few_plain_lines() {
    for (line, expected) in [
        (
            "",
            "error: TYPE/NAME and list of ports are required for forwarding\n  help: for example: kubectl fwd svc/api \
             8080:80\n    run 'kubectl fwd --help' for more\n",
        ),
        ("--contxt x", "error: unknown flag '--contxt'\n  help: did you mean '--context'?\n"),
        ("svc/api 80 -n", "error: --namespace needs a value: NAME\n  help: write --namespace NAME\n"),
        (
            "svc/api",
            "error: no port is given for svc/api\n  help: add its ports: kubectl fwd svc/api 8080:80\n",
        ),
        (
            "scv/api 80",
            "error: 'scv' is not a type of object that can be forwarded to\n  help: did you mean 'svc'?\n",
        ),
        (
            "svc/api 80 --hold=-1s",
            "error: invalid value '-1s' for --hold\n  because: it is negative\n  help: for example --hold 30s, or --hold \
             1m30s\n",
        ),
        (
            "svc/a 80 pod/b 80",
            "error: local port 80 is wanted twice\n  because: both svc/a and pod/b ask for it\n  help: give one of \
             them another local port, as in 8081:80, or any free one, as in :80\n",
        ),
        (
            "version extra",
            "error: unexpected argument 'extra'\n  help: run 'kubectl fwd version --help' to see how it is used\n",
        ),
        (
            "logs",
            "error: which forward?\n  help: usage: kubectl fwd logs [FLAGS] FORWARD (its id, name, local port or target)\n",
        ),
        (
            "lst",
            "error: no port is given for pod/lst\n  help: did you mean 'kubectl fwd list'? To forward, add its ports: \
             kubectl fwd pod/lst 8080:80\n",
        ),
    ] {
        let output = fwd(line);
        assert_eq!(text(&output.stderr), expected, "{line}");
        assert_eq!(text(&output.stdout), "", "{line}");
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
}

#[test]
fn colour_only_where_it_is_wanted() {
    let colored =
        |line: &str, variables: &[(&str, &str)]| text(&fwd_with(line, variables).stderr).contains('\u{1b}');
    assert!(!colored("--bogus", &[("TERM", "xterm-256color")]));
    assert!(colored("--bogus", &[("CLICOLOR_FORCE", "1")]));
    assert!(colored("--bogus", &[("FORCE_COLOR", "1")]));
    assert!(!colored("--bogus", &[("FORCE_COLOR", "0")]));
    assert!(!colored("--bogus", &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]));
    assert!(colored("--bogus", &[("FORCE_COLOR", "1"), ("NO_COLOR", "")]));
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let output = Command::new(program())
        .arg(std::ffi::OsStr::from_bytes(b"svc/\xff"))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: an argument is not valid UTF-8"));
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(program())
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_in_words() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = Command::new(program()).arg("--version").stdout(full).output().expect("the binary runs");
    let said = text(&output.stderr);
    assert!(said.starts_with("error: cannot write to stdout\n  because: "), "{said}");
    assert!(!said.contains("os error"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
