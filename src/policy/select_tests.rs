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
    assert_eq!(required(&[pod("a"), pod("b")]), "2 pods are ready, but without the port: pod a has no port");
    assert_eq!(
        why_none(std::slice::from_ref(&unready), Readiness::Ignored, lack),
        "1 pod runs, but without the port: pod b has no port"
    );
    assert_eq!(required(&[unready]), "pod b is not ready");
}

#[test]
fn reasons() {
    let pulling = Endpoint { phase: Phase::Pending, reason: Some("ImagePullBackOff".into()), ..pod("api-1") };
    let going = Endpoint { terminating: true, ..pod("api-2") };
    assert_eq!(why(&[]), "no pods match; is it scaled to 0?");
    assert_eq!(why(std::slice::from_ref(&pulling)), "pod api-1 is Pending (ImagePullBackOff)");
    assert_eq!(why(std::slice::from_ref(&going)), "pod api-2 is being deleted");
    assert_eq!(why(&[going.clone(), going.clone()]), "both pods are being deleted");
    assert_eq!(why(&[going.clone(), going.clone(), going.clone()]), "all 3 pods are being deleted");
    assert_eq!(why(&[going, pulling]), "none of 2 pods is ready: pod api-1 is Pending (ImagePullBackOff)");
    assert_eq!(why(&[Endpoint { ready: false, ..pod("x") }]), "pod x is not ready");
    assert_eq!(why(&[Endpoint { phase: Phase::Succeeded, ..pod("x") }]), "pod x has completed");
}

/// The pod in use is found without a look at the ports of the others, and a port's pod without a look at all.
#[test]
fn few_of_many_are_looked_at() {
    let pods: Vec<Endpoint> = (0..5000).map(|at| Endpoint::example(&format!("p-{at:04}"))).collect();
    let looked = std::cell::Cell::new(0);
    let coverage = |_: &Endpoint| {
        looked.set(looked.get() + 1);
        Coverage { wanted: 1, target: 1 }
    };
    let kept = choose(&pods, Some(&pods[4999].id), Readiness::Required, coverage);
    assert_eq!((kept.map(|pod| pod.id.name.as_str()), looked.get()), (Some("p-4999"), 1));
    assert!(has_candidate(&pods, Readiness::Required, |pod| coverage(pod).wanted > 0));
    assert_eq!(looked.get(), 2);
}
