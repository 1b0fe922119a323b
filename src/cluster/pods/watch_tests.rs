use parking_lot::Mutex;

use kube::api::WatchEvent;
use serde_json::{Value, json};

use super::*;
use crate::cluster::fake::{FakeApiServer, list, no, ok, pod, watch};
use crate::cluster::pods::list_watch::Parsed;

/// What a recording shows: after each event, the pods that may be used, as `name/uid's first letters`.
fn replay(recording: &str) -> Vec<(String, Vec<String>)> {
    let mut set = Snapshot::default();
    let mut story: Vec<(String, Vec<String>)> = Vec::new();
    for line in recording.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(event) = line.get("event") else { continue };
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-").to_owned();
        let kind = event["type"].as_str().unwrap().to_owned();
        match serde_json::from_value(event.clone()).unwrap() {
            WatchEvent::Added(Parsed(pod)) | WatchEvent::Modified(Parsed(pod)) => {
                set.change(PodChange::apply(pod).unwrap());
            }
            WatchEvent::Deleted(Parsed(pod)) => _ = set.change(PodChange::delete(pod).unwrap()),
            WatchEvent::Bookmark(_) => assert_eq!(kind, "BOOKMARK"),
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
        let usable = set
            .pods
            .iter()
            .filter(|pod| pod.is_usable())
            .map(|pod| format!("{}/{}", pod.id.name, pod.id.uid));
        story.push((format!("{kind} {name}"), usable.collect()));
    }
    story
}

/// The different sets that a recording goes through.
fn sets(story: &[(String, Vec<String>)]) -> Vec<usize> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut last: Option<&Vec<String>> = None;
    for (_, usable) in story {
        if last != Some(usable) {
            sizes.push(usable.len());
            last = Some(usable);
        }
    }
    sizes
}

macro_rules! recording {
    ($name:literal) => {
        replay(include_str!(concat!("../../../tests/data/api/watch-", $name, ".pods.jsonl")))
    };
}

#[test]
fn recorded_deletions() {
    for (name, story) in
        [("deleted", recording!("pod-deleted")), ("force-deleted", recording!("pod-force-deleted"))]
    {
        let first =
            story.iter().find(|(_, usable)| !usable.is_empty()).map(|(_, usable)| usable.clone()).unwrap();
        let last = story.last().map(|(_, usable)| usable.clone()).unwrap();
        assert!(!last.is_empty() && last != first, "{name}: {story:#?}");
        // The deleted pod stops being usable at one event and never comes back.
        let gone = first.iter().find(|pod| !last.contains(pod)).unwrap();
        let uses: Vec<bool> = story.iter().map(|(_, usable)| usable.contains(gone)).collect();
        let end = uses.iter().rposition(|used| *used).unwrap();
        let start = uses.iter().position(|used| *used).unwrap();
        assert!(uses[start..=end].iter().all(|used| *used), "{name}");
        // ... and that event comes before its DELETED, if that is not the first sign.
        let name_of = gone.split('/').next().unwrap();
        let deleted = story.iter().position(|(what, _)| *what == format!("DELETED {name_of}")).unwrap();
        assert!(end < deleted, "{name}: used until {end}, deleted at {deleted}");
    }
}

#[test]
fn a_recorded_rolling_restart_never_runs_dry() {
    let story = recording!("rolling-restart");
    let from = story.iter().position(|(what, _)| what.starts_with("BOOKMARK")).unwrap();
    assert!(story[from..].iter().all(|(_, usable)| !usable.is_empty()), "{story:#?}");
    let (first, last) = (&story[from].1, &story.last().unwrap().1);
    assert!(first.iter().all(|pod| !last.contains(pod)), "every pod was replaced");
}

#[test]
fn a_recorded_stateful_set_brings_another_pod_of_the_same_name() {
    let story = recording!("statefulset-pod-deleted");
    let all: std::collections::BTreeSet<String> =
        story.iter().flat_map(|(_, usable)| usable.clone()).collect();
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in &all {
        *by_name.entry(pod.split('/').next().unwrap()).or_default() += 1;
    }
    assert!(by_name.values().any(|uids| *uids == 2), "{all:?}");
}

