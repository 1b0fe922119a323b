//! The help, made from argh's table: the words of each flag stand where the flag does.

use std::fmt::Write as _;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, SubCommandInfo};

use super::args::{FIRST_CLUSTER_FLAG, NAME, SWITCH_WITH_VALUE};

/// No line is longer: what an unchanged terminal shows.
const WIDTH: usize = 80;
/// Where the words of a flag begin. A longer flag gets a line of its own.
const COLUMN: usize = 30;

const HELP: &str = "--help";

const USAGE: &str = "\
Usage:
  kubectl fwd [FLAGS] TARGET PORT... [TARGET PORT...]...
  kubectl fwd [FLAGS] -l SELECTOR PORT...
  kubectl fwd COMMAND

TARGET is [NAMESPACE/]TYPE/NAME, or NAME alone for a pod.
  TYPE: pod, svc, deploy, rs, sts, ds, job or rc, in any of kubectl's spellings
PORT is [[ADDRESS:]LOCAL:]REMOTE.
  REMOTE: a number or the name of a port; for a service, the service's port
  LOCAL:  a number, unix:PATH for a socket, or empty for any free port;
          without it, the same number as REMOTE
";

/// The help of the tool.
pub fn top(info: &CommandInfoWithArgs, commands: &[SubCommandInfo]) -> String {
    let mut out = String::new();
    paragraph(&mut out, info.description);
    out.push('\n');
    out.push_str(USAGE);
    section(&mut out, "Examples");
    for example in info.examples {
        line(&mut out, &format!("  {example}"));
    }
    let shown: Vec<_> = info.flags.iter().filter(|flag| !flag.hidden).collect();
    let split = shown.iter().position(|flag| flag.long == FIRST_CLUSTER_FLAG).unwrap_or(shown.len());
    let (own, cluster) = shown.split_at(split);
    // argh puts `--help` first; what people come for stands there.
    let (help, own): (Vec<_>, Vec<_>) = own.iter().copied().partition(|flag| flag.long == HELP);
    section(&mut out, "Flags");
    flag_lines(&mut out, own.into_iter().chain(help));
    section(&mut out, "Flags for reaching the cluster, as kubectl has them");
    flag_lines(&mut out, cluster.iter().copied());
    section(&mut out, "Commands");
    for command in commands {
        entry(&mut out, &format!("  {}", command.name), command.command.description);
    }
    section(&mut out, "Exit status");
    for code in info.error_codes {
        entry(&mut out, &format!("  {}", code.code), code.description);
    }
    out
}

/// The help of one subcommand.
pub fn of_command(command: &SubCommandInfo) -> String {
    let mut out = String::new();
    paragraph(&mut out, command.command.description);
    let info = &command.command;
    let mut usage = format!("  {NAME} {}", command.name);
    if info.flags.iter().any(|flag| flag.long != HELP) {
        usage.push_str(" [FLAGS]");
    }
    for positional in info.positionals {
        let name = positional.name;
        let _ = match positional.optionality {
            Optionality::Required => write!(usage, " {name}"),
            Optionality::Repeating => write!(usage, " [{name}...]"),
            _ => write!(usage, " [{name}]"),
        };
    }
    section(&mut out, "Usage");
    line(&mut out, &usage);
    if !info.examples.is_empty() {
        section(&mut out, "Examples");
    }
    for example in info.examples {
        line(&mut out, &format!("  {example}"));
    }
    section(&mut out, "Flags");
    let (help, own): (Vec<_>, Vec<_>) =
        info.flags.iter().filter(|flag| !flag.hidden).partition(|flag| flag.long == HELP);
    flag_lines(&mut out, own.into_iter().chain(help));
    for note in info.notes {
        out.push('\n');
        paragraph(&mut out, note);
    }
    line(&mut out, &format!("\nThe flags of '{NAME} --help' from --quiet on are taken as well."));
    out
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

fn section(out: &mut String, title: &str) {
    line(out, &format!("\n{title}:"));
}

fn flag_lines<'a>(out: &mut String, flags: impl IntoIterator<Item = &'a FlagInfo<'a>>) {
    for flag in flags {
        entry(out, &head(flag), flag.description);
    }
}

/// How a flag is written.
fn head(flag: &FlagInfo<'_>) -> String {
    let short = if flag.long == HELP { Some('h') } else { flag.short };
    let mut head = short.map_or_else(|| "      ".to_owned(), |short| format!("  -{short}, "));
    head.push_str(flag.long);
    match flag.kind {
        FlagInfoKind::Switch => {}
        FlagInfoKind::Option { arg_name: SWITCH_WITH_VALUE } => {
            let _ = write!(head, "[={SWITCH_WITH_VALUE}]");
        }
        FlagInfoKind::Option { arg_name } => {
            let _ = write!(head, " {arg_name}");
        }
    }
    head
}

/// A head and its words, in two columns.
fn entry(out: &mut String, head: &str, words: &str) {
    let mut current = head.to_owned();
    if current.len() + 2 > COLUMN {
        line(out, &current);
        current.clear();
    }
    for part in wrap(words, WIDTH - COLUMN) {
        line(out, &format!("{current:COLUMN$}{part}"));
        current.clear();
    }
}

fn paragraph(out: &mut String, words: &str) {
    for part in wrap(words, WIDTH) {
        line(out, &part);
    }
}

fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    // A default is one thing to the eye, and stays on one line.
    let words = words.replace("(default: ", "(default:\u{a0}");
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter().map(|line| line.replace('\u{a0}', " ")).collect()
}

#[cfg(test)]
mod tests {
    use argh::ArgsInfo;

    use super::*;
    use crate::cli::args::{Args, Subcommand};

    #[test]
    fn every_flag_within_80_columns() {
        let help = top(&Args::get_args_info(), &Subcommand::get_subcommands());
        for text in help.lines() {
            assert!(text.chars().count() <= WIDTH, "{text}");
        }
        for flag in Args::get_args_info().flags {
            // Behind its name stands a value, nothing, or the way to switch it off.
            let shown = [" ", "\n", "[="].iter().any(|next| help.contains(&format!("{}{next}", flag.long)));
            assert_eq!(shown, !flag.hidden, "{}", flag.long);
        }
        for words in
            ["-h, --help", "-n, --namespace NAME", "-v, --v NUMBER", "(default: 30s)", "kubectl fwd svc/api"]
        {
            assert!(help.contains(words), "{words}");
        }
        assert!(!help.contains("kubectl-fwd"));
    }
}
