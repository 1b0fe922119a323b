//! The two clients of one cluster.
//!
//! `api` reads and watches objects: pooled connections, compressed answers, a deadline for every answer. `data`
//! upgrades connections into tunnels: each request dials anew, nothing is retried, nothing is wrapped around the
//! socket. Both ask the same credentials and share one TLS configuration.
//!
//! They are built from kube's layers rather than by kube's builder, whose defaults stand in the way of long tunnels
//! (Nagle on, a write timeout on the upgraded socket, up to 15 retries inside one call: PROTOCOL §7).

use std::{sync::Arc, time::Duration};

use kube::{Client, Config, client::ConfigExt as _, config::AuthInfo};
use secrecy::ExposeSecret as _;
use tokio::task::spawn_blocking;
use tower::{Layer as _, util::option_layer};
use tower_http::decompression::DecompressionLayer;

use super::{
    answer::Bounded,
    awaited::Awaited,
    choice::{self, Choice},
    connect::Dialer,
    credentials::Credentials,
    exec::{Credential, Plugin},
    flags::{Environment, Flags},
    kubeconfig::{self, Files},
    listing::LIST_TIME,
    proxy::{self, Wishes},
    retry::Retry,
    tls::{self, certificate_authority, certificate_user, set_identity},
    transport::{Authorize, Deadline, OneShot, Pooled, Transport},
};
use crate::error::Fatal;

/// A cluster that can be talked to. Clones share everything.
#[derive(Clone)]
pub struct Cluster {
    /// For objects.
    pub api: Client,
    /// For tunnels: one connection a request, which can be upgraded and taken.
    pub data: Client,
    /// The API server's URL.
    pub server: String,
    /// The kubeconfig's context, where one is used.
    pub context: Option<String>,
    /// The namespace of targets that name none.
    pub namespace: String,
    /// How long a whole list may take.
    pub(super) list_time: Duration,
    pub(super) transport: Arc<Transport>,
}

/// A cluster that is known and not yet talked to.
pub struct Found {
    files: Files,
    choice: Option<Choice>,
    flags: Flags,
    environment: Environment,
}

impl Found {
    /// Finds the cluster that these words mean. Only files are read.
    pub fn find(flags: Flags, environment: Environment) -> Result<Self, Fatal> {
        let files = kubeconfig::load(&flags, &environment)?;
        let choice = choice::choose(&files, &flags)?;
        Ok(Self { files, choice, flags, environment })
    }

    /// Equal for what may share clients: the same server by the same means, as the same user. Nothing can be read from
    /// it.
    pub fn fingerprint(&self) -> [u8; 32] {
        // What cannot be written is never equal to anything.
        let parts = self.choice.as_ref().map(|choice| {
            let means = serde_json::to_vec(&(&choice.cluster, &choice.user))
                .unwrap_or_else(|_| fastrand::u64(..).to_le_bytes().into());
            (format!("{:?} {} {}", choice.context, choice.namespace, choice.server), means)
        });
        let (place, means) = parts.unwrap_or_default();
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(place.as_bytes());
        digest.update(&means);
        digest.finish().as_ref().try_into().unwrap_or_default()
    }

    /// Gets ready to talk to it. Nothing is sent to the server yet, but a credential plugin runs. What takes long, then or
    /// later, is told by `awaited`.
    pub async fn connect(self, awaited: &Awaited) -> Result<Cluster, Fatal> {
        // rustls takes no provider for granted; whoever was first has chosen the same one.
        let _ = (*tls::provider()).clone().install_default();
        match self.choice {
            Some(choice) => from_choice(choice, &self.flags, &self.environment, awaited).await,
            None => from_pod(&self.files, &self.flags, &self.environment).await,
        }
    }
}

impl Cluster {
    /// Finds a cluster and gets ready to talk to it.
    pub async fn connect(flags: &Flags, environment: &Environment) -> Result<Self, Fatal> {
        Found::find(flags.clone(), environment.clone())?.connect(&Awaited::silently()).await
    }

    /// Begins to dial the first tunnel's connection: TCP and TLS take their round trips while the API is asked.
    pub fn dial_ahead(&self) {
        self.transport.dial_ahead();
    }

