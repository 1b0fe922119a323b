//! The client's certificate and its key, out of two PEMs as Go's `tls.X509KeyPair` takes them.
//!
//! Of the certificate's PEM every `CERTIFICATE` counts, of the key's the first block whose label ends in `PRIVATE KEY`;
//! whatever else they hold is passed over. Which kind of key it is is told by its bytes, not by its label. The certificate
//! is not judged: a server that knows it takes one of any version.

use std::sync::Arc;

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer},
    sign::{CertifiedKey, SigningKey},
};
use x509_parser::{asn1_rs::FromDer as _, x509::SubjectPublicKeyInfo};

use super::{
    certificate::{Certificate, Validity},
    pem,
};
use crate::error::Fatal;

/// A PEM and where it is from. It has no `Debug`: it may be a key.
pub(super) struct PemSource {
    /// `client-key-data`, `client-key /path/to/key`.
    pub field: String,
    pub pem: Vec<u8>,
}

/// Makes them one.
pub(super) fn identity(
    certificate: &PemSource,
    key: &PemSource,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Fatal> {
    let chain = chain(certificate)?;
    let leaf = Certificate::read(&chain[0])
        .map_err(|_| unusable("certificate", certificate, "it does not contain a certificate"))?;
    let signer = signer(key, provider)?;
    let matches = signer.public_key().is_none_or(|public| {
        SubjectPublicKeyInfo::from_der(&public)
            .is_ok_and(|(_, public)| *public.subject_public_key.data == *leaf.key_bits())
    });
    if !matches {
        return Err(unusable(
            "key",
            key,
            format!("it is not the key of the certificate in {}", certificate.field),
        ));
    }
    Ok(Arc::new(CertifiedKey::new(chain, signer)))
}

/// When the certificate itself is valid.
pub(super) fn leaf_validity(certificate: &PemSource) -> Option<Validity> {
    let chain = chain(certificate).ok()?;
    Certificate::read(chain.first()?).ok().map(|leaf| leaf.validity())
}

fn chain(source: &PemSource) -> Result<Vec<CertificateDer<'static>>, Fatal> {
    let (certificates, others): (Vec<_>, Vec<_>) =
        pem::blocks(&source.pem).partition(|block| block.label == "CERTIFICATE");
    if certificates.is_empty() {
        let why = match others.first() {
            None => "it contains no PEM block".to_owned(),
            Some(block) if is_key(block) => {
                "it contains a key; are the certificate and the key swapped?".to_owned()
            }
            Some(block) => {
                format!("it contains no certificate, only a block '{}'", block.label.escape_debug())
            }
        };
        return Err(unusable("certificate", source, why));
    }
    Ok(certificates.into_iter().map(|block| block.bytes.into()).collect())
}

fn signer(source: &PemSource, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, Fatal> {
    let unusable = |why: String| unusable("key", source, why);
    let mut others = Vec::new();
    let block = pem::blocks(&source.pem).find(|block| {
        let found = is_key(block);
        if !found {
            others.push(block.label.clone());
        }
        found
    });
    let Some(block) = block else {
        return Err(unusable(match others.first().map(String::as_str) {
            None => "it contains no PEM block".to_owned(),
            Some("CERTIFICATE") => {
                "it contains a certificate; are the certificate and the key swapped?".to_owned()
            }
            Some(label) => format!("it contains no key, only a block '{}'", label.escape_debug()),
        }));
    };
    if block.headers || block.label.starts_with("ENCRYPTED ") {
        return Err(unusable("it is encrypted, and this program cannot ask for its passphrase".to_owned()).help(
            "decrypt it, as with `openssl pkey -in ENCRYPTED -out KEY`, and name that file in the kubeconfig",
        ));
    }
    let der = block.bytes;
    let kinds: [PrivateKeyDer<'static>; 3] = [
        PrivatePkcs1KeyDer::from(der.clone()).into(),
        PrivatePkcs8KeyDer::from(der.clone()).into(),
        PrivateSec1KeyDer::from(der).into(),
    ];
    kinds.into_iter().find_map(|key| provider.key_provider.load_private_key(key).ok()).ok_or_else(|| {
        unusable("it is damaged, or of a kind that is not supported".to_owned()).help(
            "RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 are; `openssl pkey -in KEY -noout -text` shows it",
        )
    })
}

fn is_key(block: &pem::PemBlock) -> bool {
    block.label == "PRIVATE KEY" || block.label.ends_with(" PRIVATE KEY")
}

fn unusable(what: &str, source: &PemSource, why: impl std::fmt::Display) -> Fatal {
    Fatal::new("fwd::auth::unusable", format!("cannot use the client {what} in {}", source.field))
        .because(why)
        .help("log in to the cluster again; that usually writes a new one")
}
