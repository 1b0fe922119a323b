//! What can follow the words that were typed. Pure: words in, candidates and a [`Lookup`] out.
//!
//! The words are those behind `kubectl fwd`; the last one is being typed, and empty where none was begun. Flags and
//! subcommands come from argh's table, and so do the values of flags ([`super::args`] says by which convention). What only the
//! cluster, the kubeconfig or other processes know is named by a [`Lookup`] and looked up by the caller, whose findings
//! [`Completion::answer`] puts beside the rest.

mod answer;
pub mod scripts;

use std::{ffi::OsString, time::Duration};

use argh::{ArgsInfo as _, FlagInfo, FlagInfoKind, FromArgs as _, Optionality, SubCommandInfo};

pub use self::answer::Candidate;
use self::answer::ShellFallback;
use super::{
    args::{Args, FIRST_CLUSTER_FLAG, NAME},
    grammar::is_target,
    help,
    normalise::{self, FlagValue, ReadArg, UnfinishedArgs},
    subcommands::Subcommand,
};
use crate::model::target::{Kind, Target, TargetRef};

/// How long looking up may take: with the start of the program and of kubectl, less than the 300 ms after which a person
/// takes the shell to hang.
pub const LOOKUP_LIMIT: Duration = Duration::from_millis(250);

/// The word that asks for completion, for scripts of shells.
pub const COMPLETE: &str = "__complete";

/// What some shells can only write so: a word of nothing.
const EMPTY: &str = "\"\"";

/// The word that asks for help.
const HELP: &str = "help";

/// What `--address` most often is.
const ADDRESSES: [(&str, &str); 3] = [
    ("localhost", "127.0.0.1 and ::1"),
    ("127.0.0.1", "this machine, IPv4"),
    ("0.0.0.0", "every machine that reaches this one"),
];

/// What has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The objects of a kind, in a namespace or in that of the flags.
    Objects(Kind, Option<String>),
    /// The ports of a target.
    Ports(Target),
    /// Namespaces of the cluster.
    Namespaces,
    /// Contexts of the kubeconfig.
    Contexts,
    /// Its clusters.
    Clusters,
    /// Its users.
    Users,
    /// Forwards that run.
    Forwards,
    /// Those that run or ended lately: what there is a log of.
    Logs,
    /// Saved sets.
    Sets,
}

/// What can follow.
// Not `Debug`: a token may be among the flags.
#[derive(Default)]
pub struct Completion {
    /// The flags that say which cluster is asked.
    pub flags: Args,
    /// What only others know.
    pub lookup: Option<Lookup>,
    /// What is known here.
    known: Vec<Candidate>,
    /// What was typed of the word.
    typed: String,
    /// What stays in front of everything that is looked up: `svc/`, `8080:`.
    kept: String,
    /// What the shell does where there is no candidate.
    otherwise: ShellFallback,
}

/// Completes the last of the words.
pub fn complete(words: &[OsString]) -> Completion {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let (typed, before) = match words.split_last() {
        Some((last, before)) => (last.as_ref(), before),
        None => ("", &[][..]),
    };
    let before: Vec<&str> = before.iter().map(AsRef::as_ref).collect();
    let (top, commands) = (Args::get_args_info(), Subcommand::get_subcommands());
    let read = normalise::unfinished(&before, &top, &commands);
    let mut completion = Completion {
        flags: cluster_flags(&read.typed, top.flags),
        typed: if typed == EMPTY { String::new() } else { typed.to_owned() },
        ..Completion::default()
    };
    completion.word(&read, top.flags, &commands);
    completion
}

impl Completion {
    /// The answer, with what was looked up. Names that a shell would not take for plain words are left out: they come from
    /// whoever may write to the cluster.
    pub fn answer(&self, found: Vec<Candidate>) -> String {
        let found =
            found.into_iter().filter(Candidate::is_plain).map(|candidate| candidate.behind(&self.kept));
        answer::answer(self.known.iter().cloned().chain(found), &self.typed, self.otherwise)
    }

