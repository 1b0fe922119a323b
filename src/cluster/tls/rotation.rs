//! A client certificate that lies in files and is replaced there, as by a tool that keeps it fresh.
//!
//! As client-go, which reads them again for each handshake. Here they are looked at before each dial, and read where they
//! have changed. What was sent over connections that stand is authorised already.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use kube::Config;
use parking_lot::Mutex;
use rustls::ClientConfig;

use super::tls;
use crate::cluster::config::files;

/// By what a changed file is known.
type FileStamp = Option<(SystemTime, u64)>;

/// The files of a client certificate and its key.
pub(in crate::cluster) struct CertificateFiles {
    inner: Arc<FilesInner>,
}

struct FilesInner {
    config: Config,
    paths: [PathBuf; 2],
    /// Of the files as they are in use.
    used: Mutex<[FileStamp; 2]>,
}

impl CertificateFiles {
    /// Those of a user who has both in files.
    pub(in crate::cluster) fn of(config: &Config) -> Option<Self> {
        let user = &config.auth_info;
        let file = |path: &Option<String>, has_data: bool| {
            path.as_ref().filter(|path| !path.is_empty() && !has_data).map(PathBuf::from)
        };
        let paths = [
            file(&user.client_certificate, user.client_certificate_data.is_some())?,
            file(&user.client_key, user.client_key_data.is_some())?,
        ];
        let used = Mutex::new(stamps(&paths));
        Some(Self { inner: Arc::new(FilesInner { config: config.clone(), paths, used }) })
    }

    /// The configuration with what is in the files now, where they have changed.
    pub(in crate::cluster) async fn changed(&self) -> Option<ClientConfig> {
        let inner = Arc::clone(&self.inner);
        let reading = files::reading("read the user's client certificate", move || {
            let now = stamps(&inner.paths);
            if *inner.used.lock() == now {
                return Ok(None);
            }
            let tls = tls(&inner.config)?;
            *inner.used.lock() = now;
            Ok(Some(tls))
        });
        // One of the two may have been replaced already and the other not yet: the next dial sees both.
        reading.await.unwrap_or_else(|fatal| {
            tracing::warn!("{fatal}: the last client certificate is used");
            None
        })
    }
}

fn stamps(paths: &[PathBuf; 2]) -> [FileStamp; 2] {
    paths.each_ref().map(|path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only where both are files there is something that may change.
    #[test]
    fn certificates_in_the_kubeconfig_do_not_change() {
        let config = |certificate: Option<&str>, key: Option<&str>, key_data: Option<&str>| {
            let mut config = Config::new(http::Uri::from_static("https://a"));
            config.auth_info.client_certificate = certificate.map(str::to_owned);
            config.auth_info.client_key = key.map(str::to_owned);
            config.auth_info.client_key_data = key_data.map(|data| data.to_owned().into());
            CertificateFiles::of(&config).is_some()
        };
        assert!(config(Some("/c"), Some("/k"), None));
        assert!(!config(Some("/c"), None, Some("key")));
        assert!(!config(None, Some("/k"), None));
        assert!(!config(Some("/c"), Some("/k"), Some("key")));
    }
}
