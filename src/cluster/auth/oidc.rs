//! The one legacy auth-provider that kubectl has still: an OIDC issuer, asked for a new id-token when the last one ends.
//!
//! As client-go does it, but for one thing: what the issuer gives is not written back to the kubeconfig, for this
//! program writes no credential anywhere. With an issuer that gives each refresh token once, log in anew with kubectl.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kube::{Config, config::Cluster};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};
use tower::BoxError;

use super::exec::Credential;
use crate::{
    cluster::{
        config::{
            files,
            flags::ClusterEnvironment,
            proxy::{self, ProxyEnvironment},
            server::ServerUrl,
        },
        http::connect::Connector,
        tls,
    },
    error::Fatal,
};

/// How long one conversation with an issuer may take, the connection included.
const LIMIT: Duration = Duration::from_secs(20);

/// Under which word the kubeconfig has what an issuer is asked with.
pub(in crate::cluster) const REFRESH_TOKEN: &str = "refresh-token";

/// How much of an answer is read. Tokens take some kilobytes.
const ANSWER_LIMIT: usize = 1 << 20;

/// An id-token that ends this soon is not used any more.
const MARGIN: i64 = 10;

/// An issuer, as the kubeconfig describes it. It has no `Debug`: what it is asked with are secrets.
pub(in crate::cluster) struct Oidc {
    /// Without a user, for messages.
    issuer: Uri,
    client: String,
    secret: SecretString,
    authority: Cluster,
    environment: ClusterEnvironment,
    limit: Duration,
    /// What the issuer gave last; one conversation at a time.
    tokens: Mutex<OidcTokens>,
}

struct OidcTokens {
    id: Option<SecretString>,
    refresh: Option<SecretString>,
}

/// What is read of the issuer's description of itself.
#[derive(Deserialize)]
struct ProviderMetadata {
    token_endpoint: String,
}

/// What is read of an answer with tokens.
#[derive(Deserialize)]
struct TokenResponse {
    id_token: Option<String>,
    refresh_token: Option<String>,
}

/// The two ways in which a client says who it is; issuers differ in which they take.
#[derive(Clone, Copy)]
enum ClientAuth {
    Header,
    Form,
}

impl Oidc {
    /// Checks what can be checked without the issuer.
    pub(in crate::cluster) fn new(
        mut config: HashMap<String, String>,
        environment: &ClusterEnvironment,
    ) -> Result<Self, Fatal> {
        let unusable = |why: &str| {
            Fatal::new("fwd::auth::oidc", "the auth-provider oidc of the kubeconfig cannot be used")
                .because(why)
                .help("set it with `kubectl config set-credentials NAME --auth-provider-arg KEY=VALUE`")
        };
        let issuer = config.remove("idp-issuer-url").ok_or_else(|| unusable("it has no idp-issuer-url"))?;
        let issuer = ServerUrl::parse(issuer.trim_end_matches('/'))
            .ok_or_else(|| unusable("its idp-issuer-url is not a URL"))?;
        let client = config.remove("client-id").ok_or_else(|| unusable("it has no client-id"))?;
        let mut secret = |name| config.remove(name).map(SecretString::from);
        let tokens = OidcTokens { id: secret("id-token"), refresh: secret(REFRESH_TOKEN) };
        Ok(Self {
            issuer: issuer.uri,
            client,
            secret: secret("client-secret").unwrap_or_default(),
            authority: Cluster {
                certificate_authority: config.remove("idp-certificate-authority"),
                certificate_authority_data: config.remove("idp-certificate-authority-data"),
                ..Cluster::default()
            },
            environment: environment.clone(),
            limit: LIMIT,
            tokens: Mutex::new(tokens),
        })
    }

    /// The issuer's URL, for people.
    pub(in crate::cluster) fn name(&self) -> String {
        self.issuer.to_string().trim_end_matches('/').to_owned()
    }

    /// The token to use now: the one that is there, or else a new one.
    pub(in crate::cluster) async fn fetch(&self) -> Result<Credential, Fatal> {
        let mut tokens = self.tokens.lock().await;
        if let Some(id) = &tokens.id {
            let end = end_of(id).ok_or_else(|| self.failed("the id-token in the kubeconfig is not a JWT"))?;
            if Timestamp::now().as_second() + MARGIN < end {
                return Ok(credential(id, end));
            }
        }
        let refresh = tokens.refresh.clone();
        let refresh =
            refresh.ok_or_else(|| self.failed("the id-token has expired, and there is no refresh-token"))?;
        let answer = self.refresh(&refresh).await?;
        let id = answer.id_token.map(SecretString::from).ok_or_else(|| {
            self.failed(
                "its answer holds no id_token: perhaps the scope openid was not asked for at the login",
            )
        })?;
        let end = end_of(&id).ok_or_else(|| self.failed("its id_token is not a JWT"))?;
        let given = credential(&id, end);
        tokens.id = Some(id);
        if let Some(refresh) = answer.refresh_token {
            tokens.refresh = Some(refresh.into());
        }
        Ok(given)
    }

