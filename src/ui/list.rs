//! `kubectl fwd list`: forwards as a table, as JSON, as ids.

use std::fmt::Write as _;

use jiff::Timestamp;
use owo_colors::Style;

use super::{
    color::{Styling, paint},
    escape,
    wording::Severity,
};
use crate::model::forward::{ForwardState, PortForward};

/// How a list is shown: `-o`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListFormat {
    /// Columns for people.
    #[default]
    Table,
    /// More of them.
    Wide,
    /// Everything, for programs.
    Json,
    /// The ids alone, for `stop`.
    Name,
}

/// Blanks between columns, as kubectl has them.
const GAP: usize = 3;

/// The forwards as text; empty for a table of none.
pub fn render(forwards: &[PortForward], format: ListFormat, now: Timestamp, styling: Styling) -> String {
    match format {
        ListFormat::Table | ListFormat::Wide if forwards.is_empty() => String::new(),
        ListFormat::Table => table(forwards, &HEAD, now, styling),
        ListFormat::Wide => table(forwards, &[&HEAD[..], &WIDE[..]].concat(), now, styling),
        // Of plain strings and numbers: it cannot fail.
        ListFormat::Json => serde_json::to_string_pretty(forwards)
            .map(|text| escape::json(&text).into_owned() + "\n")
            .unwrap_or_default(),
        ListFormat::Name => forwards.iter().fold(String::new(), |mut out, one| {
            let _ = writeln!(out, "{}", one.id);
            out
        }),
    }
}

const HEAD: [&str; 8] = ["ID", "TARGET", "LOCAL", "POD", "STATE", "SINCE", "CONNECTIONS", "BYTES"];
const WIDE: [&str; 6] = ["NAME", "CONTEXT", "NAMESPACE", "PID", "RESTARTS", "LAST ERROR"];
/// Which of them is coloured.
const STATE: usize = 4;

