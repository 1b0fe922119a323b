//! What there is to be named: the objects of a kind, their ports, namespaces, and the entries of the kubeconfig.
//!
//! Completion asks for it while a person waits, so every finding is handed on as it comes, and what was found counts when
//! the time is over. Objects are read without their types, for only few of their fields matter.

use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::{
    catalog,
    client::Cluster,
    config::{
        files,
        flags::{ClusterEnvironment, Flags},
        kubeconfig,
    },
    error::reason,
    objects::{self, resource},
};
use crate::{
    error::Fatal,
    model::target::{Kind, Target, TargetRef},
};

/// Names that one answer has: enough for nearly every namespace, and quickly there.
const PAGE: u32 = 500;

/// Names that are fetched at most. Nobody chooses among more.
const AT_MOST: usize = 5000;

/// Something that can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedItem {
    /// Its name.
    pub name: String,
    /// What it is, in a few words; may be empty.
    pub about: String,
}

/// The names that a kubeconfig has.
#[derive(Debug, Default)]
pub struct KubeconfigNames {
    /// Its contexts, with their clusters.
    pub contexts: Vec<NamedItem>,
    /// Its clusters.
    pub clusters: Vec<NamedItem>,
    /// Its users.
    pub users: Vec<NamedItem>,
}

impl NamedItem {
    fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), about: String::new() }
    }
}

/// The objects of a kind in a namespace, a page at a time.
pub async fn objects(
    cluster: &Cluster,
    kind: Kind,
    namespace: Option<&str>,
    found: &mut impl Extend<NamedItem>,
) -> Result<(), Fatal> {
    let namespace = namespace.unwrap_or(&cluster.namespace);
    list(&Api::namespaced_with(cluster.api.clone(), namespace, &resource(kind)), found).await
}

/// The namespaces of the cluster, a page at a time.
pub async fn namespaces(cluster: &Cluster, found: &mut impl Extend<NamedItem>) -> Result<(), Fatal> {
    list(&Api::all_with(cluster.api.clone(), &objects::namespaces()), found).await
}

async fn list(api: &Api<DynamicObject>, found: &mut impl Extend<NamedItem>) -> Result<(), Fatal> {
    let mut params = ListParams::default().limit(PAGE);
    let mut count = 0;
    loop {
        let page = api.list_metadata(&params).await.map_err(|error| failed(&error))?;
        count += page.items.len();
        found.extend(page.items.iter().map(|object| NamedItem::plain(object.name_any())));
        match page.metadata.continue_.filter(|token| !token.is_empty() && count < AT_MOST) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// The TCP ports of a target: a service's own, or those that the containers of its pods declare.
pub async fn ports(
    cluster: &Cluster,
    target: &Target,
    found: &mut impl Extend<NamedItem>,
) -> Result<(), Fatal> {
    let namespace = target.namespace.as_deref().unwrap_or(&cluster.namespace);
    let api = |kind| Api::<DynamicObject>::namespaced_with(cluster.api.clone(), namespace, &resource(kind));
    let (kind, object) = match &target.subject {
        TargetRef::Object(kind, name) => {
            (*kind, Some(api(*kind).get(name).await.map_err(|error| failed(&error))?))
        }
        TargetRef::Selector(labels) => {
            let params = ListParams::default().labels(labels).limit(1);
            let list = api(Kind::Pod).list(&params).await.map_err(|error| failed(&error))?;
            (Kind::Pod, list.items.into_iter().next())
        }
    };
    if let Some(object) = object {
        found.extend(ports_of(kind, &object.data));
    }
    Ok(())
}

/// Each port by its number, and by its name where it has one.
fn ports_of(kind: Kind, object: &Value) -> Vec<NamedItem> {
    let mut found = Vec::new();
    for port in catalog::declared_ports(kind, object) {
        let inner = port.inner.map(|inner| format!(", pods' port {inner}")).unwrap_or_default();
        let number = port.number.to_string();
        found.push(NamedItem {
            about: match &port.name {
                Some(name) => format!("{name}{inner}"),
                None => inner.trim_start_matches(", ").to_owned(),
            },
            name: number.clone(),
        });
        found.extend(port.name.map(|name| NamedItem { name, about: format!("port {number}{inner}") }));
    }
    found
}

/// The names of the kubeconfig that these words mean.
pub async fn kubeconfig(flags: Flags, environment: ClusterEnvironment) -> Result<KubeconfigNames, Fatal> {
    files::reading("read the kubeconfig", move || {
        let config = kubeconfig::load(&flags, &environment)?.config;
        let current = config.current_context.as_deref();
        let text = |body: &super::config::yaml::YamlNode, field: &str| {
            body.get(field).and_then(|node| node.text().ok().flatten()).unwrap_or_default()
        };
        let context = |entry: &kubeconfig::KubeconfigEntry| {
            let of = format!("cluster {}", text(&entry.body, "cluster"));
            let about = if current == Some(&entry.name) { format!("current, {of}") } else { of };
            NamedItem { name: entry.name.clone(), about }
        };
        let plain = |entry: &kubeconfig::KubeconfigEntry| NamedItem::plain(&entry.name);
        Ok(KubeconfigNames {
            contexts: config.contexts.iter().map(context).collect(),
            clusters: config
                .clusters
                .iter()
                .map(|entry| NamedItem { about: text(&entry.body, "server"), ..plain(entry) })
                .collect(),
            users: config.users.iter().map(plain).collect(),
        })
    })
    .await
}

fn failed(error: &kube::Error) -> Fatal {
    Fatal::new("fwd::api::names", "what there is cannot be listed").because(reason::reason(error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(kind: Kind, object: &Value) -> Vec<String> {
        let all = ports_of(kind, object);
        all.into_iter().map(|item| format!("{}: {}", item.name, item.about)).collect()
    }

    #[test]
    fn ports_by_number_and_name() {
        let service = json!({ "spec": { "ports": [
            { "name": "http", "port": 80, "targetPort": "web" },
            { "port": 5432, "targetPort": 5432, "protocol": "TCP" },
            { "port": 81, "targetPort": 8081 },
            { "name": "dns", "port": 53, "protocol": "UDP" },
        ] } });
        assert_eq!(
            words(Kind::Service, &service),
            ["80: http, pods' port web", "http: port 80, pods' port web", "5432: ", "81: pods' port 8081"]
        );
        let containers = json!([{ "name": "a" }, { "ports": [{ "name": "pg", "containerPort": 5432 }] }]);
        let pod = json!({ "spec": { "containers": containers } });
        let deployment = json!({ "spec": { "template": pod } });
        for (kind, object) in [(Kind::Pod, &pod), (Kind::Deployment, &deployment)] {
            assert_eq!(words(kind, object), ["5432: pg", "pg: port 5432"]);
        }
        assert_eq!(words(Kind::Pod, &json!({ "spec": "hostile" })), [""; 0]);
    }
}
