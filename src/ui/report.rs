//! How the error that ends a command is shown: once, on stderr.
//!
//! Both begin with the word `error:`. A person at a terminal gets miette's drawing, as wide as the terminal. A pipe gets
//! plain lines that a script can read: `error: `, then `  because: ` and `  help: `, without a single escape code unless
//! colour is asked for. The code of an error is for programs, and stands in JSON only.

use std::{
    error::Error as _,
    fmt::{self, Write as _},
};

use miette::{
    Diagnostic, GraphicalTheme, LabeledSpan, MietteHandler, MietteHandlerOpts, NamedSource,
    ReportHandler as _, SourceCode, ThemeCharacters, ThemeStyles,
};
use owo_colors::Style;
use textwrap::{WordSeparator, WordSplitter};

use super::{
    color::{Styling, paint},
    escape,
};
use crate::error::{Excerpt, Fatal, Problem};

/// What the error looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportStyle {
    /// Drawn, for a terminal.
    pub fancy: bool,
    /// Coloured.
    pub color: Styling,
}

/// The error as text, with a line break at its end.
pub fn render(fatal: &Fatal, look: ReportStyle) -> String {
    if look.fancy { fancy(fatal, look.color) } else { plain(fatal, look.color) }
}

/// The same, for what does not end the command.
pub fn warning(fatal: &Fatal, color: Styling) -> String {
    lines(&paint(color, "warning:", Style::new().yellow().bold()), fatal)
}

fn plain(fatal: &Fatal, color: Styling) -> String {
    lines(&paint(color, "error:", Style::new().red().bold()), fatal)
}

fn lines(head: &str, fatal: &Fatal) -> String {
    let mut out = String::new();
    let mut part = |head: &str, text: &str| {
        // A second line of the same part stands under the first.
        let text = escape::lines(text.trim_end()).replace('\n', "\n    ");
        let _ = writeln!(out, "{head} {text}");
    };
    part(head, &fatal.to_string());
    let mut cause = fatal.source();
    while let Some(why) = cause {
        part("  because:", &why.to_string());
        cause = why.source();
    }
    if let Some(Excerpt { name, problems: places, .. }) = fatal.excerpt() {
        for place in places {
            part("  because:", &format!("{name}:{}:{}: {}", place.line, place.column, with_help(place)));
        }
    }
    if let Some(help) = Diagnostic::help(fatal) {
        part("  help:", &help.to_string());
    }
    out
}

fn with_help(Problem { what, help, .. }: &Problem) -> String {
    help.as_ref().map_or_else(|| what.clone(), |help| format!("{what}; {help}"))
}

fn fancy(fatal: &Fatal, color: Styling) -> String {
    // The width is the terminal's, which miette asks for itself. Not its global hook: one error is drawn, here.
    // Names, flags and URLs stay whole, so that they can be copied: lines end at spaces only.
    let handler = MietteHandlerOpts::new()
        .force_graphical(true)
        .graphical_theme(theme(color))
        .terminal_links(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
        .build();
    let shown = EscapedReport::new(fatal);
    let drawing = format!("{:?}", FancyReport { handler: &handler, shown: &shown });
    format!("{}\n", drawing.trim())
}

/// miette's own, with the word in place of its sign for an error.
fn theme(color: Styling) -> GraphicalTheme {
    let drawn = if supports_unicode::on(supports_unicode::Stream::Stderr) {
        ThemeCharacters::unicode()
    } else {
        ThemeCharacters::ascii()
    };
    let styles = match color {
        Styling::Ansi => ThemeStyles { error: Style::new().red().bold(), ..ThemeStyles::ansi() },
        Styling::Plain => ThemeStyles::none(),
    };
    GraphicalTheme { characters: ThemeCharacters { error: "error:".to_owned(), ..drawn }, styles }
}

/// The error as miette draws it, with what came from elsewhere escaped.
#[derive(Debug)]
struct EscapedReport {
    fatal: Fatal,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

impl EscapedReport {
    fn new(fatal: &Fatal) -> Self {
        let mut out = Fatal::new(fatal.code().to_owned(), escape::lines(&fatal.to_string()));
        for cause in fatal.causes() {
            out = out.because(escape::lines(cause));
        }
        if let Some(help) = fatal.advice() {
            out = out.help(escape::lines(help));
        }
        let (mut source, mut labels) = (None, Vec::new());
        if let Some(Excerpt { name, text, problems: places }) = fatal.excerpt() {
            source = Some(NamedSource::new(escape::line(name), escape::in_place(text)));
            labels.extend(places.iter().map(|place| {
                let words = escape::line(&with_help(place)).into_owned();
                LabeledSpan::new(Some(words), place.offset, place.length)
            }));
        }
        Self { fatal: out, source, labels }
    }
}

impl fmt::Display for EscapedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fatal.fmt(f)
    }
}

