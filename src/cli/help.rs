//! The help, made from argh's table: the words of each flag stand where the flag does.

use std::fmt::Write as _;

use argh::{ArgsInfo as _, CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, SubCommandInfo};

use super::{
    args::{Args, FIRST_CLUSTER_FLAG, NAME, SWITCH_WITH_VALUE},
    subcommands::Subcommand,
};

/// The width where there is no terminal: what an unchanged one shows.
pub const WIDTH: usize = 80;
/// No line is longer, for the eye loses its way back to the next one.
const WIDEST: usize = 100;
/// A terminal that is narrower wraps lines itself.
const NARROWEST: usize = 50;
/// Where the words of a flag begin. A longer flag gets a line of its own.
const COLUMN: usize = 30;
/// The same in a terminal that is narrower than an unchanged one.
const NARROW_COLUMN: usize = 8;

/// Where the words of a subcommand begin.
const COMMAND_COLUMN: usize = 14;

/// The flag that everything takes.
pub const HELP: &str = "--help";

/// What the short help has, in this order: what most people need most of the time.
const COMMON_FLAGS: [&str; 10] = [
    "--namespace",
    "--context",
    "--selector",
    "--address",
    "--auto-port",
    "--detach",
    "--name",
    "--output",
    "--quiet",
    HELP,
];

/// How targets and ports are typed.
pub const USAGES: [&str; 4] = [
    "kubectl fwd [FLAGS] TARGET PORT... [TARGET PORT...]...",
    "kubectl fwd [FLAGS] TARGET PORT... -- PROGRAM [ARGUMENT...]",
    "kubectl fwd [FLAGS] -l SELECTOR PORT...",
    "kubectl fwd COMMAND",
];

/// What the words of [`USAGES`] are.
pub const GRAMMAR: &str = "\
TARGET is [NAMESPACE/]TYPE/NAME, or NAME alone for a pod.
  TYPE: pod, svc, deploy, rs, sts, ds, job or rc, in any of kubectl's spellings
PORT is [[ADDRESS:]LOCAL:]REMOTE.
  REMOTE: a number or the name of a port; for a service, the service's port
  LOCAL:  a number, unix:PATH for a socket, or empty for any free port;
          without it, the same number as REMOTE
PROGRAM runs once every forward works, and the forwards end with it.
  {port}, {host} and {addr} in its arguments are those of the first forward,
  {port:NAME} that of the one with this target, port or --name. Its
  environment has FWD_PORT, FWD_HOST, FWD_ADDR and FWD_<TARGET>_<PORT>_ADDR.
";

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelpLength {
    /// What fits on a screen, `-h`.
    Short,
    /// Everything, `--help`.
    Whole,
}

/// The help that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelpRequest {
    /// Of this subcommand, or of the tool.
    pub command: Option<&'static str>,
    /// How much of it.
    pub length: HelpLength,
}

impl HelpRequest {
    /// The text, for a terminal of this width.
    pub fn render(self, terminal: Option<usize>) -> String {
        let mut page = HelpPage::new(terminal.unwrap_or(WIDTH));
        let commands = Subcommand::get_subcommands();
        let named = commands.iter().find(|command| Some(command.name) == self.command);
        match (named, self.length) {
            (None, HelpLength::Short) => page.top_short(&Args::get_args_info(), &commands),
            (None, HelpLength::Whole) => page.top(&Args::get_args_info(), &commands),
            (Some(command), length) => page.of_command(command, length),
        }
        page.text
    }
}

/// A text that is being written.
struct HelpPage {
    text: String,
    width: usize,
    column: usize,
}

impl HelpPage {
    fn new(terminal: usize) -> Self {
        let column = if terminal < WIDTH { NARROW_COLUMN } else { COLUMN };
        Self { text: String::new(), width: terminal.clamp(NARROWEST, WIDEST), column }
    }

    fn top_short(&mut self, info: &CommandInfoWithArgs, commands: &[SubCommandInfo]) {
        self.usages();
        self.commands(commands);
        self.examples(&info.examples[..info.examples.len().min(3)]);
        self.section("Flags");
        let common = COMMON_FLAGS.iter();
        self.flags(common.filter_map(|long| info.flags.iter().find(|flag| flag.long == *long)));
        self.paragraph(&format!("\n'{NAME} --help' has every flag, and what TARGET and PORT can be."));
    }

    fn top(&mut self, info: &CommandInfoWithArgs, commands: &[SubCommandInfo]) {
        self.paragraph(info.description);
        self.line("");
        self.usages();
        self.line("");
        self.text.push_str(GRAMMAR);
        self.commands(commands);
        self.examples(info.examples);
        let shown: Vec<_> = info.flags.iter().filter(|flag| !flag.hidden).collect();
        let split = shown.iter().position(|flag| flag.long == FIRST_CLUSTER_FLAG).unwrap_or(shown.len());
        let (own, cluster) = shown.split_at(split);
        self.section("Flags");
        self.flags(help_last(own.iter().copied()));
        self.section("Flags for reaching the cluster, as kubectl has them");
        self.flags(cluster.iter().copied());
        self.section("Exit status");
        for code in info.error_codes {
            self.entry(&format!("  {}", code.code), code.description, COMMAND_COLUMN);
        }
    }

