//! What a process does beside forwarding: the files that it writes, the browser that it opens, the command that it runs.

use std::{ffi::OsString, path::PathBuf};

use super::{args::Args, subcommands::UpArgs};
use crate::error::Fatal;

/// What is done beside forwarding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BesideOptions {
    /// Written once it works.
    pub ready_file: Option<PathBuf>,
    /// Has what would be said on stderr.
    pub log: Option<PathBuf>,
    /// A browser is opened once it works.
    pub open: bool,
    /// A program and its arguments, which runs once it works, and as long as which it works; empty where there is none.
    pub command: Vec<OsString>,
    /// Its forwards are shown on a full screen.
    pub panel: bool,
    /// Whether its targets are remembered as used.
    pub history: HistoryUse,
}

/// Whether the history is read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HistoryUse {
    /// It is left alone.
    #[default]
    None,
    /// What is forwarded is remembered.
    Remember,
}

/// The flags of this, as typed with a subcommand or without.
pub struct TypedBeside<'a> {
    ready_file: Option<&'a str>,
    log: Option<&'a str>,
    output: Option<&'a str>,
    open: bool,
    detach: bool,
    ui: bool,
    history: HistoryUse,
}

impl<'a> From<&'a Args> for TypedBeside<'a> {
    fn from(args: &'a Args) -> Self {
        Self {
            ready_file: args.ready_file.as_deref(),
            log: args.log.as_deref(),
            output: args.output.as_deref(),
            open: args.open,
            detach: args.detach || args.in_background,
            ui: args.ui,
            history: if args.no_history { HistoryUse::None } else { HistoryUse::Remember },
        }
    }
}

impl<'a> From<&'a UpArgs> for TypedBeside<'a> {
    fn from(up: &'a UpArgs) -> Self {
        Self {
            ready_file: up.ready_file.as_deref(),
            log: up.log.as_deref(),
            output: up.output.as_deref(),
            open: up.open,
            detach: up.detach || up.in_background,
            ui: up.ui,
            // A set has its forwards together already.
            history: HistoryUse::None,
        }
    }
}

impl TypedBeside<'_> {
    /// The panel has the terminal, and stdout with it.
    fn check_panel(&self, command: &[OsString]) -> Result<(), Fatal> {
        let (other, help) = if self.detach {
            ("--detach", "leave out --ui; 'kubectl fwd ui' shows forwards in the background as well")
        } else if self.output == Some("json") {
            ("--output json", "leave out one of them")
        } else if !command.is_empty() {
            (
                "a command behind '--'",
                "leave out --ui; 'kubectl fwd ui' in another terminal shows its forwards as well",
            )
        } else {
            return Ok(());
        };
        Err(Fatal::new("fwd::usage::ui", format!("--ui cannot be used with {other}"))
            .because("a full screen needs the terminal for itself")
            .help(help))
    }
}

impl BesideOptions {
    /// Checks what goes together. `command` is what stood behind `--`.
    pub fn new(typed: &TypedBeside<'_>, command: Vec<OsString>) -> Result<Self, Fatal> {
        if let Some(program) = command.first() {
            let program = program.to_string_lossy();
            let fatal = |what: String| Fatal::new("fwd::usage::command", what);
            if program.is_empty() {
                return Err(fatal("the command behind '--' is empty".to_owned())
                    .help("write a program behind it, or leave the '--' out"));
            }
            if typed.detach {
                return Err(fatal(format!("'{program}' cannot run with --detach"))
                    .because("a command keeps its terminal, and the forwards last as long as it does")
                    .help("leave out --detach, or the '--' and what stands behind it"));
            }
            if typed.output == Some("json") {
                return Err(fatal(format!("'{program}' cannot run with --output json"))
                    .because("both would write to stdout")
                    .help("leave out --output; --ready-file FILE writes the forwards as JSON"));
            }
        }
        if typed.ui {
            typed.check_panel(&command)?;
        }
        if typed.detach && typed.log.is_some() {
            return Err(Fatal::new("fwd::usage::log", "--log cannot be used with --detach")
                .because("a process in the background has a log of its own")
                .help("leave out --log; 'kubectl fwd logs' shows that log"));
        }
        Ok(Self {
            ready_file: typed.ready_file.map(PathBuf::from),
            log: typed.log.map(PathBuf::from),
            open: typed.open,
            command,
            panel: typed.ui,
            history: typed.history,
        })
    }
}
