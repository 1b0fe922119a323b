//! What a watcher of this cluster sees, beside what one of a real Kubernetes saw (`tests/data/api`).
//!
//! Pods are told apart by uid and compared by the stations they pass, whatever they are called. Some stations last
//! so briefly that the real cluster skips them now and then; those are left out on both sides.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::is_ready;
use crate::meta::{self, items, text};
use crate::resources::{ENDPOINT_SLICE, POD, Resource};
use crate::select::Selector;
use crate::{Options, Sandbox};

/// What happened to each thing, as words in order.
type Stories = BTreeMap<String, Vec<String>>;

fn tell(stories: &mut Stories, who: &str, what: String) {
    let story = stories.entry(who.to_owned()).or_default();
    if story.last() != Some(&what) {
        story.push(what);
    }
}

fn pod_event(stories: &mut Stories, kind: &str, pod: &Value) {
    if kind == "DELETED" {
        return tell(stories, meta::uid(pod), "gone".to_owned());
    }
    let station = (text(pod, "/status/phase"), is_ready(pod), meta::is_deleting(pod));
    // The probe may or may not fail before a deleted pod ends.
    if station != ("Running", false, true) {
        tell(stories, meta::uid(pod), format!("{station:?}"));
    }
}

fn slice_event(stories: &mut Stories, slice: &Value) {
    let present: Vec<&str> = items(slice, "/endpoints").iter().map(|e| text(e, "/targetRef/uid")).collect();
    for endpoint in items(slice, "/endpoints") {
        let conditions = &endpoint["conditions"];
        let station = ["ready", "serving", "terminating"].map(|c| conditions[c] == Value::Bool(true));
        // As above.
        if station != [false, false, true] {
            tell(stories, text(endpoint, "/targetRef/uid"), format!("{station:?}"));
        }
    }
    let left: Vec<String> = stories.keys().filter(|uid| !present.contains(&uid.as_str())).cloned().collect();
    for uid in left {
        tell(stories, &uid, "left".to_owned());
    }
}

/// The stories of those to whom something happened.
fn sorted(stories: Stories) -> Vec<Vec<String>> {
    let mut stories: Vec<_> = stories.into_values().filter(|story| story.len() > 1).collect();
    stories.sort();
    assert!(!stories.is_empty(), "nothing happened to anyone");
    stories
}

fn recorded(scenario: &str) -> [Vec<Vec<String>>; 2] {
    ["pods", "endpointslices"].map(|what| {
        let file = format!("../data/api/watch-{scenario}.{what}.jsonl");
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let mut stories = Stories::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let (kind, object) = (meta::text(&line, "/event/type"), &line["event"]["object"]);
            match (kind, what) {
                ("" | "BOOKMARK", _) => {}
                (kind, "pods") => pod_event(&mut stories, kind, object),
                _ => slice_event(&mut stories, object),
            }
        }
        sorted(stories)
    })
}

/// What happened here since `version`, as a watcher would be told it.
fn happened(sandbox: &Sandbox, app: &str, version: u64) -> [Vec<Vec<String>>; 2] {
    let (store, mut pods, mut slices) = (&sandbox.cluster().store, Stories::new(), Stories::new());
    let follow = |resource: &'static Resource, selector: &str, told: &mut dyn FnMut(&str, &Value)| {
        let selector = Selector::parse(resource, selector, "").unwrap();
        let before = store.list_at(resource, Some("default"), version).unwrap().items;
        before
            .iter()
            .filter(|(_, object)| selector.matches(object))
            .for_each(|(_, object)| told("ADDED", object));
        for change in store.changes_since(resource, version).unwrap().0 {
            if selector.matches(&change.object) {
                told(if change.deleted { "DELETED" } else { "MODIFIED" }, &change.object);
            }
        }
    };
    follow(&POD, &format!("app={app}"), &mut |kind, pod| pod_event(&mut pods, kind, pod));
    follow(&ENDPOINT_SLICE, &format!("kubernetes.io/service-name={app}"), &mut |_, slice| {
        slice_event(&mut slices, slice);
    });
    [sorted(pods), sorted(slices)]
}

