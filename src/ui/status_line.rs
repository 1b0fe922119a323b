//! One status line, as wide as there is room for it.

use owo_colors::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::color::{Styling, paint};

/// What is left of a reason that is cut to make room for what stands around it.
const SHORTEST_REASON: usize = 12;

/// One line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatusLine {
    /// What it is about, as it is written before it is coloured.
    pub subject: String,
    /// How that is coloured, if it is.
    pub style: Option<Style>,
    /// What is the case.
    pub text: String,
    /// Why. The first to be cut where there is no room.
    pub why: Option<String>,
    /// How long, and what comes next.
    pub time: String,
}

impl StatusLine {
    /// The line in no more than `columns` columns: a line that wraps could not be taken away again.
    pub fn fit(&self, columns: usize) -> String {
        let Self { subject, style, text, why, time } = self;
        let gap = if subject.is_empty() { "" } else { " " };
        let frame = [subject, gap, text, time].iter().map(|part| part.width()).sum::<usize>();
        let why = match why {
            None => String::new(),
            // Two blanks and brackets around it.
            Some(why) => format!(" ({})", cut(why, columns.saturating_sub(frame + 3).max(SHORTEST_REASON))),
        };
        let rest = cut(&format!("{gap}{text}{why}{time}"), columns.saturating_sub(subject.width()));
        let subject = cut(subject, columns);
        match style {
            Some(style) => format!("{}{rest}", paint(Styling::Ansi, &subject, *style)),
            None => subject + &rest,
        }
    }
}

/// The text in no more than so many columns.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1; // The ellipsis.
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        let line = StatusLine {
            subject: "svc/日本:".into(),
            style: None,
            text: "cluster unreachable".into(),
            why: Some("connection refused".into()),
            time: ", 5 s so far".into(),
        };
        for columns in 0..80 {
            let text = line.fit(columns);
            assert!(text.width() <= columns, "{columns}: {text}");
            let colored = StatusLine { style: Some(Style::new().red()), ..line.clone() };
            assert_eq!(crate::ui::color::strip_ansi(&colored.fit(columns)), text);
        }
        assert_eq!(line.fit(80), "svc/日本: cluster unreachable (connection refused), 5 s so far");
        assert_eq!(cut("日本語", 5), "日本…");
    }
}
