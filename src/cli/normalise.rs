//! Rewrites what people type into what argh takes. Pure.
//!
//! kubectl's users write `--context=x`, `-nx`, `-n=x`, `-qn x`, `--auto-port=false`, repeat a flag to overrule it and
//! put flags wherever they come to mind. argh takes `--context x` once, in its place. So the words are read here once,
//! against the table of flags that argh itself derives ([`ArgsInfo`]), and written anew: long flags with their value
//! in a word of its own, scalars once, then `--`, then everything else.
//!
//! What a flag stands behind can matter (`svc/api --port 80 svc/db --port 5432`), so the order is kept aside in
//! [`NormalisedArgs::order`].
//!
//! The first word may be a subcommand. Behind it a flag is the subcommand's own where it has one of that name, else one
//! of the top level's that every subcommand takes; those may stand in front of it as well.
//!
//! [`ArgsInfo`]: argh::ArgsInfo

use std::ffi::OsString;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, SubCommandInfo};

use super::{
    args::{FIRST_COMMON_FLAG, NAME, SWITCH_WITH_VALUE},
    help::{HELP, HelpLength, HelpRequest},
    subcommands::ALIASES,
};
use crate::{error::Fatal, policy::nearest::nearest};

/// argh's table gives `--help` no short form.
const HELP_SHORT: char = 'h';
/// As a first word it asks for help as well; a pod of that name is `pod/help`.
const HELP_WORD: &str = "help";
const VERSION: &str = "--version";
/// Ends what is ours to read.
const END: &str = "--";

/// What was asked for.
// Not `Debug`, as little as what it holds: a token may be among the words.
#[derive(Clone, PartialEq, Eq)]
pub enum Normalised {
    /// Help.
    Help(HelpRequest),
    /// The version.
    Version,
    /// To do something.
    Run(NormalisedArgs),
}

/// Words that argh takes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NormalisedArgs {
    /// For the top level: flags, and behind `--` the other words (none where there is a subcommand).
    pub argv: Vec<String>,
    /// For the subcommand: its name, its own flags, and behind `--` the other words.
    pub command: Option<Vec<String>>,
    /// Everything in the order in which it was typed.
    pub order: Vec<ArgKind>,
    /// What stood behind `--`, as it was typed.
    pub rest: Vec<OsString>,
}

/// One thing that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// The next word that is no flag.
    Word,
    /// The next value of this flag, by its long spelling.
    Flag(&'static str),
}

/// Reads the words of the command line, the program's name left out.
pub fn normalise(
    argv: &[OsString],
    top: &CommandInfoWithArgs,
    commands: &[SubCommandInfo],
) -> Result<Normalised, Fatal> {
    // Behind it nothing is ours to read: these are a command's words, and need not even be text.
    let end = argv.iter().position(|word| word == END).unwrap_or(argv.len());
    let words = argv[..end].iter().map(utf8).collect::<Result<Vec<_>, _>>()?;
    let mut reader = ArgReader::new(top, commands);
    reader.read(&words);
    reader.finish(argv.get(end + 1..).unwrap_or_default().to_vec())
}

/// What stands in front of a word that is not finished yet.
pub struct UnfinishedArgs<'a> {
    /// The subcommand.
    pub command: Option<&'a SubCommandInfo>,
    /// Words and flags, as far as they were understood, in their order.
    pub typed: Vec<ReadArg>,
    /// The flag whose value the unfinished word is.
    pub pending: Option<&'static FlagInfo<'static>>,
    /// Help was asked for: what follows is a subcommand.
    pub help: bool,
    /// `--` was typed: what follows belongs to a command of the user's.
    pub dashes: bool,
}

/// Reads what stands in front of the word that is being typed. What is wrong in it is left out.
pub fn unfinished<'a>(
    words: &[&str],
    top: &'a CommandInfoWithArgs,
    commands: &'a [SubCommandInfo],
) -> UnfinishedArgs<'a> {
    let mut reader = ArgReader::new(top, commands);
    reader.read(words);
    let ArgReader { command, typed, pending, help, dashes, .. } = reader;
    UnfinishedArgs { command, typed, pending, help: help.is_some(), dashes }
}