#[test]
fn recorded_readiness_and_scale() {
    let not_ready = sets(&recording!("not-ready-and-back"));
    let most = not_ready.iter().copied().max().unwrap();
    let from = not_ready.iter().position(|n| *n == most).unwrap();
    assert_eq!(not_ready[from..], [most, most - 1, most]);
    let scaled = sets(&recording!("scaled-to-0-and-back"));
    let zero = scaled.iter().rposition(|n| *n == 0).unwrap();
    assert!(scaled[..zero].iter().any(|n| *n > 0) && scaled.last().is_some_and(|n| *n > 0), "{scaled:?}");
}

#[test]
fn a_recorded_container_restart_changes_the_containers_alone() {
    let mut containers = std::collections::BTreeSet::new();
    let mut uids = std::collections::BTreeSet::new();
    for line in include_str!("../../../tests/data/api/watch-container-restarted.pods.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(event) = line.get("event") else { continue };
        if let WatchEvent::Modified(pod) | WatchEvent::Added(pod) =
            serde_json::from_value(event.clone()).unwrap()
        {
            let pod = from_pod(&pod).unwrap();
            if pod.restarts > 0 || event["type"] == "MODIFIED" {
                uids.insert(pod.id.uid.clone());
            }
            containers.insert((pod.id.uid, pod.containers));
        }
    }
    let restarted = uids.iter().next().unwrap();
    let seen: Vec<_> = containers.iter().filter(|(uid, ids)| uid == restarted && !ids.is_empty()).collect();
    assert!(seen.len() >= 2, "{containers:?}");
}

/// A followed target, its snapshots and its notices.
struct Followed {
    receiver: Receiver<Snapshot>,
    relist: Relist,
    notices: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Followed {
    fn new(fake: &FakeApiServer, pods: PodQuery) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let notices = Arc::new(Mutex::new(Vec::new()));
        let resolved = ResolvedTarget::of_pods("default", pods);
        let (heard, relist) = (Arc::clone(&notices), Relist::default());
        let receiver =
            follow(&fake.cluster(), &resolved, &tracker, stop.clone(), relist.clone(), move |text| {
                heard.lock().push(text);
            });
        Self { receiver, relist, notices, stop, tracker }
    }

