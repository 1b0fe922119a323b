//! Rights that are missing, one verb at a time: each is named, with the rule that grants it.

use sandbox::support::forward::Forward;
use sandbox::{Options, Rule, Sandbox, User};

use crate::check::{check, fwd, sandbox};

const FORWARD: &str = "pods/portforward";

/// A cluster where `someone` may do just this, told as verbs and resources.
async fn cluster(rights: &[(&str, &str)]) -> Sandbox {
    let user = rights.iter().fold(User::new("someone"), |user, (verbs, what)| user.may(verbs, what));
    Sandbox::start(Options { users: vec![user], ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn reading_the_target() {
    let sandbox = sandbox().await;
    let nothing = sandbox.kubeconfig("nothing");
    for (line, group, resource) in [
        ("svc/api", "", "services"),
        ("deploy/api", "apps", "deployments"),
        ("rs/api", "apps", "replicasets"),
        ("sts/db", "apps", "statefulsets"),
        ("ds/agent", "apps", "daemonsets"),
        ("job/once", "batch", "jobs"),
        ("rc/old", "", "replicationcontrollers"),
        ("pod/solo", "", "pods"),
    ] {
        let dot = if group.is_empty() { "" } else { "." };
        check(
            &nothing,
            &[(
                &format!("{line} :80"),
                &[
                    "cannot read ",
                    &format!("403: User \"nothing\" cannot get {resource}{dot}{group} in namespace default"),
                    "bound to \"nothing\"",
                    "kind: Role\n",
                    "namespace: default\n",
                    &format!("apiGroups: [\"{group}\"]"),
                    &format!("resources: [\"{resource}\"]"),
                    "verbs: [\"get\"",
                ],
            )],
        )
        .await;
    }
    check(
        &sandbox.kubeconfig("dev"),
        &[(
            "svc/api :80 --as boss",
            &[
                "User \"dev\" cannot impersonate users in the whole cluster",
                "kind: ClusterRole",
                "[\"impersonate\"]",
            ],
        )],
    )
    .await;
}

#[tokio::test]
async fn finding_the_pods() {
    let words = [
        "cannot list the pods of namespace default",
        "cannot list pods",
        "verbs: [\"get\", \"list\", \"watch\"]",
    ];
    let nothing = cluster(&[]).await;
    check(&nothing.kubeconfig("someone"), &[("-l app=api :80", &words)]).await;
    let service_only = cluster(&[("get", "services"), ("get", "deployments")]).await;
    let rows: [(&str, &[&str]); 2] = [("svc/api :80", &words), ("deploy/api :80", &words)];
    check(&service_only.kubeconfig("someone"), &rows).await;
    check(
        &service_only.kubeconfig("someone"),
        &[(
            "svc/manual :80",
            &[
                "EndpointSlices of service manual",
                "cannot list endpointslices.discovery.k8s.io",
                "[\"discovery.k8s.io\"]",
            ],
        )],
    )
    .await;
    let no_pods = cluster(&[("get", "services"), ("list,watch", "endpointslices")]).await;
    let words = ["cannot read pod web-", "cannot get pods", "verbs: [\"get\", \"list\", \"watch\"]"];
    check(&no_pods.kubeconfig("someone"), &[("svc/manual :80", &words)]).await;
}

#[tokio::test]
async fn opening_the_tunnel() {
    let reading = [("get", "services"), ("get,list,watch", "pods")];
    for (more, verb) in [(None, "get"), (Some(("get", FORWARD)), "create")] {
        let rights: Vec<_> = reading.into_iter().chain(more).collect();
        let sandbox = cluster(&rights).await;
        let words = [
            "cannot forward to pod ",
            &format!("403: User \"someone\" cannot {verb} pods/portforward in namespace default"),
            "resources: [\"pods/portforward\"]",
            "verbs: [\"get\", \"create\"]",
        ];
        let rows: [(&str, &[&str]); 2] = [("svc/api :80", &words), ("pod/solo :8080", &words)];
        check(&sandbox.kubeconfig("someone"), &rows).await;
    }
}

/// Missing rights that are no reason to fail, and what is said about them.
#[tokio::test]
async fn less_is_enough() {
    let forward = ("create", FORWARD);
    for (rights, target, says) in [
        (
            vec![("get", "services"), ("list", "pods"), forward],
            "svc/api",
            Some("watching pods is forbidden here"),
        ),
        (vec![("get", "pods"), forward], "pod/solo", Some("listing pods is forbidden here")),
        (
            vec![("get", "services,pods"), ("list", "endpointslices"), forward],
            "svc/manual",
            Some("watching EndpointSlices is forbidden here"),
        ),
        (vec![("list,watch", "pods"), forward], "pod/solo", None),
    ] {
        let sandbox = cluster(&rights).await;
        let command = fwd(&sandbox.kubeconfig("someone"), &format!("{target} :80"));
        let mut running = Forward::spawn(command).unwrap();
        running.port().await.unwrap();
        if let Some(says) = says {
            running.stderr(says).await.unwrap();
        }
        let ended = running.end("INT").await.unwrap();
        assert_eq!(ended.code, Some(0), "{target}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), usize::from(says.is_some()), "{target}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn names_that_may_not_be_listed() {
    let user = User::new("someone").rule(Rule::new("get", "services,pods").in_namespaces("default"));
    let options = Options { users: vec![user], ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    check(
        &sandbox.kubeconfig("someone"),
        &[
            ("svc/apo :80", &["there is no service apo in namespace default", "services cannot be listed"]),
            ("pod/sol :80", &["there is no pod sol in namespace default", "pods cannot be listed"]),
            (
                "svc/api :80 -n prod",
                &["User \"someone\" cannot get services in namespace prod", "namespace: prod"],
            ),
        ],
    )
    .await;
}
