//! The `Authorization` header of requests, kept fresh.
//!
//! A credential is fetched once at the start, again shortly before it ends, and once more where the server says 401:
//! many requests may ask at the same time, and one run serves them all. The run is a task of its own. A request waits
//! for it for a while and then fails with the name of what it waited for, while the run goes on: a login that somebody
//! is busy with is not begun anew by every request.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout};

use super::{
    authentication::bearer,
    exec::{Credential, ExecPlugin},
    oidc::{Oidc, end_of},
};
use crate::{
    cluster::{
        config::files,
        wait_notifier::{TerminalUser, WaitNotifier},
    },
    error::Fatal,
};

/// A credential that ends this soon is replaced: it has to outlive the request it is put on.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// A 401 this soon after a run is not the credential's age, so running again would not help.
const FRESH: Duration = Duration::from_secs(10);

/// How long a request waits for a run. Less than a tunnel's dial may take, so that what is told is who is slow.
const FETCH_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a token that was read from a file is used before the file is read again: client-go's minute.
const FILE_PERIOD: SignedDuration = SignedDuration::from_secs(60);

/// Takes a plugin's client certificate and key, PEM, into use.
pub(in crate::cluster) type CertificateCallback = Box<dyn Fn(&str, &str) -> Result<(), Fatal> + Send + Sync>;

/// Where credentials come from.
pub(in crate::cluster) enum CredentialSource {
    /// There is only the one.
    Fixed(HeaderValue),
    /// A file that somebody else keeps fresh, and what is sent where it never could be read.
    File { path: PathBuf, otherwise: Option<HeaderValue> },
    /// A credential plugin.
    Plugin(Box<ExecPlugin>),
    /// An OIDC issuer.
    Oidc(Box<Oidc>),
}

/// A credential as requests carry it.
#[derive(Clone)]
pub(super) struct CachedCredential {
    header: Option<HeaderValue>,
    certificate: Option<String>,
    expires: Option<Timestamp>,
    fetched: Instant,
    generation: u64,
}

/// What has been fetched, and the certificate and key to be shown with it, PEM.
pub(in crate::cluster) struct FetchedCredential {
    held: CachedCredential,
    pub certificate: Option<(String, secrecy::SecretString)>,
}

/// A source and what it said last.
pub(in crate::cluster) struct Credentials {
    source: CredentialSource,
    state: Mutex<CredentialState>,
    use_certificate: CertificateCallback,
    notifier: WaitNotifier,
    timeout: Duration,
}

struct CredentialState {
    held: CachedCredential,
    /// The run that is under way, or the last one.
    run: Option<FetchRun>,
}

type FetchRun = Shared<BoxFuture<'static, Result<(), Fatal>>>;

/// A header and which run gave it.
#[derive(Clone)]
pub(in crate::cluster) struct AuthHeader {
    /// `Bearer …`; `None` where the plugin gave a certificate alone.
    pub header: Option<HeaderValue>,
    generation: u64,
}

impl CredentialSource {
    /// What is waited for while this is asked, to follow "still".
    pub(in crate::cluster) fn waiting_for(&self) -> String {
        match self {
            Self::Fixed(_) => "reading the kubeconfig".to_owned(),
            Self::File { path, .. } => format!("reading {}", path.display()),
            Self::Plugin(plugin) => format!("waiting for the credential plugin {}", plugin.name()),
            Self::Oidc(oidc) => format!("waiting for the OIDC issuer {}", oidc.name()),
        }
    }

    /// Who may use the terminal while this is asked.
    pub(in crate::cluster) fn terminal_user(&self) -> TerminalUser {
        match self {
            Self::Plugin(plugin) if plugin.is_interactive() => TerminalUser::Plugin,
            _ => TerminalUser::Us,
        }
    }

    /// Asks for the first time.
    pub(in crate::cluster) async fn fetch(&self) -> Result<FetchedCredential, Fatal> {
        match (self, self.ask().await) {
            (Self::File { otherwise: Some(header), .. }, Err(_)) => {
                Ok(CachedCredential::of(Some(header.clone()), Some(Timestamp::now() + FILE_PERIOD)).into())
            }
            (_, asked) => asked,
        }
    }

    async fn ask(&self) -> Result<FetchedCredential, Fatal> {
        match self {
            Self::Fixed(header) => Ok(CachedCredential::of(Some(header.clone()), None).into()),
            Self::File { path, .. } => {
                Ok(CachedCredential::of(Some(read(path).await?), Some(Timestamp::now() + FILE_PERIOD)).into())
            }
            Self::Plugin(plugin) => FetchedCredential::of(plugin.run().await?),
            Self::Oidc(oidc) => FetchedCredential::of(oidc.fetch().await?),
        }
    }

