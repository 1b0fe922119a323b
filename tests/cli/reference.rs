//! docs/CLI.md and the man page are written from the table of flags, and are current.

use std::{env, fmt::Write as _, fs, path::Path};

use argh::{ArgsInfo as _, FlagInfo, SubCommandInfo};
use kubectl_fwd::cli::{
    args::{Args, FIRST_CLUSTER_FLAG, FIRST_COMMON_FLAG, NAME},
    help::{self, GRAMMAR, USAGES},
    subcommands::Subcommand,
};

/// With this variable set the files are written instead of compared.
const WRITE: &str = "FWD_WRITE_REFERENCE";

/// What of the environment counts.
const VARIABLES: [(&str, &str); 6] = [
    ("KUBECONFIG", "the kubeconfig files, as kubectl reads them"),
    ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "the proxy to the API server, as for kubectl"),
    ("BROWSER", "what --open opens a URL with, before what the system has for that"),
    ("NO_COLOR, CLICOLOR_FORCE, FORCE_COLOR", "no colour, or colour where no terminal is"),
    ("KUBECTL_FWD_COMPLETION_TIMEOUT", "how long completion may look for names (default: 250ms)"),
    (
        "KUBECTL_FWD_CREDIT",
        "off: send without regard to the queues of the container runtime, for trying only",
    ),
];

#[test]
fn documents_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, text) in [("docs/CLI.md", markdown()), ("docs/man/kubectl-fwd.1", man())] {
        let path = root.join(file);
        if env::var_os(WRITE).is_some() {
            fs::write(&path, text).expect("the documents can be written");
            continue;
        }
        // Neither is in the package, as little as the map of the sources.
        if !path.exists() && !root.join("docs/ARCHITECTURE.md").exists() {
            continue;
        }
        let found = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        assert!(
            found == text,
            "{file} is not current. To write it: {WRITE}=1 cargo test --test cli documents_are_current"
        );
    }
}

/// The flags of the top level: those of forwarding, those that every command takes, those that reach a cluster.
fn groups() -> [(&'static str, Vec<&'static FlagInfo<'static>>); 3] {
    let flags = Args::get_args_info().flags;
    let at = |name: &str| flags.iter().position(|flag| flag.long == name).expect("it is there");
    let (common, cluster) = (at(FIRST_COMMON_FLAG), at(FIRST_CLUSTER_FLAG));
    let shown = |flags: &'static [FlagInfo<'static>]| flags.iter().filter(|flag| !flag.hidden).collect();
    [
        ("Flags of forwarding", shown(&flags[..common])),
        ("Flags of every command", shown(&flags[common..cluster])),
        ("Flags for reaching the cluster, as kubectl has them", shown(&flags[cluster..])),
    ]
}

fn own<'a>(command: &SubCommandInfo) -> Vec<&'a FlagInfo<'static>> {
    command.command.flags.iter().filter(|flag| !flag.hidden && flag.long != help::HELP).collect()
}

fn head(flag: &FlagInfo<'_>) -> String {
    let short = help::short(flag).map(|short| format!("-{short}, ")).unwrap_or_default();
    format!("{short}{}{}", flag.long, help::value(flag))
}

fn markdown() -> String {
    let info = Args::get_args_info();
    let mut out = String::from("# The command line\n\n");
    let _ = writeln!(
        out,
        "What `{NAME} --help` says, on one page. It is written from the table of flags in `src/cli/args.rs`"
    );
    let _ = writeln!(out, "by `{WRITE}=1 cargo test --test cli documents_are_current`; edit it there.\n");
    let _ = writeln!(out, "{}\n", info.description);
    for usage in USAGES {
        let _ = writeln!(out, "    {usage}");
    }
    out.push('\n');
    block(&mut out, GRAMMAR.lines());
    block(&mut out, info.examples.iter().copied());
    for (title, flags) in groups() {
        let _ = writeln!(out, "## {title}\n");
        table(&mut out, &flags);
    }
    out.push_str("## Commands\n\n");
    for command in Subcommand::get_subcommands() {
        let _ = writeln!(out, "### `{NAME} {}`\n\n{}\n", command.name, command.command.description);
        block(&mut out, [help::usage(&command).as_str()]);
        block(&mut out, command.command.examples.iter().copied());
        table(&mut out, &own(&command));
        for note in command.command.notes {
            let _ = writeln!(out, "{note}\n");
        }
    }
    out.push_str("## Environment\n\n| variable | meaning |\n|---|---|\n");
    for (name, meaning) in VARIABLES {
        let _ = writeln!(out, "| `{}` | {meaning} |", name.replace(", ", "`, `"));
    }
    out.push_str("\n## Exit status\n\n| status | meaning |\n|---|---|\n");
    for code in info.error_codes {
        let _ = writeln!(out, "| {} | {} |", code.code, code.description);
    }
    out
}

