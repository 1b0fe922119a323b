//! Certificates for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SigningKey as _, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer as _};

/// A certificate, its key, and what it was made of.
pub(super) struct TestCertificate {
    pub der: CertificateDer<'static>,
    pub key: KeyPair,
    params: CertificateParams,
}

/// What a certificate of this name is made of, valid from 2020 to 2040.
fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    change(&mut params);
    params
}

/// Makes it an authority.
pub(super) fn authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// One that signed itself.
pub(super) fn selfsigned(name: &str, change: impl FnOnce(&mut CertificateParams)) -> TestCertificate {
    with_key(name, KeyPair::generate().unwrap(), change)
}

pub(super) fn with_key(
    name: &str,
    key: KeyPair,
    change: impl FnOnce(&mut CertificateParams),
) -> TestCertificate {
    let params = params(name, change);
    let der = params.self_signed(&key).unwrap().der().clone();
    TestCertificate { der, key, params }
}

impl TestCertificate {
    pub(super) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        self.issue_for(name, KeyPair::generate().unwrap(), change)
    }

    pub(super) fn issue_for(
        &self,
        name: &str,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let params = params(name, change);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        Self { der, key, params }
    }

    /// The same as X.509 version 1, which has no extensions, signed by `issuer`.
    pub(super) fn as_version_1(&self, issuer: &Self) -> Self {
        let (_, certificate) = Any::from_der(&self.der).unwrap();
        let (rest, tbs) = Any::from_der(certificate.data).unwrap();
        let (after, _) = Any::from_der(rest).unwrap();
        let algorithm = &rest[..rest.len() - after.len()];
        let mut fields = Vec::new();
        let mut left = tbs.data;
        while !left.is_empty() {
            let (after, _) = Any::from_der(left).unwrap();
            // The version and the extensions are the fields with tags of their own.
            if left[0] & 0xc0 == 0 {
                fields.extend_from_slice(&left[..left.len() - after.len()]);
            }
            left = after;
        }
        let tbs = element(0x30, &fields);
        let signature = [&[0][..], &issuer.key.sign(&tbs).unwrap()].concat();
        let der = element(0x30, &[&tbs[..], algorithm, &element(3, &signature)].concat());
        let key = KeyPair::try_from(self.key.serialize_der()).unwrap();
        Self { der: der.into(), key, params: self.params.clone() }
    }

    /// The same with the last byte of its signature changed.
    pub(super) fn broken(&self) -> CertificateDer<'static> {
        let mut der = self.der.to_vec();
        *der.last_mut().unwrap() ^= 1;
        der.into()
    }

    pub(super) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82][..], &length, content].concat().into_iter().collect()
}
