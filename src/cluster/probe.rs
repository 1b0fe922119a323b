//! The way to the server and what is asked there, one step at a time: what the doctor looks at.
//!
//! The clients do all of it at once and give one error. Here each step is told apart, with the time that it took, by the
//! same connections and the same rules.

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use kube::{client::Body, config::AuthInfo};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    access,
    auth::authentication::AuthMethod,
    client::{Cluster, ClusterConfig, proxies},
    config::{
        files,
        flags::{ClusterEnvironment, Flags},
        kubeconfig::{self, KubeconfigFiles},
        proxy, server,
    },
    http::{connect::DialTrace, io::Io},
    tls,
    wait_notifier::WaitNotifier,
};
pub use super::{
    auth::authentication::CredentialKind,
    client::CredentialExpiry,
    error::{connect::ConnectStage, denied::Denied},
    tls::Validity,
};
use crate::{error::Fatal, policy::rights::Right};

/// How much of the answer about the version is read. It is some hundred bytes.
const VERSION_LIMIT: usize = 64 * 1024;

/// How long the answer to one question may take: as long as a connection, within which a server answers that answers at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The kubeconfig files, read and not yet looked into.
pub struct Kubeconfigs {
    files: KubeconfigFiles,
    flags: Flags,
    environment: ClusterEnvironment,
}

impl Kubeconfigs {
    /// Reads those that the flags and the environment name.
    pub async fn read(
        flags: Flags,
        environment: ClusterEnvironment,
        notifier: &WaitNotifier,
    ) -> Result<Self, Fatal> {
        let reading = files::reading("read the kubeconfig", move || {
            let files = kubeconfig::load(&flags, &environment)?;
            Ok(Self { files, flags, environment })
        });
        notifier.watch(|| "reading the kubeconfig".to_owned(), reading).await
    }

    /// The files that are there, in order.
    pub fn found(&self) -> &[PathBuf] {
        &self.files.read
    }

    /// Those that were named and are not there.
    pub fn missing(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.looked.iter().filter(|path| !self.files.read.contains(path))
    }

    /// The cluster that they mean.
    pub async fn choose(self) -> Result<ClusterConfig, Fatal> {
        let choosing = move || ClusterConfig::among(&self.files, self.flags, self.environment);
        files::reading("read the kubeconfig", choosing).await
    }
}

/// Where a cluster is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSummary {
    /// The API server's URL.
    pub server: String,
    /// The context's name, where one is used.
    pub context: Option<String>,
    /// The namespace of targets that name none.
    pub namespace: String,
    /// The proxy on the way, and where it was found.
    pub proxy: Option<(String, &'static str)>,
    /// The certificate of the server is not checked.
    pub insecure: bool,
    /// As whom the user acts, where that is somebody else.
    pub acts_as: Option<String>,
}

impl ClusterConfig {
    /// Where it is.
    pub fn summary(&self) -> ClusterSummary {
        let choice = &self.choice;
        // A proxy that cannot be used is told when it is to be.
        let proxy = proxy::find(&choice.server.uri, &proxies(&choice.cluster, &self.environment));
        let proxy = proxy.ok().flatten();
        ClusterSummary {
            server: choice.server.uri.to_string().trim_end_matches('/').to_owned(),
            context: choice.context.clone(),
            namespace: choice.namespace.clone(),
            proxy: proxy.map(|(uri, source)| {
                (server::shown(&uri.to_string()).trim_end_matches('/').to_owned(), source)
            }),
            insecure: choice.cluster.insecure_skip_tls_verify == Some(true),
            acts_as: choice.user.impersonate.clone(),
        }
    }

    /// What kind of credentials the user has.
    pub fn credential_kind(&self) -> CredentialKind {
        let user = &self.choice.user;
        let certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
        self.auth_method.kind(certificate)
    }

    /// The same cluster without the credentials, to look at the way there although they are of no use.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        let mut choice = self.choice.clone();
        choice.user = AuthInfo::default();
        choice.server.user = None;
        Self {
            choice,
            auth_method: AuthMethod::None,
            impersonation: Vec::new(),
            flags: self.flags.clone(),
            environment: self.environment.clone(),
        }
    }
}

/// One connection to the server, step by step.
pub struct ConnectionProbe {
    /// Each step that was begun, and how long it took. The last one is the one that failed, where one did.
    pub steps: Vec<(ConnectStage, Duration)>,
    /// The address at the other end: the server's, or the proxy's.
    pub peer: Option<String>,
    /// The version of TLS, and when the certificate that the server has shown is valid.
    pub tls: Option<(String, Option<Validity>)>,
    /// Why there is no connection.
    pub failure: Option<Fatal>,
}

/// What the server answers without being asked for an object.
pub struct VersionAnswer {
    /// The status.
    pub status: StatusCode,
    /// Its version, where it says one.
    pub version: Option<ServerVersion>,
    /// The time on its clock.
    pub date: Option<Timestamp>,
}

/// The version of an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerVersion {
    /// As people know it: `v1.33.1`.
    pub name: String,
    /// The minor version of Kubernetes 1, where it is one.
    pub minor: Option<u32>,
}

impl ServerVersion {
    /// Reads what `/version` answers. Providers add a `+` to the minor version.
    fn read(answer: &Value) -> Option<Self> {
        let name = answer["gitVersion"].as_str()?.to_owned();
        let is_one = answer["major"].as_str() == Some("1");
        let minor = answer["minor"].as_str()?.trim_end_matches('+').parse().ok().filter(|_| is_one);
        Some(Self { name, minor })
    }
}

