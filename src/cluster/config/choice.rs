//! One cluster, one user and one namespace out of the kubeconfig, with the command line's words on top.

use std::path::PathBuf;

use kube::config::{AuthInfo, Cluster, Context};

use super::{
    entries,
    flags::{Flags, InClusterConfig},
    kubeconfig::{KubeconfigEntry, KubeconfigFiles},
    server::{self, ServerUrl},
};
use crate::{error::Fatal, policy::nearest::suggestion};

/// The namespace where neither the command line nor the context says one.
const DEFAULT_NAMESPACE: &str = "default";

/// What will be reached, as whom.
#[derive(Clone)]
pub(in crate::cluster) struct ClusterChoice {
    /// The context's name, where one is used.
    pub context: Option<String>,
    /// The namespace of targets that name none.
    pub namespace: String,
    /// The API server.
    pub server: ServerUrl,
    /// The file of the CA, where it is replaced while this runs: that of a pod's account.
    pub rotating_ca: Option<PathBuf>,
    /// The cluster, flags applied.
    pub cluster: Cluster,
    /// The user, flags applied.
    pub user: AuthInfo,
}

/// Chooses. Where no context is, the cluster is that of the pod that this runs in.
pub(in crate::cluster) fn choose(
    files: &KubeconfigFiles,
    flags: &Flags,
    pod: Option<&InClusterConfig>,
) -> Result<ClusterChoice, Fatal> {
    let config = &files.config;
    let pod = pod.filter(|pod| pod.has_account());
    let named = flags.context.as_ref().or(config.current_context.as_ref());
    if named.is_none() && flags.server.is_none() && flags.cluster.is_none() {
        return match pod {
            Some(pod) => in_pod(pod, flags),
            None if config.contexts.is_empty() && config.clusters.is_empty() => Err(no_cluster(files)),
            None => Err(no_context(files)),
        };
    }
    let context = named.map(|name| context(files, name)).transpose()?.unwrap_or_default();

    let cluster_name = flags.cluster.as_ref().or(Some(&context.cluster)).filter(|name| !name.is_empty());
    let mut cluster = cluster_name.map(|name| cluster(files, name, flags)).transpose()?.unwrap_or_default();
    apply_to_cluster(&mut cluster, flags);

    let user_name = flags.user.as_ref().or(context.user.as_ref()).filter(|name| !name.is_empty());
    let mut user = user_name.map(|name| user(files, name, flags)).transpose()?.unwrap_or_default();
    apply_to_user(&mut user, flags)?;

    let server = server(&cluster, cluster_name)?;
    contradicts(&cluster, cluster_name)?;
    let namespace =
        flags.namespace.clone().or(context.namespace).or_else(|| pod.and_then(InClusterConfig::namespace));
    let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    Ok(ClusterChoice { context: named.cloned(), namespace, server, rotating_ca: None, cluster, user })
}

/// The cluster of a pod, with what the command line says otherwise.
fn in_pod(pod: &InClusterConfig, flags: &Flags) -> Result<ClusterChoice, Fatal> {
    let (mut cluster, mut user) = (pod.cluster(), pod.user());
    cluster.server = Some(pod.server());
    apply_to_cluster(&mut cluster, flags);
    apply_to_user(&mut user, flags)?;
    let server = server(&cluster, None)?;
    let namespace = flags.namespace.clone().or_else(|| pod.namespace());
    let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let rotating_ca = cluster.certificate_authority.as_ref().map(PathBuf::from);
    let rotating_ca = rotating_ca.filter(|_| flags.certificate_authority.is_none());
    Ok(ClusterChoice { context: None, namespace, server, rotating_ca, cluster, user })
}

fn no_cluster(files: &KubeconfigFiles) -> Fatal {
    let why = if files.any() {
        format!("{} names no cluster", files.names())
    } else if files.looked.is_empty() {
        "there is no kubeconfig, and the home directory is not known".to_owned()
    } else {
        format!("there is no kubeconfig (looked at {})", files.names())
    };
    Fatal::new("fwd::kubeconfig::none", "no cluster is configured")
        .because(format!("{why}, and this is not a pod in a cluster"))
        .help("set KUBECONFIG, give --kubeconfig FILE, or get a kubeconfig from your cluster's provider")
}

