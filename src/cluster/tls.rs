//! TLS towards the API server: whose certificates are believed, and which one is shown.
//!
//! One configuration serves both clients. It is made anew when a credential plugin gives another client certificate.

use std::sync::Arc;

use kube::{
    Config,
    client::ConfigExt as _,
    config::{AuthInfo, Cluster},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{credentials::UseCertificate, transport::Transport};
use crate::error::Fatal;

/// The TLS configuration, the same for both clients.
pub(super) fn tls(config: &Config) -> Result<rustls::ClientConfig, kube::Error> {
    // kube asks every source of credentials for a certificate, and would run a legacy provider's command for it.
    let mut config = config.clone();
    config.auth_info.auth_provider = None;
    config.rustls_client_config()
}

pub(super) fn set_identity(user: &mut AuthInfo, certificate: &str, key: &str) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    user.client_certificate_data = Some(STANDARD.encode(certificate));
    user.client_key_data = Some(STANDARD.encode(key).into());
}

/// Takes the certificates of later runs of a plugin into use.
pub(super) fn certificate_user(config: &Config, transport: &Arc<Transport>) -> UseCertificate {
    let (config, transport) = (config.clone(), Arc::clone(transport));
    Box::new(move |certificate, key| {
        let mut config = config.clone();
        set_identity(&mut config.auth_info, certificate, key);
        let tls = tls(&config).map_err(|error| {
            Fatal::new("fwd::auth::plugin", "the credential plugin's certificate cannot be used")
                .because(super::access::reason(&error))
        })?;
        transport.set_tls(tls);
        Ok(())
    })
}

/// The cluster's CA certificates; `None` leaves the choice to the system.
pub(super) fn certificate_authority(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, Fatal> {
    let bad = |place: &str, why: String| {
        Fatal::new(
            "fwd::kubeconfig::certificate-authority",
            format!("cannot use the cluster's CA from {place}"),
        )
        .because(why)
        .help("it has to be a PEM file (-----BEGIN CERTIFICATE-----), or one in base64 for the -data")
    };
    let (place, pem) =
        if let Some(data) = cluster.certificate_authority_data.as_deref().filter(|d| !d.is_empty()) {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let place = "certificate-authority-data".to_owned();
            let pem = STANDARD.decode(data.trim()).map_err(|_| bad(&place, "it is not base64".to_owned()))?;
            (place, pem)
        } else if let Some(path) = cluster.certificate_authority.as_deref().filter(|path| !path.is_empty()) {
            let pem = std::fs::read(path).map_err(|error| bad(path, super::access::reason(&error)))?;
            (path.to_owned(), pem)
        } else {
            return Ok(None);
        };
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&pem).map(|der| der.map(|der| der.to_vec())).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(Some(certificates)),
        Ok(_) => Err(bad(&place, "it holds no certificate".to_owned())),
        Err(error) => Err(bad(&place, error.to_string())),
    }
}