    /// What a request is told that has waited long enough.
    fn slow(&self, waited: Duration) -> Fatal {
        match self {
            Self::Plugin(plugin) => plugin.slow(waited),
            Self::Fixed(_) | Self::File { .. } | Self::Oidc(_) => {
                let why = format!("still {}, for more than {} s", self.waiting_for(), waited.as_secs());
                Fatal::new("fwd::auth::unusable", "the credentials have expired")
                    .because(why)
                    .help("new ones are used as soon as they arrive")
            }
        }
    }
}

/// The token of a file, trimmed.
async fn read(path: &std::path::Path) -> Result<HeaderValue, Fatal> {
    let unusable = |why: String| {
        Fatal::new("fwd::auth::unusable", format!("cannot read the user's tokenFile {}", path.display()))
            .because(why)
            .help("log in to the cluster again; that usually writes a new one")
    };
    let bytes = files::read(path.to_owned())
        .await
        .map_err(|error| unusable(crate::cluster::error::reason::reason(&error)))?;
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    bearer(token).map_err(|error| unusable(error.causes().next().unwrap_or_default().to_owned()))
}

impl CachedCredential {
    fn of(header: Option<HeaderValue>, expires: Option<Timestamp>) -> Self {
        Self { header, certificate: None, expires, fetched: Instant::now(), generation: 0 }
    }

    fn has_ended(&self) -> bool {
        self.expires.is_some_and(|at| Timestamp::now() + MARGIN >= at)
    }

    fn ticket(&self) -> AuthHeader {
        AuthHeader { header: self.header.clone(), generation: self.generation }
    }
}

impl FetchedCredential {
    fn of(credential: Credential) -> Result<Self, Fatal> {
        let Credential { token, certificate, expires } = credential;
        let header = token.map(|token| bearer(token.expose_secret().trim().as_bytes())).transpose();
        let header =
            header.map_err(|error| error.help("run the plugin's command by hand to see what it prints"))?;
        let own = certificate.as_ref().map(|(certificate, _)| certificate.clone());
        Ok(Self {
            held: CachedCredential { certificate: own, ..CachedCredential::of(header, expires) },
            certificate,
        })
    }
}

impl FetchedCredential {
    /// Until when its token works, as far as it says. One that was read from a file is replaced there.
    pub(in crate::cluster) fn expires(&self, source: &CredentialSource) -> Option<Timestamp> {
        let said = self.held.expires.filter(|_| !matches!(source, CredentialSource::File { .. }));
        said.or_else(|| {
            let header = self.held.header.as_ref()?.to_str().ok()?;
            let end = end_of(&header.strip_prefix("Bearer ")?.into()).filter(|end| *end > 0)?;
            Timestamp::from_second(end).ok()
        })
    }
}

impl From<CachedCredential> for FetchedCredential {
    fn from(held: CachedCredential) -> Self {
        Self { held, certificate: None }
    }
}

impl Credentials {
    /// `first` is what the source said at the start, its certificate already in use.
    pub(in crate::cluster) fn new(
        source: CredentialSource,
        first: FetchedCredential,
        use_certificate: CertificateCallback,
        notifier: WaitNotifier,
    ) -> Arc<Self> {
        let state = CredentialState { held: first.held, run: None };
        let (state, patience) = (Mutex::new(state), FETCH_TIMEOUT);
        Arc::new(Self { source, state, use_certificate, notifier, timeout: patience })
    }

    /// The header for a request now.
    pub(in crate::cluster) async fn current(self: &Arc<Self>) -> Result<AuthHeader, Fatal> {
        let held = self.state.lock().held.clone();
        if !held.has_ended() {
            return Ok(held.ticket());
        }
        self.renew(held.generation).await?;
        Ok(self.state.lock().held.ticket())
    }

    /// The header after the server refused `refused`; `None` where there is no better one.
    pub(super) async fn after_refusal(
        self: &Arc<Self>,
        refused: &AuthHeader,
    ) -> Result<Option<AuthHeader>, Fatal> {
        let held = self.state.lock().held.clone();
        if held.generation == refused.generation {
            // An issuer gives no other token while the last one lasts.
            let same = matches!(self.source, CredentialSource::Fixed(_) | CredentialSource::Oidc(_));
            // A file costs nothing to read, and may have been replaced just now.
            let is_fresh =
                held.fetched.elapsed() < FRESH && !matches!(self.source, CredentialSource::File { .. });
            if same || is_fresh {
                return Ok(None);
            }
            self.renew(held.generation).await?;
        }
        let held = self.state.lock().held.clone();
        let same = held.header == refused.header && held.certificate.is_none();
        Ok((!same).then(|| held.ticket()))
    }

