//! The log of `-v NUMBER`, on stderr or wherever a process without one writes.
//!
//! At every level only targets are let through whose lines are known to hold no header and no body: tokens travel in
//! headers. Our own crate never logs one; hyper and kube log theirs at `trace`, which is never switched on.

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use owo_colors::Style;
use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{self, Writer},
        writer::BoxMakeWriter,
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use super::{
    color::{Styling, paint},
    escape,
    output_writer::{OutputStream, OutputWriter, StdoutUse},
    people::PeopleOutput,
};
use crate::cluster::http::request_log;

const OURS: &str = "kubectl_fwd";
/// Theirs, which `-v 8` adds, at `debug` and no further.
const THEIRS: [&str; 4] = ["hyper", "hyper_util", "kube_client", "kube_runtime"];

/// What is let through at this verbosity.
pub fn filter(verbosity: u8) -> Targets {
    let ours = match verbosity {
        0 => Level::WARN,
        1..=3 => Level::INFO,
        4..=6 => Level::DEBUG,
        7.. => Level::TRACE,
    };
    let theirs = if verbosity >= 8 { LevelFilter::DEBUG } else { LevelFilter::OFF };
    let requests = match verbosity {
        0..=5 => LevelFilter::OFF,
        6..=7 => LevelFilter::DEBUG,
        8.. => LevelFilter::TRACE,
    };
    let ours = Targets::new().with_target(OURS, ours).with_target(request_log::TARGET, requests);
    THEIRS.into_iter().fold(ours, |all, name| all.with_target(name, theirs))
}

/// Switches the log on for the process. A second call changes nothing.
pub fn install(verbosity: u8, styling: Styling, to: BoxMakeWriter) {
    let plain = format::format().with_ansi(false).with_target(verbosity >= 4);
    // Left to itself it writes to stdout, and in colour even to a pipe.
    let layer = tracing_subscriber::fmt::layer().with_writer(to).with_ansi(false);
    let layer = layer.event_format(LineFormatter { plain, styling });
    let _ = tracing_subscriber::registry().with(layer).with(filter(verbosity)).try_init();
}

/// An event as one line that a terminal shows as it is: pods' names, servers' words and what else is logged may come from
/// anywhere. So every line is escaped as a whole, and coloured only then.
struct LineFormatter {
    plain: format::Format,
    styling: Styling,
}

impl<S, N> FormatEvent<S, N> for LineFormatter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.plain.format_event(context, Writer::new(&mut line), event)?;
        let line = escape::line(line.trim_end_matches('\n'));
        let level = event.metadata().level();
        // In front of it stands the time alone, in which no level is written.
        match line.split_once(level.as_str()).filter(|_| self.styling == Styling::Ansi) {
            Some((time, rest)) => {
                let time = paint(Styling::Ansi, time, Style::new().dimmed());
                let level = paint(Styling::Ansi, level.as_str(), style(*level));
                writeln!(writer, "{time}{level}{rest}")
            }
            None => writeln!(writer, "{line}"),
        }
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::ERROR => Style::new().red(),
        Level::WARN => Style::new().yellow(),
        Level::INFO => Style::new().green(),
        Level::DEBUG => Style::new().blue(),
        Level::TRACE => Style::new().purple(),
    }
}

/// Writes log lines to stderr without ever waiting for it: a terminal that is paused, or a pipe that nobody reads, would
/// hold up every forward otherwise.
#[derive(Clone)]
pub struct StderrLog(Arc<Mutex<OutputWriter>>);

impl StderrLog {
    /// To the output for people.
    pub fn open(people: PeopleOutput) -> io::Result<Self> {
        Ok(Self::of(OutputWriter::open(people, StdoutUse::Written)?))
    }

    fn of(writer: OutputWriter) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    /// Waits until what was logged so far is written, at most this long.
    pub fn wait_written(&self, at_most: Duration) {
        self.0.lock().wait_written(at_most);
    }
}

impl Write for StderrLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end_matches('\n').to_owned();
        self.0.lock().write_line(OutputStream::Err, text);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::output_writer::tests::CapturedOutput;

    /// What is written of one event that has all kinds of harm in it.
    fn logged(styling: Styling) -> String {
        let seen = CapturedOutput::default();
        let stderr = StderrLog::of(OutputWriter::to(CapturedOutput::default(), seen.clone()).unwrap());
        let to = stderr.clone();
        let plain = format::format().with_ansi(false);
        let layer = tracing_subscriber::fmt::layer().with_ansi(false);
        let layer = layer
            .with_writer(BoxMakeWriter::new(move || to.clone()))
            .event_format(LineFormatter { plain, styling });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("span", pod = "p\u{9b}2J");
            let _entered = span.enter();
            let why = "a\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\r\nforged";
            tracing::warn!(why, error = %why, debug = ?why, "it {why}");
        });
        stderr.wait_written(Duration::from_secs(10));
        seen.text()
    }

    #[test]
    fn a_line_is_harmless_and_one() {
        let text = logged(Styling::Plain);
        assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
        assert!(text.trim_end_matches('\n').chars().all(escape::is_harmless), "{text:?}");
        assert!(text.contains(" WARN span{") && text.contains("forged"), "{text:?}");
        // Ours are the colours of the time and the level, and no others.
        let colored = logged(Styling::Ansi);
        assert_eq!(colored.matches('\u{1b}').count(), 4, "{colored:?}");
        assert!(colored.contains("\u{1b}[33mWARN\u{1b}[0m"), "{colored:?}");
        assert!(!colored.contains(['\u{9b}', '\u{202e}']), "{colored:?}");
    }

    #[test]
    fn what_is_let_through() {
        for (verbosity, target, level, expected) in [
            (0, "kubectl_fwd::tunnel", Level::WARN, true),
            (0, "kubectl_fwd::tunnel", Level::INFO, false),
            (0, "kube_client::client", Level::ERROR, false),
            (1, "kubectl_fwd", Level::INFO, true),
            (3, "kubectl_fwd", Level::DEBUG, false),
            (4, "kubectl_fwd", Level::DEBUG, true),
            (6, "kubectl_fwd", Level::TRACE, false),
            (7, "kubectl_fwd", Level::TRACE, true),
            (5, request_log::TARGET, Level::DEBUG, false),
            (6, request_log::TARGET, Level::DEBUG, true),
            (7, request_log::TARGET, Level::TRACE, false),
            (8, request_log::TARGET, Level::TRACE, true),
            (7, "hyper::proto", Level::ERROR, false),
            (8, "hyper::proto", Level::DEBUG, true),
            (8, "kube_client::client", Level::DEBUG, true),
            // Where kube logs headers, and rustls keys.
            (9, "kube_client::client", Level::TRACE, false),
            (255, "hyper::proto", Level::TRACE, false),
            (255, "rustls::client", Level::ERROR, false),
            (255, "tower_http::trace", Level::ERROR, false),
        ] {
            assert_eq!(
                filter(verbosity).would_enable(target, &level),
                expected,
                "{verbosity} {target} {level}"
            );
        }
    }
}
