//! The API server.

use http::StatusCode;
use sandbox::faults::Denial;
use sandbox::support::{Test, within};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::row::{Long, Lost, Row};
use crate::scene::Scene;

/// What is told of a connection that was under way on a session that is lost.
const CUT: &str = "~ svc/api: connection to pod A port 8080 failed: the connection to the pod was lost while a request was under way*";

const LOST: &str = "? svc/api: connection to pod A lost (*), reconnecting";
const TRIED: &str = "+ svc/api: cannot reach pod A (*), attempt * of 3 in * s";
const AGAIN: &str = "svc/api: connected to pod A again*";

/// The watch has told that the pod is not ready.
const UNREADY: &str = "svc/api: pod A is not ready, new connections go to B*";

/// Of a service with as many pods as a large cluster has.
const FLEET_UNREADY: &str = "svc/fleet: pod fleet-1 is not ready, new connections go to fleet-2";

/// How many of them no node runs.
const UNSCHEDULED: usize = 5000;

pub(crate) const ROWS: &[Row] = &[
    Row::new("the API server restarts", |scene| Box::pin(restarted(scene)))
        .says(&[LOST, TRIED, AGAIN, CUT])
        .events(&["+ reconnecting", "recovered", "~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("the API server fails over to another instance, whose cache is behind", |scene| {
        Box::pin(failed_over(scene))
    })
    .says(&[
        "~ svc/api: connection to pod A lost (*",
        "~ svc/api: cannot reach pod A (*",
        "~ svc/api: connected to *",
        UNREADY,
        CUT,
    ])
    .events(&["~ reconnecting", "~ recovered", "retargeted", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("new sessions are refused with 429 and `Retry-After`", |scene| {
        Box::pin(refused(scene, Denial::new(StatusCode::TOO_MANY_REQUESTS).retry_after(1)))
    })
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("new sessions are refused with 500 `error dialing backend`", |scene| {
        let message = "error dialing backend: dial tcp 192.0.2.1:10250: connect: no route to host";
        Box::pin(refused(scene, Denial::new(StatusCode::INTERNAL_SERVER_ERROR).message(message)))
    })
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new("new sessions are refused with 503", |scene| {
        Box::pin(refused(scene, Denial::new(StatusCode::SERVICE_UNAVAILABLE)))
    })
    .says(&[LOST, TRIED, AGAIN, CUT])
    .events(&["+ reconnecting", "recovered", "~ connection_failed"])
    .lost(Lost::UnderWay)
    .long(&[Long::Reset]),
    Row::new(
        "lists and watches are refused with 429 and `Retry-After`, and a pod becomes unready",
        |scene| Box::pin(unread(scene)),
    )
    .says(&[UNREADY])
    .events(&["retargeted"]),
    Row::new("the watch is closed, and a pod becomes unready", |scene| Box::pin(watch_closed(scene)))
        .says(&[UNREADY])
        .events(&["retargeted"]),
    Row::new("the watch falls silent, and a pod is deleted", |scene| Box::pin(watch_silent(scene)))
        .says(&["~ svc/api: cannot reach pod A (*", "svc/api: pod A is gone, new connections go to B*", CUT])
        .events(&["~ reconnecting", "retargeted", "~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Closed, Long::Reset]),
    Row::new("the watch is refused with 410 Gone, and a pod becomes unready", |scene| {
        Box::pin(watch_gone(scene))
    })
    .says(&[UNREADY])
    .events(&["retargeted"]),
    Row::new("the watch ends with 410 Gone in an event, and a pod becomes unready", |scene| {
        Box::pin(history_forgotten(scene))
    })
    .says(&[UNREADY])
    .events(&["retargeted"]),
    Row::new("the watch has heard bookmarks alone, lists are refused, and a pod becomes unready", |scene| {
        Box::pin(bookmarks(scene))
    })
    .says(&[UNREADY])
    .events(&["retargeted"]),
    Row::new("a list of 5,000 pods, whose `continue` token has expired on the second page", |scene| {
        Box::pin(token_expired(scene))
    })
    .line("svc/fleet :80")
    .on(fleet)
    .after(|sandbox| Box::pin(second_page_is_gone(sandbox)))
    .says(&[FLEET_UNREADY, "~ still waiting for *"])
    .events(&["retargeted"]),
];

async fn restarted(scene: &mut Scene) -> Test {
    scene.sandbox().stop_api().await;
    scene.says(", attempt 1 of 3 in ").await?;
    scene.sandbox().resume_api().await?;
    scene.begin_now();
    scene.answered_again().await
}

/// A server that has not heard of the version that a watch goes on from says so.
async fn failed_over(scene: &mut Scene) -> Test {
    let behind =
        Denial::new(StatusCode::GATEWAY_TIMEOUT).message("Too large resource version: 90, current: 80");
    scene.sandbox().stop_api().await;
    scene.sandbox().faults().deny(behind.path("watch=true").retry_after(1).times(2));
    scene.sandbox().resume_api().await?;
    becomes_unready(scene).await
}

/// The first pod does, and nobody is told but by the watch.
async fn becomes_unready(scene: &mut Scene) -> Test {
    scene.begin_now();
    scene.sandbox().mark_ready("default", &scene.first(), false)?;
    scene.answered_elsewhere().await
}

async fn refused(scene: &mut Scene, denial: Denial) -> Test {
    scene.sandbox().faults().deny(denial.path("/portforward"));
    scene.ends_sessions_until(", attempt 1 of 3 in ").await?;
    scene.sandbox().faults().clear();
    scene.begin_now();
    scene.answered_again().await
}

async fn unread(scene: &mut Scene) -> Test {
    let faults = scene.sandbox().faults();
    faults.deny(Denial::new(StatusCode::TOO_MANY_REQUESTS).path("/pods?").retry_after(1).times(2));
    faults.end_watches();
    becomes_unready(scene).await
}

async fn watch_closed(scene: &mut Scene) -> Test {
    scene.sandbox().faults().end_watches();
    becomes_unready(scene).await
}

async fn watch_silent(scene: &mut Scene) -> Test {
    scene.sandbox().faults().silence_watches(true);
    scene.begin_now();
    scene.sandbox().force_delete("pod", "default", &scene.first())?;
    scene.answered_elsewhere().await
}

async fn watch_gone(scene: &mut Scene) -> Test {
    scene.sandbox().faults().deny(Denial::new(StatusCode::GONE).path("watch=true").times(1));
    watch_closed(scene).await
}

async fn history_forgotten(scene: &mut Scene) -> Test {
    scene.begin_now();
    scene.sandbox().mark_ready("default", &scene.first(), false)?;
    // The watch has had no turn yet in which to tell.
    scene.sandbox().compact();
    scene.sandbox().faults().end_watches();
    scene.answered_elsewhere().await
}

async fn bookmarks(scene: &mut Scene) -> Test {
    scene.sandbox().create(unscheduled("bystander", "none"))?;
    within("a bookmark", scene.sandbox().faults().bookmark_watches()).await?;
    scene.sandbox().faults().deny(Denial::new(StatusCode::INTERNAL_SERVER_ERROR).path("limit="));
    watch_closed(scene).await
}

/// Two pods that serve, among many that no node runs.
fn fleet() -> Options {
    let port = json!([{ "port": 80, "targetPort": 8080 }]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "fleet" },
        "spec": { "selector": { "fleet": "yes" }, "ports": port },
    });
    let many = (0..UNSCHEDULED).map(|number| unscheduled(&format!("crew-{number:04}"), "yes"));
    let served = ["fleet-1", "fleet-2"].map(|name| pod(name, "yes"));
    Options { objects: [service].into_iter().chain(many).chain(served).collect(), ..Options::default() }
}

/// One that no node of the sandbox runs.
fn unscheduled(name: &str, fleet: &str) -> Value {
    let mut pod = pod(name, fleet);
    pod["spec"]["nodeName"] = json!("node9");
    pod
}

fn pod(name: &str, fleet: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "fleet": fleet } },
        "spec": { "containers": [{ "name": "app", "image": "app", "ports": [{ "containerPort": 8080 }] }] },
    })
}

/// It is each time: no page after the first ever comes.
async fn second_page_is_gone(sandbox: &Sandbox) -> Test {
    sandbox.faults().deny(Denial::new(StatusCode::GONE).path("continue="));
    Ok(())
}

async fn token_expired(scene: &mut Scene) -> Test {
    history_forgotten(scene).await
}