impl Cluster {
    /// Until when the credentials work that were fetched at the start.
    pub fn credential_expiry(&self) -> CredentialExpiry {
        self.expiry
    }

    /// Dials the server once, and keeps the connection for the first question.
    pub async fn probe_connection(&self) -> ConnectionProbe {
        let mut trace = DialTrace::default();
        let dialled = self.transport.dial_traced(&mut trace).await;
        let steps = trace.steps().collect();
        match dialled {
            Ok(io) => {
                let peer = io.socket().peer_addr().ok().map(|peer| peer.to_string());
                let tls = tls_of(&io);
                self.transport.keep(io);
                ConnectionProbe { steps, peer, tls, failure: None }
            }
            Err(error) => {
                let failure = Some(access::unconnected("reach the API server", self, &error));
                ConnectionProbe { steps, peer: None, tls: None, failure }
            }
        }
    }

    /// Asks for the server's version, on the connection that was probed. Nothing is asked a second time.
    pub async fn probe_version(&self) -> Result<VersionAnswer, Fatal> {
        let request = Request::get("/version").body(Body::empty());
        let asking = async {
            let response = self.data.send(request.map_err(kube::Error::HttpError)?).await?;
            let (status, date) = (response.status(), date(response.headers()));
            let body = Limited::new(response.into_body(), VERSION_LIMIT).collect().await;
            let body = body.map_err(kube::Error::Service)?.to_bytes();
            let answer: Option<Value> = serde_json::from_slice(&body).ok();
            let version = answer.filter(|_| status == StatusCode::OK).as_ref().and_then(ServerVersion::read);
            Ok::<_, kube::Error>(VersionAnswer { status, version, date })
        };
        match timeout(ANSWER_TIMEOUT, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(access::unconnected("ask the API server for its version", self, &error)),
            Err(_) => Err(self.silent("ask the API server for its version")),
        }
    }

    /// Who the server takes the user for. `None` where it does not say: before version 1.28, or where that is forbidden.
    pub async fn who_am_i(&self) -> Result<Option<String>, Fatal> {
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        match self.review("ask the API server who the user is", path, &review).await? {
            Ok(answer) => Ok(answer["status"]["userInfo"]["username"].as_str().map(str::to_owned)),
            Err(_) => Ok(None),
        }
    }

    /// Whether the user has a right in a namespace. `None` where the server does not say.
    pub async fn may(&self, right: &Right, namespace: &str) -> Result<Option<bool>, Fatal> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "namespace": namespace, "verb": right.verb, "group": right.group, "resource": right.resource,
                "subresource": right.subresource,
            } },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        match self.review("ask the API server what the user may do", path, &review).await? {
            Ok(answer) => Ok(answer["status"]["allowed"].as_bool()),
            Err(_) => Ok(None),
        }
    }

    /// Asks a question about oneself. The inner error is a server that does not answer such questions.
    async fn review(
        &self,
        doing: &str,
        path: &str,
        review: &Value,
    ) -> Result<Result<Value, StatusCode>, Fatal> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        let request = request.map_err(|error| access::fatal(doing, self, kube::Error::HttpError(error)))?;
        match timeout(ANSWER_TIMEOUT, self.api.request::<Value>(request)).await {
            Ok(Ok(answer)) => Ok(Ok(answer)),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403..=405) => {
                Ok(Err(StatusCode::from_u16(status.code).unwrap_or(StatusCode::NOT_FOUND)))
            }
            Ok(Err(error)) => Err(access::unconnected(doing, self, &error)),
            Err(_) => Err(self.silent(doing)),
        }
    }

    fn silent(&self, doing: &str) -> Fatal {
        Fatal::new("fwd::cluster::timeout", format!("cannot {doing}"))
            .because(format!("{}: no answer within {} s", self.server, ANSWER_TIMEOUT.as_secs()))
            .help("the server, or a proxy in front of it, takes connections and does not answer; run `kubectl version` to check")
    }
}

/// The time on the server's clock, to the second.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(headers.get(header::DATE)?.to_str().ok()?).ok()
}

fn tls_of(io: &Io) -> Option<(String, Option<Validity>)> {
    let Io::Tls(stream) = io else { return None };
    let session = stream.get_ref().1;
    let version = match session.protocol_version()? {
        rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
        rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
        other => other.as_str().unwrap_or("TLS").to_owned(),
    };
    let shown = session.peer_certificates().and_then(<[_]>::first);
    Some((version, shown.and_then(tls::server_validity)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn versions() {
        let read = |major: &str, minor: &str| {
            let answer = json!({ "major": major, "minor": minor, "gitVersion": "v1.33.1-eks" });
            ServerVersion::read(&answer).map(|version| version.minor)
        };
        assert_eq!(read("1", "33+"), Some(Some(33)));
        assert_eq!(read("1", "31"), Some(Some(31)));
        assert_eq!(read("2", "1"), Some(None));
        assert_eq!(read("1", "x"), Some(None));
        assert_eq!(ServerVersion::read(&json!({ "kind": "Status" })), None);
    }

    #[test]
    fn the_date_of_an_answer() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(text))]);
            date(&headers).map(Timestamp::as_second)
        };
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(of("yesterday"), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }
}