/// The columns of `head`, which are the first ones of [`cells`].
fn table(forwards: &[PortForward], head: &[&str], now: Timestamp, styling: Styling) -> String {
    let columns = head.len();
    let mut rows: Vec<Vec<String>> = vec![head.iter().map(|cell| (*cell).to_owned()).collect()];
    rows.extend(forwards.iter().map(|one| cells(one, now).into_iter().take(columns).collect()));
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    let states = std::iter::once(None).chain(forwards.iter().map(|one| Some(one.state)));
    for (row, state) in rows.iter().zip(states) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let style = state.filter(|_| at == STATE).map(style);
            line.push_str(&style.map_or_else(|| cell.clone(), |style| paint(styling, cell, style)));
            if at + 1 < columns {
                line.extend(std::iter::repeat_n(' ', widths[at] - cell.chars().count() + GAP));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn style(state: ForwardState) -> Style {
    match state {
        ForwardState::Active => Severity::Good,
        ForwardState::Starting | ForwardState::Stopped => Severity::Plain,
        ForwardState::Waiting | ForwardState::Reconnecting => Severity::Warning,
        ForwardState::Lost => Severity::Error,
    }
    .style()
}

/// What every column has of a forward: those of [`HEAD`], then those of [`WIDE`].
fn cells(one: &PortForward, now: Timestamp) -> [String; HEAD.len() + WIDE.len()] {
    let or_none = |text: Option<&str>| match text {
        Some(text) if !text.is_empty() => escape::line(text).into_owned(),
        _ => "-".to_owned(),
    };
    [
        one.id.to_string(),
        target(one),
        or_none(Some(&local(one))),
        or_none(one.pod.as_deref()),
        one.state.word().to_owned(),
        age(one.since, now),
        format!("{}/{}", one.connections.open, one.connections.total),
        format!("{}/{}", size(one.bytes.inbound), size(one.bytes.outbound)),
        or_none(one.label.as_deref()),
        or_none(one.context.as_deref()),
        or_none(Some(&one.namespace)),
        one.pid.to_string(),
        one.restarts.to_string(),
        or_none(one.last_error.as_deref()),
    ]
}

/// The target and its port, as a list shows them and `stop` takes them.
pub fn target(one: &PortForward) -> String {
    escape::line(&format!("{}:{}", one.target, one.remote_port)).into_owned()
}

/// The local address in a few characters, as a client would be told it.
fn local(one: &PortForward) -> String {
    match (&one.local, one.local_port) {
        (Some(local), _) => local.clone(),
        (None, Some(port)) => match one.address.as_str() {
            address if address.contains(':') && !address.contains(',') => format!("[{address}]:{port}"),
            address => format!("{address}:{port}"),
        },
        (None, None) => String::new(),
    }
}

/// How long ago, in the largest unit that fits: `5s`, `3m`, `2h`, `4d`.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A count of bytes: `0`, `999`, `1.5Ki`, `12Mi`.
fn size(bytes: u64) -> String {
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 {
        (rest, whole) = (whole % 1024, whole / 1024);
        unit += 1;
    }
    match unit {
        0 => bytes.to_string(),
        _ if whole < 10 => format!("{whole}.{}{}", rest * 10 / 1024, UNITS[unit]),
        _ => format!("{whole}{}", UNITS[unit]),
    }
}

/// As far as 64 bits go.
const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        forward::{ByteCounts, ConnectionCounts},
        ports::RemotePort,
    };

    fn forward(target: &str) -> PortForward {
        PortForward {
            context: Some("prod".into()),
            pod: Some("api-1".into()),
            pod_port: Some(80),
            connections: ConnectionCounts { open: 1, total: 20, ..ConnectionCounts::default() },
            bytes: ByteCounts { inbound: 1536, outbound: 999 },
            restarts: 2,
            pid: 7,
            target: target.into(),
            ..PortForward::example("service", "api", RemotePort::Name("http".into()))
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn tables() {
        let other = PortForward {
            local: Some("unix:/s".into()),
            local_port: None,
            pod: None,
            state: ForwardState::Lost,
            last_error: Some("no \u{1b}[2J".into()),
            label: Some("x".into()),
            ..forward("-l a=\u{1b}")
        };
        let all = [forward("svc/api"), other];
        assert_eq!(
            render(&all, ListFormat::Table, at(5), Styling::Plain),
            "ID       TARGET             LOCAL            POD     STATE    SINCE   CONNECTIONS   BYTES\n\
             aaaaaa   svc/api:http       localhost:8080   api-1   active   5s      1/20          1.5Ki/999\n\
             aaaaaa   -l a=\\u{1b}:http   unix:/s          -       lost     5s      1/20          1.5Ki/999\n"
        );
        let wide = render(&all, ListFormat::Wide, at(5), Styling::Plain);
        assert!(
            wide.starts_with("ID ")
                && wide.contains("NAME   CONTEXT   NAMESPACE   PID   RESTARTS   LAST ERROR\n")
        );
        assert!(wide.ends_with("x      prod      default     7     2          no \\u{1b}[2J\n"), "{wide}");
        let colored = render(&all, ListFormat::Table, at(5), Styling::Ansi);
        assert_eq!(colored.matches('\u{1b}').count(), 4, "{colored:?}");
    }

    #[test]
    fn for_programs() {
        let all = [PortForward { last_error: Some("\u{9b}2J \u{202e}".into()), ..forward("svc/api") }];
        assert_eq!(render(&all, ListFormat::Name, at(0), Styling::Ansi), "aaaaaa\n");
        let json = render(&all, ListFormat::Json, at(0), Styling::Ansi);
        assert!(json.contains("\\u009b2J \\u202e") && json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<Vec<PortForward>>(&json).unwrap(), all);
        assert_eq!(render(&[], ListFormat::Json, at(0), Styling::Ansi), "[]\n");
        assert_eq!(render(&[], ListFormat::Table, at(0), Styling::Ansi), "");
    }

    #[test]
    fn cells_of_all_kinds() {
        for (seconds, expected) in [(-9, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] {
            assert_eq!(age(Timestamp::UNIX_EPOCH, at(seconds)), expected);
        }
        for (bytes, expected) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0Ki"),
            (20 * 1024, "20Ki"),
            (3 << 30, "3.0Gi"),
            (u64::MAX, "15Ei"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        for (address, expected) in
            [("::1", "[::1]:8080"), ("127.0.0.2", "127.0.0.2:8080"), ("127.0.0.2,::1", "127.0.0.2,::1:8080")]
        {
            assert_eq!(local(&PortForward { address: address.into(), ..forward("svc/a") }), expected);
        }
    }
}
