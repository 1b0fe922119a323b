//! Whom the system believes, where the kubeconfig names no authority.

use std::sync::Arc;

use rustls::{client::danger::ServerCertVerifier, crypto::CryptoProvider};

use crate::error::Fatal;

/// macOS and Windows judge themselves, by settings that people make there; Go asks them too.
#[cfg(any(windows, target_vendor = "apple"))]
pub(super) fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Fatal> {
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
    let verifier = verifier.map_err(|error| {
        Fatal::new("fwd::cluster::tls", "cannot read this system's certificate authorities")
            .because(crate::cluster::error::tls::reason(&error))
            .help("give the cluster's CA with --certificate-authority FILE")
    })?;
    Ok(Arc::new(verifier))
}

/// Elsewhere there are files of certificates. Where none is found every certificate is refused, when there is one.
#[cfg(not(any(windows, target_vendor = "apple")))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub(super) fn verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Fatal> {
    use super::{chain::TrustAnchors, verifier::Verifier};

    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(%error, "certificate authorities of the system");
    }
    Ok(Arc::new(Verifier::new(TrustAnchors::new(found.certs), provider.signature_verification_algorithms)))
}
