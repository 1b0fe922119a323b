//! F4: the command line. Words in, a [`resolve::Config`] out.
//!
//! Three steps, each on its own: [`normalise`] rewrites the words (pure), argh reads them into [`args::Args`] (as
//! typed), [`resolve`] makes them mean something, with the environment read once into a [`resolve::Environment`].
//! Help and version leave before anything can fail.

pub mod args;
pub mod beside;
pub mod complete;
mod directories;
pub mod full_screen;
pub mod grammar;
pub mod help;
pub mod normalise;
pub mod picked;
pub mod resolve;
pub mod subcommands;

use std::ffi::OsString;

use argh::{ArgsInfo, FromArgs, Optionality};

use self::{
    args::{Args, NAME},
    help::HelpRequest,
    normalise::{ArgKind, Normalised},
    subcommands::Subcommand,
};
use crate::error::Fatal;

/// What the command line asks for.
pub enum Invocation {
    /// To print the help.
    Help(HelpRequest),
    /// To print the version of this program, `-V`.
    Version,
    /// To forward.
    Forward(Box<ParsedArgs>),
    /// A subcommand, with the flags that it shares with all others.
    Command(Subcommand, Box<ParsedArgs>),
}

/// The flags as typed, and what argh cannot tell about them.
#[derive(Default)]
pub struct ParsedArgs {
    /// The flags.
    pub args: Args,
    /// In which order words and flags were typed.
    pub order: Vec<ArgKind>,
    /// What stood behind `--`: a command, as it was typed.
    pub rest: Vec<OsString>,
}

/// Reads the command line, the program's name left out.
pub fn parse(argv: &[OsString]) -> Result<Invocation, Fatal> {
    let commands = Subcommand::get_subcommands();
    let normal = match normalise::normalise(argv, &Args::get_args_info(), &commands)? {
        Normalised::Help(request) => return Ok(Invocation::Help(request)),
        Normalised::Version => return Ok(Invocation::Version),
        Normalised::Run(normal) => normal,
    };
    let args: Args = with_argh(&normal.argv)?;
    let command = normal.command.as_deref().map(with_argh::<SubcommandArgs>).transpose()?;
    let typed = Box::new(ParsedArgs { args, order: normal.order, rest: normal.rest });
    match command.map(|SubcommandArgs { command }| command) {
        Some(command) if !typed.rest.is_empty() && !matches!(command, Subcommand::Up(_)) => {
            let words: Vec<_> = typed.rest.iter().map(|word| word.to_string_lossy()).collect();
            let what = format!("unexpected arguments after '--': {}", words.join(" "));
            Err(Fatal::new("fwd::usage::arguments", what).help(
                "leave out '--' and what follows it; only 'kubectl fwd TARGET PORT' and 'kubectl fwd up' run a command",
            ))
        }
        Some(command) => Ok(Invocation::Command(command, typed)),
        None => Ok(Invocation::Forward(typed)),
    }
}

/// The top level of a subcommand's words. The forward's own flags are read apart from it, because argh takes any word
/// equal to a subcommand's name for the subcommand, wherever it stands.
#[derive(FromArgs)]
#[argh(help_triggers("-h", "--help"))]
/// one subcommand
struct SubcommandArgs {
    #[argh(subcommand)]
    command: Subcommand,
}

fn with_argh<T: FromArgs>(argv: &[String]) -> Result<T, Fatal> {
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    // What argh finds wrong here is rare: the normaliser has seen to flags and their values.
    T::from_args(&[NAME], &argv).map_err(|exit| {
        let said = exit.output.trim();
        let command = argv.first().copied().filter(|word| !word.starts_with('-'));
        if said.starts_with("Required positional arguments not provided:")
            && let Some(fatal) = command.and_then(missing)
        {
            return fatal;
        }
        let what = match said.strip_prefix("Unrecognized argument: ") {
            Some(word) => format!("unexpected argument '{word}'"),
            None => said.to_owned(),
        };
        let words: Vec<&str> = std::iter::once(NAME).chain(command).collect();
        Fatal::new("fwd::usage::arguments", what)
            .help(format!("run '{} --help' to see how it is used", words.join(" ")))
    })
}

/// The error of a subcommand whose first argument is missing.
fn missing(command: &str) -> Option<Fatal> {
    let commands = Subcommand::get_subcommands();
    let command = commands.iter().find(|one| one.name == command)?;
    let required = |optionality: &Optionality| matches!(optionality, Optionality::Required);
    let positional = command.command.positionals.iter().find(|one| required(&one.optionality))?;
    let (name, usage) = (positional.name, help::usage(command));
    if name.contains('|') {
        let what = format!("which one? {}", name.replace('|', ", "));
        let help = format!("run '{NAME} {} --help' to see what each does", command.name);
        return Some(Fatal::new("fwd::usage::arguments", what).help(help));
    }
    let what = format!("which {}?", name.to_lowercase());
    Some(
        Fatal::new("fwd::usage::arguments", what)
            .help(format!("usage: {usage} ({})", positional.description)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Invocation, Fatal> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_asked_for() {
        let Ok(Invocation::Forward(typed)) = parse_line("svc/api -nx version --port 80 -n y -- a b") else {
            panic!()
        };
        assert_eq!(typed.args.words, ["svc/api", "version"]);
        assert_eq!(typed.args.namespace.as_deref(), Some("y"));
        assert_eq!(typed.args.port, ["80"]);
        assert_eq!(typed.rest, ["a", "b"]);
        assert!(matches!(parse_line("version -n x"), Ok(Invocation::Command(Subcommand::Version(_), _))));
        assert!(matches!(parse_line("-V"), Ok(Invocation::Version)));
        let Ok(Invocation::Help(asked)) = parse_line("help version") else { panic!() };
        assert!(asked.render(None).contains("fwd version"));
        let extra = parse_line("version extra").err().map(|fatal| fatal.to_string());
        assert_eq!(extra.as_deref(), Some("unexpected argument 'extra'"));
        let missing = parse_line("logs").err().map(|fatal| fatal.to_string());
        assert_eq!(missing.as_deref(), Some("which forward?"));
        let missing = parse_line("completion").err().map(|fatal| fatal.to_string());
        assert_eq!(missing.as_deref(), Some("which one? bash, zsh, fish, powershell, install, uninstall"));
    }
}