    fn failed(&self, why: &str) -> Fatal {
        Fatal::new("fwd::auth::oidc", format!("the OIDC issuer {} gave no token", self.name()))
            .because(why)
            .help("log in to the cluster again; run `kubectl get --raw /version` to check")
    }

    async fn refresh(&self, token: &SecretString) -> Result<TokenResponse, Fatal> {
        let place = format!("{}/.well-known/openid-configuration", self.name());
        let request =
            Request::get(place).body(Full::default()).map_err(|error| self.failed(&error.to_string()))?;
        let (status, body) = self.ask(request).await?;
        let told =
            status.is_success().then(|| serde_json::from_slice::<ProviderMetadata>(&body).ok()).flatten();
        let told = told.ok_or_else(|| {
            self.failed(&format!("it does not describe itself (status {})", status.as_u16()))
        })?;
        let mut refused = StatusCode::OK;
        for style in [ClientAuth::Header, ClientAuth::Form] {
            let request = self.token_request(&told.token_endpoint, token, style);
            let (status, body) =
                self.ask(request.ok_or_else(|| self.failed("its token_endpoint is no URL"))?).await?;
            if status.is_success() {
                return serde_json::from_slice(&body).map_err(|_| self.failed("its answer is not JSON"));
            }
            refused = status;
        }
        Err(self.failed(&format!("it refused the refresh-token (status {})", refused.as_u16())))
    }

    fn token_request(
        &self,
        endpoint: &str,
        token: &SecretString,
        style: ClientAuth,
    ) -> Option<Request<Full<Bytes>>> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.expose_secret());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        match style {
            ClientAuth::Header => {
                let escaped =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let words = format!("{}:{}", escaped(&self.client), escaped(self.secret.expose_secret()));
                let words = general_purpose::STANDARD.encode(words);
                request = request.header(header::AUTHORIZATION, format!("Basic {words}"));
            }
            ClientAuth::Form => {
                form.append_pair("client_id", &self.client);
                if !self.secret.expose_secret().is_empty() {
                    form.append_pair("client_secret", self.secret.expose_secret());
                }
            }
        }
        request.body(Full::from(form.finish())).ok()
    }

    /// One request, on a connection of its own.
    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Fatal> {
        match timeout(self.limit, self.exchange(request)).await {
            Ok(answer) => answer.map_err(|error| match error.downcast::<Fatal>() {
                Ok(fatal) => self.failed(&crate::cluster::error::reason::reason(&*fatal)),
                Err(error) => self.failed(&crate::cluster::error::reason::reason(&*error)),
            }),
            Err(_) => Err(self.failed(&format!("it did not answer within {} s", self.limit.as_secs_f32()))),
        }
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), BoxError> {
        let uri = request.uri().clone();
        let variables = ProxyEnvironment {
            explicit: None,
            https: self.environment.https_proxy.as_deref(),
            http: self.environment.http_proxy.as_deref(),
            bypass: self.environment.no_proxy.as_deref(),
        };
        let proxy = proxy::choose(&uri, &variables).map_err(|bad| bad.why)?;
        let (mut config, authority) = (Config::new(uri.clone()), self.authority.clone());
        let tls = files::reading("read the authorities", move || {
            config.root_cert = tls::certificate_authority(&authority)?;
            tls::tls(&config)
                .map_err(|error| Fatal::new("fwd::auth::oidc", crate::cluster::error::reason::reason(&error)))
        });
        let io = Connector::new(&uri, None, proxy.as_ref(), tls.await?)?.dial().await?;
        let host = uri.authority().ok_or("the URL has no host")?.as_str();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        request.headers_mut().insert(header::HOST, host.parse()?);
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
        let talk = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await?.to_bytes();
            Ok((status, body))
        };
        tokio::pin!(talk);
        tokio::select! {
            answer = &mut talk => answer,
            // An error of the connection is the conversation's as well, which has what was read until then.
            _ = connection => talk.await,
        }
    }
}

fn credential(id: &SecretString, end: i64) -> Credential {
    Credential { token: Some(id.clone()), certificate: None, expires: Timestamp::from_second(end).ok() }
}

