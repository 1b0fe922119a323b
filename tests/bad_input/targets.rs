//! Targets and ports that are not there, or lead nowhere.

use crate::check::{check, sandbox};

#[tokio::test]
async fn names() {
    let sandbox = sandbox().await;
    check(
        &sandbox.kubeconfig("admin"),
        &[
            (
                "svc/apo :80",
                &["there is no service apo in namespace default", "did you mean 'api'?", "services: api, db"],
            ),
            (
                "deploy/wbe :80",
                &["there is no deployment wbe", "did you mean 'web'?", "deployments: api, web"],
            ),
            ("rs/nothing :80", &["there is no replicaset nothing", "replicasets: api-"]),
            ("sts/bd :80", &["there is no statefulset bd", "statefulsets: db"]),
            ("ds/agnet :80", &["there is no daemonset agnet", "did you mean 'agent'?"]),
            ("job/onec :80", &["there is no job onec", "did you mean 'once'?"]),
            ("rc/odl :80", &["there is no replicationcontroller odl", "did you mean 'old'?"]),
            ("pod/sol :80", &["there is no pod sol in namespace default", "did you mean 'solo'?"]),
            ("solo2 :80", &["there is no pod solo2 in namespace default", "did you mean 'solo'?"]),
            (
                "api 8080:80",
                &["there is no pod api", "there is a service api; run: kubectl fwd svc/api 8080:80\n"],
            ),
            ("api :80 -n prod", &["there is no pod api", "run: kubectl fwd -n prod svc/api :80\n"]),
            ("prod/pod/api :80", &["there is no pod api", "run: kubectl fwd prod/svc/api :80\n"]),
            ("agent 1:2 :3", &["there is a daemonset agent; run: kubectl fwd ds/agent 1:2 :3\n"]),
            ("headles :80", &["there is no pod headles", "pods: "]),
            (
                "db-headles :80",
                &["did you mean the service db-headless? run: kubectl fwd svc/db-headless :80\n"],
            ),
            ("svc/API :80", &["there is no service API", "did you mean 'api'?"]),
            ("svc api 80", &["there is no pod svc in namespace default", "with a slash inside: svc/NAME"]),
            ("prod/svc/web :80", &["there is no service web in namespace prod", "services: api"]),
            ("kube-system/svc/api :80", &["in namespace kube-system", "there are no services"]),
            ("svc/api :80 -n prdo", &["there is no namespace prdo", "service api", "did you mean 'prod'?"]),
            ("prdo/pod/solo :80", &["there is no namespace prdo", "pod solo", "did you mean 'prod'?"]),
            ("-l app=api :80 -n prdo", &["there is no namespace prdo", "did you mean 'prod'?"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn services_without_pods() {
    let sandbox = sandbox().await;
    check(
        &sandbox.kubeconfig("admin"),
        &[
            (
                "svc/outside :80",
                &[
                    "service outside in namespace default leads to no pods",
                    "no selector",
                    "192.0.2.10",
                    "give the service",
                ],
            ),
            (
                "svc/ext :80",
                &["service ext in namespace default has no pods", "ExternalName", "connect to example.org"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn ports() {
    let sandbox = sandbox().await;
    check(
        &sandbox.kubeconfig("admin"),
        &[
            ("svc/api 81", &["port 81 of service api", "http (80), echo (9000)", "kubectl fwd svc/api 80"]),
            ("svc/api :abc", &["no port named 'abc'", "http (80), echo (9000)", "kubectl fwd svc/api :80"]),
            ("svc/api htpp", &["no port named 'htpp'", "did you mean 'http'?"]),
            ("svc/web :8080", &["no port 8080", "8080 is the port of the pods", "is 80"]),
            ("svc/api :53", &["port 53 of service api is not TCP", "only TCP", "kubectl fwd svc/api :80"]),
            ("svc/dns :53", &["port 53 of service dns is not TCP", "no port of this service is TCP"]),
            ("svc/dns :dns", &["port named 'dns' of service dns is not TCP"]),
            (
                "deploy/api :htpp",
                &[
                    "port htpp of deploy/api",
                    "http (8080), echo (9000)",
                    "kubectl -n default describe pod api-",
                ],
            ),
            (
                "pod/solo htpp",
                &["port htpp of pod/solo", "http (8080)", "kubectl -n default describe pod solo"],
            ),
            ("-l app=api :htpp", &["port htpp of -l app=api", "http (8080)", "describe pod api-"]),
        ],
    )
    .await;
}
