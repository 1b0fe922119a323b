//! What a target stands for: which pods, and how its ports become theirs.
//!
//! One GET of the object, none for a pod or a selector: those are the query already. What can never work (an unknown
//! port, a service that leads out of the cluster) is refused here, before anything listens.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString};
use kube::{
    Api,
    api::{DynamicObject, ListParams},
    core::Status,
};
use serde::de::DeserializeOwned;

use super::{endpoint::port_name, list_watch::ListWatch, selector, slices};
use crate::{
    cluster::{
        access,
        client::Cluster,
        objects::{self, EndpointSlice, ServiceSpec, ServiceSpecPort, resource},
    },
    error::Fatal,
    model::{
        endpoint::Endpoint,
        name,
        ports::{PortSpec, RemotePort},
        target::{Kind, Target, TargetRef},
    },
    policy::{
        nearest::{nearest, suggestion},
        select::Readiness,
        translate::{self, ServicePort, ServicePorts, TargetPort},
    },
};

/// Names fetched to find the one that was meant; more would cost more than the suggestion is worth.
const NAMES_FETCHED: u32 = 500;

/// Addresses that are named where a service leads to no pods: enough to recognise what they are.
const ADDRESSES_SHOWN: usize = 10;

/// The code of the error that the object is not there.
pub(super) const NOT_FOUND: &str = "fwd::target::not_found";

/// A target, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTarget {
    /// Where its pods are.
    pub namespace: String,
    /// Which they are.
    pub pods: PodQuery,
    /// A service's ports; `None` where ports are the pods' own.
    service: Option<ServicePorts>,
    /// What is asked of their readiness.
    readiness: Readiness,
}

#[cfg(test)]
impl ResolvedTarget {
    /// A pod, whose ports are its own.
    pub(crate) fn pod(namespace: &str, name: &str) -> Self {
        Self::of_pods(namespace, PodQuery::Name(name.to_owned()))
    }
}

/// Which pods a target has at any time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PodQuery {
    /// The pod of this name, whichever it is at the time.
    Name(String),
    /// The pods that this label selector matches.
    Labels(String),
    /// The pods that a selector-less service's EndpointSlices name.
    Slices {
        /// The service.
        service: String,
    },
}

impl PodQuery {
    fn are_sliced(&self) -> bool {
        matches!(self, Self::Slices { .. })
    }
}

/// Finds what a target stands for.
pub async fn resolve(cluster: &Cluster, target: &Target) -> Result<ResolvedTarget, Fatal> {
    let namespace = target.namespace.clone().unwrap_or_else(|| cluster.namespace.clone());
    // Upper case is a mistake that the server's answer tells better.
    if !name::is_object_name(&namespace.to_ascii_lowercase()) {
        return Err(Fatal::new("fwd::target::bad_namespace", format!("'{namespace}' is not a valid namespace"))
            .because("a namespace is letters, digits and '-'; this one is the kubeconfig's, or this pod's own")
            .help("name another with -n, or correct the context: `kubectl config set-context --current --namespace NAME`"));
    }
    let plain = |pods| ResolvedTarget::of_pods(namespace.clone(), pods);
    let (kind, name) = match &target.subject {
        TargetRef::Selector(labels) => return Ok(plain(PodQuery::Labels(labels.clone()))),
        TargetRef::Object(Kind::Pod, name) => return Ok(plain(PodQuery::Name(name.clone()))),
        TargetRef::Object(kind, name) => (*kind, name.as_str()),
    };
    let finder = ObjectFinder { cluster, namespace: &namespace, kind, name };
    match kind {
        Kind::Pod => Ok(plain(PodQuery::Name(name.to_owned()))),
        Kind::Service => finder.service().await,
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
            let selector: Option<LabelSelector> = finder.read("/spec/selector").await?;
            finder.of_selector(selector.as_ref())
        }
        Kind::ReplicationController => {
            let selector: Option<BTreeMap<String, String>> = finder.read("/spec/selector").await?;
            finder.of_labels(selector.as_ref())
        }
    }
}

/// One object to find.
pub(super) struct ObjectFinder<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    pub kind: Kind,
    pub name: &'a str,
}