fn utf8(word: &OsString) -> Result<&str, Fatal> {
    word.to_str().ok_or_else(|| {
        Fatal::new(
            "fwd::usage::not_utf8",
            format!("an argument is not valid UTF-8: '{}'", word.to_string_lossy()),
        )
        .help("names, ports and flags of Kubernetes are plain text; check the quoting of this argument")
    })
}

/// A word that is no flag, or a flag with its value.
pub enum ReadArg {
    /// A word.
    Word(String),
    /// A flag.
    Flag(&'static FlagInfo<'static>, FlagValue),
}

/// What a flag was given.
pub enum FlagValue {
    /// A value.
    Text(String),
    /// To be on, or off.
    Switch(bool),
}

/// What is wrong with the words.
enum ReadError {
    Certain(Fatal),
    /// No such flag. What it is like is known once the subcommand is.
    UnknownFlag(String),
}

struct ArgReader<'a> {
    top: &'a CommandInfoWithArgs,
    commands: &'a [SubCommandInfo],
    typed: Vec<ReadArg>,
    command: Option<&'a SubCommandInfo>,
    help: Option<HelpLength>,
    pending: Option<&'static FlagInfo<'static>>,
    dashes: bool,
    /// The first one; kept until the end because `--help` anywhere beats it.
    error: Option<ReadError>,
}

impl<'a> ArgReader<'a> {
    fn new(top: &'a CommandInfoWithArgs, commands: &'a [SubCommandInfo]) -> Self {
        Self {
            top,
            commands,
            typed: Vec::new(),
            command: None,
            help: None,
            pending: None,
            dashes: false,
            error: None,
        }
    }