    /// Waits for a snapshot; time is paused in these tests, so waiting costs none.
    async fn until(&mut self, what: impl FnMut(&Snapshot) -> bool) -> Snapshot {
        let limit = Duration::from_secs(3600);
        tokio::time::timeout(limit, self.receiver.wait_for(what)).await.unwrap().unwrap().clone()
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.pods.iter().map(|pod| pod.id.name.as_str()).collect()
}

fn labels() -> PodQuery {
    PodQuery::Labels("app=web".into())
}

#[tokio::test(start_paused = true)]
async fn lists_then_watches() {
    let (events, stream) = watch();
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[pod("b", "5", true), pod("a", "4", true)]))])
        .on("watch=true", [stream]);
    let mut followed = Followed::new(&fake, labels());
    let first = followed.until(|s| s.synced).await;
    assert_eq!(names(&first), ["a", "b"]);
    events.send(json!({"type": "MODIFIED", "object": pod("a", "6", false)})).unwrap();
    followed.until(|s| !s.pods[0].ready).await;
    // A bookmark's object is no pod, and changes nothing.
    let bookmark = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "spec": {"containers": null}});
    events.send(json!({"type": "BOOKMARK", "object": bookmark})).unwrap();
    events.send(json!({"type": "DELETED", "object": pod("a", "8", false)})).unwrap();
    assert_eq!(names(&followed.until(|s| s.pods.len() == 1).await), ["b"]);
    let asked = fake.asked.lock().clone();
    assert!(asked[0].contains("labelSelector=app%3Dweb"), "{asked:?}");
    assert!(asked[1].contains("resourceVersion=5") && asked[1].contains("timeoutSeconds=120"), "{asked:?}");
    followed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_watch_goes_on_where_it_was_and_keeps_the_set() {
    let (events, stream) = watch();
    let (again, second) = watch();
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[pod("a", "5", true)]))]);
    fake.on("watch=true", [stream, no(503, "shutting down"), second]);
    let mut followed = Followed::new(&fake, labels());
    followed.until(|s| s.synced).await;
    events.send(json!({"type": "MODIFIED", "object": pod("a", "9", true)})).unwrap();
    drop(events);
    let troubled = followed.until(|s| s.problem.is_some()).await;
    assert_eq!((names(&troubled), troubled.synced), (vec!["a"], true));
    assert!(troubled.problem.unwrap().contains("503: shutting down"));
    // No event is needed to know that the watch stands again.
    followed.until(|s| s.problem.is_none()).await;
    again.send(json!({"type": "ADDED", "object": pod("b", "10", true)})).unwrap();
    followed.until(|s| s.pods.len() == 2).await;
    let asked = fake.asked.lock().clone();
    assert!(asked.last().unwrap().contains("resourceVersion=9"), "{asked:?}");
    followed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_listed_anew_as_one_change() {
    let (events, stream) = watch();
    let (_open, second) = watch();
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[pod("a", "5", true)])), ok(list("50", &[pod("b", "50", true)]))]);
    fake.on("watch=true", [stream, second]);
    let mut followed = Followed::new(&fake, labels());
    followed.until(|s| s.synced).await;
    let gone = crate::cluster::fake::failure(410, "too old resource version");
    events.send(json!({"type": "ERROR", "object": gone})).unwrap();
    let mut seen = Vec::new();
    let last = followed
        .until(|s| {
            seen.push(s.pods.len());
            s.pods.first().is_some_and(|pod| pod.id.name == "b")
        })
        .await;
    assert_eq!(last.problem, None);
    assert!(seen.iter().all(|count| *count == 1), "the set was never empty: {seen:?}");
    followed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_replaced() {
    let (_silent, stream) = watch();
    let (events, second) = watch();
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[]))]).on("watch=true", [stream, second]);
    let mut followed = Followed::new(&fake, labels());
    followed.until(|s| s.synced).await;
    events.send(json!({"type": "ADDED", "object": pod("a", "6", true)})).unwrap();
    followed.until(|s| s.pods.len() == 1).await;
    followed.end().await;
}

/// A server that lists and refuses every watch: what is listed between them is the set.
#[tokio::test(start_paused = true)]
async fn where_watches_keep_failing_pods_are_listed() {
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[pod("a", "5", true)])), ok(list("6", &[pod("b", "6", true)]))]);
    fake.on("watch=true", [no(504, "")]);
    let mut followed = Followed::new(&fake, labels());
    followed.until(|s| names(s) == ["a"]).await;
    let start = Instant::now();
    followed.until(|s| names(s) == ["b"]).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        *followed.notices.lock(),
        ["watching pods fails (504: Gateway Timeout), so they are listed again and again instead"]
    );
    // The set is known, so there is no problem to tell; and the pauses grow.
    assert_eq!(followed.receiver.borrow().problem, None);
    let asked = fake.asked.lock().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((4..=16).contains(&((fake.asked.lock().len() - asked) / 2)));
    followed.end().await;
}

