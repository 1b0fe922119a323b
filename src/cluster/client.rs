//! The two clients of one cluster.
//!
//! `api` reads and watches objects: pooled connections, compressed answers, a deadline for every answer. `data`
//! upgrades connections into tunnels: each request dials anew, nothing is retried, nothing is wrapped around the
//! socket. Both ask the same credentials and share one TLS configuration.
//!
//! They are built from kube's layers rather than by kube's builder, whose defaults stand in the way of long tunnels
//! (Nagle on, a write timeout on the upgraded socket, up to 15 retries inside one call: PROTOCOL §7).

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use kube::{Client, Config, client::ConfigExt as _, config::AuthInfo};
use secrecy::ExposeSecret as _;
use tower::Layer as _;
use tower_http::decompression::DecompressionLayer;

use super::{
    auth::{
        authentication::{self, AuthMethod},
        authorize::Authorize,
        credentials::{CertificateCallback, CredentialSource, Credentials, FetchedCredential},
        exec::{ExecPlugin, PluginStdin},
        oidc::{self, Oidc},
    },
    config::{
        choice::{self, ClusterChoice},
        files,
        flags::{ClusterEnvironment, Flags},
        kubeconfig::{self, KubeconfigFiles},
        proxy::{self, ProxyEnvironment},
    },
    http::{
        connect::Connector,
        request_log::RequestLog,
        response::ResponseBounds,
        retry::Retry,
        transport::{Deadline, OneShot, Pooled, Transport},
    },
    tls::{self, CertificateFiles, Validity, certificate_authority, set_identity},
    wait_notifier::WaitNotifier,
};
use crate::{error::Fatal, policy::disturbance::NetworkRoute};

/// How long a whole list may take where the user set no `--request-timeout`: a few pages of the longest.
pub(super) const LIST_TIME: Duration = Duration::from_secs(300);

/// A cluster that can be talked to. Clones share everything.
#[derive(Clone)]
pub struct Cluster {
    /// For objects.
    pub api: Client,
    /// For tunnels: one connection per request, which can be upgraded and taken.
    pub data: Client,
    /// The API server's URL.
    pub server: String,
    /// The kubeconfig's context, where one is used.
    pub context: Option<String>,
    /// The namespace of targets that name none.
    pub namespace: String,
    /// The flags by which it was chosen.
    pub(super) flags: Arc<Flags>,
    /// How long a whole list may take.
    pub(super) list_time: Duration,
    pub(super) transport: Arc<Transport>,
    /// Until when the credentials work that were fetched at the start.
    pub(super) expiry: CredentialExpiry,
}

/// Until when credentials work, as far as they say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CredentialExpiry {
    /// The token.
    pub token: Option<Timestamp>,
    /// The client certificate.
    pub certificate: Option<Validity>,
}

/// A cluster that is known and not yet talked to.
pub struct ClusterConfig {
    pub(super) choice: ClusterChoice,
    pub(super) auth_method: AuthMethod,
    pub(super) impersonation: Headers,
    pub(super) flags: Flags,
    pub(super) environment: ClusterEnvironment,
}

type Headers = Vec<(HeaderName, HeaderValue)>;

impl ClusterConfig {
    /// Finds the cluster that these words mean. Only files are read, and not for ever; what takes long is told by
    /// `notifier`.
    pub async fn find(
        flags: Flags,
        environment: ClusterEnvironment,
        notifier: &WaitNotifier,
    ) -> Result<Self, Fatal> {
        let finding = files::reading("read the kubeconfig", move || {
            let files = kubeconfig::load(&flags, &environment)?;
            Self::among(&files, flags, environment)
        });
        notifier.watch(|| "reading the kubeconfig".to_owned(), finding).await
    }

    /// Finds it among kubeconfigs that are there already, best first.
    pub fn find_in(
        kubeconfigs: &[&[u8]],
        flags: Flags,
        environment: ClusterEnvironment,
    ) -> Result<Self, Fatal> {
        Self::among(&kubeconfig::merge(kubeconfigs)?, flags, environment)
    }