    /// Reads up to `--`.
    fn read(&mut self, words: &[&str]) {
        let mut words = words.iter();
        let mut first_word = true;
        while let Some(&word) = words.next() {
            if word == END {
                self.dashes = true;
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                self.long(long, &mut words);
            } else if is_flag(word) {
                self.shorts(word, &mut words);
            } else {
                let name = ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, name)| *name);
                let named = self.commands.iter().find(|command| command.name == name);
                match named {
                    // `kubectl fwd help version`: the word behind `help` is still a first word.
                    _ if first_word && word == HELP_WORD && self.help.is_none() => {
                        self.help = Some(HelpLength::Whole);
                        continue;
                    }
                    Some(command) if first_word => self.command = Some(command),
                    _ => self.typed.push(ReadArg::Word(word.to_owned())),
                }
                first_word = false;
            }
        }
    }

    /// `name` or `name=value`.
    fn long(&mut self, text: &str, words: &mut std::slice::Iter<'_, &str>) {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        // kubectl takes `--request_timeout` as well.
        let name = name.replace('_', "-");
        let found = self.flags().find(|flag| flag.long.strip_prefix("--") == Some(&name));
        match found {
            Some(flag) => self.take(flag, value, words),
            None => self.fail(ReadError::UnknownFlag(format!("--{name}"))),
        }
    }

    /// `-q`, `-qn x`, `-qnx`, `-n=x`.
    fn shorts(&mut self, word: &str, words: &mut std::slice::Iter<'_, &str>) {
        let mut rest = word[1..].chars();
        while let Some(letter) = rest.next() {
            if letter == HELP_SHORT && !self.flags().any(|flag| flag.short == Some(letter)) {
                self.help.get_or_insert(HelpLength::Short);
                continue;
            }
            let Some(flag) = self.flags().find(|flag| flag.short == Some(letter)) else {
                self.fail(ReadError::UnknownFlag(word.to_owned()));
                return;
            };
            let tail = rest.as_str();
            // As to kubectl, a lone `=` is the value itself, so `-n=$NAMESPACE` with nothing in the variable fails.
            if let Some(value) =
                tail.strip_prefix('=').filter(|value| !value.is_empty() || !takes_value(flag))
            {
                self.take(flag, Some(value), words);
                return;
            }
            if takes_value(flag) && !tail.is_empty() {
                self.take(flag, Some(tail), words);
                return;
            }
            self.take(flag, None, words);
        }
    }

    /// Notes a flag; its value is `attached`, or the next word where it needs one.
    fn take(
        &mut self,
        flag: &'static FlagInfo<'static>,
        attached: Option<&str>,
        words: &mut std::slice::Iter<'_, &str>,
    ) {
        let value = if takes_value(flag) {
            let next = words.as_slice().first().filter(|next| !self.looks_like_flag(next));
            match (attached, next) {
                (Some(value), _) => FlagValue::Text(value.to_owned()),
                (None, Some(next)) => {
                    words.next();
                    FlagValue::Text((*next).to_owned())
                }
                (None, None) => {
                    let next = words.as_slice().first().copied();
                    self.pending = next.is_none().then_some(flag);
                    return self.fail(ReadError::Certain(no_value(flag, next)));
                }
            }
        } else {
            match attached.map_or(Some(true), go_bool) {
                Some(on) if is_plain_switch(flag) => FlagValue::Switch(on),
                Some(on) => FlagValue::Text(on.to_string()),
                None => {
                    return self.fail(ReadError::Certain(
                        Fatal::new(
                            "fwd::usage::bad_switch",
                            format!("{} takes true or false, not '{}'", flag.long, attached.unwrap_or("")),
                        )
                        .help(format!(
                            "write {0} alone to turn it on, or {0}=false to turn it off",
                            flag.long
                        )),
                    ));
                }
            }
        };
        if flag.long == HELP {
            if matches!(value, FlagValue::Switch(true)) {
                self.help = Some(HelpLength::Whole);
            }
        } else {
            self.typed.push(ReadArg::Flag(flag, value));
        }
    }

    /// A word that is certainly the next flag, and no value of the one before it.
    fn looks_like_flag(&self, word: &str) -> bool {
        let name = word.split_once('=').map_or(word, |(name, _)| name);
        word == END
            || self.flags().any(|flag| flag.long == name)
            || (word.len() == 2
                && word.starts_with('-')
                && self.flags().any(|flag| flag.short.is_some() && flag.short == word.chars().nth(1)))
    }

    /// Every flag that can be meant here: of the subcommand, once it is known; of the top level; and, in front of a
    /// subcommand, of each of them.
    fn flags(&self) -> impl Iterator<Item = &'static FlagInfo<'static>> + use<'a> {
        let of_command = self.command.into_iter().flat_map(|command| command.command.flags.iter());
        let others = if self.command.is_some() { &[] } else { self.commands };
        let of_others = others.iter().flat_map(|command| command.command.flags.iter());
        of_command.chain(self.top.flags).chain(of_others)
    }

    /// The flags that may stand on this command line: the subcommand's and the common ones, or the top level's.
    fn allowed(&self) -> Vec<&'static FlagInfo<'static>> {
        allowed(self.top.flags, self.command)
    }

    fn fail(&mut self, error: ReadError) {
        self.error.get_or_insert(error);
    }

    fn unknown(&self, word: &str) -> Fatal {
        let fatal = Fatal::new("fwd::usage::unknown_flag", format!("unknown flag '{word}'"));
        let allowed = self.allowed();
        let names = allowed.iter().map(|flag| flag.long.trim_start_matches('-'));
        match nearest(word.trim_start_matches('-'), names) {
            Some(near) => fatal.help(format!("did you mean '--{near}'?")),
            None => fatal.help(self.lists_flags()),
        }
    }

    /// Where the flags are listed that may stand here.
    fn lists_flags(&self) -> String {
        let name = self.command.map(|command| format!(" {}", command.name)).unwrap_or_default();
        format!("run '{NAME}{name} --help' for a list of flags")
    }

    /// A flag that there is, but not here.
    fn misplaced(&self, flag: &str) -> Fatal {
        let owners: Vec<_> = self
            .commands
            .iter()
            .filter(|command| command.command.flags.iter().any(|own| own.long == flag))
            .map(|command| format!("'kubectl fwd {}'", command.name))
            .collect();
        let fatal = |what: String| Fatal::new("fwd::usage::misplaced_flag", what);
        match self.command {
            None => fatal(format!("{flag} is a flag of {}, not of forwarding", owners.join(" and ")))
                .help(format!("a command is the first word: {NAME} COMMAND {flag}")),
            Some(command) => {
                fatal(format!("'{NAME} {}' has no flag {flag}", command.name)).help(self.lists_flags())
            }
        }
    }

    fn finish(self, rest: Vec<OsString>) -> Result<Normalised, Fatal> {
        if let Some(length) = self.help {
            return Ok(Normalised::Help(HelpRequest {
                command: self.command.map(|command| command.name),
                length,
            }));
        }
        let version = |typed: &&ReadArg| matches!(typed, ReadArg::Flag(flag, _) if flag.long == VERSION);
        if let Some(ReadArg::Flag(_, FlagValue::Switch(true))) = self.typed.iter().rfind(version) {
            return Ok(Normalised::Version);
        }
        match &self.error {
            Some(ReadError::UnknownFlag(word)) => return Err(self.unknown(word)),
            Some(ReadError::Certain(fatal)) => return Err(fatal.clone()),
            None => {}
        }
        let mut normal = NormalisedArgs { rest, ..NormalisedArgs::default() };
        let mut own = Vec::new();
        let mut others = Vec::new();
        for (at, typed) in self.typed.iter().enumerate() {
            match typed {
                ReadArg::Word(word) => {
                    others.push(word.clone());
                    normal.order.push(ArgKind::Word);
                }
                ReadArg::Flag(flag, value) => {
                    let overruled = flag.optionality != Optionality::Repeating
                        && self.typed[at + 1..]
                            .iter()
                            .any(|later| matches!(later, ReadArg::Flag(other, _) if other.long == flag.long));
                    if overruled || matches!(value, FlagValue::Switch(false)) {
                        continue;
                    }
                    let of = |info: &CommandInfoWithArgs| info.flags.iter().any(|f| f.long == flag.long);
                    let list = match self.command {
                        Some(command) if of(&command.command) => &mut own,
                        Some(_) if common(self.top.flags).iter().any(|common| common.long == flag.long) => {
                            &mut normal.argv
                        }
                        None if of(self.top) => &mut normal.argv,
                        _ => return Err(self.misplaced(flag.long)),
                    };
                    list.push(flag.long.to_owned());
                    if let FlagValue::Text(text) = value {
                        list.push(text.clone());
                    }
                    normal.order.push(ArgKind::Flag(flag.long));
                }
            }
        }
        // Behind `--` nothing is a flag, so a word may begin with a dash (`-1` is a bad port, not a bad flag).
        let others = (!others.is_empty()).then(|| "--".to_owned()).into_iter().chain(others);
        match self.command {
            None => normal.argv.extend(others),
            Some(command) => {
                normal.command =
                    Some(std::iter::once(command.name.to_owned()).chain(own).chain(others).collect());
            }
        }
        Ok(Normalised::Run(normal))
    }
}