    fn word(
        &mut self,
        read: &UnfinishedArgs<'_>,
        top: &'static [FlagInfo<'static>],
        commands: &[SubCommandInfo],
    ) {
        let typed = self.typed.clone();
        if read.dashes {
            self.otherwise = ShellFallback::Files;
        } else if let Some(flag) = read.pending {
            self.value(flag, read);
        } else if read.help {
            self.commands(commands);
        } else if let Some((flag, value)) = typed.split_once('=').filter(|_| typed.starts_with("--")) {
            if let Some(flag) = flags(read, top).into_iter().find(|one| one.long == flag) {
                // The shells put what stands in front of the value there again.
                value.clone_into(&mut self.typed);
                self.value(flag, read);
            }
        } else if let Some(flag) = attached(&typed, &flags(read, top)) {
            typed[..2].clone_into(&mut self.kept);
            self.value(flag, read);
        } else if typed.starts_with('-') {
            self.flag_names(read, top);
        } else {
            match read.command {
                Some(command) => self.positional(command, read),
                None => self.forwarding(read, commands),
            }
        }
    }

    /// Flags, but for those that are there already and count once.
    fn flag_names(&mut self, read: &UnfinishedArgs<'_>, top: &'static [FlagInfo<'static>]) {
        let is_typed = |flag: &FlagInfo<'_>| {
            read.typed.iter().any(|arg| matches!(arg, ReadArg::Flag(other, _) if other.long == flag.long))
        };
        let left = flags(read, top)
            .into_iter()
            .filter(|flag| flag.optionality == Optionality::Repeating || !is_typed(flag));
        self.known.extend(left.map(|flag| Candidate::new(flag.long, help::words(flag))));
    }

    /// The value of a flag.
    fn value(&mut self, flag: &FlagInfo<'_>, read: &UnfinishedArgs<'_>) {
        match (flag.long, &flag.kind) {
            (_, FlagInfoKind::Switch) => self.choices("true|false"),
            ("--namespace", _) => self.lookup = Some(Lookup::Namespaces),
            ("--context", _) => self.lookup = Some(Lookup::Contexts),
            ("--cluster", _) => self.lookup = Some(Lookup::Clusters),
            ("--user", _) => self.lookup = Some(Lookup::Users),
            ("--address", _) => {
                self.known.extend(ADDRESSES.map(|(address, about)| Candidate::new(address, about)));
            }
            (_, FlagInfoKind::Option { arg_name }) => self.named(arg_name, read),
        }
    }

    /// What an `arg_name` says.
    fn named(&mut self, arg_name: &str, read: &UnfinishedArgs<'_>) {
        match arg_name {
            "FILE" => self.otherwise = ShellFallback::Files,
            "DIRECTORY" => self.otherwise = ShellFallback::Directories,
            "ID" => self.lookup = Some(Lookup::Forwards),
            "FORWARD" => self.lookup = Some(Lookup::Logs),
            "SET" => self.lookup = Some(Lookup::Sets),
            "TARGET" => self.target(),
            "PORT" => self.ports(target_before(read)),
            choices if choices.contains('|') => self.choices(choices),
            _ => {}
        }
    }

    fn choices(&mut self, choices: &str) {
        let kept = &self.kept;
        self.known.extend(choices.split('|').map(|choice| Candidate::new(format!("{kept}{choice}"), "")));
    }

    fn commands(&mut self, commands: &[SubCommandInfo]) {
        self.known
            .extend(commands.iter().map(|command| Candidate::new(command.name, command.command.description)));
    }

    /// An argument of a subcommand.
    fn positional(&mut self, command: &SubCommandInfo, read: &UnfinishedArgs<'_>) {
        let before = read.typed.iter().filter(|arg| matches!(arg, ReadArg::Word(_))).count();
        let positionals = command.command.positionals;
        let repeated = positionals.last().filter(|last| last.optionality == Optionality::Repeating);
        if let Some(positional) = positionals.get(before).or(repeated) {
            // Where a set is all that can be named, it may be called so.
            let name = if positional.name == "NAME" { "SET" } else { positional.name };
            self.named(name, read);
        }
    }

    /// A word of the forward itself: a target, a port of the target before it, or at first a subcommand.
    fn forwarding(&mut self, read: &UnfinishedArgs<'_>, commands: &[SubCommandInfo]) {
        let is_first = !read.typed.iter().any(|arg| matches!(arg, ReadArg::Word(_)));
        if self.typed.contains('/') && !self.typed.starts_with("unix:") {
            return self.target();
        }
        if has_target(read) {
            self.ports(target_before(read));
            self.kinds("");
            return;
        }
        if is_first {
            self.commands(commands);
            self.known.push(Candidate::new(HELP, "Show the help of a command."));
        }
        self.target();
    }

    /// `[NAMESPACE/]TYPE/NAME`, or the name of a pod.
    fn target(&mut self) {
        let typed = self.typed.clone();
        let (kept, _) = typed.rsplit_once('/').map_or(("", ""), |(kept, name)| (kept, name));
        let parts: Vec<&str> = if kept.is_empty() { Vec::new() } else { kept.split('/').collect() };
        self.lookup = match parts.as_slice() {
            [] => {
                self.kinds("");
                Some(Lookup::Objects(Kind::Pod, None))
            }
            [kind] => {
                let kind = Kind::parse(kind);
                if kind.is_none() {
                    self.kinds(&format!("{kept}/"));
                }
                kind.map(|kind| Lookup::Objects(kind, None))
            }
            [namespace, kind] => {
                Kind::parse(kind).map(|kind| Lookup::Objects(kind, Some((*namespace).to_owned())))
            }
            _ => None,
        };
        if !kept.is_empty() {
            self.kept = format!("{kept}/");
        }
    }

    fn kinds(&mut self, kept: &str) {
        let kinds = Kind::all().map(|kind| Candidate::new(format!("{kept}{}/", kind.short()), kind.plural()));
        self.known.extend(kinds);
    }

    /// A port of a target; what is typed of the local address stays.
    fn ports(&mut self, target: Option<Target>) {
        self.lookup = target.map(Lookup::Ports);
        if let Some((local, _)) = self.typed.rsplit_once(':') {
            self.kept = format!("{local}:");
        }
    }
}