    /// What a request waits for at the moment, for [`Awaited::during`]; `asked` is what was asked for.
    pub fn awaiting(&self, asked: &str) -> String {
        if let Some(why) = self.transport.noted() {
            format!("trying {} again ({why})", self.server)
        } else if self.transport.is_dialling() {
            format!("connecting to {}", self.server)
        } else {
            format!("waiting for {} to answer ({asked})", self.server)
        }
    }

    /// The server and the context, as messages name them.
    pub(super) fn place(&self) -> super::access::Place {
        super::access::Place { server: self.server.clone(), context: self.context.clone() }
    }
}

/// The cluster that a kubeconfig, or the command line alone, describes.
async fn from_choice(
    choice: Choice,
    flags: &Flags,
    environment: &Environment,
    awaited: &Awaited,
) -> Result<Cluster, Fatal> {
    let Choice { context, namespace, server, cluster, mut user } = choice;
    let wishes = Wishes {
        explicit: cluster.proxy_url.as_deref(),
        https: environment.https_proxy.as_deref(),
        http: environment.http_proxy.as_deref(),
        bypass: environment.no_proxy.as_deref(),
    };
    let mut config = Config::new(server);
    config.proxy_url = proxy::choose(&config.cluster_url, &wishes).map_err(|bad| bad_proxy(&bad))?;
    config.root_cert = certificate_authority(&cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify == Some(true);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.disable_compression = cluster.disable_compression == Some(true);
    config.default_namespace.clone_from(&namespace);

    let mut plugin = None;
    if config.cluster_url.scheme_str() == Some("http") {
        // As client-go: credentials are not sent where anyone can read them.
        user = AuthInfo {
            impersonate: user.impersonate,
            impersonate_uid: user.impersonate_uid,
            impersonate_groups: user.impersonate_groups,
            impersonate_user_extra: user.impersonate_user_extra,
            ..AuthInfo::default()
        };
    }
    let own = user.token.is_some() || user.token_file.is_some() || user.username.is_some();
    if let Some(exec) = user.exec.take().filter(|_| !own) {
        let ready = Plugin::new(exec, &cluster, environment.stdin_is_terminal)?;
        let first = awaited.during(|| "waiting for the credential plugin".to_owned(), ready.run()).await?;
        if let Some((certificate, key)) = &first.certificate {
            set_identity(&mut user, certificate, key.expose_secret());
        }
        plugin = Some((ready, first));
    }
    readable(&user)?;
    config.auth_info = user;
    build(config, context, namespace, flags, plugin).await
}

/// Refuses files of the user that are not there; kube's own error does not say which one it is.
fn readable(user: &AuthInfo) -> Result<(), Fatal> {
    let unless = |path: &Option<String>, data: bool| path.clone().filter(|path| !path.is_empty() && !data);
    for (field, path) in [
        ("client-certificate", unless(&user.client_certificate, user.client_certificate_data.is_some())),
        ("client-key", unless(&user.client_key, user.client_key_data.is_some())),
        ("tokenFile", unless(&user.token_file, false)),
    ] {
        if let Some(path) = path
            && let Err(error) = std::fs::File::open(&path)
        {
            return Err(Fatal::new("fwd::auth::unusable", format!("cannot read the user's {field} {path}"))
                .because(super::access::reason(&error))
                .help("logging in to the cluster again usually writes it anew"));
        }
    }
    Ok(())
}

/// The cluster that this process runs in.
async fn from_pod(files: &Files, flags: &Flags, environment: &Environment) -> Result<Cluster, Fatal> {
    let Ok(mut config) = Config::incluster() else {
        let why = if files.any() {
            format!("{} names no cluster", files.names())
        } else if files.looked.is_empty() {
            "no kubeconfig is there, nor a home directory to look for one".to_owned()
        } else {
            format!("no kubeconfig is there (looked at {})", files.names())
        };
        return Err(Fatal::new("fwd::kubeconfig::none", "there is no cluster to talk to")
            .because(format!("{why}, and this is no pod of a cluster"))
            .help(
                "set KUBECONFIG, give --kubeconfig FILE, or get a kubeconfig from your cluster's provider",
            ));
    };
    let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    // The flags that kubectl lets a pod override too.
    let none = Files { config: kubeconfig::Kubeconfig::default(), read: Vec::new(), looked: Vec::new() };
    let server = Flags { server: Some(config.cluster_url.to_string()), ..flags.clone() };
    if let Some(choice) = choice::choose(&none, &server)? {
        let own = choice.user.token.is_some() || choice.user.username.is_some();
        let token_file = config.auth_info.token_file.take().filter(|_| !own);
        config.auth_info = AuthInfo { token_file, ..choice.user };
        if let Some(insecure) = choice.cluster.insecure_skip_tls_verify {
            config.accept_invalid_certs = insecure;
        }
    }
    let wishes = Wishes {
        explicit: None,
        https: environment.https_proxy.as_deref(),
        http: environment.http_proxy.as_deref(),
        bypass: environment.no_proxy.as_deref(),
    };
    config.proxy_url = proxy::choose(&config.cluster_url, &wishes).map_err(|bad| bad_proxy(&bad))?;
    build(config, None, namespace, flags, None).await
}

async fn build(
    mut config: Config,
    context: Option<String>,
    namespace: String,
    flags: &Flags,
    plugin: Option<(Plugin, Credential)>,
) -> Result<Cluster, Fatal> {
    let unusable = |why: String| {
        Fatal::new("fwd::auth::unusable", "the kubeconfig's credentials cannot be used")
            .because(why)
            .help("check the user's certificate, key and token; `kubectl auth whoami` uses the same")
    };
    let no_use = move |error: kube::Error| unusable(super::access::reason(&error));
    let agent = concat!("kubectl-fwd/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    // The system's authorities are many files, and a legacy auth-provider may run a command right here.
    let from = config.clone();
    let slow = move || Ok((tls::tls(&from)?, from.auth_layer().map_err(no_use)?));
    let (tls, auth) = spawn_blocking(slow)
        .await
        .map_err(|_| unusable("reading them went wrong in a way that was not foreseen".to_owned()))??;
    let dialer =
        Dialer::new(&config.cluster_url, config.tls_server_name.as_deref(), config.proxy_url.as_ref(), tls)
            .map_err(|why| {
            Fatal::new("fwd::kubeconfig::bad-server", format!("cannot reach {}", config.cluster_url))
                .because(why)
        })?;
    let transport = Transport::new(dialer);
    let credentials = plugin
        .map(|(plugin, first)| Credentials::new(plugin, &first, certificate_user(&config, &transport)))
        .transpose()?;
    let headers = config.extra_headers_layer().map_err(no_use)?;
    let base = config.base_uri_layer();

    let wanted = flags.request_timeout.filter(|limit| !limit.is_zero());
    let data = Authorize { credentials: credentials.clone(), inner: OneShot(Arc::clone(&transport)) };
    let data = base.layer(option_layer(auth.as_ref()).layer(headers.layer(data)));
    let gzip = DecompressionLayer::new().no_br().no_deflate().no_zstd().gzip(!config.disable_compression);
    // From the server up: what is counted is what comes out of the decompression, and the time that a plugin takes is its
    // own.
    let api = gzip.layer(Deadline { inner: Pooled(Arc::clone(&transport)), wanted });
    let api = Bounded { inner: Retry { inner: api, transport: Arc::clone(&transport) }, wanted };
    let api = Authorize { credentials, inner: api };
    let api = base.layer(option_layer(auth.as_ref()).layer(headers.layer(api)));
    let (api, data) = (Client::new(api, &*namespace), Client::new(data, &*namespace));
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/').to_owned();
    let list_time = wanted.unwrap_or(LIST_TIME);
    Ok(Cluster { api, data, server, context, namespace, list_time, transport })
}

fn bad_proxy(bad: &proxy::BadProxy) -> Fatal {
    Fatal::new("fwd::kubeconfig::proxy", format!("the proxy from {} cannot be used", bad.source))
        .because(&bad.why)
        .help("write it as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")
}

// The kubeconfig of these tests is /dev/null.
#[cfg(unix)]
#[cfg(test)]
mod tests;
