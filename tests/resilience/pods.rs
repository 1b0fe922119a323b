//! Pods, workloads and services.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::support::pods::{seen, uid};
use sandbox::support::{Failure, Test};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::row::{Long, Lost, Row};
use crate::scene::Scene;

/// What is told of a connection that was under way in a container that dies.
const CUT: &str = "~ *: connection to pod A port 8080 failed: connection reset by the application*";

/// The same where a pod ends in order, and its client was just sending.
const CLOSED: &str = "~ *: connection to pod * port 8080 failed: the application closed the connection while more was sent to it*";

/// The event of either.
const CUT_EVENT: &str = "~ connection_failed";

pub(crate) const ROWS: &[Row] = &[
    Row::new("a pod is deleted", |scene| Box::pin(deleted(scene)))
        .says(&["svc/api: pod A is terminating, new connections go to B", CLOSED])
        .events(&["retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a pod is deleted by force", |scene| Box::pin(deleted_by_force(scene)))
        .says(&["svc/api: pod A is *, new connections go to B", CUT, CLOSED])
        .events(&["retargeted", CUT_EVENT])
        .lost(Lost::UnderWay)
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a pod is evicted by its node", |scene| Box::pin(evicted(scene)))
        .says(&["svc/api: pod A has ended, new connections go to B", CUT, CLOSED])
        .events(&["retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a container crashes and is started again in place", |scene| Box::pin(crashed(scene)))
        .on(slow_start)
        .after(|sandbox| Box::pin(only_one(sandbox)))
        .says(&[
            "svc/api: waiting for a ready pod (pod A is not ready (Error)), connections are held for up to 30 s",
            "svc/api: ready again, now using pod A*",
            CUT,
        ])
        .events(&["waiting", "recovered", CUT_EVENT])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("a container is killed for its memory", |scene| Box::pin(out_of_memory(scene)))
        .on(slow_start)
        .after(|sandbox| Box::pin(only_one(sandbox)))
        .says(&[
            "svc/api: waiting for a ready pod (pod A is not ready (OOMKilled)), connections are held for up to 30 s",
            "svc/api: ready again, now using pod A*",
            CUT,
        ])
        .events(&["waiting", "recovered", CUT_EVENT])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("a pod gets another sandbox", |scene| Box::pin(another_sandbox(scene)))
        .on(slow_start)
        .after(|sandbox| Box::pin(only_one(sandbox)))
        .says(&[
            "svc/api: waiting for a ready pod (pod A is not ready (Error)), connections are held for up to 30 s",
            "svc/api: ready again, now using pod A*",
            CUT,
        ])
        .events(&["waiting", "recovered", CUT_EVENT])
        .lost(Lost::UnderWay)
        .long(&[Long::Reset]),
    Row::new("an application does not listen for a while", |scene| Box::pin(not_listening(scene)))
        .after(|sandbox| Box::pin(only_one(sandbox)))
        .says(&[
            CUT,
            "~ svc/api: connection to pod A port 8080 failed: connection refused: nothing listens on port 8080 in the pod*",
        ])
        .events(&[CUT_EVENT])
        .lost(Lost::Meanwhile)
        .long(&[Long::Reset]),
    Row::new("readiness is lost and comes back", |scene| Box::pin(not_ready(scene)))
        .after(|sandbox| Box::pin(only_one(sandbox)))
        .says(&[
            "svc/api: waiting for a ready pod (pod A is not ready*), connections are held for up to 30 s",
            "svc/api: ready again, now using pod A*",
        ])
        .events(&["waiting", "recovered"]),
    Row::new("a stateful set's pod comes back under its name", |scene| Box::pin(stateful(scene)))
        .line("sts/db :8080")
        .after(|sandbox| {
            Box::pin(async move {
                sandbox.scale("sts", "default", "db", 1)?;
                Ok(())
            })
        })
        .says(&[
            "sts/db: waiting for a ready pod (pod db-0 is being deleted), connections are held for up to 30 s",
            "sts/db: ready again, now using the new pod db-0*",
            CLOSED,
        ])
        .events(&["waiting", "retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a job has finished, and is run again", |scene| Box::pin(job(scene)))
        .line("job/once :8080")
        .says(&[
            "job/once: waiting for a ready pod (pod A has completed*), connections are held for up to 30 s",
            "? job/once: waiting for a ready pod (*), connections are held for up to 30 s",
            "job/once: ready again, now using pod B*",
            CLOSED,
        ])
        .events(&["waiting", "? waiting", "retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a workload is scaled to 0 and back", |scene| Box::pin(scaled(scene)))
        .says(&[
            "? svc/api: pod A is terminating, new connections go to *",
            "svc/api: waiting for a ready pod (*), connections are held for up to 30 s",
            "svc/api: ready again, now using pod *",
            CLOSED,
        ])
        .events(&["? retargeted", "waiting", "retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a deployment is rolled", |scene| Box::pin(rolled(scene)))
        .says(&["+ svc/api: pod * is terminating, new connections go to *", CLOSED])
        .events(&["+ retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a deployment is rolled back", |scene| Box::pin(rolled_back(scene)))
        .says(&["+ svc/api: pod * is terminating, new connections go to *", CLOSED])
        .events(&["+ retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
    Row::new("a service selects other pods", |scene| Box::pin(selector_changed(scene)))
        .says(&["svc/api: pod A is not selected any more, new connections go to B"])
        .events(&["retargeted"]),
    Row::new("a service is deleted, and made again for other pods", |scene| Box::pin(made_again(scene)))
        .says(&[
            "svc/api: service api is gone; connections still go to the pods that it selected last",
            "svc/api: service api is there again",
            "? svc/api: port 80 of service api leads to port 8080 of the pods now, no longer to 'http'",
            "svc/api: pod A is not selected any more, new connections go to B",
        ])
        .events(&["notice", "notice", "? notice", "retargeted"]),
    Row::new("a service's port leads to another port of the pods", |scene| Box::pin(target_port(scene)))
        .line("svc/shop :80")
        .on(shop)
        .says(&["svc/shop: port 80 of service shop leads to port 8081 of the pods now, no longer to 'http'"])
        .events(&["notice"]),
    Row::new("a port's name moves to another number in new pods", |scene| Box::pin(named_port(scene)))
        .line("svc/shop :80")
        .on(shop)
        .says(&["+ svc/shop: pod * is terminating, new connections go to *", CLOSED])
        .events(&["+ retargeted", CUT_EVENT])
        .long(&[Long::Closed, Long::Reset]),
];

/// Pods whose containers take so long to start that it is seen.
fn slow_start() -> Options {
    Options { pod_start: Duration::from_millis(600), ..Options::default() }
}

/// A service of two pods that serve on two ports.
fn shop() -> Options {
    let ports = json!([{ "name": "http", "containerPort": 8080 }, { "name": "next", "containerPort": 8081 }]);
    let service = service("shop", "shop", &json!("http"));
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "shop", "labels": { "app": "shop" } },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "shop" } },
            "template": { "metadata": { "labels": { "app": "shop" } }, "spec": pod_spec(&ports) },
        },
    });
    Options { objects: vec![service, deployment], ..Options::default() }
}

fn pod_spec(ports: &Value) -> Value {
    json!({ "containers": [{ "name": "app", "image": "sandbox/app:1", "ports": ports }] })
}

fn service(name: &str, app: &str, target_port: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": {
            "selector": { "app": app }, "ports": [{ "name": "http", "port": 80, "targetPort": target_port }],
        },
    })
}