impl std::error::Error for EscapedReport {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fatal.source()
    }
}

impl Diagnostic for EscapedReport {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Diagnostic::help(&self.fatal)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as _)
    }
}

/// miette draws through `Debug`.
struct FancyReport<'a> {
    handler: &'a MietteHandler,
    shown: &'a EscapedReport,
}

impl fmt::Debug for FancyReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.debug(self.shown, f)
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
        let look = ReportStyle { fancy: false, color: Styling::Plain };
        assert_eq!(
            render(&fatal(), look),
            "error: port 8080 is taken\n  because: nginx (pid 7) listens on it\n  because: pod \\u{1b}[2J\n  \
             help: use 8081\n    or :80\n"
        );
        let colored = render(&fatal(), ReportStyle { color: Styling::Ansi, ..look });
        assert!(colored.starts_with("\u{1b}[") && colored.matches('\u{1b}').count() == 2);
    }

    #[test]
    fn words_stay_whole() {
        let name = "a-very-long-name/with-hyphens.and-more:";
        let fatal = Fatal::new("fwd::test", [name; 20].join(" ")).help([name; 20].join(" "));
        let text = render(&fatal, ReportStyle { fancy: true, color: Styling::Plain });
        assert_eq!(text.matches(name).count(), 40, "{text}");
    }

    #[test]
    fn drawn_for_a_terminal() {
        let text = render(&fatal(), ReportStyle { fancy: true, color: Styling::Plain });
        assert!(text.starts_with("error: port 8080 is taken\n"), "{text}");
        for part in ["nginx (pid 7)", "use 8081"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("fwd::port::in_use"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(render(&fatal(), ReportStyle { fancy: true, color: Styling::Ansi }).contains('\u{1b}'));
    }

    /// A file with two things wrong, one of them behind what would move the cursor.
    #[test]
    fn places_in_a_text() {
        let text = "a: \u{1b}[2J\nports: [0]\n";
        let place = |offset, line, column, what: &str| Problem {
            offset,
            length: 1,
            line,
            column,
            what: what.to_owned(),
            help: None,
        };
        let places = vec![
            place(0, 1, 1, "unknown key 'a'").help("did you mean 'as'?"),
            place(17, 2, 9, "0 is no port"),
        ];
        let excerpt = Excerpt { name: "fwd.yaml".into(), text: text.into(), problems: places };
        let fatal =
            Fatal::new("fwd::set::invalid", "fwd.yaml has 2 problems").found_in(excerpt).help("mend it");
        assert_eq!(
            render(&fatal, ReportStyle { fancy: false, color: Styling::Plain }),
            "error: fwd.yaml has 2 problems\n  because: fwd.yaml:1:1: unknown key 'a'; did you mean 'as'?\n  because: \
             fwd.yaml:2:9: 0 is no port\n  help: mend it\n"
        );
        let drawn = render(&fatal, ReportStyle { fancy: true, color: Styling::Plain });
        for part in
            ["[fwd.yaml:1:1]", "a: ?[2J", "ports: [0]", "0 is no port", "did you mean 'as'?", "mend it"]
        {
            assert!(drawn.contains(part), "{part} in {drawn}");
        }
        assert!(!drawn.contains('\u{1b}'));
    }
}
