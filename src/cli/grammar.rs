//! Which words are targets and which are ports.
//!
//! ```text
//! TARGET PORT... [TARGET PORT...]...
//! ```
//!
//! A word is read by its looks, then by its place, and never by asking the cluster:
//!
//! 1. One with a `/`, unless it begins with `unix:`, is a target.
//! 2. One with a `:`, and one that is a number, is a port.
//! 3. Any other is a bare name. Where no target was named yet, it is a pod; behind a target it is the name of a port.
//!
//! So a second pod is written `pod/NAME`, and `svc/api http` forwards the port named `http`. A port belongs to the
//! target before it; one typed before any target (`--port 80 svc/api`, `8080 -l app=web`) belongs to the only one.
//! `-l SELECTOR` is a target and `--port PORT` is a port, wherever they stand.

use argh::ArgsInfo as _;

use super::subcommands::Subcommand;
use crate::{
    error::Fatal,
    forward::ForwardRequest,
    input::{
        port::bad_port,
        target::{self as input, ANY_POD},
    },
    model::{
        ports::{PortError, PortSpec},
        target::{Kind, Target, TargetRef},
    },
    policy::nearest::nearest,
};

/// One thing that was typed, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgToken<'a> {
    /// A word that is no flag.
    Word(&'a str),
    /// The value of `--port`.
    Port(&'a str),
    /// The value of `--selector`.
    Selector(&'a str),
}

/// The code of the error that there is neither a target nor a port.
pub(super) const MISSING: &str = "fwd::usage::missing_arguments";

const EXAMPLE: &str = "for example: kubectl fwd svc/api 8080:80";

/// Reads targets and their ports.
pub fn requests(tokens: &[ArgToken<'_>]) -> Result<Vec<ForwardRequest>, Fatal> {
    let mut requests: Vec<ForwardRequest> = Vec::new();
    let mut early: Vec<PortSpec> = Vec::new();
    for token in tokens {
        match *token {
            ArgToken::Selector(text) => {
                requests.push(ForwardRequest { target: selector(text)?, ports: Vec::new() });
            }
            ArgToken::Word(text) if is_target(text, !requests.is_empty()) => {
                requests.push(ForwardRequest { target: target(text)?, ports: Vec::new() });
            }
            ArgToken::Word(text) | ArgToken::Port(text) => {
                let port = port(text)?;
                requests.last_mut().map_or(&mut early, |request| &mut request.ports).push(port);
            }
        }
    }
    match requests.as_mut_slice() {
        [] if early.is_empty() => {
            return Err(Fatal::new(MISSING, "TYPE/NAME and list of ports are required for forwarding")
                .help(format!("{EXAMPLE}\nrun 'kubectl fwd --help' for more")));
        }
        [] => {
            let ports = words(&early);
            return Err(Fatal::new("fwd::usage::no_target", format!("no target is given for {ports}"))
                .help(format!("name the target first, for example: kubectl fwd svc/api {ports}")));
        }
        [only] => only.ports.splice(0..0, early).for_each(drop),
        _ if early.is_empty() => {}
        [first, ..] => {
            let (first, ports) = (&first.target, words(&early));
            return Err(Fatal::new(
                "fwd::usage::no_target",
                format!("{ports} stands before the first of several targets"),
            )
            .help(format!("write ports after their target: {first} {ports}")));
        }
    }
    match requests.iter().find(|request| request.ports.is_empty()) {
        None => Ok(requests),
        Some(ForwardRequest { target, .. }) => {
            let fatal = Fatal::new("fwd::usage::no_ports", format!("no port is given for {target}"));
            let ports = format!("add its ports: kubectl fwd {target} 8080:80");
            Err(match command_like(target) {
                Some(command) => {
                    fatal.help(format!("did you mean 'kubectl fwd {command}'? To forward, {ports}"))
                }
                None => fatal.help(ports),
            })
        }
    }
}

/// Reads one target and its ports, of which there may be none; `None` where nothing was typed. A port may also stand behind a
/// colon, as `list` shows it: `svc/api:http`.
pub fn examined(selected: Option<&str>, words: &[String]) -> Result<Option<(Target, Vec<PortSpec>)>, Fatal> {
    let mut words = words.iter().map(String::as_str);
    let mut ports = Vec::new();
    let subject = match (selected, words.next()) {
        (None, None) => return Ok(None),
        (Some(labels), first) => {
            ports.extend(first);
            selector(labels)?
        }
        (None, Some(word)) => {
            let (name, behind) = match word.split_once(':') {
                Some((name, behind)) if name.contains('/') => (name, Some(behind)),
                _ => (word, None),
            };
            if !is_target(name, false) {
                return Err(Fatal::new(
                    "fwd::usage::no_target",
                    format!("'{word}' is a port without a target"),
                )
                .help("name the target first, for example: kubectl fwd doctor svc/api 8080:80"));
            }
            ports.extend(behind);
            target(name)?
        }
    };
    let read = ports.into_iter().chain(words).map(|word| {
        if word.contains('/') && !word.contains("unix:") {
            return Err(Fatal::new("fwd::usage::arguments", format!("'{word}' is a second target"))
                .help("the doctor looks at one target at a time"));
        }
        port(word)
    });
    let ports = read.collect::<Result<Vec<_>, _>>()?;
    Ok(Some((subject, ports)))
}

/// Ports as they were typed.
fn words(ports: &[PortSpec]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The command that was probably meant by a word that was read as a pod.
fn command_like(target: &Target) -> Option<&'static str> {
    match target {
        Target { namespace: None, subject: TargetRef::Object(Kind::Pod, name) } => {
            nearest(name, Subcommand::get_subcommands().into_iter().map(|command| command.name))
        }
        _ => None,
    }
}

/// The rules of the module's doc: whether a word is a target, behind another one or not.
pub fn is_target(word: &str, behind_target: bool) -> bool {
    if word.starts_with("unix:") {
        false
    } else if word.contains('/') {
        true
    } else {
        let number = word.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
        !behind_target && !number && !word.contains(':')
    }
}

/// Reads one target, and says what to type instead of what is none.
fn target(text: &str) -> Result<Target, Fatal> {
    input::target(text).map_err(|fatal| match (fatal.code(), text.split_once(':')) {
        ("fwd::usage::bad_name", Some((target, port))) if text.contains('/') => {
            fatal.help(format!("put a space before the port: {target} {port}"))
        }
        _ => match fatal.advice().filter(|advice| advice.ends_with(ANY_POD)) {
            Some(advice) => {
                let help = format!("{advice}: kubectl fwd -l app=web 8080");
                fatal.help(help)
            }
            None => fatal,
        },
    })
}

/// Reads the value of `-l`.
fn selector(text: &str) -> Result<Target, Fatal> {
    input::selector(text).map_err(|fatal| fatal.help("for example: kubectl fwd -l app=web 8080"))
}

fn port(text: &str) -> Result<PortSpec, Fatal> {
    PortSpec::parse(text).map_err(|error| {
        let fatal = bad_port(text, &error);
        match &error {
            PortError::BadRemote { .. } if !text.contains(':') => fatal.help(format!(
                "after a target, a word is a port or its name; write another pod as pod/{text}"
            )),
            _ => fatal,
        }
    })
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;

    /// Words of a command line with `-l` and `--port`, which take the next word.
    fn read(line: &str) -> Result<Vec<ForwardRequest>, Fatal> {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let mut tokens = Vec::new();
        while let Some(word) = words.next() {
            tokens.push(match word {
                "-l" => ArgToken::Selector(words.next().unwrap_or_default()),
                "--port" => ArgToken::Port(words.next().unwrap_or_default()),
                "''" => ArgToken::Word(""),
                word => ArgToken::Word(word),
            });
        }
        requests(&tokens)
    }

    #[test]
    fn targets_and_ports() {
        for (line, expected) in [
            ("svc/api 8080:80", &[("svc/api", 1)][..]),
            ("svc/api 8080:80 9090:metrics", &[("svc/api", 2)]),
            ("svc/api 8080:80 svc/db 5432 pod/x :6379", &[("svc/api", 1), ("svc/db", 1), ("pod/x", 1)]),
            ("web-0 8080", &[("pod/web-0", 1)]),
            ("web-0 http", &[("pod/web-0", 1)]),
            ("svc/api http", &[("svc/api", 1)]),
            ("svc/api version", &[("svc/api", 1)]),
            ("prod/deploy/web 3000", &[("prod/deploy/web", 1)]),
            ("-l app=web 8080", &[("-l app=web", 1)]),
            ("-l app=web http", &[("-l app=web", 1)]),
            ("8080 -l app=web", &[("-l app=web", 1)]),
            ("-l app=web 8080 svc/db 5432", &[("-l app=web", 1), ("svc/db", 1)]),
            ("svc/db 5432 -l app=web 8080 8081", &[("svc/db", 1), ("-l app=web", 2)]),
            ("svc/api --port 8080:80 --port 9090:metrics", &[("svc/api", 2)]),
            ("--port 8080:80 svc/api --port 81", &[("svc/api", 2)]),
            ("svc/api --port 80 svc/db --port 5432", &[("svc/api", 1), ("svc/db", 1)]),
            ("svc/api unix:/tmp/x.sock:80", &[("svc/api", 1)]),
            ("svc/api [::1]:8080:80 127.0.0.1:8081:81", &[("svc/api", 2)]),
        ] {
            let read = read(line).map(|requests| {
                requests.iter().map(|r| (r.target.to_string(), r.ports.len())).collect::<Vec<_>>()
            });
            let expected = expected.iter().map(|(target, ports)| ((*target).to_owned(), *ports)).collect();
            assert_eq!(read, Ok(expected), "{line}");
        }
        let ports =
            read("--port 1 svc/a 2 3").map(|r| r[0].ports.iter().map(|p| p.remote.to_string()).collect());
        assert_eq!(ports, Ok(vec!["1".to_owned(), "2".to_owned(), "3".to_owned()]));
    }

    #[test]
    fn refusals() {
        for (line, code, says) in [
            ("", "missing_arguments", "TYPE/NAME and list of ports are required"),
            ("svc/api", "no_ports", "svc/api"),
            ("web-0", "no_ports", "pod/web-0"),
            ("svc/api svc/db 5432", "no_ports", "svc/api"),
            ("-l app=web", "no_ports", "-l app=web"),
            ("8080:80", "no_target", "no target"),
            ("--port 80", "no_target", "no target"),
            ("80 svc/a 81 svc/b 82", "no_target", "before the first of several"),
            ("svc/api 0", "bad_port", "'0'"),
            ("svc/api 65536", "bad_port", "65536"),
            ("svc/api -1", "bad_port", "-1"),
            ("svc/api 80:0", "bad_port", "'0' in '80:0'"),
            ("svc/api abc:80", "bad_port", "'abc'"),
            ("svc/api 1:2:3:4", "bad_port", "too many parts"),
            ("svc/api ''", "bad_port", "empty"),
            ("svc/api 8080:", "bad_port", "no remote port"),
            ("svc/api my_pod", "bad_port", "my_pod"),
            ("svc/api example.com:80:80", "bad_port", "not a valid IP"),
            ("cronjob/x 80", "unknown_kind", "cronjob"),
            ("scv/x 80", "unknown_kind", "scv"),
            ("svc/ 80", "bad_target", "empty"),
            ("a/svc/b/c 80", "bad_target", "more than three"),
            ("svc/api:80", "bad_name", "api:80"),
            ("svc/.. 80", "bad_name", ".."),
            ("a%2f/svc/b 80", "bad_name", "namespace"),
            ("a_b 80", "bad_name", "a_b"),
        ] {
            let fatal = read(line).expect_err(line);
            assert_eq!(fatal.code(), format!("fwd::usage::{code}"), "{line}");
            assert!(fatal.to_string().contains(says), "{line}: {fatal}");
            assert!(Diagnostic::help(&fatal).is_some(), "{line}");
        }
        let empty = requests(&[ArgToken::Selector(" ")]).map_err(|fatal| fatal.code().to_owned());
        assert_eq!(empty, Err("fwd::usage::bad_selector".to_owned()));
    }

    #[test]
    fn what_is_examined() {
        let read = |selected: Option<&str>, line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let examined = examined(selected, &words).map_err(|fatal| fatal.code().to_owned())?;
            Ok(examined.map(|(target, ports)| {
                ports.iter().fold(target.to_string(), |all, port| format!("{all} {port}"))
            }))
        };
        let fine = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(read(None, ""), Ok(None));
        assert_eq!(read(None, "svc/api"), fine("svc/api"));
        assert_eq!(read(None, "svc/api 8080:80 http"), fine("svc/api 8080:80 http"));
        assert_eq!(read(None, "prod/svc/api:http"), fine("prod/svc/api http"));
        assert_eq!(read(None, "web-0 80"), fine("pod/web-0 80"));
        assert_eq!(read(Some("app=web"), "80"), fine("-l app=web 80"));
        assert_eq!(read(None, "8080:80"), Err("fwd::usage::no_target".to_owned()));
        assert_eq!(read(None, "svc/api svc/db"), Err("fwd::usage::arguments".to_owned()));
        assert_eq!(read(None, "svc/api 0"), Err("fwd::usage::bad_port".to_owned()));
        assert_eq!(read(None, "scv/api"), Err("fwd::usage::unknown_kind".to_owned()));
    }

    #[test]
    fn hints() {
        for (line, hint) in [
            ("scv/x 80", "did you mean 'svc'?"),
            ("Deploymnt/x 80", "did you mean 'deployment'?"),
            ("svc/api:80", "put a space before the port: svc/api 80"),
            ("svc/api 80 other_pod", "pod/other_pod"),
            ("svc/api 0", ":80"),
            ("8080:81", "kubectl fwd svc/api 8080:81"),
            ("8080:81 svc/a 1 svc/b 2", "svc/a 8080:81"),
            ("cronjob/x 80", "the types are pod, svc,"),
            ("cronjob/x 80", "reaches any pod: kubectl fwd -l app=web 8080"),
        ] {
            let help =
                read(line).err().and_then(|fatal| Diagnostic::help(&fatal).map(|help| help.to_string()));
            assert!(help.as_deref().is_some_and(|help| help.contains(hint)), "{line}: {help:?}");
        }
    }
}
