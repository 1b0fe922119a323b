//! What a watcher of this cluster sees, beside what one of a real Kubernetes saw (`tests/data/api`).
//!
//! Pods are told apart by uid and compared by the stations they pass, whatever they are called. Some stations last
//! so briefly that the real cluster skips them now and then; those are left out on both sides.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::is_ready;
use crate::api::meta::{self, items, text};
use crate::api::resources::{ENDPOINT_SLICE, POD, Resource};
use crate::api::selector::Selector;
use crate::{Options, Sandbox};

/// What happened to each thing, as words in order.
type Histories = BTreeMap<String, Vec<String>>;

fn record(histories: &mut Histories, who: &str, what: String) {
    let history = histories.entry(who.to_owned()).or_default();
    if history.last() != Some(&what) {
        history.push(what);
    }
}

fn pod_event(histories: &mut Histories, kind: &str, pod: &Value) {
    if kind == "DELETED" {
        return record(histories, meta::uid(pod), "gone".to_owned());
    }
    let state = (text(pod, "/status/phase"), is_ready(pod), meta::is_deleting(pod));
    // The probe may or may not fail before a deleted pod ends.
    if state != ("Running", false, true) {
        record(histories, meta::uid(pod), format!("{state:?}"));
    }
}

fn slice_event(histories: &mut Histories, slice: &Value) {
    let present: Vec<&str> = items(slice, "/endpoints").iter().map(|e| text(e, "/targetRef/uid")).collect();
    for endpoint in items(slice, "/endpoints") {
        let conditions = &endpoint["conditions"];
        let state = ["ready", "serving", "terminating"].map(|c| conditions[c] == Value::Bool(true));
        // As above.
        if state != [false, false, true] {
            record(histories, text(endpoint, "/targetRef/uid"), format!("{state:?}"));
        }
    }
    let left: Vec<String> =
        histories.keys().filter(|uid| !present.contains(&uid.as_str())).cloned().collect();
    for uid in left {
        record(histories, &uid, "left".to_owned());
    }
}

/// The histories of those to whom something happened.
fn sorted(histories: Histories) -> Vec<Vec<String>> {
    let mut histories: Vec<_> = histories.into_values().filter(|history| history.len() > 1).collect();
    histories.sort();
    assert!(!histories.is_empty(), "nothing happened to anyone");
    histories
}

fn recorded(scenario: &str) -> [Vec<Vec<String>>; 2] {
    ["pods", "endpointslices"].map(|what| {
        let file = format!("../data/api/watch-{scenario}.{what}.jsonl");
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let mut histories = Histories::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let (kind, object) = (meta::text(&line, "/event/type"), &line["event"]["object"]);
            match (kind, what) {
                ("" | "BOOKMARK", _) => {}
                (kind, "pods") => pod_event(&mut histories, kind, object),
                _ => slice_event(&mut histories, object),
            }
        }
        sorted(histories)
    })
}

/// What happened here since `version`, as a watcher would be told it.
fn happened(sandbox: &Sandbox, app: &str, version: u64) -> [Vec<Vec<String>>; 2] {
    let (store, mut pods, mut slices) = (&sandbox.cluster().store, Histories::new(), Histories::new());
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
