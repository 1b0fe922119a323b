//! Pods, workloads and services.

use sandbox::support::Test;
use sandbox::{Options, Sandbox};
use std::time::Duration;

use crate::row::{Long, Lost, Row};
use crate::scene::Scene;

/// What is told of a connection that was under way in a container that dies.
const CUT: &str = "~ svc/api: connection to pod A port 8080 failed: connection reset by the application";

pub(crate) const ROWS: &[Row] = &[
    Row::new("a pod is deleted", |scene| Box::pin(deleted(scene)))
        .says(&["svc/api: pod A is terminating, new connections go to B"])
        .events(&["retargeted"])
        .long(&[Long::Closed]),
    Row::new("a pod is deleted by force", |scene| Box::pin(deleted_by_force(scene)))
        .says(&["svc/api: pod A is *, new connections go to B", CUT])
        .events(&["retargeted", "~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a container crashes and is started again in place", |scene| Box::pin(crashed(scene)))
        .on(|| Options { pod_start: Duration::from_millis(400), ..Options::default() })
        .after(|sandbox| Box::pin(only_one(sandbox)))
        .says(&[
            "svc/api: waiting for a ready pod (pod A is not ready (Error)), connections are held for up to 30 s",
            "svc/api: ready again, now using pod A*",
            CUT,
        ])
        .events(&["waiting", "recovered", "~ connection_failed"])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
];

/// One pod of `api`: whoever fails has nobody to step in.
async fn only_one(sandbox: &Sandbox) -> Test {
    sandbox.scale("deploy", "default", "api", 1)?;
    Ok(())
}

async fn deleted(scene: &mut Scene) -> Test {
    scene.from_now();
    scene.sandbox().delete("pod", "default", &scene.first())?;
    scene.answered_elsewhere().await
}

async fn deleted_by_force(scene: &mut Scene) -> Test {
    scene.from_now();
    scene.sandbox().force_delete("pod", "default", &scene.first())?;
    scene.answered_elsewhere().await
}

async fn crashed(scene: &mut Scene) -> Test {
    let first = scene.first();
    scene.sandbox().kill_container("default", &first).await?;
    scene.from_now();
    scene.answered_again().await
}
