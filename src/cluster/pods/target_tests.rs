use miette::Diagnostic;
use serde_json::{Value, json};

use super::*;
use crate::{
    cluster::fake::{FakeApiServer, list, no, ok},
    model::ports::{Address, LocalPort},
};

async fn resolved(fake: &FakeApiServer, target: &str) -> Result<ResolvedTarget, Fatal> {
    resolve(&fake.cluster(), &Target::parse(target).unwrap()).await
}

async fn refusal(fake: &FakeApiServer, target: &str) -> (String, String) {
    let error = resolved(fake, target).await.unwrap_err();
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let help = Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default();
    (error.code().to_owned(), format!("{error}: {why}: {help}"))
}

fn service(spec: &Value) -> FakeApiServer {
    let fake = FakeApiServer::default();
    fake.on("/services/s", [ok(json!({"metadata": {"name": "s"}, "spec": spec}))]);
    fake
}

fn named(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PartialObjectMetadata", "metadata": {"name": name}})
}

#[tokio::test]
async fn pods_and_selectors_ask_nothing() {
    let fake = FakeApiServer::default();
    let pod = resolved(&fake, "team/pod/x").await.unwrap();
    assert_eq!((pod.namespace.as_str(), &pod.pods), ("team", &PodQuery::Name("x".into())));
    let target = Target { namespace: None, subject: TargetRef::Selector("a=b".into()) };
    let labels = resolve(&fake.cluster(), &target).await.unwrap();
    assert_eq!((labels.namespace.as_str(), labels.pods), ("default", PodQuery::Labels("a=b".into())));
    assert!(fake.asked.lock().is_empty());
}

#[tokio::test]
async fn every_kind_of_workload() {
    let spec = json!({"selector": {"matchLabels": {"app": "w"}}, "template": {}, "serviceName": "x"});
    for (target, path, spec) in [
        ("deploy/w", "/apis/apps/v1/namespaces/default/deployments/w", &spec),
        ("rs/w", "/apis/apps/v1/namespaces/default/replicasets/w", &spec),
        ("sts/w", "/apis/apps/v1/namespaces/default/statefulsets/w", &spec),
        ("ds/w", "/apis/apps/v1/namespaces/default/daemonsets/w", &spec),
        ("job/w", "/apis/batch/v1/namespaces/default/jobs/w", &spec),
        ("rc/w", "/api/v1/namespaces/default/replicationcontrollers/w", &json!({"selector": {"app": "w"}})),
        ("svc/w", "/api/v1/namespaces/default/services/w", &json!({"selector": {"app": "w"}})),
    ] {
        let fake = FakeApiServer::default();
        fake.on(path, [ok(json!({"metadata": {"name": "w"}, "spec": spec}))]);
        let found = resolved(&fake, target).await;
        assert_eq!(found.map(|found| found.pods), Ok(PodQuery::Labels("app=w".into())), "{target}");
        assert_eq!(fake.asked.lock().len(), 1, "{target}");
    }
}

#[tokio::test]
async fn the_recorded_objects_are_read() {
    for (target, recording) in [
        ("deploy/w", include_str!("../../../tests/data/api/get-deployment.json")),
        ("svc/w", include_str!("../../../tests/data/api/get-service.json")),
    ] {
        let fake = FakeApiServer::default();
        fake.on("/w", [ok(serde_json::from_str(recording).unwrap())]);
        assert!(matches!(resolved(&fake, target).await.unwrap().pods, PodQuery::Labels(_)), "{target}");
    }
}

#[tokio::test]
async fn a_missing_object_is_told_from_a_missing_namespace() {
    let fake = FakeApiServer::default();
    fake.on("/namespaces/default", [ok(named("default"))]);
    fake.on("/services?", [ok(list("1", &[named("web"), named("db")]))]);
    fake.on("/services/wbe", [no(404, "services \"wbe\" not found")]);
    let (code, text) = refusal(&fake, "svc/wbe").await;
    assert_eq!(code, "fwd::target::not_found");
    assert!(text.contains("did you mean 'web'?") && text.contains("services: db, web"), "{text}");

    let fake = FakeApiServer::default();
    fake.on("/namespaces?", [ok(list("1", &[named("prod")]))]);
    let (code, text) = refusal(&fake, "prd/svc/web").await;
    assert_eq!(code, "fwd::target::no_namespace");
    assert!(text.contains("no namespace prd") && text.contains("did you mean 'prod'?"), "{text}");

    // Neither question is allowed: less is said, and no other error hides the first.
    let fake = FakeApiServer::default();
    fake.on("/", [no(403, "no")]).on("/services/x", [no(404, "")]);
    assert_eq!(refusal(&fake, "svc/x").await.0, "fwd::target::not_found");
}