/// One whose watches end at once, tell junk, or stand and tell nothing.
#[tokio::test(start_paused = true)]
async fn a_watch_that_tells_nothing_is_not_believed() {
    for (ends, text, within) in [(true, None, 5), (true, Some(json!("junk")), 5), (false, None, 130)] {
        let fake = FakeApiServer::default();
        fake.on("/pods?", [ok(list("5", &[pod("a", "5", true)])), ok(list("6", &[pod("b", "6", true)]))]);
        let (senders, streams): (Vec<_>, Vec<_>) = (0..9).map(|_| watch()).unzip();
        for sender in &senders {
            if let Some(text) = &text {
                sender.send(text.clone()).unwrap();
            }
        }
        fake.on("watch=true", streams);
        let kept = (!ends).then_some(senders);
        let mut followed = Followed::new(&fake, labels());
        followed.until(|s| names(s) == ["a"]).await;
        let start = Instant::now();
        followed.until(|s| names(s) == ["b"]).await;
        assert!(start.elapsed() < Duration::from_secs(within), "{text:?}: {:?}", start.elapsed());
        drop(kept);
        followed.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_has_the_set_listed_anew() {
    let (_deaf, stream) = watch();
    let (_next, second) = watch();
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[pod("a", "5", true)])), ok(list("6", &[pod("b", "6", true)]))]);
    fake.on("watch=true", [stream, second]);
    let mut followed = Followed::new(&fake, labels());
    followed.until(|s| names(s) == ["a"]).await;
    let start = Instant::now();
    for _ in 0..3 {
        followed.relist.request();
    }
    followed.until(|s| names(s) == ["b"]).await;
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = fake.asked.lock().clone();
    assert_eq!(asked.iter().filter(|path| !path.contains("watch")).count(), 2, "{asked:?}");
    followed.end().await;
}

/// Lists fail, with growing pauses. Somebody who was told by the server that a pod is gone need not wait for the next.
#[tokio::test(start_paused = true)]
async fn a_wish_cuts_the_pause_after_failures_short() {
    const FAILED: usize = 8;
    let fake = FakeApiServer::default();
    let failures = (0..FAILED).map(|_| no(500, "etcd is away"));
    fake.on("/pods?", failures.chain([ok(list("5", &[pod("a", "5", true)]))]));
    let (_quiet, stream) = watch();
    fake.on("watch=true", [stream]);
    let mut followed = Followed::new(&fake, labels());
    while fake.asked.lock().len() < FAILED {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let start = Instant::now();
    followed.relist.request();
    followed.until(|s| names(s) == ["a"]).await;
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
    followed.end().await;
}

/// A list has an end: in pages, and where each leads to itself.
#[tokio::test(start_paused = true)]
async fn endless_lists() {
    let page = |token: &str| {
        let mut page = list("5", &[]);
        page["metadata"]["continue"] = json!(token);
        ok(page)
    };
    let circle = FakeApiServer::default();
    circle.on("/pods?", [page("x")]);
    let stairs = FakeApiServer::default();
    stairs.on("/pods?", (0..1001).map(|at| page(&at.to_string())));
    for (fake, words, asked) in
        [(&circle, "each page of the list leads to the same one", 2), (&stairs, "more than 1000 pages", 1000)]
    {
        let mut followed = Followed::new(fake, labels());
        let problem = followed.until(|s| s.problem.is_some()).await.problem.unwrap();
        assert!(problem.contains(words), "{problem}");
        assert_eq!(fake.asked.lock().len(), asked);
        followed.end().await;
    }
}

/// What arrived together is one picture.
#[tokio::test(start_paused = true)]
async fn a_burst_is_one_snapshot() {
    let (events, stream) = watch();
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[]))]).on("watch=true", [stream]);
    let mut followed = Followed::new(&fake, labels());
    followed.until(|s| s.synced).await;
    let lines: Vec<String> = (0..20)
        .map(|at| json!({"type": "ADDED", "object": pod(&format!("p{at}"), "6", true)}).to_string())
        .collect();
    events.send(Value::String(lines.join("\n"))).unwrap();
    let mut sizes = Vec::new();
    followed
        .until(|s| {
            sizes.push(s.pods.len());
            s.pods.len() == 20
        })
        .await;
    assert_eq!(sizes, [0, 20]);
    followed.end().await;
}

const DENIED: &str = "pods is forbidden: User \"dev\" cannot watch resource \"pods\" in API group \"\" in the namespace \"default\"";

