//! The lines of the table, and what is to be reached in each.

use std::fmt;

/// A line of the table: what it is, its unit, and what `kubectl-fwd` is to reach.
pub(super) struct Row(pub(super) &'static str, pub(super) &'static str, pub(super) Goal);

/// What is to be reached (DESIGN §6).
#[derive(Clone, Copy)]
pub(super) enum Goal {
    None,
    AtMost(f64),
    AtLeast(f64),
    AtMostOfKubectl(f64),
    AtLeastOfKubectl(f64),
    AtMostOfTlsRelay(f64),
}

/// What those reached that a goal may be about.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    pub(super) ours: Option<f64>,
    pub(super) kubectl: Option<f64>,
    pub(super) tls_relay: Option<f64>,
}

impl Goal {
    /// Whether it is reached; `None` where that is not known, or nothing is wanted. Any number is better than none of
    /// kubectl's.
    pub(super) fn is_met(self, Reached { ours, kubectl, tls_relay }: Reached) -> Option<bool> {
        let at_most = |limit: f64| ours.map_or(Some(false), |ours| (!ours.is_nan()).then_some(ours <= limit));
        let at_least =
            |limit: f64| ours.map_or(Some(false), |ours| (!ours.is_nan()).then_some(ours >= limit));
        match self {
            Self::None => None,
            Self::AtMost(limit) => at_most(limit),
            Self::AtLeast(limit) => at_least(limit),
            Self::AtMostOfKubectl(times) => at_most(kubectl.map_or(f64::INFINITY, |theirs| theirs * times)),
            Self::AtLeastOfKubectl(times) => at_least(kubectl.map_or(0.0, |theirs| theirs * times)),
            Self::AtMostOfTlsRelay(times) => tls_relay.and_then(|theirs| at_most(theirs * times)),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
            Self::AtMostOfKubectl(times) => write!(f, "at most {times}x kubectl"),
            Self::AtLeastOfKubectl(times) => write!(f, "at least {times}x kubectl"),
            Self::AtMostOfTlsRelay(times) => write!(f, "at most {times}x the TLS relay"),
        }
    }
}
