//! Pods that are there, and are of the set no more.

use serde_json::{Value, json};

use super::*;
use crate::cluster::fake::pod;

/// A watch tells of it as of a deletion, but the pod is there, and that is what is told.
#[test]
fn a_pod_whose_labels_are_others_is_not_selected_any_more() {
    let read = |object: Value| WatchedPod::read(serde_json::from_value(object).unwrap());
    let apply = |set: &mut Snapshot, object| set.change(PodChange::apply(read(object)).unwrap());
    let delete = |set: &mut Snapshot, object| set.change(PodChange::delete(read(object)).unwrap());
    let mut set = Snapshot::default();
    assert!(apply(&mut set, pod("a", "1", true)) && apply(&mut set, pod("b", "2", true)));
    let ids: Vec<PodId> = set.pods.iter().map(|pod| pod.id.clone()).collect();
    assert!(delete(&mut set, pod("a", "3", true)));
    assert_eq!((set.pods.len(), &set.unselected[..]), (1, &ids[..1]));
    let mut deleted = pod("b", "4", true);
    deleted["metadata"]["deletionTimestamp"] = json!("2026-03-01T09:00:00Z");
    assert!(delete(&mut set, deleted));
    assert_eq!((set.pods.len(), &set.unselected[..]), (0, &ids[..1]));
    assert!(apply(&mut set, pod("a", "5", true)) && set.unselected.is_empty());
    // No more of them than that.
    for number in 0..UNSELECTED * 2 {
        let name = format!("p{number}");
        assert!(apply(&mut set, pod(&name, "6", true)) && delete(&mut set, pod(&name, "7", true)));
    }
    assert_eq!(set.unselected.len(), UNSELECTED);
}
