//! The node, the network and the machine itself.

use std::time::Duration;

use http::StatusCode;
use sandbox::faults::Denial;
use sandbox::support::Test;
use tokio::time::sleep;

use crate::row::{Long, Lost, Row};
use crate::scene::Scene;

/// What is told of a connection that was under way on a session that is lost.
const CUT: &str = "~ svc/api: connection to pod A port 8080 failed: the connection to the pod was lost while a request was under way*";

const LOST: &str = "? svc/api: connection to pod A lost (*), reconnecting";
const TRIED: &str = "+ svc/api: cannot reach pod A (*), attempt * of 3 in * s";
const AGAIN: &str = "svc/api: connected to pod A again*";

/// An outage that no session notices: less than a ping and its answer may take.
const SHORT: Duration = Duration::from_secs(2);

/// A sleep: longer than a busy machine may hold up a timer.
const NAP: Duration = Duration::from_secs(8);

/// How soon another pod has to answer where a node is gone.
const ELSEWHERE_WITHIN: Duration = Duration::from_secs(15);

pub(crate) const ROWS: &[Row] = &[
    Row::new("the kubelet restarts", |scene| {
        let message = "error dialing backend: dial tcp 192.0.2.1:10250: connect: connection refused";
        Box::pin(node_restarts(scene, Denial::new(StatusCode::INTERNAL_SERVER_ERROR).message(message)))
    })
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the container runtime restarts", |scene| {
        let text = "rpc error: code = Unavailable desc = connection error: dial unix /run/containerd/containerd.sock";
        Box::pin(node_restarts(scene, Denial::new(StatusCode::INTERNAL_SERVER_ERROR).text(text)))
    })
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("a node is cut off, and the API calls its pod ready", |scene| Box::pin(node_gone(scene)))
        .says(&["svc/api: pod A cannot be reached, new connections go to B", CUT])
        .events(&["retargeted", "~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("the network is gone for 2 s", |scene| Box::pin(network_gone(scene))),
    Row::new("the network is gone until the connection counts as lost", |scene| {
        Box::pin(network_gone_for_long(scene))
    })
    .says(&[
        LOST,
        "~ svc/api: cannot reach pod A (*",
        "? svc/api: connected to pod A again*",
        "? svc/api: pod A cannot be reached, new connections go to B*",
        CUT,
    ])
    .events(&["+ reconnecting", "? recovered", "? retargeted", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the machine gets another address: all connections fall silent", |scene| {
        Box::pin(address_changed(scene))
    })
    .says(&[CUT])
    .events(&["~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("the machine sleeps, and all connections are dead when it wakes", |scene| Box::pin(slept(scene)))
        .says(&[CUT])
        .events(&["~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("the machine sleeps, and all connections live on", |scene| Box::pin(napped(scene))),
];

async fn node_restarts(scene: &mut Scene, denial: Denial) -> Test {
    scene.sandbox().faults().deny(denial.path("/portforward"));
    scene.ends_sessions_until(", attempt 1 of 3 in ").await?;
    scene.sandbox().faults().clear();
    scene.begin_now();
    scene.answered_again().await
}

async fn node_gone(scene: &mut Scene) -> Test {
    let first = scene.first();
    scene.begin_now();
    scene.sandbox().faults().cut_off(&first);
    scene.answered_anew("an answer of another pod", move |pod| pod != first).await?;
    match scene.recovery {
        Some(took) if took > ELSEWHERE_WITHIN => {
            Err(format!("another pod answered only after {took:?}").into())
        }
        _ => Ok(()),
    }
}

async fn network_gone(scene: &mut Scene) -> Test {
    scene.sandbox().faults().freeze(true);
    sleep(SHORT).await;
    scene.sandbox().faults().freeze(false);
    scene.begin_now();
    scene.answered_again().await
}

async fn network_gone_for_long(scene: &mut Scene) -> Test {
    scene.sandbox().faults().freeze(true);
    scene.says(" lost (").await?;
    scene.sandbox().faults().freeze(false);
    scene.begin_now();
    scene.answered_anew("an answer", |_| true).await
}

async fn address_changed(scene: &mut Scene) -> Test {
    scene.sandbox().faults().orphan_all();
    scene.begin_now();
    scene.answered_anew("an answer", |_| true).await
}

async fn slept(scene: &mut Scene) -> Test {
    scene.forward.signal("STOP").await?;
    scene.sandbox().faults().orphan_all();
    sleep(NAP).await;
    scene.forward.signal("CONT").await?;
    scene.begin_now();
    scene.answered_anew("an answer", |_| true).await
}

async fn napped(scene: &mut Scene) -> Test {
    scene.forward.signal("STOP").await?;
    sleep(NAP).await;
    scene.forward.signal("CONT").await?;
    scene.begin_now();
    scene.answered_again().await
}
