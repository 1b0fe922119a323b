//! What a diagnosis finds, one check at a time.

use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Forwarding works in spite of it.
    Warning,
    /// Forwarding needs it, and it is not there.
    Failed,
    /// It was not checked, because a check that it depends on failed.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked: `dns`, `may list pods`.
    pub name: String,
    /// How it came out.
    pub status: CheckStatus,
    /// What was found, in one line for a person.
    pub detail: String,
    /// How long it took, where that tells something.
    pub milliseconds: Option<u64>,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Check {
    /// A check that came out so.
    pub fn new(name: impl Into<String>, status: CheckStatus, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status, detail: detail.into(), milliseconds: None, advice: None }
    }

    /// One that is as it should be.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, detail)
    }

    /// One that forwarding works in spite of.
    pub fn warning(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Warning, detail)
    }

    /// One that forwarding fails for.
    pub fn failed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Failed, detail)
    }

    /// Says what to do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Says how long it took.
    #[must_use]
    pub fn took(mut self, time: std::time::Duration) -> Self {
        self.milliseconds = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }
}
