//! Why a pod was not reached.

use std::time::Duration;

use super::{protocol::UpgradeRefusal, upgrade::UpgradeError};
use crate::{cluster::error::reason::reason, error::Transient};

/// Why a pod was not reached.
#[derive(Debug, Clone)]
pub struct DialError {
    /// For a person.
    pub why: Transient,
    /// What the server answered, where it answered: rights and missing pods are told from trouble by it.
    pub refusal: Option<UpgradeRefusal>,
}

impl DialError {
    /// It took longer than it may.
    pub fn late(limit: Duration) -> Self {
        let why = format!("no answer within {:.0} s", limit.as_secs_f64().ceil());
        Self { why: Transient { why }, refusal: None }
    }
}

impl From<UpgradeError> for DialError {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::Refused(refusal) => {
                Self { why: Transient { why: refusal.reason() }, refusal: Some(refusal) }
            }
            UpgradeError::Unreachable(error) => {
                Self { why: Transient { why: reason(error.as_ref()) }, refusal: None }
            }
        }
    }
}
