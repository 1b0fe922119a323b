//! The `Authorization` header of a credential plugin, kept fresh.
//!
//! Everything else that kube offers (tokens, token files, passwords, OIDC) it does well itself. A plugin's credential
//! is fetched once at the start, again shortly before it expires, and once more where the server says 401: many
//! requests may ask at the same time, and one run serves them all.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use tokio::{sync::Mutex, time::Instant};

use super::exec::{Credential, Plugin};
use crate::error::Fatal;

/// A credential that ends this soon is replaced: it has to outlive the request it is put on.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// A 401 this soon after a run is not the credential's age, so running again would not help.
const FRESH: Duration = Duration::from_secs(10);

/// Takes a plugin's client certificate and key, PEM, into use.
pub(super) type UseCertificate = Box<dyn Fn(&str, &str) -> Result<(), Fatal> + Send + Sync>;

/// A plugin and what it said last.
pub(super) struct Credentials {
    plugin: Plugin,
    held: Mutex<Held>,
    use_certificate: UseCertificate,
}

#[derive(Clone)]
struct Held {
    header: Option<HeaderValue>,
    certificate: Option<String>,
    expires: Option<Timestamp>,
    fetched: Instant,
    generation: u64,
}

/// A header and which run gave it.
#[derive(Clone)]
pub(super) struct Ticket {
    /// `Bearer …`; `None` where the plugin gave a certificate alone.
    pub header: Option<HeaderValue>,
    generation: u64,
}

impl Credentials {
    /// `first` is what the plugin said at the start, its certificate already in use.
    pub(super) fn new(
        plugin: Plugin,
        first: &Credential,
        use_certificate: UseCertificate,
    ) -> Result<Arc<Self>, Fatal> {
        let held = Held::new(first, 0)?;
        Ok(Arc::new(Self { plugin, held: Mutex::new(held), use_certificate }))
    }

    /// The header for a request now.
    pub(super) async fn current(&self) -> Result<Ticket, Fatal> {
        let mut held = self.held.lock().await;
        if held.expires.is_some_and(|at| Timestamp::now() + MARGIN >= at) {
            self.run(&mut held).await?;
        }
        Ok(held.ticket())
    }

    /// The header after the server refused `refused`; `None` where there is no better one.
    pub(super) async fn after_refusal(&self, refused: &Ticket) -> Result<Option<Ticket>, Fatal> {
        let mut held = self.held.lock().await;
        if held.generation == refused.generation {
            if held.fetched.elapsed() < FRESH {
                return Ok(None);
            }
            self.run(&mut held).await?;
        }
        Ok(Some(held.ticket()))
    }

    async fn run(&self, held: &mut Held) -> Result<(), Fatal> {
        tracing::debug!("running the credential plugin again");
        let credential = self.plugin.run().await?;
        let next = Held::new(&credential, held.generation + 1)?;
        if let Some((certificate, key)) = &credential.certificate
            && next.certificate != held.certificate
        {
            (self.use_certificate)(certificate, key.expose_secret())?;
        }
        *held = next;
        Ok(())
    }
}

impl Held {
    fn new(credential: &Credential, generation: u64) -> Result<Self, Fatal> {
        let header = credential.token.as_ref().map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret().trim()))?;
            value.set_sensitive(true);
            Ok::<_, http::header::InvalidHeaderValue>(value)
        });
        let header = header.transpose().map_err(|_| {
            Fatal::new("fwd::auth::plugin", "the credential plugin's token cannot be sent")
                .because("it holds characters that a header may not hold")
        })?;
        Ok(Self {
            header,
            certificate: credential.certificate.as_ref().map(|(certificate, _)| certificate.clone()),
            expires: credential.expires,
            fetched: Instant::now(),
            generation,
        })
    }

    fn ticket(&self) -> Ticket {
        Ticket { header: self.header.clone(), generation: self.generation }
    }
}

// The plugins of these tests are shell scripts.
#[cfg(unix)]
#[cfg(test)]
mod tests {
    use kube::config::{Cluster, ExecConfig};

    use super::*;

    /// A plugin that counts its runs in a file.
    async fn counting(test: &str, expires: &str) -> (Arc<Credentials>, std::path::PathBuf) {
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
        let plugin = Plugin::new(config, &Cluster::default(), false).ok().unwrap();
        let first = plugin.run().await.ok().unwrap();
        (Credentials::new(plugin, &first, Box::new(|_, _| Ok(()))).ok().unwrap(), path)
    }

    fn token(ticket: &Ticket) -> &str {
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
        credentials.held.lock().await.fetched = Instant::now().checked_sub(FRESH).unwrap();
        let (a, b) = tokio::join!(credentials.after_refusal(&old), credentials.after_refusal(&old));
        for ticket in [a, b] {
            assert_eq!(token(&ticket.ok().unwrap().unwrap()), "Bearer t2");
        }
        std::fs::remove_file(path).unwrap();
    }
}