    /// Waits for a run that gives another credential than that of generation `old`.
    async fn renew(self: &Arc<Self>, old: u64) -> Result<(), Fatal> {
        let run = {
            let mut state = self.state.lock();
            if state.held.generation != old {
                return Ok(());
            }
            state.run = state.run.take().filter(|run| run.peek().is_none());
            state.run.get_or_insert_with(|| Arc::clone(self).start()).clone()
        };
        timeout(self.timeout, run).await.unwrap_or_else(|_| Err(self.source.slow(self.timeout)))
    }

    fn start(self: Arc<Self>) -> FetchRun {
        let task = tokio::spawn(async move { self.run().await });
        let gone = |_| Fatal::new("fwd::auth::unusable", "the credentials could not be renewed");
        async move { task.await.map_err(gone)? }.boxed().shared()
    }

    async fn run(&self) -> Result<(), Fatal> {
        tracing::debug!("{}, again", self.source.waiting_for());
        let user = self.source.terminal_user();
        let fetched =
            self.notifier.watch_used_by(user, || self.source.waiting_for(), self.source.ask()).await;
        let old = self.state.lock().held.clone();
        let fetched = match fetched {
            // As client-go: what removes a token file once the process has read it means the process to go on.
            Err(error) if matches!(self.source, CredentialSource::File { .. }) => {
                tracing::warn!("{error}: the last token is used");
                CachedCredential { expires: Some(Timestamp::now() + FILE_PERIOD), ..old.clone() }.into()
            }
            fetched => fetched?,
        };
        let next = CachedCredential { generation: old.generation + 1, ..fetched.held };
        if let Some((certificate, key)) = &fetched.certificate
            && next.certificate != old.certificate
        {
            (self.use_certificate)(certificate, key.expose_secret())?;
        }
        self.state.lock().held = next;
        Ok(())
    }
}

// The plugins of these tests are shell scripts.
#[cfg(unix)]
#[cfg(test)]
mod tests {
    use kube::config::{Cluster, ExecConfig};

    use super::*;
    use crate::cluster::auth::exec::PluginStdin;