fn no_context(files: &KubeconfigFiles) -> Fatal {
    let names = names(&files.config.contexts);
    Fatal::new("fwd::kubeconfig::no_context", "no context is chosen")
        .because(format!("{} has no current-context", files.names()))
        .help(format!(
            "choose one with --context or `kubectl config use-context`; {}",
            suggestion("", "contexts", &names)
        ))
}

fn names(entries: &[KubeconfigEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn find<'a>(entries: &'a [KubeconfigEntry], name: &str) -> Option<&'a KubeconfigEntry> {
    entries.iter().find(|entry| entry.name == name)
}

fn context(files: &KubeconfigFiles, name: &str) -> Result<Context, Fatal> {
    entries::context(context_entry(files, name)?)
}

fn context_entry<'a>(files: &'a KubeconfigFiles, name: &str) -> Result<&'a KubeconfigEntry, Fatal> {
    let contexts = &files.config.contexts;
    find(contexts, name).ok_or_else(|| unknown("context", name, files, &names(contexts)))
}

/// Refuses a context that is not there.
pub(super) fn check_context(files: &KubeconfigFiles, name: &str) -> Result<(), Fatal> {
    context_entry(files, name).map(drop)
}

fn cluster(files: &KubeconfigFiles, name: &str, flags: &Flags) -> Result<Cluster, Fatal> {
    let clusters = &files.config.clusters;
    match find(clusters, name) {
        Some(entry) => entries::cluster(entry),
        // With a server of its own, a cluster that the context only mentions is not needed.
        None if flags.server.is_some() && flags.cluster.is_none() => Ok(Cluster::default()),
        None => Err(unknown("cluster", name, files, &names(clusters))),
    }
}

fn user(files: &KubeconfigFiles, name: &str, flags: &Flags) -> Result<AuthInfo, Fatal> {
    let users = &files.config.users;
    let own = flags.token.is_some() || flags.username.is_some() || flags.client_certificate.is_some();
    match find(users, name) {
        Some(entry) => entries::user(entry),
        None if own && flags.user.is_none() => Ok(AuthInfo::default()),
        None => Err(unknown("user", name, files, &names(users))),
    }
}

