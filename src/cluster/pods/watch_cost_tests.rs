//! What a large set costs: counted, not timed.

use kube::core::ObjectList;
use serde_json::json;

use super::*;
use crate::cluster::{
    fake::{list, pod},
    pods::list_watch::Parsed,
};

/// Events of a large set change it where it is: what one costs does not grow with the pods, and no second set is kept.
#[test]
fn an_event_costs_one_pod() {
    let sender = channel(Snapshot::default()).0;
    let feed = SnapshotSender { sender };
    let endpoint = |at: usize, restarts| Endpoint { restarts, ..Endpoint::example(&format!("p-{at:04}")) };
    feed.swap((0..5000).rev().map(|at| endpoint(at, 0)));
    let reader = feed.sender.subscribe();
    let mut changes = vec![PodChange::Apply(endpoint(4321, 1)), PodChange::Delete(endpoint(9, 0).id)];
    let counted = allocation_counter::measure(|| feed.change(&mut changes));
    assert!(counted.count_total == 0, "{counted:?}");
    assert_eq!((reader.borrow().pods.len(), reader.borrow().pods[4320].restarts), (4999, 1));
    // What somebody still looks at stays as it was.
    let before = reader.borrow().clone();
    feed.change(&mut vec![PodChange::Apply(endpoint(9, 2))]);
    assert_eq!(
        (before.pods.len(), reader.borrow().pods.len(), reader.borrow().pods[9].restarts),
        (4999, 5000, 2)
    );
}

/// Of two pods that a list has by one name, and of events of one that is gone, the last word counts.
#[test]
fn a_name_has_one_pod() {
    let feed = SnapshotSender { sender: channel(Snapshot::default()).0 };
    let pod = |name: &str, uid: &str| {
        let mut pod = Endpoint::example(name);
        pod.id.uid = uid.into();
        pod
    };
    feed.swap([pod("b", "1"), pod("a", "1"), pod("b", "2")]);
    let uids = || feed.sender.borrow().pods.iter().map(|pod| pod.id.uid.clone()).collect::<Vec<_>>();
    assert_eq!(uids(), ["1", "2"]);
    feed.change(&mut vec![PodChange::Apply(pod("b", "3")), PodChange::Delete(pod("b", "2").id)]);
    assert_eq!(uids(), ["1", "3"]);
    feed.change(&mut vec![PodChange::Delete(pod("b", "3").id)]);
    assert_eq!(uids(), ["1"]);
}

/// A page is never in memory as whole objects: of each pod what matters is kept before the next one is parsed.
#[test]
fn a_page_of_large_pods_takes_little() {
    const PODS: usize = 500;
    let mut large = pod("p", "1", true);
    large["metadata"]["annotations"] = json!({ "notes": "x".repeat(20 << 10) });
    large["spec"]["containers"][0]["env"] =
        (0..50).map(|at| json!({ "name": format!("V{at}"), "value": "y" })).collect();
    let text = list("5", &vec![large; PODS]).to_string();
    let mut page: Option<ObjectList<Parsed<WatchedPod>>> = None;
    let counted = allocation_counter::measure(|| page = serde_json::from_str(&text).ok());
    assert_eq!(page.map(|page| page.items.len()), Some(PODS));
    // A kilobyte for each that is kept, which the list doubles as it grows, and one that is being read.
    assert!(counted.bytes_max < 2 * 1024 * PODS as u64 + (100 << 10), "{counted:?}");
}
