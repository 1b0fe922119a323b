//! How a diagnosis is shown: a line a check, with what to do about it below; or as JSON.

use std::fmt::Write as _;

use owo_colors::Style;
use serde_json::json;

use super::{
    color::{Styling, paint},
    escape,
};
use crate::model::check::{Check, CheckStatus};

/// Where what was found begins. The longest name that is common, `may create pods/portforward`, fits in.
const COLUMN: usize = 29;

/// How the state of a check is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMarks {
    /// `✔`, `✘`.
    Unicode,
    /// `ok`, `FAILED`: for a terminal that shows nothing but ASCII.
    Ascii,
}

/// A check as lines.
pub fn lines(check: &Check, marks: CheckMarks, styling: Styling) -> String {
    let (mark, style) = mark(check.status, marks);
    let time = check.milliseconds.map(|time| format!(" ({time} ms)")).unwrap_or_default();
    let width = COLUMN.saturating_sub(2);
    let mut out = format!(
        "{} {:width$} {}{time}\n",
        paint(styling, mark, style),
        escape::line(&check.name),
        escape::line(&check.detail)
    );
    let indent = " ".repeat(mark.chars().count() + 3);
    for line in check.advice.iter().flat_map(|advice| advice.trim_end().lines()) {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{indent}{}", escape::line(line));
    }
    out
}

fn mark(status: CheckStatus, marks: CheckMarks) -> (&'static str, Style) {
    let (unicode, ascii, style) = match status {
        CheckStatus::Ok => ("✔", "ok    ", Style::new().green()),
        CheckStatus::Warning => ("!", "warn  ", Style::new().yellow().bold()),
        CheckStatus::Failed => ("✘", "FAILED", Style::new().red().bold()),
        CheckStatus::Skipped => ("-", "skip  ", Style::new().dimmed()),
    };
    match marks {
        CheckMarks::Unicode => (unicode, style),
        CheckMarks::Ascii => (ascii, style),
    }
}

/// What it comes to.
pub fn summary(checks: &[Check]) -> String {
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let warnings = match count(CheckStatus::Warning) {
        0 => String::new(),
        1 => " (1 warning)".to_owned(),
        many => format!(" ({many} warnings)"),
    };
    match (count(CheckStatus::Failed), count(CheckStatus::Skipped)) {
        (0, _) => format!("Everything that is needed to forward is there{warnings}.\n"),
        (failed, skipped) => {
            let failed = if failed == 1 { "1 check".to_owned() } else { format!("{failed} checks") };
            let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
            format!("{failed} failed{skipped}{warnings}. What to do is below each check that failed.\n")
        }
    }
}

/// Everything, for programs.
pub fn json(checks: &[Check], target: Option<&str>) -> String {
    let ok = !checks.iter().any(|check| check.status == CheckStatus::Failed);
    let all = json!({ "ok": ok, "target": target, "checks": checks });
    escape::pretty_json(&all)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_a_check() {
        let fine = Check::ok("dns", "10.0.0.1").took(Duration::from_millis(3));
        assert_eq!(
            lines(&fine, CheckMarks::Unicode, Styling::Plain),
            "✔ dns                         10.0.0.1 (3 ms)\n"
        );
        let bad = Check::failed("may list pods", "no \u{1b}[2J").advice("apply this:\nkind: Role\n");
        assert_eq!(
            lines(&bad, CheckMarks::Unicode, Styling::Plain),
            "✘ may list pods               no \\u{1b}[2J\n    apply this:\n    kind: Role\n"
        );
        let ascii = lines(&bad, CheckMarks::Ascii, Styling::Plain);
        assert!(ascii.is_ascii() && ascii.starts_with("FAILED may list pods"), "{ascii}");
        assert!(lines(&bad, CheckMarks::Unicode, Styling::Ansi).contains("\u{1b}[0m may list"));
    }

    #[test]
    fn what_it_comes_to() {
        let (fine, warning) = (Check::ok("a", ""), Check::warning("b", ""));
        let (bad, skipped) = (Check::failed("c", ""), Check::new("d", CheckStatus::Skipped, ""));
        assert_eq!(
            summary(&[fine.clone(), warning.clone()]),
            "Everything that is needed to forward is there (1 warning).\n"
        );
        assert!(summary(&[bad.clone(), skipped.clone()]).starts_with("1 check failed, 1 skipped. "));
        assert!(summary(&[bad.clone(), bad.clone(), warning]).starts_with("2 checks failed (1 warning). "));
        let read = |checks: &[Check]| {
            serde_json::from_str::<serde_json::Value>(&json(checks, Some("svc/api"))).unwrap()
        };
        assert_eq!(read(&[fine.clone(), skipped])["ok"], true);
        let all = read(&[fine, bad]);
        assert_eq!((all["ok"].as_bool(), all["target"].as_str()), (Some(false), Some("svc/api")));
        assert_eq!(
            all["checks"][0],
            json!({ "name": "a", "status": "ok", "detail": "", "milliseconds": null, "advice": null })
        );
    }
}