#[tokio::test]
async fn forbidden() {
    let fake = FakeApiServer::default();
    fake.on("/services/x", [no(403, "services \"x\" is forbidden: User \"dev\" cannot get resource \"services\" in API group \"\" in the namespace \"default\"")]);
    let (code, text) = refusal(&fake, "svc/x").await;
    assert_eq!(code, "fwd::access::forbidden");
    assert!(text.starts_with("cannot read service x in namespace default"), "{text}");
    assert!(text.contains("resources: [\"services\"]"), "{text}");
}

#[tokio::test]
async fn services_that_lead_to_no_pod() {
    let fake = service(&json!({"type": "ExternalName", "externalName": "db.example.com"}));
    let (code, text) = refusal(&fake, "svc/s").await;
    assert_eq!(code, "fwd::target::external_name");
    assert!(text.contains("db.example.com"), "{text}");

    let fake = service(&json!({"ports": [{"port": 80}]}));
    fake.on("/endpointslices?", [ok(list("1", &[]))]);
    let (code, text) = refusal(&fake, "svc/s").await;
    assert_eq!(code, "fwd::target::no_pods");
    assert!(text.contains("no EndpointSlice names an endpoint"), "{text}");

    let fake = service(&json!({"ports": [{"port": 80}]}));
    let outside =
        json!({"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.9.9.9"]}]});
    fake.on("/endpointslices?", [ok(list("1", &[outside]))]);
    assert!(refusal(&fake, "svc/s").await.1.contains("10.9.9.9"));
}

#[tokio::test]
async fn a_service_without_a_selector_follows_its_slices() {
    let fake = service(&json!({"ports": [{"name": "pg", "port": 5432, "targetPort": 1}]}));
    let slice = json!({
        "metadata": {"name": "x"}, "addressType": "IPv4", "ports": [{"name": "pg", "port": 6543}],
        "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "p"}}],
    });
    fake.on("/endpointslices?", [ok(list("1", &[slice]))]);
    let found = resolved(&fake, "svc/s").await.unwrap();
    assert_eq!(found.pods, PodQuery::Slices { service: "s".into() });
}

fn spec(remote: RemotePort) -> PortSpec {
    PortSpec { address: Some(Address::Localhost), local: LocalPort::Same, remote }
}

#[tokio::test]
async fn ports_of_a_service() {
    let fake = service(&json!({"selector": {"a": "b"}, "ports": [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "named", "port": 81, "targetPort": "web"},
        {"name": "zero", "port": 82, "targetPort": 0},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]}));
    let found = resolved(&fake, "svc/s").await.unwrap();
    let name = |text: &str| RemotePort::Name(text.into());
    assert_eq!(found.same_local(&RemotePort::Number(80)), Some(80));
    assert_eq!(found.same_local(&name("named")), Some(81));
    assert_eq!(found.same_local(&name("nope")), None);
    assert_eq!(found.check(&[spec(RemotePort::Number(80)), spec(name("zero"))]), Ok(()));
    let help = |remote: RemotePort| {
        let error = found.check(&[spec(remote)]).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        format!("{why}: {}", Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default())
    };
    assert!(help(RemotePort::Number(8080)).contains("the port of the service is 80"));
    assert!(help(name("htpp")).contains("did you mean 'http'?"));
    assert!(help(RemotePort::Number(53)).contains("not TCP"));

    let pods = ResolvedTarget::of_pods("n", PodQuery::Name("x".into()));
    assert_eq!(pods.same_local(&RemotePort::Number(9)), Some(9));
    assert_eq!(pods.same_local(&name("http")), None);
    assert_eq!(pods.check(&[spec(name("http"))]), Ok(()));
}

/// What would lead a request elsewhere is refused before it is made.
#[tokio::test]
async fn names_that_are_none() {
    let fake = FakeApiServer::default();
    let mut cluster = fake.cluster();
    cluster.namespace = "../../x".into();
    let error = resolve(&cluster, &Target::parse("svc/s").unwrap()).await.unwrap_err();
    assert_eq!((error.code(), fake.asked.lock().len()), ("fwd::target::bad_namespace", 0));

    let selects = |labels: &Value| service(&json!({"selector": labels, "ports": [{"port": 80}]}));
    for labels in [json!({"a": "b,c=d"}), json!({"a=b,c": "d"}), json!({"a": "x".repeat(64)})] {
        assert_eq!(refusal(&selects(&labels), "svc/s").await.0, "fwd::target::no_selector", "{labels}");
    }

    let fake = service(&json!({"ports": [{"port": 80}]}));
    let endpoint = |name: &str, namespace: &str| json!({"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": name, "namespace": namespace}});
    let foreign = json!({
        "metadata": {"name": "x"}, "addressType": "IPv4", "ports": [],
        "endpoints": [endpoint("p", "prod"), endpoint("../../prod/services/p", "default")],
    });
    fake.on("/endpointslices?", [ok(list("1", &[foreign]))]);
    assert_eq!(refusal(&fake, "svc/s").await.0, "fwd::target::no_pods");
    assert!(fake.asked.lock().iter().all(|asked| !asked.contains("prod")));
}
