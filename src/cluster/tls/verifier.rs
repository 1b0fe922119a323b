//! What rustls asks about a server's certificate.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::RwLock;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::time::Instant;

use super::{
    certificate::{Certificate, authorities},
    chain::{ChainVerification, TrustAnchors},
};

/// How old the authorities of a pod may be. They come as a file that is replaced when they change, as its token is.
const RELOAD: Duration = Duration::from_secs(60);

/// Judges servers by the authorities that are believed.
pub(super) struct Verifier {
    source: AnchorSource,
    algorithms: WebPkiSupportedAlgorithms,
}

enum AnchorSource {
    Given(Arc<TrustAnchors>),
    File { path: PathBuf, held: RwLock<(Arc<TrustAnchors>, Instant)> },
}

impl Verifier {
    pub(super) fn new(anchors: TrustAnchors, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { source: AnchorSource::Given(Arc::new(anchors)), algorithms }
    }

    /// Reads `path` again from time to time. `anchors` is what it holds now.
    pub(super) fn reloading(
        path: PathBuf,
        anchors: TrustAnchors,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let held = RwLock::new((Arc::new(anchors), Instant::now()));
        Self { source: AnchorSource::File { path, held }, algorithms }
    }

    fn anchors(&self) -> Arc<TrustAnchors> {
        let (path, held) = match &self.source {
            AnchorSource::Given(anchors) => return Arc::clone(anchors),
            AnchorSource::File { path, held } => (path, held),
        };
        let (anchors, read) = held.read().clone();
        if read.elapsed() < RELOAD {
            return anchors;
        }
        // A file that is just being replaced is read the next time.
        let anchors = match std::fs::read(path).map(|pem| TrustAnchors::new(authorities(&pem))) {
            Ok(fresh) if !fresh.is_empty() => Arc::new(fresh),
            _ => anchors,
        };
        *held.write() = (Arc::clone(&anchors), Instant::now());
        anchors
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let anchors = self.anchors();
        let algorithms = self.algorithms.all;
        ChainVerification { anchors: &anchors, intermediates, host: server_name, now, algorithms }
            .verify(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let cert = Certificate::read(cert)?;
        let key =
            webpki::RawPublicKeyEntity::try_from(cert.key()).map_err(|_| CertificateError::BadEncoding)?;
        let (_, candidates) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // Before TLS 1.3 a scheme does not say which curve it is for.
        if candidates
            .iter()
            .any(|algorithm| key.verify_signature(*algorithm, message, dss.signature()).is_ok())
        {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let cert = Certificate::read(cert)?;
        verify_tls13_signature_with_raw_key(message, cert.key(), dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes any certificate: `insecure-skip-tls-verify`.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let old =
            [SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy, SignatureScheme::ED448];
        self.0.supported_schemes().into_iter().chain(old).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tls::{
        fake::{TestCertificate, authority, selfsigned},
        provider,
    };

    #[tokio::test(start_paused = true)]
    async fn the_authorities_of_a_pod_are_read_again() {
        let path = std::env::temp_dir().join(format!("kubectl-fwd-authorities-{}", std::process::id()));
        let (old, new) = (selfsigned("old", authority), selfsigned("new", authority));
        let anchors = TrustAnchors::new([old.der.clone()]);
        let verifier =
            Verifier::reloading(path.clone(), anchors, provider().signature_verification_algorithms);
        let believes = |made: &TestCertificate| {
            verifier.anchors().holds(&Certificate::read(&made.der).expect("it was made here"))
        };
        std::fs::write(&path, new.pem()).unwrap();
        assert!(believes(&old) && !believes(&new), "not yet");
        tokio::time::advance(RELOAD).await;
        assert!(believes(&new) && !believes(&old));
        // What is just being written, or gone, changes nothing.
        for text in ["", "-----BEGIN CERTIFICATE-----\n"] {
            std::fs::write(&path, text).unwrap();
            tokio::time::advance(RELOAD).await;
            assert!(believes(&new), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(RELOAD).await;
        assert!(believes(&new), "gone");
    }
}
