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
        let kept = candidates().find(|(pod, _)| Some(&pod.id) == current);
        kept.or_else(|| candidates().min_by_key(|(pod, coverage)| (Reverse(*coverage), rank(pod))))
    };
    let found = match readiness {
        Readiness::Required => with(Endpoint::is_usable),
        Readiness::Preferred => with(Endpoint::is_usable).or_else(|| with(Endpoint::is_running)),
        Readiness::Ignored => with(|pod| pod.is_usable() || pod.is_running()),
    };
    found.map(|(pod, _)| pod)
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
        [] => "no pod matches".to_owned(),
        [pod] => condition(pod),
        many if many.iter().all(|pod| pod.terminating) => {
            format!("all {} pods are being deleted", many.len())
        }
        many => {
            // The one that is closest to ready says the most about what is being waited for.
            let closest = many.iter().max_by_key(|pod| (promise(pod), Reverse(&pod.id)));
            let why = closest.map(condition).unwrap_or_default();
            format!("none of {} pods is ready: {why}", many.len())
        }
    }
}

/// How close to ready a pod is.
fn promise(pod: &Endpoint) -> u8 {
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
mod tests {
    use super::*;

    fn pod(name: &str) -> Endpoint {
        Endpoint::example(name)
    }

    const ONE: Coverage = Coverage { wanted: 1, target: 1 };

    fn name(pod: Option<&Endpoint>) -> Option<String> {
        pod.map(|pod| pod.id.name.clone())
    }

    fn chosen(pods: &[Endpoint], current: Option<&PodId>) -> Option<String> {
        name(choose(pods, current, Readiness::Required, |_| ONE))
    }

    /// Why there is none where every pod has the ports.
    fn why(pods: &[Endpoint]) -> String {
        why_none(pods, Readiness::Required, |_| None)
    }

    #[test]
    fn unusable_pods_are_never_chosen() {
        assert_eq!(chosen(&[], None), None);
        for bad in [
            Endpoint { ready: false, ..pod("a") },
            Endpoint { terminating: true, ..pod("a") },
            Endpoint { phase: Phase::Pending, ..pod("a") },
            Endpoint { phase: Phase::Succeeded, ..pod("a") },
        ] {
            let current = bad.id.clone();
            assert_eq!(chosen(std::slice::from_ref(&bad), Some(&current)), None);
            assert_eq!(chosen(&[bad, pod("b")], Some(&current)), Some("b".into()));
        }
    }

    #[test]
    fn the_current_one_is_kept_while_usable() {
        let better = Endpoint { ready_since: 1, ..pod("a") };
        let current = pod("b");
        assert_eq!(chosen(&[better.clone(), current.clone()], Some(&current.id)), Some("b".into()));
        // The same name with another UID is another pod.
        let reborn = Endpoint { id: PodId { uid: "new".into(), ..current.id.clone() }, ..current.clone() };
        assert_eq!(chosen(&[better, reborn], Some(&current.id)), Some("a".into()));
    }

    #[test]
    fn preference() {
        let longer = Endpoint { ready_since: 90, restarts: 9, ..pod("z") };
        assert_eq!(chosen(&[pod("a"), longer], None), Some("z".into()));
        let restarted = Endpoint { restarts: 1, ..pod("a") };
        assert_eq!(chosen(&[restarted, pod("z")], None), Some("z".into()));
        let older = Endpoint { created: 40, ..pod("z") };
        assert_eq!(chosen(&[pod("a"), older], None), Some("z".into()));
        assert_eq!(chosen(&[pod("b"), pod("a")], None), Some("a".into()));
        let unknown = Endpoint { ready_since: 0, ..pod("a") };
        assert_eq!(chosen(&[unknown, pod("b")], None), Some("b".into()));
    }

    #[test]
    fn pods_without_the_ports_are_never_chosen() {
        // The better pod by kubectl's order has none of the ports.
        let (without, with) = (Endpoint { ready_since: 1, ..pod("a") }, pod("b"));
        let has = |pod: &Endpoint| {
            if pod.id.name == "a" { Coverage { wanted: 0, target: 1 } } else { ONE }
        };
        let pods = [without.clone(), with];
        assert_eq!(name(choose(&pods, None, Readiness::Required, has)), Some("b".into()));
        // Not even where it is the one in use: its ports have changed.
        assert_eq!(name(choose(&pods, Some(&without.id), Readiness::Required, has)), Some("b".into()));
        assert_eq!(choose(&pods[..1], Some(&without.id), Readiness::Required, has), None);
    }

    #[test]
    fn more_ports_are_better_and_the_current_one_is_kept_all_the_same() {
        let pods = [Endpoint { ready_since: 1, ..pod("a") }, pod("b"), pod("c")];
        let has = |pod: &Endpoint| match pod.id.name.as_str() {
            "a" => Coverage { wanted: 1, target: 1 },
            "b" => Coverage { wanted: 1, target: 2 },
            _ => Coverage { wanted: 2, target: 2 },
        };
        assert_eq!(name(choose(&pods, None, Readiness::Required, has)), Some("c".into()));
        assert_eq!(name(choose(&pods[..2], None, Readiness::Required, has)), Some("b".into()));
        assert_eq!(name(choose(&pods, Some(&pods[0].id), Readiness::Required, has)), Some("a".into()));
    }

    #[test]
    fn readiness() {
        use Readiness::{Ignored, Preferred, Required};
        let unready = Endpoint { ready: false, ..pod("a") };
        let ready = Endpoint { ready_since: 1000, restarts: 9, ..pod("b") };
        let both = [unready.clone(), ready];
        let alone = std::slice::from_ref(&unready);
        let current = Some(&unready.id);
        for (pods, current, readiness, expected) in [
            (alone, None, Required, None),
            (alone, None, Preferred, Some("a")),
            (alone, None, Ignored, Some("a")),
            (&both, None, Required, Some("b")),
            (&both, None, Preferred, Some("b")),
            (&both, None, Ignored, Some("b")),
            // One that is ready replaces one that is not, unless readiness says nothing.
            (&both, current, Required, Some("b")),
            (&both, current, Preferred, Some("b")),
            (&both, current, Ignored, Some("a")),
        ] {
            let chosen = choose(pods, current, readiness, |_| ONE);
            assert_eq!(name(chosen).as_deref(), expected, "{readiness:?}");
        }
        // Nothing listens where no container runs, or will soon be nothing.
        for bad in [
            Endpoint { containers: String::new(), ..unready.clone() },
            Endpoint { terminating: true, ..unready.clone() },
            Endpoint { phase: Phase::Failed, ..unready.clone() },
        ] {
            assert_eq!(choose(&[bad], None, Ignored, |_| ONE), None);
        }
    }

    #[test]
    fn a_missing_port_is_the_reason() {
        let lack = |pod: &Endpoint| Some(format!("pod {} has no port", pod.id.name));
        let unready = Endpoint { ready: false, ..pod("b") };
        let required = |pods: &[Endpoint]| why_none(pods, Readiness::Required, lack);
        assert_eq!(
            required(&[pod("a"), unready.clone()]),
            "1 pod is ready, but without the port: pod a has no port"
        );
        assert_eq!(
            required(&[pod("a"), pod("b")]),
            "2 pods are ready, but without the port: pod a has no port"
        );
        assert_eq!(
            why_none(std::slice::from_ref(&unready), Readiness::Ignored, lack),
            "1 pod runs, but without the port: pod b has no port"
        );
        assert_eq!(required(&[unready]), "pod b is not ready");
    }

    #[test]
    fn reasons() {
        let pulling =
            Endpoint { phase: Phase::Pending, reason: Some("ImagePullBackOff".into()), ..pod("api-1") };
        let going = Endpoint { terminating: true, ..pod("api-2") };
        assert_eq!(why(&[]), "no pod matches");
        assert_eq!(why(std::slice::from_ref(&pulling)), "pod api-1 is Pending (ImagePullBackOff)");
        assert_eq!(why(std::slice::from_ref(&going)), "pod api-2 is being deleted");
        assert_eq!(why(&[going.clone(), going.clone()]), "all 2 pods are being deleted");
        assert_eq!(
            why(&[going, pulling]),
            "none of 2 pods is ready: pod api-1 is Pending (ImagePullBackOff)"
        );
        assert_eq!(why(&[Endpoint { ready: false, ..pod("x") }]), "pod x is not ready");
        assert_eq!(why(&[Endpoint { phase: Phase::Succeeded, ..pod("x") }]), "pod x has completed");
    }
}
