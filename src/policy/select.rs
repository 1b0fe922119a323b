//! Which pod new connections go to, and why there is none.
//!
//! kubectl takes the first pod of a list sorted once; here the question is asked again at every change. Three rules
//! come before kubectl's order: a pod that is not usable, or has none of the wanted ports, is never taken; the pod in use
//! is kept while it is usable, so that connections of one client keep meeting the same pod; and a pod that has more of
//! the wanted ports is better than one that has fewer.

use std::cmp::Reverse;

use crate::model::endpoint::{Endpoint, Phase, PodId};

/// What a target asks of a pod's readiness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Readiness {
    /// A pod has to be ready.
    #[default]
    Required,
    /// While no pod is ready, one that runs will do (`--allow-unready`).
    Preferred,
    /// A pod has to run, ready or not: it was named, or its service publishes those that are not ready.
    Ignored,
}

impl Readiness {
    /// The same where a pod that is not ready will do while none is.
    #[must_use]
    pub fn relaxed(self) -> Self {
        match self {
            Self::Required => Self::Preferred,
            asked => asked,
        }
    }
}

/// How many ports a pod has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coverage {
    /// Of the ports that look for a pod. A pod with none of them is no candidate.
    pub wanted: usize,
    /// Of all ports of the target: the others may have to move one day, and are best found in the same place.
    pub target: usize,
}

/// The pod for new connections: the current one while it is a candidate, else the best of the candidates.
///
/// Best is: more of the ports, then, as in kubectl, ready, ready for longer, fewer restarts, older. Ties go to the first
/// name, so that two processes that see the same set choose the same pod.
pub fn choose<'a>(
    pods: &'a [Endpoint],
    current: Option<&PodId>,
    readiness: Readiness,
    coverage: impl Fn(&Endpoint) -> Coverage,
) -> Option<&'a Endpoint> {
    let with = |usable: fn(&Endpoint) -> bool| {
        let candidates = || {
            let usable = pods.iter().filter(|pod| usable(pod));
            usable.map(|pod| (pod, coverage(pod))).filter(|(_, coverage)| coverage.wanted > 0)
        };
        // Of thousands of pods the current one alone is looked at closely.
        let current = pods.iter().filter(|pod| Some(&pod.id) == current && usable(pod));
        let kept = current.map(|pod| (pod, coverage(pod))).find(|(_, coverage)| coverage.wanted > 0);
        kept.or_else(|| candidates().min_by_key(|(pod, coverage)| (Reverse(*coverage), rank(pod))))
    };
    let found = match readiness {
        Readiness::Required => with(Endpoint::is_usable),
        Readiness::Preferred => with(Endpoint::is_usable).or_else(|| with(Endpoint::is_running)),
        Readiness::Ignored => with(|pod| pod.is_usable() || pod.is_running()),
    };
    found.map(|(pod, _)| pod)
}

/// Whether [`choose`] finds one for a port that these pods have.
pub fn has_candidate(pods: &[Endpoint], readiness: Readiness, has: impl Fn(&Endpoint) -> bool) -> bool {
    let usable = |pod: &&Endpoint| pod.is_usable() || readiness != Readiness::Required && pod.is_running();
    pods.iter().filter(usable).any(has)
}

/// kubectl's order of pods that run, the best first.
fn rank(pod: &Endpoint) -> impl Ord + use<'_> {
    // An unknown time (0) says nothing about age, so it counts as the youngest.
    let age = |seconds: i64| if seconds == 0 { i64::MAX } else { seconds };
    (!pod.ready, age(pod.ready_since), pod.restarts, age(pod.created), &pod.id)
}

/// Why [`choose`] finds none, for people. `lack` tells why a pod does not have the wanted ports, if it does not.
pub fn why_none(
    pods: &[Endpoint],
    readiness: Readiness,
    lack: impl Fn(&Endpoint) -> Option<String>,
) -> String {
    let usable = |pod: &&Endpoint| pod.is_usable() || (readiness != Readiness::Required && pod.is_running());
    let mut without: Vec<&Endpoint> = pods.iter().filter(usable).collect();
    without.sort_by_key(|pod| rank(pod));
    if let Some(lack) = without.first().and_then(|pod| lack(pod)) {
        let are = match (without.len(), without.iter().all(|pod| pod.ready)) {
            (1, true) => "1 pod is ready".to_owned(),
            (1, false) => "1 pod runs".to_owned(),
            (many, true) => format!("{many} pods are ready"),
            (many, false) => format!("{many} pods run"),
        };
        return format!("{are}, but without the port: {lack}");
    }
    match pods {
        [] => "no pods match; is it scaled to 0?".to_owned(),
        [pod] => condition(pod),
        many if many.iter().all(|pod| pod.terminating) => match many.len() {
            2 => "both pods are being deleted".to_owned(),
            count => format!("all {count} pods are being deleted"),
        },
        many => {
            let why = closest(many).map(condition).unwrap_or_default();
            format!("none of {} pods is ready: {why}", many.len())
        }
    }
}

/// The pod that is closest to ready: it says the most about what is being waited for.
pub fn closest(pods: &[Endpoint]) -> Option<&Endpoint> {
    pods.iter().max_by_key(|pod| (closeness(pod), Reverse(&pod.id)))
}

/// How close to ready a pod is.
fn closeness(pod: &Endpoint) -> u8 {
    match (pod.terminating, pod.phase) {
        (true, _) => 0,
        (false, Phase::Succeeded | Phase::Failed) => 1,
        (false, Phase::Unknown) => 2,
        (false, Phase::Pending) => 3,
        (false, Phase::Running) => 4,
    }
}

/// What keeps one pod from being usable.
fn condition(pod: &Endpoint) -> String {
    let name = &pod.id.name;
    if pod.terminating {
        return format!("pod {name} is being deleted");
    }
    let state = match pod.phase {
        Phase::Pending => "is Pending",
        Phase::Running if pod.ready => return format!("pod {name} is ready"),
        Phase::Running => "is not ready",
        Phase::Succeeded => "has completed",
        Phase::Failed => "has failed",
        Phase::Unknown => "is in an unknown state",
    };
    match &pod.reason {
        Some(reason) => format!("pod {name} {state} ({reason})"),
        None => format!("pod {name} {state}"),
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