fn unknown(kind: &'static str, name: &str, files: &KubeconfigFiles, names: &[&str]) -> Fatal {
    let code = match kind {
        "context" => "fwd::kubeconfig::unknown_context",
        "cluster" => "fwd::kubeconfig::unknown_cluster",
        _ => "fwd::kubeconfig::unknown_user",
    };
    Fatal::new(code, format!("there is no {kind} '{name}'"))
        .because(if files.any() {
            format!("it is not in {}", files.names())
        } else {
            format!("there is no kubeconfig (looked at {})", files.names())
        })
        .help(if files.any() {
            suggestion(name, &format!("{kind}s"), names)
        } else {
            "set KUBECONFIG, or give --kubeconfig FILE".to_owned()
        })
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

fn apply_to_cluster(cluster: &mut Cluster, flags: &Flags) {
    if let Some(server) = &flags.server {
        cluster.server = Some(server.clone());
        // The name belonged to the other server.
        cluster.tls_server_name = None;
    }
    if flags.tls_server_name.is_some() {
        cluster.tls_server_name.clone_from(&flags.tls_server_name);
    }
    if let Some(path) = &flags.certificate_authority {
        cluster.certificate_authority = Some(text(path));
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = None;
    }
    // As with kubectl, `=false` does not undo what the kubeconfig says.
    if flags.insecure_skip_tls_verify == Some(true) {
        cluster.insecure_skip_tls_verify = Some(true);
        // Nothing is checked against it, so it need not even be readable.
        (cluster.certificate_authority, cluster.certificate_authority_data) = (None, None);
    }
    if flags.disable_compression {
        cluster.disable_compression = Some(true);
    }
}

fn apply_to_user(user: &mut AuthInfo, flags: &Flags) -> Result<(), Fatal> {
    let forget = |user: &mut AuthInfo| {
        (user.exec, user.auth_provider) = (None, None);
        (user.token, user.token_file) = (None, None);
        (user.username, user.password) = (None, None);
    };
    if let Some(token) = &flags.token {
        forget(user);
        user.token = Some(token.clone());
    }
    if flags.username.is_some() || flags.password.is_some() {
        let (username, password) = (user.username.take(), user.password.take());
        forget(user);
        user.username = flags.username.clone().or(username);
        user.password = flags.password.clone().or(password);
    }
    if let Some(path) = &flags.client_certificate {
        (user.client_certificate, user.client_certificate_data) = (Some(text(path)), None);
    }
    if let Some(path) = &flags.client_key {
        (user.client_key, user.client_key_data) = (Some(text(path)), None);
    }
    if flags.as_user.is_some() {
        user.impersonate.clone_from(&flags.as_user);
    }
    if flags.as_uid.is_some() {
        user.impersonate_uid.clone_from(&flags.as_uid);
    }
    if !flags.as_groups.is_empty() {
        user.impersonate_groups = Some(flags.as_groups.clone());
    }
    if !flags.as_user_extra.is_empty() {
        let extra = user.impersonate_user_extra.insert(std::collections::HashMap::new());
        for word in &flags.as_user_extra {
            let (key, value) = word.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
                Fatal::new("fwd::usage::as_user_extra", format!("'{word}' is not KEY=VALUE"))
                    .help("write --as-user-extra KEY=VALUE, once for each value")
            })?;
            extra.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    // client-go looks at a key for the sake of its certificate alone.
    if user.client_certificate.is_none() && user.client_certificate_data.is_none() {
        (user.client_key, user.client_key_data) = (None, None);
    }
    let others = user.impersonate_uid.is_some()
        || user.impersonate_groups.is_some()
        || user.impersonate_user_extra.is_some();
    if others && user.impersonate.is_none() {
        return Err(Fatal::new(
            "fwd::usage::impersonation",
            "--as-group, --as-uid and --as-user-extra need --as",
        )
        .because("the API server impersonates a user, and no user is named")
        .help("add --as USER"));
    }
    Ok(())
}

/// Refuses a cluster of which one half says to verify its certificate and the other not to.
fn contradicts(cluster: &Cluster, name: Option<&String>) -> Result<(), Fatal> {
    let authority = cluster.certificate_authority.is_some() || cluster.certificate_authority_data.is_some();
    if !authority || cluster.insecure_skip_tls_verify != Some(true) {
        return Ok(());
    }
    let called = name.map(|name| format!(" '{name}'")).unwrap_or_default();
    Err(Fatal::new("fwd::kubeconfig::certificate_authority", format!("cannot use the cluster{called}"))
        .because("it has a certificate-authority and insecure-skip-tls-verify, which exclude each other")
        .help("remove one of them from the kubeconfig"))
}

/// The server's URL.
fn server(cluster: &Cluster, name: Option<&String>) -> Result<ServerUrl, Fatal> {
    let called = name.map(|name| format!(" of cluster '{name}'")).unwrap_or_default();
    let Some(given) = cluster.server.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
        return Err(Fatal::new("fwd::kubeconfig::no_server", format!("the server{called} is not known"))
            .help("set it with `kubectl config set-cluster NAME --server URL`, or give --server"));
    };
    ServerUrl::parse(given).ok_or_else(|| {
        let shown = server::shown(given);
        Fatal::new("fwd::kubeconfig::bad_server", format!("'{shown}' is not the URL of a server"))
            .because(format!("the server{called} has to be http:// or https:// with a host"))
            .help("for example https://10.0.0.5:6443; `kubectl config view --minify` shows the one in use")
    })
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
