//! How the error that ends a command is shown: once, on stderr.
//!
//! A person at a terminal gets miette's drawing, as wide as the terminal. A pipe gets plain lines that a script can
//! read: `error: `, then `  because: ` and `  help: `, without a single escape code unless colour is asked for.

use std::{
    error::Error as _,
    fmt::{self, Write as _},
};

use miette::{Diagnostic, MietteHandler, MietteHandlerOpts, ReportHandler as _};
use owo_colors::Style;
use textwrap::{WordSeparator, WordSplitter};

use super::{color::paint, escape};
use crate::error::Fatal;

/// What the error looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Drawn, for a terminal.
    pub fancy: bool,
    /// Coloured.
    pub color: bool,
}

/// The error as text, with a line break at its end.
pub fn render(fatal: &Fatal, look: Look) -> String {
    if look.fancy { drawn(fatal, look.color) } else { plain(fatal, look.color) }
}

fn plain(fatal: &Fatal, color: bool) -> String {
    let mut out = String::new();
    let head = paint(color, "error:", Style::new().red().bold());
    let mut part = |head: &str, text: &str| {
        // A second line of the same part stands under the first.
        let text = escape::lines(text.trim_end()).replace('\n', "\n    ");
        let _ = writeln!(out, "{head} {text}");
    };
    part(&head, &fatal.to_string());
    let mut cause = fatal.source();
    while let Some(why) = cause {
        part("  because:", &why.to_string());
        cause = why.source();
    }
    if let Some(help) = Diagnostic::help(fatal) {
        part("  help:", &help.to_string());
    }
    out
}

fn drawn(fatal: &Fatal, color: bool) -> String {
    // The width is the terminal's, which miette asks for itself. Not its global hook: one error is drawn, here.
    // Names, flags and URLs stay whole, so that they can be copied: lines end at spaces only.
    let handler = MietteHandlerOpts::new()
        .force_graphical(true)
        .color(color)
        .terminal_links(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
        .build();
    let drawing = format!("{:?}", Drawing { handler: &handler, fatal: &harmless(fatal) });
    format!("{}\n", drawing.trim_end())
}

/// The error with what came from the cluster escaped.
fn harmless(fatal: &Fatal) -> Fatal {
    let mut out = Fatal::new(fatal.code(), escape::lines(&fatal.to_string()));
    let mut cause = fatal.source();
    while let Some(why) = cause {
        out = out.because(escape::lines(&why.to_string()));
        cause = why.source();
    }
    match Diagnostic::help(fatal) {
        Some(help) => out.help(escape::lines(&help.to_string())),
        None => out,
    }
}

/// miette draws through `Debug`.
struct Drawing<'a> {
    handler: &'a MietteHandler,
    fatal: &'a Fatal,
}

impl fmt::Debug for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.debug(self.fatal, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fatal() -> Fatal {
        Fatal::new("fwd::port::in_use", "port 8080 is taken")
            .because("nginx (pid 7) listens on it")
            .because("pod \u{1b}[2J")
            .help("use 8081\nor :80")
    }

    #[test]
    fn plain_lines() {
        let look = Look { fancy: false, color: false };
        assert_eq!(
            render(&fatal(), look),
            "error: port 8080 is taken\n  because: nginx (pid 7) listens on it\n  because: pod \\u{1b}[2J\n  \
             help: use 8081\n    or :80\n"
        );
        let colored = render(&fatal(), Look { color: true, ..look });
        assert!(colored.starts_with("\u{1b}[") && colored.matches('\u{1b}').count() == 2);
    }

    #[test]
    fn words_stay_whole() {
        let name = "a-very-long-name/with-hyphens.and-more:";
        let fatal = Fatal::new("fwd::test", [name; 20].join(" ")).help([name; 20].join(" "));
        let text = render(&fatal, Look { fancy: true, color: false });
        assert_eq!(text.matches(name).count(), 40, "{text}");
    }

    #[test]
    fn drawn_for_a_terminal() {
        let text = render(&fatal(), Look { fancy: true, color: false });
        for part in ["fwd::port::in_use", "port 8080 is taken", "nginx (pid 7)", "use 8081"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert!(render(&fatal(), Look { fancy: true, color: true }).contains('\u{1b}'));
    }
}
