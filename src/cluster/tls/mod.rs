//! TLS towards the API server: whose certificates are believed, and which one is shown.
//!
//! The rules are those of Go's `crypto/tls` and `crypto/x509`, since what kubectl takes has to work here: [`pem`] reads
//! files as Go does, [`chain`] judges a server's certificate, [`identity`] makes a certificate and a key one. One
//! configuration serves both clients. It is made anew when a credential plugin gives another client certificate.

mod certificate;
mod chain;
#[cfg(test)]
mod fake;
mod identity;
mod names;
mod pem;
mod rotation;
mod system;
mod verifier;

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::{
    Config,
    config::{AuthInfo, Cluster},
};
use rustls::{
    ClientConfig,
    client::danger::ServerCertVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::CertificateDer,
    sign::{CertifiedKey, SingleCertAndKey},
};
use secrecy::ExposeSecret;

pub use self::certificate::Validity;
pub(in crate::cluster) use self::rotation::CertificateFiles;
use self::{
    certificate::{Certificate, authorities},
    chain::TrustAnchors,
    identity::PemSource,
    verifier::{AnyCertificate, Verifier},
};
use super::error::reason::reason;
use crate::error::Fatal;

/// The cryptography of all of TLS.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The TLS configuration of a cluster, the same for both clients.
pub(super) fn tls(config: &Config) -> Result<ClientConfig, Fatal> {
    let provider = provider();
    let verifier = verifier(config, &provider)?;
    let identity = own_identity(&config.auth_info, &provider)?;
    client_config(provider, verifier, identity)
}

fn client_config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, Fatal> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fatal::new("fwd::cluster::tls", "TLS cannot be set up").because(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match identity {
        // Shown to any server that asks for one, as client-go does, whatever authorities the server names.
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    })
}

/// Who judges the server.
fn verifier(config: &Config, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Fatal> {
    let algorithms = provider.signature_verification_algorithms;
    if config.accept_invalid_certs {
        return Ok(Arc::new(AnyCertificate(algorithms)));
    }
    if let Some(path) = &config.root_cert_file {
        let pem =
            std::fs::read(path).map_err(|error| no_authority(&path.display().to_string(), reason(&error)))?;
        let anchors = TrustAnchors::new(authorities(&pem));
        return Ok(Arc::new(Verifier::reloading(path.clone(), anchors, algorithms)));
    }
    match &config.root_cert {
        Some(certificates) => {
            let anchors = TrustAnchors::new(certificates.iter().cloned().map(CertificateDer::from));
            Ok(Arc::new(Verifier::new(anchors, algorithms)))
        }
        None => system::verifier(provider),
    }
}

/// The client's certificate and key, where the user has both.
fn own_identity(user: &AuthInfo, provider: &CryptoProvider) -> Result<Option<Arc<CertifiedKey>>, Fatal> {
    let data = user.client_certificate_data.as_deref();
    let certificate = source("client-certificate", data, user.client_certificate.as_deref())?;
    let data = user.client_key_data.as_ref().map(ExposeSecret::expose_secret);
    let key = source("client-key", data, user.client_key.as_deref())?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => identity::identity(&certificate, &key, provider).map(Some),
        (Some(certificate), None) => {
            Err(Fatal::new("fwd::auth::unusable", format!("there is no key for {}", certificate.field))
                .because("the user has neither client-key-data nor client-key")
                .help("log in to the cluster again; that usually writes both"))
        }
        // As client-go: a key alone is of no use, and no harm.
        (None, _) => Ok(None),
    }
}

/// When the client's certificate is valid, where the user has one that can be read.
pub(super) fn client_validity(user: &AuthInfo) -> Option<Validity> {
    let data = user.client_certificate_data.as_deref();
    let certificate = source("client-certificate", data, user.client_certificate.as_deref()).ok()??;
    identity::leaf_validity(&certificate)
}

/// When the certificate that a server has shown is valid.
pub(super) fn server_validity(shown: &CertificateDer<'_>) -> Option<Validity> {
    Certificate::read(shown).ok().map(|certificate| certificate.validity())
}

/// A PEM of the user, its `-data` before its file.
fn source(field: &str, data: Option<&str>, path: Option<&str>) -> Result<Option<PemSource>, Fatal> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let field = format!("{field}-data");
        let pem = decoded(data).ok_or_else(|| {
            Fatal::new("fwd::auth::unusable", format!("cannot use the user's {field}"))
                .because("it is not base64")
                .help("it has to be a PEM file in base64; log in to the cluster again; that usually writes a new one")
        })?;
        return Ok(Some(PemSource { field, pem }));
    }
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    let pem = std::fs::read(path).map_err(|error| {
        Fatal::new("fwd::auth::unusable", format!("cannot read the user's {field} {path}"))
            .because(reason(&error))
            .help("log in to the cluster again; that usually writes a new one")
    })?;
    Ok(Some(PemSource { field: format!("{field} {path}"), pem }))
}

/// Base64 with or without line breaks.
fn decoded(data: &str) -> Option<Vec<u8>> {
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(data).ok()
}

pub(super) fn set_identity(user: &mut AuthInfo, certificate: &str, key: &str) {
    user.client_certificate_data = Some(STANDARD.encode(certificate));
    user.client_key_data = Some(STANDARD.encode(key).into());
}

/// The cluster's CA certificates; `None` leaves the choice to the system.
pub(super) fn certificate_authority(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, Fatal> {
    let data = cluster.certificate_authority_data.as_deref().filter(|data| !data.is_empty());
    let path = cluster.certificate_authority.as_deref().filter(|path| !path.is_empty());
    let (place, pem) = match (data, path) {
        (Some(data), _) => {
            let place = "certificate-authority-data";
            (place, decoded(data).ok_or_else(|| no_authority(place, "it is not base64"))?)
        }
        (None, Some(path)) => {
            (path, std::fs::read(Path::new(path)).map_err(|error| no_authority(path, reason(&error)))?)
        }
        (None, None) => return Ok(None),
    };
    let certificates: Vec<_> = authorities(&pem).map(|der| der.to_vec()).collect();
    if certificates.is_empty() {
        return Err(no_authority(place, "it contains no certificate"));
    }
    Ok(Some(certificates))
}

fn no_authority(place: &str, why: impl std::fmt::Display) -> Fatal {
    Fatal::new("fwd::kubeconfig::certificate_authority", format!("cannot use the cluster's CA from {place}"))
        .because(why)
        .help("it has to be a PEM file (-----BEGIN CERTIFICATE-----), or one in base64 for the -data")
}

#[cfg(test)]
mod tests;