/// Lines as they are typed or shown.
fn block<'a>(out: &mut String, lines: impl IntoIterator<Item = &'a str>) {
    for line in lines {
        let _ = writeln!(out, "    {line}");
    }
    out.push('\n');
}

fn table(out: &mut String, flags: &[&FlagInfo<'_>]) {
    if flags.is_empty() {
        return;
    }
    out.push_str("| flag | meaning |\n|---|---|\n");
    for flag in flags {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {} |", cell(&head(flag)), cell(help::words(flag)));
    }
    out.push('\n');
}

fn man() -> String {
    let info = Args::get_args_info();
    let mut out = format!(".\\\" Written by {WRITE}=1 cargo test --test cli documents_are_current\n");
    out.push_str(".TH KUBECTL\\-FWD 1\n.SH NAME\nkubectl\\-fwd \\- ");
    let description = info.description.trim_end_matches('.');
    let _ = writeln!(out, "{}", roff(&(description[..1].to_lowercase() + &description[1..])));
    out.push_str(".SH SYNOPSIS\n.nf\n");
    for usage in USAGES {
        let _ = writeln!(out, "{}", roff(usage));
    }
    out.push_str(".fi\n.SH DESCRIPTION\n.nf\n");
    for line in GRAMMAR.lines() {
        let _ = writeln!(out, "{}", roff(line));
    }
    out.push_str(".fi\n");
    for (title, flags) in groups() {
        let _ = writeln!(out, ".SH {}", roff(&title.to_uppercase()));
        options(&mut out, &flags);
    }
    out.push_str(".SH COMMANDS\n");
    for command in Subcommand::get_subcommands() {
        let _ = writeln!(out, ".SS {}", roff(&help::usage(&command)));
        let _ = writeln!(out, "{}", roff(command.command.description));
        options(&mut out, &own(&command));
        for note in command.command.notes {
            let _ = writeln!(out, ".PP\n{}", roff(note));
        }
        examples(&mut out, command.command.examples);
    }
    out.push_str(".SH ENVIRONMENT\n");
    for (name, meaning) in VARIABLES {
        let _ = writeln!(out, ".TP\n.B {}\n{}", roff(name), roff(meaning));
    }
    out.push_str(".SH EXIT STATUS\n");
    for code in info.error_codes {
        let _ = writeln!(out, ".TP\n.B {}\n{}", code.code, roff(code.description));
    }
    out.push_str(".SH EXAMPLES\n");
    examples(&mut out, info.examples);
    out.push_str(".SH SEE ALSO\n.BR kubectl (1)\n");
    out
}

fn options(out: &mut String, flags: &[&FlagInfo<'_>]) {
    for flag in flags {
        let _ = writeln!(out, ".TP\n.B {}\n{}", roff(&head(flag)), roff(help::words(flag)));
    }
}

fn examples(out: &mut String, examples: &[&str]) {
    out.push_str(".PP\n.nf\n");
    for example in examples {
        let _ = writeln!(out, "{}", roff(example));
    }
    out.push_str(".fi\n");
}

/// A line of text as roff takes it: nothing is an escape or, at the line's start, a request.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[test]
fn text_stays_text_in_roff() {
    assert_eq!(roff("a\\b --c"), "a\\eb \\-\\-c");
    assert_eq!((roff(".x").as_str(), roff("'x").as_str()), ("\\&.x", "\\&'x"));
}
