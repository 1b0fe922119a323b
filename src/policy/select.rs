//! Which pod new connections go to, and why there is none.
//!
//! kubectl takes the first pod of a list sorted once; here the question is asked again at every change. Two rules
//! come before kubectl's order: a pod that is not usable is never taken, and the pod in use is kept while it is
//! usable, so that connections of one client keep meeting the same pod.

use std::cmp::Reverse;

use crate::model::endpoint::{Endpoint, Phase, PodId};

/// The pod for new connections: the current one while it is usable, else the best of the usable ones.
///
/// Best is, as in kubectl: ready for longer, then fewer restarts, then older. Ties go to the first name, so that two
/// processes that see the same set choose the same pod.
pub fn choose<'a>(pods: &'a [Endpoint], current: Option<&PodId>) -> Option<&'a Endpoint> {
    let usable = || pods.iter().filter(|pod| pod.is_usable());
    usable().find(|pod| Some(&pod.id) == current).or_else(|| {
        usable().min_by(|a, b| {
            // An unknown time (0) says nothing about age, so it counts as the youngest.
            let age = |seconds: i64| if seconds == 0 { i64::MAX } else { seconds };
            let key = |pod: &Endpoint| (age(pod.ready_since), pod.restarts, age(pod.created));
            key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
        })
    })
}

/// Why [`choose`] finds none, for people.
pub fn why_none(pods: &[Endpoint]) -> String {
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
        Endpoint {
            id: PodId { namespace: "n".into(), name: name.into(), uid: format!("uid-{name}") },
            phase: Phase::Running,
            ready: true,
            terminating: false,
            ready_since: 100,
            restarts: 0,
            containers: String::new(),
            created: 50,
            ports: vec![],
            reason: None,
        }
    }

    fn chosen(pods: &[Endpoint], current: Option<&PodId>) -> Option<String> {
        choose(pods, current).map(|pod| pod.id.name.clone())
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
    fn reasons() {
        let pulling =
            Endpoint { phase: Phase::Pending, reason: Some("ImagePullBackOff".into()), ..pod("api-1") };
        let going = Endpoint { terminating: true, ..pod("api-2") };
        assert_eq!(why_none(&[]), "no pod matches");
        assert_eq!(why_none(std::slice::from_ref(&pulling)), "pod api-1 is Pending (ImagePullBackOff)");
        assert_eq!(why_none(std::slice::from_ref(&going)), "pod api-2 is being deleted");
        assert_eq!(why_none(&[going.clone(), going.clone()]), "all 2 pods are being deleted");
        assert_eq!(
            why_none(&[going, pulling]),
            "none of 2 pods is ready: pod api-1 is Pending (ImagePullBackOff)"
        );
        assert_eq!(why_none(&[Endpoint { ready: false, ..pod("x") }]), "pod x is not ready");
        assert_eq!(why_none(&[Endpoint { phase: Phase::Succeeded, ..pod("x") }]), "pod x has completed");
    }
}