/// The flags of the top level that go with every subcommand.
fn common(top: &'static [FlagInfo<'static>]) -> &'static [FlagInfo<'static>] {
    let first = top.iter().position(|flag| flag.long == FIRST_COMMON_FLAG).unwrap_or(top.len());
    &top[first..]
}

/// The flags that may be typed and are shown: of a subcommand and, of the top level, those that go with it; or all of the
/// top level.
pub fn allowed(
    top: &'static [FlagInfo<'static>],
    command: Option<&SubCommandInfo>,
) -> Vec<&'static FlagInfo<'static>> {
    let own = command.map_or(&[][..], |command| command.command.flags);
    let others = if command.is_some() { common(top) } else { top };
    let others = others.iter().filter(|flag| own.iter().all(|own| own.long != flag.long));
    own.iter().chain(others).filter(|flag| !flag.hidden).collect()
}

/// `-x`, but neither `-` alone nor a negative number, which is a port gone wrong.
fn is_flag(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_plain_switch(flag: &FlagInfo<'_>) -> bool {
    matches!(flag.kind, FlagInfoKind::Switch)
}

/// Whether the word behind the flag is its value.
pub fn takes_value(flag: &FlagInfo<'_>) -> bool {
    matches!(flag.kind, FlagInfoKind::Option { arg_name } if arg_name != SWITCH_WITH_VALUE)
}

fn no_value(flag: &FlagInfo<'_>, next: Option<&str>) -> Fatal {
    let FlagInfoKind::Option { arg_name } = flag.kind else {
        return Fatal::new("fwd::usage::no_value", flag.long);
    };
    let fatal = Fatal::new("fwd::usage::no_value", format!("{} needs a value: {arg_name}", flag.long));
    match next {
        Some(next) => fatal.help(format!("if '{next}' is meant as the value, write {}={next}", flag.long)),
        None => fatal.help(match arg_name.split_once('|') {
            Some((choice, _)) => format!("for example {} {choice}", flag.long),
            None => format!("write {} {arg_name}", flag.long),
        }),
    }
}

/// What Go's `strconv.ParseBool` takes.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[path = "normalise_tests.rs"]
mod tests;