async fn started() -> Sandbox {
    Sandbox::start(Options::default()).await.unwrap()
}

fn one(sandbox: &Sandbox) -> String {
    sandbox.ready_pods("default", "app=api").unwrap().remove(0)
}

async fn slice_says(sandbox: &Sandbox, ready: usize) {
    let of_api = Selector::parse(&ENDPOINT_SLICE, "kubernetes.io/service-name=api", "").unwrap();
    let holds = |sandbox: &Sandbox| {
        let slices = sandbox.cluster().store.all(&ENDPOINT_SLICE, Some("default"));
        let slice = slices.iter().find(|slice| of_api.matches(slice)).unwrap();
        let endpoints = items(slice, "/endpoints").iter();
        endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == Value::Bool(true)).count() == ready
    };
    sandbox.wait_until("the slice", holds).await.unwrap();
}

#[tokio::test]
async fn pod_deleted() {
    let sandbox = started().await;
    let version = sandbox.resource_version();
    sandbox.delete("pod", "default", &one(&sandbox)).unwrap();
    sandbox.settled().await.unwrap();
    slice_says(&sandbox, 2).await;
    assert_eq!(happened(&sandbox, "api", version), recorded("pod-deleted"));
}

#[tokio::test]
async fn pod_force_deleted() {
    let sandbox = started().await;
    let version = sandbox.resource_version();
    sandbox.force_delete("pod", "default", &one(&sandbox)).unwrap();
    sandbox.settled().await.unwrap();
    slice_says(&sandbox, 2).await;
    let [pods, _] = happened(&sandbox, "api", version);
    // Whether the slice shows the pod on its way out is a race in the real thing.
    assert_eq!(pods, recorded("pod-force-deleted")[0]);
}

#[tokio::test]
async fn rolling_restart() {
    let sandbox = started().await;
    let version = sandbox.resource_version();
    sandbox.restart("deploy", "default", "api").unwrap();
    sandbox.settled().await.unwrap();
    slice_says(&sandbox, 2).await;
    assert_eq!(happened(&sandbox, "api", version), recorded("rolling-restart"));
}

#[tokio::test]
async fn statefulset_pod_deleted() {
    let sandbox = started().await;
    let version = sandbox.resource_version();
    sandbox.delete("pod", "default", "db-0").unwrap();
    sandbox.settled().await.unwrap();
    let [pods, _] = happened(&sandbox, "db", version);
    assert_eq!(pods, recorded("statefulset-pod-deleted")[0]);
}

#[tokio::test]
async fn container_restarted() {
    let sandbox = started().await;
    let version = sandbox.resource_version();
    sandbox.kill_container("default", &one(&sandbox)).await.unwrap();
    sandbox.settled().await.unwrap();
    slice_says(&sandbox, 2).await;
    assert_eq!(happened(&sandbox, "api", version), recorded("container-restarted"));
}

#[tokio::test]
async fn not_ready_and_back() {
    let sandbox = started().await;
    let version = sandbox.resource_version();
    let pod = one(&sandbox);
    sandbox.mark_ready("default", &pod, false).unwrap();
    slice_says(&sandbox, 1).await;
    sandbox.mark_ready("default", &pod, true).unwrap();
    slice_says(&sandbox, 2).await;
    assert_eq!(happened(&sandbox, "api", version), recorded("not-ready-and-back"));
}

#[tokio::test]
async fn scaled_to_0_and_back() {
    let sandbox = started().await;
    let version = sandbox.resource_version();
    sandbox.scale("deploy", "default", "api", 0).unwrap();
    sandbox.settled().await.unwrap();
    slice_says(&sandbox, 0).await;
    sandbox.scale("deploy", "default", "api", 2).unwrap();
    sandbox.settled().await.unwrap();
    slice_says(&sandbox, 2).await;
    assert_eq!(happened(&sandbox, "api", version), recorded("scaled-to-0-and-back"));
}