#[tokio::test(start_paused = true)]
async fn where_watching_is_forbidden_pods_are_listed() {
    let fake = FakeApiServer::default();
    fake.on("/pods?", [ok(list("5", &[])), ok(list("5", &[])), ok(list("6", &[pod("a", "6", true)]))]);
    fake.on("watch=true", [no(403, DENIED)]);
    let mut followed = Followed::new(&fake, labels());
    followed.until(|s| s.pods.len() == 1).await;
    assert_eq!(
        *followed.notices.lock(),
        ["watching pods is forbidden here, so they are listed every 2 s instead"]
    );
    followed.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_listing_is_forbidden_a_named_pod_is_read() {
    let fake = FakeApiServer::default();
    fake.on("/pods?", [no(403, &DENIED.replace("watch", "list"))]);
    fake.on("/pods/x", [no(404, "pods \"x\" not found"), ok(pod("x", "6", true))]);
    let mut followed = Followed::new(&fake, PodQuery::Name("x".into()));
    assert!(followed.until(|s| s.synced).await.pods.is_empty());
    followed.until(|s| s.pods.len() == 1).await;
    assert_eq!(followed.notices.lock().len(), 1);
    followed.end().await;

    // By labels there is no other way, and the reason is told.
    let mut followed = Followed::new(&fake, labels());
    let problem = followed.until(|s| s.problem.is_some()).await.problem;
    assert_eq!(problem.as_deref(), Some("403: User \"dev\" cannot list pods in namespace default"));
    followed.end().await;
}

#[tokio::test(start_paused = true)]
async fn slices_lead_to_their_pods() {
    let slice = |version: &str, ready: bool| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "s", "resourceVersion": version},
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": "x"}},
                {"addresses": ["10.0.0.2"], "targetRef": {"kind": "Pod", "name": "y", "uid": "another"}},
            ],
        })
    };
    let (events, stream) = watch();
    let fake = FakeApiServer::default();
    fake.on("/endpointslices?", [ok(list("5", &[slice("5", false)]))]).on("watch=true", [stream]);
    fake.on("/pods/x", [ok(pod("x", "6", true))]).on("/pods/y", [ok(pod("y", "6", true))]);
    let mut followed = Followed::new(&fake, PodQuery::Slices { service: "db".into() });
    // The slice's word counts, and a pod with another UID is not the one it means.
    let first = followed.until(|s| s.synced).await;
    assert_eq!((names(&first), first.pods[0].ready), (vec!["x"], false));
    events.send(json!({"type": "MODIFIED", "object": slice("6", true)})).unwrap();
    followed.until(|s| s.pods[0].is_usable()).await;
    assert!(fake.asked.lock()[0].contains("kubernetes.io%2Fservice-name%3Ddb"));
    followed.end().await;
}

/// Versions and tokens go back to the server, pods into URLs: what cannot be one goes nowhere.
#[tokio::test(start_paused = true)]
async fn what_is_no_token_and_no_name_goes_no_further() {
    let (events, stream) = watch();
    let (_silent, second) = watch();
    let fake = FakeApiServer::default();
    let mut page = list("5", &[pod("a", "4", true)]);
    page["metadata"]["continue"] = json!("x\r\nHost: y");
    let odd = pod("../../prod/services/x", "4", true);
    fake.on("/pods?", [ok(page), ok(list("5", &[pod("a", "4", true), odd]))])
        .on("watch=true", [stream, second]);
    let mut followed = Followed::new(&fake, labels());
    let told = followed.until(|s| s.problem.is_some()).await.problem;
    assert!(told.is_some_and(|why| why.contains("'continue' token")));
    assert_eq!(names(&followed.until(|s| s.synced).await), ["a"]);
    events.send(json!({"type": "MODIFIED", "object": pod("a", "7 8", false)})).unwrap();
    drop(events);
    followed.until(|s| s.pods.iter().any(|pod| !pod.ready)).await;
    while fake.asked.lock().iter().filter(|asked| asked.contains("watch=true")).count() < 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let asked = fake.asked.lock().clone();
    assert!(asked.iter().all(|asked| !asked.contains("continue=")), "{asked:?}");
    let again = asked.iter().rfind(|asked| asked.contains("watch=true")).unwrap();
    assert!(again.contains("resourceVersion=&") || again.ends_with("resourceVersion="), "{again}");
    followed.end().await;
}
