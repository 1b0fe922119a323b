use argh::ArgsInfo;

use super::*;
use crate::cli::{args::Args, subcommands::Subcommand};

fn asked(line: &str) -> Result<Normalised, Fatal> {
    normal(line, &Subcommand::get_subcommands())
}

fn normal(line: &str, commands: &[SubCommandInfo]) -> Result<Normalised, Fatal> {
    let argv: Vec<OsString> = line.split_whitespace().map(|word| word.replace('_', " ").into()).collect();
    normalise(&argv, &Args::get_args_info(), commands)
}

/// The words argh would get, in one line; a subcommand's behind `|`.
fn line(line: &str) -> String {
    in_line(asked(line))
}

fn in_line(asked: Result<Normalised, Fatal>) -> String {
    match asked {
        Ok(Normalised::Run(normal)) => {
            let mut words = normal.argv;
            if let Some(command) = normal.command {
                words.push("|".into());
                words.extend(command);
            }
            if !normal.rest.is_empty() {
                words.push("||".into());
                words.extend(normal.rest.iter().map(|word| word.to_string_lossy().into_owned()));
            }
            words.join(" ")
        }
        Ok(Normalised::Help(HelpRequest { command, length })) => {
            let word = if length == HelpLength::Short { "SHORT" } else { "HELP" };
            format!("{word} {}", command.unwrap_or_default()).trim().to_owned()
        }
        Ok(Normalised::Version) => "VERSION".to_owned(),
        Err(fatal) => fatal.code().to_owned(),
    }
}

#[test]
fn spellings() {
    for (typed, expected) in [
        ("", ""),
        ("svc/api 80", "-- svc/api 80"),
        ("--context=x svc/api", "--context x -- svc/api"),
        ("--context x", "--context x"),
        ("--context=", "--context "),
        ("--context=a=b", "--context a=b"),
        ("--kubeconfig=/a_b", "--kubeconfig /a b"),
        ("-n x", "--namespace x"),
        ("-nx", "--namespace x"),
        ("-n=x", "--namespace x"),
        ("-n=", "--namespace ="),
        ("-qnx", "--quiet --namespace x"),
        ("-qn x", "--quiet --namespace x"),
        ("-qn=x", "--quiet --namespace x"),
        ("-v 6", "--v 6"),
        ("-v=6", "--v 6"),
        ("-v6", "--v 6"),
        ("--v=6", "--v 6"),
        ("--v 6", "--v 6"),
        ("-lapp=web 80", "--selector app=web -- 80"),
        ("-l app=web 80", "--selector app=web -- 80"),
        ("-l=app=web 80", "--selector app=web -- 80"),
        ("--match-server-version --cache-dir /x", "--match-server-version --cache-dir /x"),
    ] {
        assert_eq!(line(typed), expected, "{typed}");
    }
    let argv = ["--request_timeout=5".into()];
    let underscores = normalise(&argv, &Args::get_args_info(), &[]);
    assert!(matches!(underscores, Ok(Normalised::Run(normal)) if normal.argv == ["--request-timeout", "5"]));
}

#[test]
fn switches() {
    for (typed, expected) in [
        ("--auto-port", "--auto-port"),
        ("--auto-port=true", "--auto-port"),
        ("--auto-port=T", "--auto-port"),
        ("--auto-port=false", ""),
        ("-q=false", ""),
        ("-q=1", "--quiet"),
        ("--auto-port --auto-port=false", ""),
        ("--auto-port=false --auto-port", "--auto-port"),
        // Takes no word behind it, and tells "off" from "not given".
        ("--insecure-skip-tls-verify svc/a", "--insecure-skip-tls-verify true -- svc/a"),
        ("--insecure-skip-tls-verify=false", "--insecure-skip-tls-verify false"),
        ("--auto-port=maybe", "fwd::usage::bad_switch"),
        ("--auto-port=", "fwd::usage::bad_switch"),
    ] {
        assert_eq!(line(typed), expected, "{typed}");
    }
}

#[test]
fn repeated() {
    for (typed, expected) in [
        ("-n a -n b", "--namespace b"),
        ("-n a svc/x --namespace=b 80 -nc", "--namespace c -- svc/x 80"),
        ("--as-group a --as-group=b", "--as-group a --as-group b"),
        ("--as-user-extra a=1 --as-user-extra a=2", "--as-user-extra a=1 --as-user-extra a=2"),
        ("-p 80 -p81 --port=82", "--port 80 --port 81 --port 82"),
        ("--address a,b --address c", "--address a,b --address c"),
    ] {
        assert_eq!(line(typed), expected, "{typed}");
    }
}

#[test]
fn places() {
    for (typed, expected) in [
        ("svc/api -n x 80 -q", "--namespace x --quiet -- svc/api 80"),
        ("version", "| version"),
        ("-n x version", "--namespace x | version"),
        ("version -n x", "--namespace x | version"),
        ("version extra", "| version -- extra"),
        // A subcommand's word counts only in the first place.
        ("svc/api version", "-- svc/api version"),
        ("pod/version 80", "-- pod/version 80"),
        ("svc/api help", "-- svc/api help"),
        // Values are not words.
        ("-n version svc/api 80", "--namespace version -- svc/api 80"),
        ("svc/db :5432 -- psql -h x --bogus", "-- svc/db :5432 || psql -h x --bogus"),
        ("-- version", "|| version"),
        ("svc/api -1", "-- svc/api -1"),
        ("svc/api -", "-- svc/api -"),
    ] {
        assert_eq!(line(typed), expected, "{typed}");
    }
}

/// Two subcommands whose flags clash with each other's and with the top level's.
#[derive(argh::FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(dead_code, reason = "only their table is read")]
enum Clash {
    Log(TestLog),
    Set(TestSet),
}