impl ObjectFinder<'_> {
    pub(in crate::cluster) fn subject(&self) -> String {
        format!("{} {} in namespace {}", self.kind.singular(), self.name, self.namespace)
    }

    /// The object, read without its type: of a few of its fields that would be most of the code.
    pub(in crate::cluster) async fn get(&self) -> Result<DynamicObject, Fatal> {
        let resource = resource(self.kind);
        let api = Api::namespaced_with(self.cluster.api.clone(), self.namespace, &resource);
        match api.get(self.name).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) if is_missing(&status) => Err(self.missing(&api).await),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// What the object has at this place.
    async fn read<T: DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>, Fatal> {
        let mut object = self.get().await?;
        let found = object.data.pointer_mut(pointer).map(serde_json::Value::take).unwrap_or_default();
        serde_json::from_value(found).map_err(|error| self.unreadable(&kube::Error::SerdeError(error)))
    }

    fn unreadable(&self, error: &kube::Error) -> Fatal {
        access::fatal(&format!("read {}", self.subject()), self.cluster, error)
    }

    /// Says whether the name or the whole namespace is not there, and what is. Both questions may be forbidden; then
    /// less is said.
    async fn missing(&self, api: &Api<DynamicObject>) -> Fatal {
        if let Some(error) = no_namespace(self.cluster, self.namespace).await {
            return error.because(format!("{} {} was looked for there", self.kind.singular(), self.name));
        }
        let error = Fatal::new(NOT_FOUND, format!("there is no {}", self.subject()));
        match names(api).await {
            // `kubectl fwd svc api 80`, as one types behind `kubectl get`.
            _ if self.kind == Kind::Pod && Kind::parse(self.name).is_some() => {
                error.help(format!("a target is one word, with a slash inside: {}/NAME", self.name))
            }
            Some(names) => error.help(listed(self.name, self.kind.plural(), &names)),
            None => error.help(format!(
                "check the name and the namespace; {} cannot be listed with your rights, so no similar name is suggested",
                self.kind.plural()
            )),
        }
    }

    /// What a workload stands for.
    pub(super) fn of_selector(&self, selector: Option<&LabelSelector>) -> Result<ResolvedTarget, Fatal> {
        self.of_query(selector.and_then(selector::from_selector))
    }

    /// What a replication controller stands for.
    pub(super) fn of_labels(
        &self,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Result<ResolvedTarget, Fatal> {
        self.of_query(labels.filter(|labels| !labels.is_empty()).and_then(selector::from_map))
    }

    fn of_query(&self, labels: Option<String>) -> Result<ResolvedTarget, Fatal> {
        let labels = labels.ok_or_else(|| self.unselective())?;
        Ok(ResolvedTarget::of_pods(self.namespace, PodQuery::Labels(labels)))
    }

    fn unselective(&self) -> Fatal {
        Fatal::new("fwd::target::no_selector", format!("{} selects no pods", self.subject()))
            .because("its selector is empty, or has an invalid operator or label")
            .help("forward to a pod by name, or by label with -l")
    }

    async fn service(&self) -> Result<ResolvedTarget, Fatal> {
        let resolved = self.of_service(self.read("/spec").await?.unwrap_or_default())?;
        if resolved.pods.are_sliced() {
            self.slices().await?;
        }
        Ok(resolved)
    }

    /// What a service stands for.
    pub(super) fn of_service(&self, spec: ServiceSpec) -> Result<ResolvedTarget, Fatal> {
        let ports = ServicePorts {
            service: self.name.to_owned(),
            headless: spec.cluster_ip.as_deref() == Some("None"),
            ports: spec.ports.iter().flatten().filter_map(service_port).collect(),
        };
        // kubectl ignores the type where there is a selector; so does this.
        let pods = match spec.selector.filter(|selector| !selector.is_empty()) {
            Some(labels) => PodQuery::Labels(selector::from_map(&labels).ok_or_else(|| self.unselective())?),
            None if spec.type_.as_deref() == Some("ExternalName") => {
                return Err(self.external(spec.external_name.as_deref().unwrap_or("?")));
            }
            None => PodQuery::Slices { service: self.name.to_owned() },
        };
        // Where slices name the pods, they say which of them count, too.
        let published = spec.publish_not_ready_addresses == Some(true) && !pods.are_sliced();
        let readiness = if published { Readiness::Ignored } else { Readiness::Required };
        Ok(ResolvedTarget { namespace: self.namespace.to_owned(), pods, service: Some(ports), readiness })
    }

    fn external(&self, host: &str) -> Fatal {
        Fatal::new("fwd::target::external_name", format!("{} has no pods", self.subject()))
            .because(format!("it is an ExternalName: another name for {host}, which is outside the cluster"))
            .help(format!("connect to {host} directly; only pods can be forwarded to"))
    }

    /// Whether a selector-less service leads to pods.
    async fn slices(&self) -> Result<(), Fatal> {
        let api: Api<EndpointSlice> = Api::namespaced(self.cluster.api.clone(), self.namespace);
        let list_watch: ListWatch<EndpointSlice> =
            ListWatch::new(api, Some(slices::label(self.name)), None, self.cluster.list_time).patient();
        let doing = format!("read the EndpointSlices of {}", self.subject());
        let list = list_watch.list().await.map_err(|error| access::fatal(&doing, self.cluster, &error))?.0;
        let no_pods = |why: String| {
            Fatal::new("fwd::target::no_pods", format!("{} leads to no pods", self.subject()))
                .because(why)
                .help("only pods can be forwarded to: give the service a selector, or forward to a pod")
        };
        if list.iter().any(|slice| !slices::members(slice, self.namespace).is_empty()) {
            return Ok(());
        }
        let addresses: Vec<&str> = list
            .iter()
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .flat_map(|endpoint| endpoint.addresses.iter().flatten().map(String::as_str))
            .take(ADDRESSES_SHOWN)
            .collect();
        Err(no_pods(if addresses.is_empty() {
            "it has no selector, and no EndpointSlice names an endpoint".to_owned()
        } else {
            format!(
                "it has no selector, and its EndpointSlices name addresses, not pods of its namespace: {}",
                addresses.join(", ")
            )
        }))
    }
}

