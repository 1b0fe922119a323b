//! What was found so far, told as it is found.

use std::time::Instant;

use crate::{
    app::stdout::put,
    error::Fatal,
    model::check::{Check, CheckStatus},
    ui::{
        OutputFormat, OutputSettings,
        doctor::{self, CheckMarks},
    },
};

/// The checks that were made, in order.
pub(super) struct CheckRecord {
    checks: Vec<Check>,
    ui: OutputSettings,
    marks: CheckMarks,
    /// When the last check was told: the next one took from then on.
    last: Instant,
    /// Why stdout cannot be written to.
    broken: Option<Fatal>,
}

impl CheckRecord {
    pub(super) fn new(ui: OutputSettings, marks: CheckMarks) -> Self {
        Self { checks: Vec::new(), ui, marks, last: Instant::now(), broken: None }
    }

    /// Adds a check, and tells it to a person at once.
    pub(super) fn add(&mut self, check: Check) {
        // Who wants errors only is told what failed.
        let told = !self.ui.quiet || check.status == CheckStatus::Failed;
        if self.ui.output == OutputFormat::Text && told && self.broken.is_none() {
            let lines = doctor::lines(&self.shown(&check), self.marks, self.ui.colors.stdout);
            let written = put(lines.as_bytes());
            self.broken = written.err();
        }
        self.checks.push(check);
        self.last = Instant::now();
    }

    /// What a person is shown of a check: advice of many lines, such as a role, only once.
    fn shown(&self, check: &Check) -> Check {
        let is_long = check.advice.as_ref().is_some_and(|advice| advice.contains('\n'));
        if is_long && self.checks.iter().any(|other| other.advice == check.advice) {
            return check.clone().advice("see above");
        }
        check.clone()
    }

    /// The same with the time that has passed since the last one.
    pub(super) fn add_timed(&mut self, check: Check) {
        let took = self.last.elapsed();
        self.add(check.took(took));
    }

    /// Adds what cannot be checked, because the check `failed` has failed.
    pub(super) fn skip<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, failed: &str) {
        for name in names {
            self.add(Check::new(name, CheckStatus::Skipped, format!("not checked: {failed} failed")));
        }
    }

    /// Tells what it all comes to; the exit status.
    pub(super) fn finish(self, target: Option<&str>) -> Result<u8, Fatal> {
        let text = match self.ui.output {
            OutputFormat::Text if self.ui.quiet => String::new(),
            OutputFormat::Text => format!("\n{}", doctor::summary(&self.checks)),
            OutputFormat::Json => doctor::json(&self.checks, target),
        };
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        put(text.as_bytes())?;
        Ok(u8::from(self.checks.iter().any(|check| check.status == CheckStatus::Failed)))
    }
}
