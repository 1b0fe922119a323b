//! The cluster's own certificate authority, its server certificate and the client certificates of users.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::error::Error;
use crate::identity::users::{Credential, User};
use crate::options::ServerCertificate;

/// A client certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    pub(crate) der: Vec<u8>,
}

/// All that TLS needs, made afresh for each cluster.
pub(crate) struct Tls {
    pub(crate) ca_pem: String,
    pub(crate) server: Arc<ServerConfig>,
    /// By user.
    pub(crate) clients: HashMap<String, ClientCertificate>,
    /// By user, for when the first one is replaced.
    pub(crate) spares: HashMap<String, ClientCertificate>,
    /// DER of a client certificate, to its user.
    pub(crate) owners: HashMap<Vec<u8>, String>,
}

impl Tls {
    /// Makes the authority, the server's certificate for loopback and one certificate for each user that wants one.
    pub(crate) fn new(users: &[User], shown: ServerCertificate) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "sandbox-ca");
        let key = key_for(shown)?;
        let root = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let (mut clients, mut spares) = (HashMap::new(), HashMap::new());
        let mut owners = HashMap::new();
        for user in users.iter().filter(|user| user.credential == Credential::Certificate) {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, user.name.as_str());
            for group in &user.groups {
                params.distinguished_name.push(DnType::OrganizationName, group.as_str());
            }
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            for certificates in [&mut clients, &mut spares] {
                let key = KeyPair::generate()?;
                let certificate = params.signed_by(&key, &issuer)?;
                let der = certificate.der().to_vec();
                let pem = ClientCertificate { certificate: certificate.pem(), key: key.serialize_pem(), der };
                certificates.insert(user.name.clone(), pem);
            }
            owners.insert(clients[&user.name].der.clone(), user.name.clone());
        }
        let (certificate, key) = server_certificate(shown, &issuer)?;
        let ca_pem = match shown {
            ServerCertificate::Itself | ServerCertificate::Pinned => certificate.pem(),
            _ => root.pem(),
        };
        let server = Arc::new(server_config(root.der().clone(), &certificate, &key)?);
        Ok(Self { ca_pem, server, clients, spares, owners })
    }
}

fn key_for(shown: ServerCertificate) -> Result<KeyPair, Error> {
    Ok(match shown {
        ServerCertificate::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512)?,
        _ => KeyPair::generate()?,
    })
}

fn server_certificate(
    shown: ServerCertificate,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(Certificate, KeyPair), Error> {
    let mut params = CertificateParams::new(["localhost", "kubernetes", "sandbox"].map(String::from))?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let key = key_for(shown)?;
    let day = Duration::from_secs(24 * 60 * 60);
    match shown {
        ServerCertificate::Expired => params.not_after = (SystemTime::now() - day).into(),
        ServerCertificate::Ending => params.not_after = (SystemTime::now() + day).into(),
        _ => {}
    }
    match shown {
        ServerCertificate::Itself | ServerCertificate::Authority => {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        ServerCertificate::AnyUse => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any],
        _ => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
    }
    let certificate = match shown {
        ServerCertificate::Itself => params.self_signed(&key)?,
        _ => params.signed_by(&key, issuer)?,
    };
    Ok((certificate, key))
}

fn server_config(
    root: CertificateDer<'static>,
    certificate: &Certificate,
    key: &KeyPair,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Tls(error.to_string()))?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| Error::Tls(error.to_owned()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