/// Whether an API server says that an object is not there; any web server says 404.
fn is_missing(status: &Status) -> bool {
    status.code == 404 && status.reason == "NotFound"
}

/// The error for a namespace that is certainly not there.
pub(in crate::cluster) async fn no_namespace(cluster: &Cluster, wanted: &str) -> Option<Fatal> {
    let namespaces = Api::all_with(cluster.api.clone(), &objects::namespaces());
    match namespaces.get_metadata(wanted).await {
        Err(kube::Error::Api(status)) if is_missing(&status) => {
            let error = Fatal::new("fwd::target::no_namespace", format!("there is no namespace {wanted}"));
            Some(match names(&namespaces).await {
                Some(names) => error.help(listed(wanted, "namespaces", &names)),
                None => error.help("check -n and the namespace of the kubeconfig's context"),
            })
        }
        _ => None,
    }
}

/// The names of what is there; `None` where that may not be asked.
pub(super) async fn names(api: &Api<DynamicObject>) -> Option<Vec<String>> {
    let list = api.list_metadata(&ListParams::default().limit(NAMES_FETCHED)).await.ok()?;
    let names = list.items.iter().map(kube::ResourceExt::name_any);
    Some(names.filter(|name| name::is_object_name(name)).collect())
}

fn listed(wanted: &str, plural: &str, names: &[String]) -> String {
    suggestion(wanted, plural, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn service_port(port: &ServiceSpecPort) -> Option<ServicePort> {
    Some(ServicePort {
        name: port_name(port.name.as_ref()),
        number: u16::try_from(port.port).ok()?,
        target: match &port.target_port {
            Some(IntOrString::Int(number)) => match u16::try_from(*number).ok()? {
                0 => TargetPort::Same,
                number => TargetPort::Number(number),
            },
            Some(IntOrString::String(name)) if name::is_dns_label(name) => TargetPort::Name(name.clone()),
            Some(IntOrString::String(name)) if !name.is_empty() => return None,
            _ => TargetPort::Same,
        },
        tcp: port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"),
        app_protocol: port.app_protocol.clone(),
    })
}

impl ResolvedTarget {
    /// Pods of a namespace, their ports being their own.
    pub fn of_pods(namespace: impl Into<String>, pods: PodQuery) -> Self {
        // As kubectl has it: who names a pod means that one.
        let named = matches!(pods, PodQuery::Name(_));
        let readiness = if named { Readiness::Ignored } else { Readiness::Required };
        Self { namespace: namespace.into(), pods, service: None, readiness }
    }

    /// Refuses ports that can never work: a service's unknown ones, and those that are not TCP.
    pub fn check(&self, ports: &[PortSpec]) -> Result<(), Fatal> {
        let Some(service) = &self.service else { return Ok(()) };
        for spec in ports {
            if let Err(why) = service.find(&spec.remote) {
                let mut error = Fatal::new(
                    "fwd::target::no_port",
                    format!("cannot forward to port {} of service {}", spec.remote, service.service),
                )
                .because(why);
                error = error.help(port_help(service, spec));
                return Err(error);
            }
        }
        Ok(())
    }

    /// The number that `Local::Same` means, where it is known without a pod.
    pub fn same_local(&self, remote: &RemotePort) -> Option<u16> {
        match (&self.service, remote) {
            (Some(service), _) => service.find(remote).ok().map(|port| port.number),
            (None, RemotePort::Number(number)) => Some(*number),
            (None, RemotePort::Name(_)) => None,
        }
    }

    /// The TCP ports that are declared, by number: the service's, or else the pod's.
    pub fn declared_ports(&self, pod: &Endpoint) -> Vec<RemotePort> {
        let numbers: Vec<u16> = match &self.service {
            Some(service) => service.ports.iter().filter(|port| port.tcp).map(|port| port.number).collect(),
            None => pod.ports.iter().filter(|port| port.tcp).map(|port| port.number).collect(),
        };
        numbers.into_iter().map(RemotePort::Number).collect()
    }

    /// The service's port that `remote` means; none where ports are the pods' own.
    pub fn service_port(&self, remote: &RemotePort) -> Option<&ServicePort> {
        self.service.as_ref()?.find(remote).ok()
    }

    /// Whether another target has the same pods.
    pub fn has_pods_of(&self, other: &Self) -> bool {
        (&self.namespace, &self.pods) == (&other.namespace, &other.pods)
    }

    /// How the ports of a service lead elsewhere now than in `before`, for people; one text for each of `ports` that does.
    pub fn moved_ports(&self, before: &Self, ports: &[RemotePort]) -> Vec<String> {
        let moved = |remote: &RemotePort| {
            let (service, now, was) =
                (self.service.as_ref()?, self.service_port(remote)?, before.service_port(remote)?);
            let text = format!(
                "port {remote} of service {} leads to port {} of the pods now, no longer to {}",
                service.service,
                now.in_pods(),
                was.in_pods()
            );
            (now.in_pods() != was.in_pods()).then_some(text)
        };
        ports.iter().filter_map(moved).collect()
    }

    /// What is asked of the pods' readiness.
    pub fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// Whether it is one pod by its name.
    pub fn is_named_pod(&self) -> bool {
        matches!(self.pods, PodQuery::Name(_))
    }

    /// The pod's port for `remote`. Errors are words for a person.
    pub fn pod_port(&self, remote: &RemotePort, pod: &Endpoint) -> Result<u16, String> {
        match &self.service {
            Some(service) => service.pod_port(remote, pod),
            None => translate::pod_port(remote, pod),
        }
    }
}

/// What to do about a port that a service lacks, or cannot forward.
fn port_help(service: &ServicePorts, spec: &PortSpec) -> String {
    if let Some(near) = near_port(service, &spec.remote) {
        return near;
    }
    match service.ports.iter().find(|port| port.tcp) {
        Some(port) => {
            // The local address as it was typed: it is not what is wrong.
            let port = PortSpec { remote: RemotePort::Number(port.number), ..spec.clone() };
            format!("for example: kubectl fwd svc/{} {port}", service.service)
        }
        None => "no port of this service is TCP; forward to a pod and its TCP port instead".to_owned(),
    }
}

/// The port that was probably meant: the nearest name, or the service port whose target the number is.
fn near_port(service: &ServicePorts, remote: &RemotePort) -> Option<String> {
    let tcp = || service.ports.iter().filter(|port| port.tcp);
    match remote {
        RemotePort::Name(wanted) => {
            let near = nearest(wanted, tcp().filter_map(|port| port.name.as_deref()))?;
            Some(format!("did you mean '{near}'?"))
        }
        RemotePort::Number(wanted) => {
            let by_target: BTreeMap<u16, u16> = tcp()
                .filter_map(|port| match port.target {
                    TargetPort::Number(target) => Some((target, port.number)),
                    _ => None,
                })
                .collect();
            let number = by_target.get(wanted)?;
            Some(format!("{wanted} is the port of the pods; the port of the service is {number}"))
        }
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
