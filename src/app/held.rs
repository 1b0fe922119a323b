//! What came up for people while nothing could be written.

use std::{io::Write as _, iter};

use super::lifecycle::FLUSH_TIMEOUT;
use crate::ui::{
    log::StderrLog,
    people::{HeldLines, PeopleOutput},
};

/// Tells what could not be told while a command or the panel had the terminal.
pub(super) fn tell_held(people: &PeopleOutput, meanwhile: &str) {
    if let Some(text) = summary(&people.release(), meanwhile)
        && let Ok(mut stderr) = StderrLog::open(people.clone())
    {
        let _ = stderr.write_all(text.as_bytes());
        stderr.wait_written(FLUSH_TIMEOUT);
    }
}

/// What is told of the time in which nothing could be.
fn summary(held: &HeldLines, meanwhile: &str) -> Option<String> {
    let HeldLines { lines, earlier } = held;
    if lines.is_empty() {
        return None;
    }
    let head = format!("kubectl fwd, while {meanwhile}:");
    let left_out =
        (*earlier > 0).then(|| format!("  ({earlier} earlier lines are left out; --log FILE keeps all)"));
    let lines = lines.iter().map(|line| format!("  {line}"));
    Some(iter::once(head).chain(left_out).chain(lines).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary() {
        assert_eq!(summary(&HeldLines::default(), "the command ran"), None);
        let held = HeldLines { lines: ["svc/db: a".to_owned(), "svc/db: b".to_owned()].into(), earlier: 2 };
        let expected = "kubectl fwd, while the command ran:\n  (2 earlier lines are left out; --log FILE keeps all)\n  svc/db: a\n  svc/db: b";
        assert_eq!(summary(&held, "the command ran").as_deref(), Some(expected));
    }
}
