//! One X.509 certificate, as far as a chain is judged by it.

use jiff::Timestamp;
use rustls::{
    CertificateError,
    pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime},
};
use x509_parser::{
    asn1_rs::{Any, FromDer as _},
    certificate::X509Certificate,
    extensions::{BasicConstraints, GeneralName, NameConstraints, ParsedExtension},
    oid_registry as oid,
    public_key::PublicKey,
    x509::X509Version,
};

use super::pem;
use crate::cluster::error::tls::refusal;

/// The extensions that are heeded, or that say nothing about whom to believe. A critical one that is none of them is
/// reason to refuse the certificate.
const KNOWN: [oid::Oid<'_>; 10] = [
    oid::OID_X509_EXT_BASIC_CONSTRAINTS,
    oid::OID_X509_EXT_KEY_USAGE,
    oid::OID_X509_EXT_EXTENDED_KEY_USAGE,
    oid::OID_X509_EXT_SUBJECT_ALT_NAME,
    oid::OID_X509_EXT_NAME_CONSTRAINTS,
    oid::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
    oid::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    oid::OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    oid::OID_X509_EXT_CERTIFICATE_POLICIES,
    oid::OID_PKIX_AUTHORITY_INFO_ACCESS,
];

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before this.
    pub from: Timestamp,
    /// Not after this.
    pub until: Timestamp,
}