    /// A plugin that counts its runs in a file.
    async fn counting(test: &str, expires: &str) -> (Arc<Credentials>, PathBuf) {
        let path = std::env::temp_dir().join(format!("kubectl-fwd-{test}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let file = path.display();
        let script = format!(
            r#"echo x >> {file}; echo "{{\"status\": {{\"token\": \"t$(wc -l < {file} | tr -d ' ')\"{expires}}}}}""#
        );
        let config = ExecConfig {
            command: Some("sh".into()),
            args: Some(vec!["-c".into(), script]),
            ..ExecConfig::default()
        };
        (of(config).await, path)
    }

    async fn of(config: ExecConfig) -> Arc<Credentials> {
        let source = CredentialSource::Plugin(Box::new(
            ExecPlugin::new(config, &Cluster::default(), PluginStdin::Other).ok().unwrap(),
        ));
        let first = source.fetch().await.ok().unwrap();
        Credentials::new(source, first, Box::new(|_, _| Ok(())), WaitNotifier::silent())
    }

    fn token(ticket: &AuthHeader) -> &str {
        ticket.header.as_ref().unwrap().to_str().unwrap()
    }

    #[tokio::test]
    async fn one_run_while_it_lasts() {
        let (credentials, path) = counting("lasting", "").await;
        for _ in 0..3 {
            assert_eq!(token(&credentials.current().await.ok().unwrap()), "Bearer t1");
        }
        // Refused at once: another run would give the same.
        let ticket = credentials.current().await.ok().unwrap();
        assert!(credentials.after_refusal(&ticket).await.ok().unwrap().is_none());
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn an_expired_one_is_replaced() {
        let expired = r#", \"expirationTimestamp\": \"2020-01-01T00:00:00Z\""#;
        let (credentials, path) = counting("expired", expired).await;
        assert_eq!(token(&credentials.current().await.ok().unwrap()), "Bearer t2");
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_refused_one_is_replaced_once_for_all_who_ask() {
        let (credentials, path) = counting("refused", "").await;
        let old = credentials.current().await.ok().unwrap();
        credentials.state.lock().held.fetched = Instant::now().checked_sub(FRESH).unwrap();
        let (a, b) = tokio::join!(credentials.after_refusal(&old), credentials.after_refusal(&old));
        for ticket in [a, b] {
            assert_eq!(token(&ticket.ok().unwrap().unwrap()), "Bearer t2");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_slow_renewal_is_named_and_goes_on() {
        let path = std::env::temp_dir().join(format!("kubectl-fwd-slow-{}", std::process::id()));
        let file = path.display();
        // The second run waits until the file is gone, and counts itself in another.
        let script = format!(
            r#"[ -e {file} ] && {{ echo x >> {file}.runs; while [ -e {file} ]; do sleep 0.05; done; echo '{{"status": {{"token": "t2"}}}}'; exit; }}; touch {file}; echo '{{"status": {{"token": "t1", "expirationTimestamp": "2020-01-01T00:00:00Z"}}}}'"#
        );
        let config = ExecConfig {
            command: Some("sh".into()),
            args: Some(vec!["-c".into(), script]),
            ..ExecConfig::default()
        };
        let mut credentials = of(config).await;
        Arc::get_mut(&mut credentials).unwrap().timeout = Duration::from_millis(50);
        for _ in 0..2 {
            let error = credentials.current().await.err().unwrap();
            assert_eq!(error.to_string(), "credential plugin sh is still running");
        }
        // The first run goes on, and its answer is the next request's.
        let run = credentials.state.lock().run.clone().unwrap();
        while !std::path::Path::new(&format!("{file}.runs")).exists() {
            tokio::task::yield_now().await;
        }
        std::fs::remove_file(&path).unwrap();
        run.await.unwrap();
        assert_eq!(token(&credentials.current().await.ok().unwrap()), "Bearer t2");
        let runs = format!("{file}.runs");
        assert_eq!(std::fs::read_to_string(&runs).unwrap(), "x\n");
        std::fs::remove_file(runs).unwrap();
    }

    #[tokio::test]
    async fn tokens_in_files() {
        let path = std::env::temp_dir().join(format!("kubectl-fwd-token-{}", std::process::id()));
        std::fs::write(&path, " t1\r\n").unwrap();
        let source = |otherwise| CredentialSource::File { path: path.clone(), otherwise };
        let first = source(None).fetch().await.ok().unwrap();
        let credentials =
            Credentials::new(source(None), first, Box::new(|_, _| Ok(())), WaitNotifier::silent());
        let ticket = credentials.current().await.ok().unwrap();
        assert_eq!(token(&ticket), "Bearer t1");
        let refused = || {
            let mut state = credentials.state.lock();
            state.held.fetched = Instant::now().checked_sub(FRESH).unwrap();
        };
        // The file is read again where the server refuses what it held, and there is nothing better in it yet.
        refused();
        assert!(credentials.after_refusal(&ticket).await.ok().unwrap().is_none());
        std::fs::write(&path, "t2\n").unwrap();
        refused();
        let ticket = credentials.current().await.ok().unwrap();
        assert_eq!(token(&credentials.after_refusal(&ticket).await.ok().unwrap().unwrap()), "Bearer t2");
        // One that is removed is remembered, and goes before a token that the kubeconfig has as well.
        std::fs::remove_file(&path).unwrap();
        drop(credentials);
        let held = CachedCredential {
            expires: Some(Timestamp::now()),
            ..CachedCredential::of(bearer(b"t2").ok(), None)
        };
        let credentials = Credentials::new(
            source(bearer(b"t3").ok()),
            held.into(),
            Box::new(|_, _| Ok(())),
            WaitNotifier::silent(),
        );
        assert_eq!(token(&credentials.current().await.ok().unwrap()), "Bearer t2");
        // At the start it has to be there, unless there is a token as well.
        let error = source(None).fetch().await.err().unwrap();
        assert_eq!(error.causes().next(), Some("no such file"));
        let otherwise = source(bearer(b"t3").ok()).fetch().await.ok().unwrap();
        assert_eq!(otherwise.held.header.unwrap(), "Bearer t3");
        for (text, why) in [(" \n", "it is empty"), ("a\nb", "it contains a line break")] {
            std::fs::write(&path, text).unwrap();
            let error = source(None).fetch().await.err().unwrap();
            assert!(error.causes().next().unwrap().starts_with(why), "{error:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