/// One pod of `api`: whoever fails has nobody to step in.
async fn only_one(sandbox: &Sandbox) -> Test {
    sandbox.scale("deploy", "default", "api", 1)?;
    Ok(())
}

async fn deleted(scene: &mut Scene) -> Test {
    scene.begin_now();
    scene.sandbox().delete("pod", "default", &scene.first())?;
    scene.answered_elsewhere().await
}

async fn deleted_by_force(scene: &mut Scene) -> Test {
    scene.begin_now();
    scene.sandbox().force_delete("pod", "default", &scene.first())?;
    scene.answered_elsewhere().await
}

async fn evicted(scene: &mut Scene) -> Test {
    scene.begin_now();
    scene.sandbox().evict("default", &scene.first()).await?;
    scene.answered_elsewhere().await
}

async fn crashed(scene: &mut Scene) -> Test {
    scene.sandbox().kill_container("default", &scene.first()).await?;
    scene.begin_now();
    scene.answered_again().await
}

async fn out_of_memory(scene: &mut Scene) -> Test {
    scene.sandbox().kill_for_memory("default", &scene.first()).await?;
    scene.begin_now();
    scene.answered_again().await
}

async fn another_sandbox(scene: &mut Scene) -> Test {
    let before = uid(scene.sandbox(), &scene.first())?;
    scene.sandbox().recreate_sandbox("default", &scene.first()).await?;
    scene.begin_now();
    assert_eq!(uid(scene.sandbox(), &scene.first())?, before);
    scene.answered_again().await
}

/// The container is seen to run by all, and its application starts again inside it.
async fn not_listening(scene: &mut Scene) -> Test {
    let uid = uid(scene.sandbox(), &scene.first())?;
    scene.begin_now();
    scene.sandbox().node().kill_container(&uid).await;
    scene.fails().await?;
    // Those that were under way fail at once. New ones are tried for a second.
    scene.says("connection refused").await?;
    scene.sandbox().node().start_container(&uid).await;
    scene.begin_now();
    scene.answered_again().await
}