    pub(super) fn among(
        files: &KubeconfigFiles,
        flags: Flags,
        environment: ClusterEnvironment,
    ) -> Result<Self, Fatal> {
        let choice = choice::choose(files, &flags, environment.pod.as_ref())?;
        let auth_method = authentication::auth_method(&choice.server, &choice.user)?;
        let impersonation = authentication::impersonation(&choice.user)?;
        Ok(Self { choice, auth_method, impersonation, flags, environment })
    }

    /// Gives up what is good for one use: an issuer that is asked for a new id-token may end the refresh-token that it was
    /// asked with, and who does not keep the answer has logged the user out. For what is asked in passing, and cut short.
    #[must_use]
    pub fn without_refresh(mut self) -> Self {
        if let AuthMethod::Oidc(config) = &mut self.auth_method {
            config.remove(oidc::REFRESH_TOKEN);
        }
        self
    }

    /// The API server's URL, without the user that may stand in it.
    pub fn server(&self) -> &http::Uri {
        &self.choice.server.uri
    }

    /// The headers that every request carries, as far as they are known before a plugin has run or a file was read. They
    /// hold the credentials.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let authorization = match &self.auth_method {
            AuthMethod::Header(header) => Some((&http::header::AUTHORIZATION, header)),
            _ => None,
        };
        self.impersonation.iter().map(|(name, value)| (name, value)).chain(authorization)
    }

    /// Equal for what may share clients: the same server by the same means, as the same user. Nothing can be read from
    /// it.
    pub fn fingerprint(&self) -> [u8; 32] {
        let choice = &self.choice;
        // kube's maps are in any order. What cannot be written is never equal to anything.
        let auth_method = serde_json::to_value((&choice.cluster, &choice.user)).map_or_else(
            |_| fastrand::u64(..).to_string(),
            |mut value| {
                value.sort_all_objects();
                value.to_string()
            },
        );
        let place = format!("{:?} {} {}", choice.context, choice.namespace, choice.server.uri);
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in [place.as_bytes(), auth_method.as_bytes()] {
            digest.update(&part.len().to_le_bytes());
            digest.update(part);
        }
        for (name, value) in self.headers() {
            digest.update(name.as_str().as_bytes());
            digest.update(value.as_bytes());
        }
        digest.finish().as_ref().try_into().unwrap_or_default()
    }

    /// Gets ready to talk to it. Nothing is sent to the server yet, but a credential plugin runs. What takes long, then or
    /// later, is told by `notifier`.
    pub async fn connect(self, notifier: &WaitNotifier) -> Result<Cluster, Fatal> {
        // rustls takes no provider for granted; if another was first, it has chosen the same one.
        let _ = (*tls::provider()).clone().install_default();
        Box::pin(connect(self, notifier)).await
    }
}

impl Cluster {
    /// Finds a cluster and gets ready to talk to it.
    pub async fn connect(flags: &Flags, environment: &ClusterEnvironment) -> Result<Self, Fatal> {
        let notifier = WaitNotifier::silent();
        ClusterConfig::find(flags.clone(), environment.clone(), &notifier).await?.connect(&notifier).await
    }

    /// Begins to dial the first tunnel's connection: TCP and TLS take their round trips while the API is asked.
    pub fn preconnect(&self) {
        self.transport.preconnect();
    }

    /// Has later requests go over new connections: those that stand may be dead.
    pub fn renew_connections(&self) {
        self.transport.renew();
    }

    /// The way by which the server, or the proxy before it, would be reached now.
    pub fn route(&self) -> NetworkRoute {
        self.transport.route()
    }

    /// A command line for a person, of `kubectl` about what is in this namespace.
    pub fn kubectl(&self, namespace: &str, words: &str) -> String {
        format!("{} {words}", self.flags.command("kubectl", Some(namespace)))
    }

    /// A command line for a person, of this program, where a target without a namespace means what it meant here.
    pub fn kubectl_fwd(&self, words: &str) -> String {
        let flags = &self.flags;
        format!("{} {words}", flags.command("kubectl fwd", flags.namespace.as_deref()))
    }