/// The flags that may be typed.
fn flags(read: &UnfinishedArgs<'_>, top: &'static [FlagInfo<'static>]) -> Vec<&'static FlagInfo<'static>> {
    normalise::allowed(top, read.command)
}

/// The flag of `-nVALUE`.
fn attached<'a>(typed: &str, flags: &[&'a FlagInfo<'a>]) -> Option<&'a FlagInfo<'a>> {
    let mut letters = typed.strip_prefix('-')?.chars();
    let letter = letters.next().filter(char::is_ascii)?;
    letters.next()?;
    flags.iter().copied().find(|flag| flag.short == Some(letter) && normalise::takes_value(flag))
}

/// Whether what stands in front names a target.
fn has_target(read: &UnfinishedArgs<'_>) -> bool {
    targets(read).next().is_some()
}

/// The target to which a port would belong here.
fn target_before(read: &UnfinishedArgs<'_>) -> Option<Target> {
    targets(read).last().flatten()
}

/// The targets that stand in front, `None` for one that cannot be one.
fn targets<'a>(read: &'a UnfinishedArgs<'_>) -> impl Iterator<Item = Option<Target>> + 'a {
    let mut behind_target = false;
    read.typed.iter().filter_map(move |arg| {
        let target = match arg {
            ReadArg::Word(word) if is_target(word, behind_target) => Target::parse(word).ok(),
            ReadArg::Flag(flag, FlagValue::Text(labels)) if flag.long == "--selector" => {
                Some(Target { namespace: None, subject: TargetRef::Selector(labels.clone()) })
            }
            _ => return None,
        };
        behind_target = true;
        Some(target)
    })
}

/// The flags of these words that reach a cluster; none where they cannot be read.
fn cluster_flags(typed: &[ReadArg], top: &[FlagInfo<'_>]) -> Args {
    let first = top.iter().position(|flag| flag.long == FIRST_CLUSTER_FLAG).unwrap_or(top.len());
    let mut given: Vec<(&FlagInfo<'_>, Option<&str>)> = Vec::new();
    for arg in typed {
        let ReadArg::Flag(flag, value) = arg else { continue };
        if !top[first..].iter().any(|one| one.long == flag.long) {
            continue;
        }
        // As everywhere, the last one counts.
        if flag.optionality != Optionality::Repeating {
            given.retain(|(other, _)| other.long != flag.long);
        }
        match value {
            FlagValue::Text(text) => given.push((flag, Some(text))),
            FlagValue::Switch(true) => given.push((flag, None)),
            FlagValue::Switch(false) => {}
        }
    }
    let argv: Vec<&str> =
        given.iter().flat_map(|(flag, value)| [Some(flag.long), *value]).flatten().collect();
    Args::from_args(&[NAME], &argv).unwrap_or_default()
}

#[cfg(test)]
mod tests;