/// A certificate over its DER.
pub(super) struct Certificate<'a> {
    der: &'a [u8],
    x509: X509Certificate<'a>,
    /// The algorithm of its signature, without the header of the sequence: what webpki compares.
    signature_algorithm: &'a [u8],
    key: SubjectPublicKeyInfoDer<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads one. Whatever a judgement hangs on has to be readable, and there once.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, CertificateError> {
        Self::parse(der).ok_or(CertificateError::BadEncoding)
    }

    fn parse(der: &'a [u8]) -> Option<Self> {
        let (rest, x509) = X509Certificate::from_der(der).ok()?;
        let tbs = &x509.tbs_certificate;
        let whole = rest.is_empty()
            && x509.signature_value.unused_bits == 0
            && tbs.signature == x509.signature_algorithm
            && tbs.extensions_map().is_ok()
            && tbs.extensions().iter().all(|extension| {
                !KNOWN[..5].contains(&extension.oid)
                    || !matches!(
                        extension.parsed_extension(),
                        ParsedExtension::ParseError { .. } | ParsedExtension::UnsupportedExtension { .. }
                    )
            });
        if !whole {
            return None;
        }
        let (_, certificate) = Any::from_der(der).ok()?;
        let (after_tbs, _) = Any::from_der(certificate.data).ok()?;
        let (_, algorithm) = Any::from_der(after_tbs).ok()?;
        let key = SubjectPublicKeyInfoDer::from(tbs.subject_pki.raw);
        Some(Self { der, signature_algorithm: algorithm.data, key, x509 })
    }

    pub(super) fn der(&self) -> &'a [u8] {
        self.der
    }

    pub(super) fn subject(&self) -> &[u8] {
        self.x509.tbs_certificate.subject.as_raw()
    }

    pub(super) fn issuer(&self) -> &[u8] {
        self.x509.tbs_certificate.issuer.as_raw()
    }

    pub(super) fn key(&self) -> &SubjectPublicKeyInfoDer<'a> {
        &self.key
    }

    /// The bits of the key itself.
    pub(super) fn key_bits(&self) -> &[u8] {
        &self.x509.tbs_certificate.subject_pki.subject_public_key.data
    }

    /// Whether its key is one of RSA that no cryptography library checks signatures with any more. Go takes 1024 bits.
    pub(super) fn has_short_rsa_key(&self) -> bool {
        let key = self.x509.tbs_certificate.subject_pki.parsed();
        matches!(key, Ok(PublicKey::RSA(key)) if key.key_size() < 2048)
    }

    /// The subject, for people.
    pub(super) fn name(&self) -> String {
        self.x509.tbs_certificate.subject.to_string().escape_debug().to_string()
    }

    /// The names that it is for, and those of other kinds.
    pub(super) fn names(&self) -> &[GeneralName<'a>] {
        let names = self.extension(|parsed| match parsed {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
        names.map_or(&[], Vec::as_slice)
    }

    pub(super) fn constraints(&self) -> Option<&NameConstraints<'a>> {
        self.extension(|parsed| match parsed {
            ParsedExtension::NameConstraints(constraints) => Some(constraints),
            _ => None,
        })
    }

    /// Whether it says that it is an authority. `None` where it says nothing of it.
    pub(super) fn basic_constraints(&self) -> Option<&BasicConstraints> {
        self.extension(|parsed| match parsed {
            ParsedExtension::BasicConstraints(constraints) => Some(constraints),
            _ => None,
        })
    }

    /// Whether servers may use it. One that says nothing is for everything.
    pub(super) fn is_for_servers(&self) -> bool {
        self.extension(|parsed| match parsed {
            ParsedExtension::ExtendedKeyUsage(usage) => Some(usage.any || usage.server_auth),
            _ => None,
        })
        .unwrap_or(true)
    }

    /// Whether it may sign others. Before version 3 there was no word for it.
    pub(super) fn may_sign(&self) -> bool {
        let says_so = match self.basic_constraints() {
            Some(constraints) => constraints.ca,
            None => self.x509.tbs_certificate.version != X509Version::V3,
        };
        let usage = self.extension(|parsed| match parsed {
            ParsedExtension::KeyUsage(usage) => Some(usage.flags == 0 || usage.key_cert_sign()),
            _ => None,
        });
        says_so && usage.unwrap_or(true)
    }

    /// Whether a critical extension asks for something that is not known here.
    pub(super) fn has_unknown_critical_extension(&self) -> bool {
        self.x509.tbs_certificate.extensions().iter().filter(|extension| extension.critical).any(
            |extension| match extension.parsed_extension() {
                // Critical names of kinds that nobody looks at.
                ParsedExtension::SubjectAlternativeName(names) => !names.general_names.iter().any(is_heeded),
                ParsedExtension::NameConstraints(constraints) => {
                    let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
                    !subtrees.into_iter().flatten().flatten().all(|subtree| is_heeded(&subtree.base))
                }
                _ => !KNOWN.contains(&extension.oid),
            },
        )
    }

    /// From when to when it is valid.
    pub(super) fn validity(&self) -> Validity {
        let validity = &self.x509.tbs_certificate.validity;
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        Validity { from: at(validity.not_before.timestamp()), until: at(validity.not_after.timestamp()) }
    }

    /// Whether it is valid at this time, as rustls words it.
    pub(super) fn valid_at(&self, time: UnixTime) -> Result<(), CertificateError> {
        let validity = &self.x509.tbs_certificate.validity;
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let now = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let seconds = |stamp: i64| {
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(stamp.try_into().unwrap_or(0)))
        };
        if now < from {
            return Err(CertificateError::NotValidYetContext { time, not_before: seconds(from) });
        }
        if now > until {
            return Err(CertificateError::ExpiredContext { time, not_after: seconds(until) });
        }
        Ok(())
    }

    /// Whether `issuer`'s key signed it.
    pub(super) fn is_signed_by(
        &self,
        issuer: &Certificate<'_>,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), CertificateError> {
        if issuer.has_short_rsa_key() {
            return Err(refusal("the RSA key that signed it has fewer than 2048 bits, too few to be safe"));
        }
        let key =
            webpki::RawPublicKeyEntity::try_from(issuer.key()).map_err(|_| CertificateError::BadEncoding)?;
        let (tbs, signature) = (self.x509.tbs_certificate.as_ref(), &*self.x509.signature_value.data);
        let mut known = algorithms
            .iter()
            .filter(|algorithm| *algorithm.signature_alg_id() == *self.signature_algorithm)
            .map(|algorithm| key.verify_signature(*algorithm, tbs, signature))
            // That algorithm is for keys of another kind.
            .filter(|result| {
                !matches!(result, Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)))
            });
        match known.next() {
            Some(result) => result.map_err(|_| CertificateError::BadSignature),
            None => Err(refusal("it is signed in a way that is not supported (SHA-1, or a kind of key)")),
        }
    }

    fn extension<'s, T>(&'s self, pick: impl Fn(&'s ParsedExtension<'a>) -> Option<T>) -> Option<T> {
        self.x509.tbs_certificate.extensions().iter().find_map(|extension| pick(extension.parsed_extension()))
    }
}

/// The kinds of names that are compared with something.
fn is_heeded(name: &GeneralName<'_>) -> bool {
    use GeneralName as G;
    matches!(name, G::DNSName(_) | G::IPAddress(_) | G::RFC822Name(_) | G::URI(_))
}

/// The certificates of a bundle. What is none is passed over, as Go does.
pub(super) fn authorities(pem: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    pem::blocks(pem)
        .filter(|block| block.label == "CERTIFICATE" && !block.headers)
        .map(|block| CertificateDer::from(block.bytes))
        .filter(|der| Certificate::read(der).is_ok())
}