    /// What a request waits for at the moment, for [`WaitNotifier::watch`]; `asked` is what was asked for.
    pub fn waiting_for(&self, asked: &str) -> String {
        if let Some(why) = self.transport.noted() {
            format!("trying {} again ({why})", self.server)
        } else if self.transport.is_dialling() {
            format!("connecting to {}", self.server)
        } else {
            format!("waiting for {} to answer ({asked})", self.server)
        }
    }
}

/// Fetches the first credential, and builds the clients.
async fn connect(found: ClusterConfig, notifier: &WaitNotifier) -> Result<Cluster, Fatal> {
    let ClusterConfig { choice, auth_method, impersonation, flags, environment } = found;
    let ClusterChoice { context, namespace, server, rotating_ca, cluster, mut user } = choice;
    let variables = proxies(&cluster, &environment);
    let mut config = Config::new(server.uri);
    config.proxy_url = proxy::choose(&config.cluster_url, &variables).map_err(|bad| bad_proxy(&bad))?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify == Some(true);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.disable_compression = cluster.disable_compression == Some(true);
    config.default_namespace.clone_from(&namespace);
    config.headers = impersonation;
    config.root_cert_file = rotating_ca;

    let source = match auth_method {
        AuthMethod::None => None,
        AuthMethod::Header(header) => Some(CredentialSource::Fixed(header)),
        AuthMethod::File { path, otherwise } => Some(CredentialSource::File { path, otherwise }),
        AuthMethod::Plugin(exec) => {
            let stdin =
                if environment.stdin_is_terminal { PluginStdin::Terminal } else { PluginStdin::Other };
            Some(CredentialSource::Plugin(ExecPlugin::new(*exec, &cluster, stdin)?.into()))
        }
        AuthMethod::Oidc(config) => Some(CredentialSource::Oidc(Oidc::new(config, &environment)?.into())),
    };
    let first = match &source {
        Some(source) => {
            let user = source.terminal_user();
            Some(notifier.watch_used_by(user, || source.waiting_for(), source.fetch()).await?)
        }
        None => None,
    };
    if let Some((certificate, key)) = first.as_ref().and_then(|first| first.certificate.as_ref()) {
        set_identity(&mut user, certificate, key.expose_secret());
    }
    // kube is left the certificate alone, of whose other fields it would run a plugin once more; and not even that for a
    // server without TLS.
    let identity = match config.cluster_url.scheme_str() {
        Some("http") => AuthInfo::default(),
        _ => AuthInfo {
            client_certificate: user.client_certificate,
            client_certificate_data: user.client_certificate_data,
            client_key: user.client_key,
            client_key_data: user.client_key_data,
            ..AuthInfo::default()
        },
    };
    build(config, &cluster, identity, ClientNames { context, namespace, flags }, source.zip(first), notifier)
        .await
}

/// The proxies that a cluster's entry and the environment name.
pub(super) fn proxies<'a>(
    cluster: &'a kube::config::Cluster,
    environment: &'a ClusterEnvironment,
) -> ProxyEnvironment<'a> {
    ProxyEnvironment {
        explicit: cluster.proxy_url.as_deref(),
        https: environment.https_proxy.as_deref(),
        http: environment.http_proxy.as_deref(),
        bypass: environment.no_proxy.as_deref(),
    }
}

/// Takes the certificates of later runs of a plugin into use.
fn certificate_user(config: &Config, transport: &Arc<Transport>) -> CertificateCallback {
    let (config, transport) = (config.clone(), Arc::clone(transport));
    Box::new(move |certificate, key| {
        let mut config = config.clone();
        set_identity(&mut config.auth_info, certificate, key);
        transport.set_tls(tls::tls(&config)?);
        Ok(())
    })
}

/// Refuses files of the user that are not there; kube's own error does not say which one it is.
fn readable(user: &AuthInfo) -> Result<(), Fatal> {
    let unless = |path: &Option<String>, data: bool| path.clone().filter(|path| !path.is_empty() && !data);
    for (field, path) in [
        ("client-certificate", unless(&user.client_certificate, user.client_certificate_data.is_some())),
        ("client-key", unless(&user.client_key, user.client_key_data.is_some())),
    ] {
        if let Some(path) = path
            && let Err(error) = std::fs::File::open(&path)
        {
            return Err(Fatal::new("fwd::auth::unusable", format!("cannot read the user's {field} {path}"))
                .because(super::error::reason::reason(&error))
                .help("log in to the cluster again; that usually writes a new one"));
        }
    }
    Ok(())
}