    fn of_command(&mut self, command: &SubCommandInfo, length: HelpLength) {
        let info = &command.command;
        self.paragraph(info.description);
        self.section("Usage");
        self.line(&format!("  {}", usage(command)));
        self.examples(info.examples);
        self.section("Flags");
        self.flags(help_last(info.flags.iter().filter(|flag| !flag.hidden)));
        if length == HelpLength::Whole {
            for note in info.notes {
                self.line("");
                self.paragraph(note);
            }
        }
        self.line("");
        self.paragraph(&format!("It takes the flags of '{NAME} --help' from --quiet on as well."));
    }

    fn usages(&mut self) {
        self.line("Usage:");
        for usage in USAGES {
            self.line(&format!("  {usage}"));
        }
    }

    fn commands(&mut self, commands: &[SubCommandInfo]) {
        self.section("Commands");
        for command in commands {
            self.entry(&format!("  {}", command.name), command.command.description, COMMAND_COLUMN);
        }
    }

    fn examples(&mut self, examples: &[&str]) {
        if examples.is_empty() {
            return;
        }
        self.section("Examples");
        for example in examples {
            self.line(&format!("  {example}"));
        }
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}");
    }

    fn section(&mut self, title: &str) {
        self.line(&format!("\n{title}:"));
    }

    fn flags<'a>(&mut self, flags: impl IntoIterator<Item = &'a FlagInfo<'a>>) {
        for flag in flags {
            self.entry(&head(flag), words(flag), self.column);
        }
    }

    /// A head and its words, in two columns.
    fn entry(&mut self, head: &str, words: &str, column: usize) {
        let mut current = head.to_owned();
        if current.len() + 2 > column {
            self.line(&current);
            current.clear();
        }
        for part in wrap(words, self.width - column) {
            self.line(&format!("{current:column$}{part}"));
            current.clear();
        }
    }

    fn paragraph(&mut self, words: &str) {
        for part in wrap(words, self.width) {
            self.line(&part);
        }
    }
}

/// argh puts `--help` first; what people come for stands there.
fn help_last<'a>(flags: impl Iterator<Item = &'a FlagInfo<'a>>) -> impl Iterator<Item = &'a FlagInfo<'a>> {
    let (help, own): (Vec<_>, Vec<_>) = flags.partition(|flag| flag.long == HELP);
    own.into_iter().chain(help)
}

/// How a subcommand is typed.
pub fn usage(command: &SubCommandInfo) -> String {
    let mut usage = format!("{NAME} {}", command.name);
    if command.command.flags.iter().any(|flag| flag.long != HELP) {
        usage.push_str(" [FLAGS]");
    }
    for positional in command.command.positionals {
        let name = positional.name;
        let _ = match positional.optionality {
            Optionality::Required => write!(usage, " {name}"),
            Optionality::Repeating => write!(usage, " [{name}...]"),
            _ => write!(usage, " [{name}]"),
        };
    }
    usage
}

/// How a flag is written, in a column of short flags and one of long ones.
fn head(flag: &FlagInfo<'_>) -> String {
    let short = short(flag).map_or_else(|| "      ".to_owned(), |short| format!("  -{short}, "));
    format!("{short}{}{}", flag.long, value(flag))
}

/// The short spelling of a flag. argh's table gives `--help` none.
pub fn short(flag: &FlagInfo<'_>) -> Option<char> {
    if flag.long == HELP { Some('h') } else { flag.short }
}

/// What a flag does. argh's table has words of its own for `--help`.
pub fn words<'a>(flag: &FlagInfo<'a>) -> &'a str {
    if flag.long == HELP { "show the help; -h shows the short one" } else { flag.description }
}

/// What stands behind a flag: ` NAME`.
pub fn value(flag: &FlagInfo<'_>) -> String {
    match flag.kind {
        FlagInfoKind::Switch => String::new(),
        FlagInfoKind::Option { arg_name: SWITCH_WITH_VALUE } => format!("[={SWITCH_WITH_VALUE}]"),
        FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
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
    use super::*;

    fn top(length: HelpLength, terminal: Option<usize>) -> String {
        HelpRequest { command: None, length }.render(terminal)
    }

    #[test]
    fn every_flag_within_80_columns() {
        let help = top(HelpLength::Whole, None);
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

    #[test]
    fn the_short_help_is_a_screen_and_names_the_whole() {
        let help = top(HelpLength::Short, None);
        assert!(help.lines().count() <= 60, "{help}");
        for flag in COMMON_FLAGS {
            assert!(help.contains(flag), "{flag}");
        }
        for command in Subcommand::get_subcommands() {
            assert!(help.contains(&format!("\n  {} ", command.name)), "{}", command.name);
        }
        assert!(help.contains("'kubectl fwd --help' has every flag"), "{help}");
        assert!(help.find("Commands:") < help.find("Flags:"));
    }

    #[test]
    fn as_wide_as_the_terminal() {
        let widest = |terminal| {
            let help = top(HelpLength::Whole, Some(terminal));
            let flags = help.split_once("\nFlags:").map(|(_, flags)| flags.to_owned()).unwrap_or_default();
            flags.lines().map(|line| line.chars().count()).max().unwrap_or_default()
        };
        assert!((81..=WIDEST).contains(&widest(100)) && widest(300) == widest(100));
        assert!(widest(60) <= 60, "{}", widest(60));
    }

    #[test]
    fn every_command_has_examples_and_fits() {
        for command in Subcommand::get_subcommands() {
            assert!(!command.command.examples.is_empty(), "{}", command.name);
            let help = HelpRequest { command: Some(command.name), length: HelpLength::Whole }.render(None);
            assert!(help.contains(&format!("\n  {}", usage(&command))), "{help}");
            for text in help.lines() {
                assert!(text.chars().count() <= WIDEST, "{text}");
            }
        }
    }
}