/// When a JWT ends, in seconds since 1970; 0 where it does not say.
pub(super) fn end_of(token: &SecretString) -> Option<i64> {
    let claims = token.expose_secret().split('.').nth(1)?;
    let claims = general_purpose::URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let end = claims.get("exp").unwrap_or(&Value::Null);
    Some(end.as_i64().or_else(|| end.as_f64().map(|seconds| seconds as i64)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn jwt(end: i64) -> String {
        let claims = general_purpose::URL_SAFE_NO_PAD.encode(format!("{{\"exp\": {end}}}"));
        format!("e30.{claims}.c2ln")
    }

    fn oidc(issuer: &str, more: &[(&str, &str)]) -> Oidc {
        let words = [("idp-issuer-url", issuer), ("client-id", "c d"), ("client-secret", "s3cret&")];
        let words = words.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Oidc::new(words.collect(), &ClusterEnvironment::default()).unwrap()
    }

    /// Answers these bodies, one connection each, and returns the requests.
    async fn issuer(listener: TcpListener, answers: Vec<(u16, String)>) -> Vec<String> {
        let mut heard = Vec::new();
        for (status, body) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            heard.push(String::from_utf8_lossy(&request[..read]).into_owned());
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
            socket.write_all((head + &body).as_bytes()).await.unwrap();
        }
        heard
    }

    #[tokio::test]
    async fn a_token_that_lasts_is_used_and_asks_nobody() {
        let end = Timestamp::now().as_second() + 1000;
        let given = oidc("https://127.0.0.1:1", &[("id-token", &jwt(end))]).fetch().await.unwrap();
        assert_eq!(given.token.unwrap().expose_secret(), jwt(end));
        assert_eq!(given.expires.unwrap().as_second(), end);
    }

    #[tokio::test]
    async fn one_that_has_ended_is_renewed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/realm/", listener.local_addr().unwrap());
        let new = jwt(Timestamp::now().as_second() + 1000);
        let answers = vec![
            (200, format!("{{\"token_endpoint\": \"{url}token?x=y\"}}")),
            // This issuer takes no header.
            (401, String::new()),
            (200, format!("{{\"id_token\": \"{new}\", \"refresh_token\": \"r2\"}}")),
        ];
        let issuing = tokio::spawn(issuer(listener, answers));
        let oidc = oidc(&url, &[("id-token", &jwt(1)), ("refresh-token", "r1")]);
        assert_eq!(oidc.fetch().await.unwrap().token.unwrap().expose_secret(), new);
        assert_eq!(oidc.tokens.lock().await.refresh.as_ref().unwrap().expose_secret(), "r2");
        let heard = issuing.await.unwrap();
        assert!(heard[0].starts_with("GET /realm/.well-known/openid-configuration HTTP/1.1"), "{}", heard[0]);
        assert!(heard[1].starts_with("POST /realm/token?x=y HTTP/1.1"), "{}", heard[1]);
        let basic = general_purpose::STANDARD.encode("c+d:s3cret%26");
        assert!(heard[1].contains(&format!("authorization: Basic {basic}")), "{}", heard[1]);
        assert!(heard[1].ends_with("grant_type=refresh_token&refresh_token=r1"), "{}", heard[1]);
        assert!(heard[2].ends_with("&client_id=c+d&client_secret=s3cret%26"), "{}", heard[2]);
    }

    #[tokio::test]
    async fn what_goes_wrong_is_the_issuers() {
        let ended = [("id-token", &*jwt(1)), ("refresh-token", "r")];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let error = |answers: Vec<(u16, String)>| async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let (_, given) =
                tokio::join!(issuer(listener, answers), async { oidc(&url, &ended).fetch().await.err() });
            given.unwrap().causes().next().unwrap().to_owned()
        };
        assert_eq!(error(vec![(404, "<html>".into())]).await, "it does not describe itself (status 404)");
        let endless = "x".repeat(ANSWER_LIMIT + 1);
        assert!(error(vec![(200, endless)]).await.contains("length limit"), "no limit");
        // Nobody answers, though the connection stands.
        let mut silent = oidc(&url, &ended);
        silent.limit = Duration::from_millis(50);
        let error = silent.fetch().await.err().unwrap();
        assert_eq!(error.to_string(), format!("the OIDC issuer {url} gave no token"));
        assert_eq!(error.causes().next(), Some("it did not answer within 0.05 s"));
        drop(listener);
        let error = oidc(&url, &ended).fetch().await.err().unwrap();
        assert_eq!(error.causes().next(), Some("connection refused"));
        let error = oidc(&url, &[]).fetch().await.err().unwrap();
        assert!(error.causes().next().unwrap().contains("no refresh-token"));
        assert!(Oidc::new(HashMap::new(), &ClusterEnvironment::default()).is_err());
    }
}