/// What the clients are called by, and the flags.
struct ClientNames {
    context: Option<String>,
    namespace: String,
    flags: Flags,
}

async fn build(
    mut config: Config,
    cluster: &kube::config::Cluster,
    user: AuthInfo,
    called: ClientNames,
    credentials: Option<(CredentialSource, FetchedCredential)>,
    notifier: &WaitNotifier,
) -> Result<Cluster, Fatal> {
    let ClientNames { context, namespace, flags } = called;
    let unusable = |why: String| {
        Fatal::new("fwd::auth::unusable", "the kubeconfig's credentials cannot be used")
            .because(why)
            .help("check the user's certificate, key and token: run `kubectl auth whoami`")
    };
    let no_use = move |error: kube::Error| unusable(super::error::reason::reason(&error));
    let agent = concat!("kubectl-fwd/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(agent)));
    // The system's authorities are many files.
    let (mut from, cluster) = (config, cluster.clone());
    let reading = files::reading("read the certificates of the kubeconfig", move || {
        readable(&user)?;
        from.root_cert = certificate_authority(&cluster)?;
        from.auth_info = user;
        let rotating = CertificateFiles::of(&from);
        let tls = tls::tls(&from)?;
        let certificate = tls::client_validity(&from.auth_info);
        Ok((from, tls, certificate, rotating))
    });
    let (config, tls, certificate, rotating) =
        notifier.watch(|| "reading the certificates of the kubeconfig".to_owned(), reading).await?;
    let dialer = Connector::new(
        &config.cluster_url,
        config.tls_server_name.as_deref(),
        config.proxy_url.as_ref(),
        tls,
    )
    .map_err(|why| {
        Fatal::new("fwd::kubeconfig::bad_server", format!("cannot reach {}", config.cluster_url)).because(why)
    })?;
    let transport = Transport::new(dialer, rotating);
    let token = credentials.as_ref().and_then(|(source, first)| first.expires(source));
    let expiry = CredentialExpiry { token, certificate };
    let credentials = credentials.map(|(source, first)| {
        Credentials::new(source, first, certificate_user(&config, &transport), notifier.clone())
    });
    let headers = config.extra_headers_layer().map_err(no_use)?;
    let base = config.base_uri_layer();

    let wanted = flags.request_timeout.filter(|limit| !limit.is_zero());
    let data =
        Authorize { credentials: credentials.clone(), inner: RequestLog(OneShot(Arc::clone(&transport))) };
    let data = base.layer(headers.layer(data));
    let gzip = DecompressionLayer::new().no_br().no_deflate().no_zstd().gzip(!config.disable_compression);
    // From the server up: what is counted is what comes out of the decompression, and the time that a plugin takes is its
    // own.
    let api = gzip.layer(RequestLog(Deadline { inner: Pooled(Arc::clone(&transport)), wanted }));
    let api = ResponseBounds { inner: Retry { inner: api, transport: Arc::clone(&transport) }, wanted };
    let api = Authorize { credentials, inner: api };
    let api = base.layer(headers.layer(api));
    let (api, data) = (Client::new(api, &*namespace), Client::new(data, &*namespace));
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/').to_owned();
    let list_time = wanted.unwrap_or(LIST_TIME);
    Ok(Cluster {
        api,
        data,
        server,
        context,
        namespace,
        flags: Arc::new(flags),
        list_time,
        transport,
        expiry,
    })
}

fn bad_proxy(bad: &proxy::ProxyUrlError) -> Fatal {
    Fatal::new("fwd::kubeconfig::proxy", format!("the proxy from {} cannot be used", bad.source))
        .because(&bad.why)
        .help("write it as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")
}

// The kubeconfig of these tests is /dev/null.
#[cfg(unix)]
#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