async fn not_ready(scene: &mut Scene) -> Test {
    let first = scene.first();
    scene.sandbox().mark_ready("default", &first, false)?;
    scene.says("waiting for a ready pod").await?;
    scene.sandbox().mark_ready("default", &first, true)?;
    scene.begin_now();
    scene.answered_again().await
}

async fn stateful(scene: &mut Scene) -> Test {
    let before = uid(scene.sandbox(), "db-0")?;
    scene.sandbox().delete("pod", "default", "db-0")?;
    scene.says("waiting for a ready pod").await?;
    scene.sandbox().settled().await?;
    scene.begin_now();
    assert_ne!(uid(scene.sandbox(), "db-0")?, before);
    scene.answered_again().await
}

async fn job(scene: &mut Scene) -> Test {
    scene.sandbox().complete("default", &scene.first()).await?;
    scene.says("has completed").await?;
    // Run again as `kubectl replace --force` does it: the new job selects its own pods by a label that no other has.
    scene.sandbox().delete("job", "default", "once")?;
    scene.sandbox().create(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "once" },
        "spec": { "template": { "spec": pod_spec(&json!([{ "name": "http", "containerPort": 8080 }])) } },
    }))?;
    scene.sandbox().settled().await?;
    scene.begin_now();
    scene.answered_elsewhere().await
}

async fn scaled(scene: &mut Scene) -> Test {
    scene.sandbox().scale("deploy", "default", "api", 0)?;
    scene.says("waiting for a ready pod").await?;
    scene.sandbox().settled().await?;
    scene.sandbox().scale("deploy", "default", "api", 2)?;
    scene.sandbox().settled().await?;
    scene.begin_now();
    scene.answered_elsewhere().await
}

async fn rolled(scene: &mut Scene) -> Test {
    let old = ready(scene, "app=api")?;
    scene.begin_now();
    scene.sandbox().restart("deploy", "default", "api")?;
    scene.answered("an answer of a new pod", move |pod| !old.contains(pod)).await?;
    settled(scene).await
}

async fn rolled_back(scene: &mut Scene) -> Test {
    scene.sandbox().restart("deploy", "default", "api")?;
    scene.sandbox().settled().await?;
    let rolled = ready(scene, "app=api")?;
    scene.begin_now();
    // As `kubectl rollout undo` does: the template is what it was.
    let annotations = json!({ "kubectl.kubernetes.io/restartedAt": null });
    let template = json!({ "metadata": { "annotations": annotations } });
    scene.sandbox().patch("deploy", "default", "api", &json!({ "spec": { "template": template } }))?;
    let first = scene.first();
    scene.answered("an answer after the undo", move |pod| pod != first && !rolled.contains(pod)).await?;
    settled(scene).await
}

async fn selector_changed(scene: &mut Scene) -> Test {
    let web = ready(scene, "app=web")?;
    scene.begin_now();
    scene.sandbox().patch("svc", "default", "api", &json!({ "spec": { "selector": { "app": "web" } } }))?;
    scene.answered("an answer of a pod that is selected now", move |pod| web.contains(pod)).await
}

async fn made_again(scene: &mut Scene) -> Test {
    let web = ready(scene, "app=web")?;
    scene.sandbox().delete("svc", "default", "api")?;
    scene.says("service api is gone").await?;
    scene.sandbox().create(service("api", "web", &json!("http")))?;
    scene.begin_now();
    scene.answered("an answer of a pod that is selected now", move |pod| web.contains(pod)).await
}

async fn target_port(scene: &mut Scene) -> Test {
    scene.begin_now();
    let ports = json!([{ "name": "http", "port": 80, "targetPort": 8081 }]);
    scene.sandbox().patch("svc", "default", "shop", &json!({ "spec": { "ports": ports } }))?;
    let first = scene.first();
    scene.reaches(&first, 8081).await
}

async fn named_port(scene: &mut Scene) -> Test {
    let old = ready(scene, "app=shop")?;
    scene.begin_now();
    let ports = json!([{ "name": "http", "containerPort": 8082 }]);
    let template = json!({ "spec": pod_spec(&ports) });
    scene.sandbox().patch("deploy", "default", "shop", &json!({ "spec": { "template": template } }))?;
    scene.answered("an answer of a new pod", move |pod| !old.contains(pod)).await?;
    settled(scene).await?;
    let all = ready(scene, "app=shop")?;
    if all.contains(&scene.last().await?) {
        seen(scene.sandbox(), &scene.last().await?, 8082, |stats| stats.requests > 0).await?;
    }
    Ok(())
}

fn ready(scene: &Scene, labels: &str) -> Result<BTreeSet<String>, Failure> {
    Ok(scene.sandbox().ready_pods("default", labels)?.into_iter().collect())
}

async fn settled(scene: &Scene) -> Test {
    Ok(scene.sandbox().settled().await?)
}