/// log
#[derive(argh::FromArgs, ArgsInfo)]
#[argh(subcommand, name = "log")]
#[expect(dead_code, reason = "only its table is read")]
struct TestLog {
    /// follow
    #[argh(switch, short = 'f')]
    follow: bool,
    /// not the top level's, which takes a value
    #[argh(switch, short = 'n')]
    numbers: bool,
}

/// set
#[derive(argh::FromArgs, ArgsInfo)]
#[argh(subcommand, name = "set")]
#[expect(dead_code, reason = "only its table is read")]
struct TestSet {
    /// file
    #[argh(option, short = 'f')]
    file: Option<String>,
    /// the same as at the top level
    #[argh(option)]
    hold: Option<String>,
}

#[test]
fn flags_of_subcommands() {
    for (typed, expected) in [
        ("log -f x", "| log --follow -- x"),
        ("set -f x y", "| set --file x -- y"),
        ("set --file=a -fb", "| set --file b"),
        ("log -n x", "| log --numbers -- x"),
        ("-n x log -n", "--namespace x | log --numbers"),
        ("set -n x", "--namespace x | set"),
        ("log --color=never -q", "--color never --quiet | log"),
        ("-q log --context a --context=b", "--quiet --context b | log"),
        ("set --hold 5s", "| set --hold 5s"),
        ("--hold 5s set", "| set --hold 5s"),
        ("--file x set", "| set --file x"),
        ("log --hold 5s", "fwd::usage::misplaced_flag"),
        ("log --hold 5s -h", "SHORT log"),
        ("log --auto-port", "fwd::usage::misplaced_flag"),
        ("--auto-port log", "fwd::usage::misplaced_flag"),
        ("--file x log", "fwd::usage::misplaced_flag"),
        ("svc/a 80 --file x", "fwd::usage::misplaced_flag"),
        ("log --file x", "fwd::usage::unknown_flag"),
        ("log --bogus", "fwd::usage::unknown_flag"),
        ("svc/a 80 log -f", "fwd::usage::misplaced_flag"),
    ] {
        assert_eq!(in_line(normal(typed, &Clash::get_subcommands())), expected, "{typed}");
    }
}

#[test]
fn order_is_kept() {
    use ArgKind::{Flag, Word};
    let Ok(Normalised::Run(normal)) = asked("svc/a --port 80 -n x svc/b -p81 -n y 82") else { panic!() };
    let port = Flag("--port");
    assert_eq!(normal.order, [Word, port, Word, port, Flag("--namespace"), Word]);
}

#[test]
fn special_modes() {
    for (typed, expected) in [
        ("-h", "SHORT"),
        ("--help", "HELP"),
        ("help", "HELP"),
        ("svc/api 80 -h", "SHORT"),
        ("-qh", "SHORT"),
        ("--bogus -h", "SHORT"),
        ("-h --help", "HELP"),
        ("-h -V", "SHORT"),
        ("help version", "HELP version"),
        ("version -h", "SHORT version"),
        ("help list -h", "HELP list"),
        ("version --help", "HELP version"),
        ("--help version", "HELP version"),
        ("-n x help", "HELP"),
        ("-V", "VERSION"),
        ("--version", "VERSION"),
        ("--bogus --version", "VERSION"),
        ("svc/api 80 --version=false", "-- svc/api 80"),
        ("svc/api 80 --help=false", "-- svc/api 80"),
        ("-- -h", "|| -h"),
    ] {
        assert_eq!(line(typed), expected, "{typed}");
    }
}

#[test]
fn refusals() {
    for (typed, code) in [
        ("--bogus", "unknown_flag"),
        ("--bogus=1", "unknown_flag"),
        ("-x", "unknown_flag"),
        ("-qx", "unknown_flag"),
        ("-é", "unknown_flag"),
        ("---context", "unknown_flag"),
        ("--=x", "unknown_flag"),
        ("-n", "no_value"),
        ("--context", "no_value"),
        ("-n --context x", "no_value"),
        ("-n --context=x", "no_value"),
        ("-n -q", "no_value"),
        ("-n --", "no_value"),
        ("-qn", "no_value"),
        ("-v", "no_value"),
    ] {
        assert_eq!(line(typed), format!("fwd::usage::{code}"), "{typed}");
    }
}

#[test]
fn the_nearest_flag_is_suggested() {
    use miette::Diagnostic;
    for (typed, near) in [
        ("--contxt=x", "--context"),
        ("--auto-prot", "--auto-port"),
        ("-contex", "--context"),
        ("list --contxt=x", "--context"),
        ("--al stop", "--all"),
        ("stop --al", "--all"),
    ] {
        let Err(fatal) = asked(typed) else { panic!("{typed}") };
        let help = Diagnostic::help(&fatal).map(|help| help.to_string()).unwrap_or_default();
        assert_eq!(help, format!("did you mean '{near}'?"), "{typed}");
    }
}

/// A flag that would be refused next is no suggestion.
#[test]
fn only_flags_that_may_stand_there_are_suggested() {
    for typed in ["--stdi", "svc/api 80 --follo", "list --auto-prot", "stop --ready-fil", "logs --keep-goin"]
    {
        let Err(fatal) = asked(typed) else { panic!("{typed}") };
        assert_eq!(fatal.code(), "fwd::usage::unknown_flag", "{typed}");
        let help = fatal.advice().unwrap_or_default();
        assert!(help.contains("for a list of flags"), "{typed}: {help}");
    }
}

#[cfg(unix)]
#[test]
fn not_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let argv = [OsString::from_vec(vec![b's', 0xff])];
    let refused = normalise(&argv, &Args::get_args_info(), &[]);
    assert!(refused.is_err_and(|fatal| fatal.code() == "fwd::usage::not_utf8"));
}
