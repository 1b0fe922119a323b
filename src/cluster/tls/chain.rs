//! From a server's certificate to an authority that is believed, by the rules of Go's `crypto/x509`.
//!
//! webpki, which rustls asks by default, has stricter ones: a server's own certificate may not be an authority's, may not
//! be the very one that is believed, and may not be for *any* use. Clusters have such certificates, and kubectl takes
//! them. What follows is `Certificate.Verify` of Go 1.25, in its order, for one server. Where it differs it is stricter:
//! RSA keys of fewer than 2048 bits, constraints on policies, and constraints on names that no API server has.

use std::collections::HashMap;

use rustls::{
    CertificateError,
    pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime},
};

use super::{certificate::Certificate, names};
use crate::cluster::error::tls::refusal;

/// How many signatures are checked for one server, Go's limit: certificates that a server sends could else lead on and on.
const MAX_SIGNATURES: usize = 100;

/// Certificates that are believed, found by their subjects.
#[derive(Default)]
pub(super) struct TrustAnchors(HashMap<Vec<u8>, Vec<CertificateDer<'static>>>);

impl TrustAnchors {
    /// Leaves out what is no certificate, as Go does.
    pub(super) fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut anchors = Self::default();
        for der in certificates {
            let Ok(subject) = Certificate::read(&der).map(|certificate| certificate.subject().to_vec())
            else {
                continue;
            };
            anchors.0.entry(subject).or_default().push(der);
        }
        anchors
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those with this subject.
    fn named(&self, subject: &[u8]) -> &[CertificateDer<'static>] {
        self.0.get(subject).map_or(&[], Vec::as_slice)
    }

    pub(super) fn holds(&self, certificate: &Certificate<'_>) -> bool {
        self.named(certificate.subject()).iter().any(|der| der.as_ref() == certificate.der())
    }
}

/// What a server showed, and what it is judged by.
pub(super) struct ChainVerification<'a> {
    pub anchors: &'a TrustAnchors,
    pub intermediates: &'a [CertificateDer<'a>],
    pub host: &'a ServerName<'a>,
    pub now: UnixTime,
    pub algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
}

impl ChainVerification<'_> {
    /// Whether `server` is the certificate of the host, and believed.
    pub(super) fn verify(&self, server: &CertificateDer<'_>) -> Result<(), CertificateError> {
        let server = Certificate::read(server)?;
        let link = ChainLink { certificate: &server, issued: None };
        link.is_sound(ChainRole::Server, self.now)?;
        if !names::is_for(server.names(), self.host) {
            return Err(CertificateError::NotValidForNameContext {
                expected: self.host.to_owned(),
                presented: names::shown(server.names()),
            });
        }
        if server.has_short_rsa_key() {
            return Err(refusal("its RSA key has fewer than 2048 bits, too few to be safe"));
        }
        if self.anchors.holds(&server) {
            return link.is_for_servers();
        }
        // One that cannot be read is no reason to refuse the server, if another way leads to an authority.
        let intermediates: Vec<_> =
            self.intermediates.iter().filter_map(|der| Certificate::read(der).ok()).collect();
        let mut search =
            ChainSearch { case: self, intermediates: &intermediates, signatures: 0, first: None };
        match search.is_issued_by_an_anchor(&link) {
            Ok(true) => Ok(()),
            Ok(false) => Err(search.first.unwrap_or(CertificateError::UnknownIssuer)),
            Err(end) => Err(end),
        }
    }
}

/// What a certificate is in a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChainRole {
    Server,
    Intermediate,
    Anchor,
}

/// A certificate of a chain, and the one that it issued.
struct ChainLink<'l> {
    certificate: &'l Certificate<'l>,
    issued: Option<&'l Self>,
}

impl<'l> ChainLink<'l> {
    /// From this one down to the server's.
    fn down(&self) -> impl Iterator<Item = &'l Certificate<'l>> {
        let below = std::iter::successors(self.issued, |link| link.issued);
        std::iter::once(self.certificate).chain(below.map(|link| link.certificate))
    }

    /// Whether what it says of itself lets it stand here.
    fn is_sound(&self, role: ChainRole, now: UnixTime) -> Result<(), CertificateError> {
        let certificate = self.certificate;
        if certificate.has_unknown_critical_extension() {
            return Err(CertificateError::UnhandledCriticalExtension);
        }
        match certificate.valid_at(now) {
            Ok(()) => {}
            Err(error) if role == ChainRole::Server => return Err(error),
            Err(CertificateError::NotValidYetContext { .. }) => {
                return Err(refusal(format!("its authority, {}, is not valid yet", certificate.name())));
            }
            Err(_) => return Err(refusal(format!("its authority, {}, has expired", certificate.name()))),
        }
        if role == ChainRole::Server {
            return Ok(());
        }
        if let Some(constraints) = certificate.constraints()
            && self.down().skip(1).any(|below| names::first_excluded(constraints, below.names()).is_some())
        {
            let name = certificate.name();
            return Err(refusal(format!(
                "its authority, {name}, is not allowed to certify one of its names"
            )));
        }
        let constraints = certificate.basic_constraints();
        if role == ChainRole::Intermediate && !constraints.is_some_and(|constraints| constraints.ca) {
            return Err(refusal(format!(
                "its issuer, {}, is not a certificate authority",
                certificate.name()
            )));
        }
        let most = constraints.filter(|constraints| constraints.ca).and_then(|it| it.path_len_constraint);
        // Itself and the server's own do not count.
        if most.is_some_and(|most| self.down().count().saturating_sub(2) > most as usize) {
            let name = certificate.name();
            return Err(refusal(format!(
                "its authority, {name}, does not allow so many authorities below it"
            )));
        }
        Ok(())
    }

    /// Whether this one and those below it may be used by servers.
    fn is_for_servers(&self) -> Result<(), CertificateError> {
        if self.down().all(Certificate::is_for_servers) {
            Ok(())
        } else {
            Err(CertificateError::InvalidPurpose)
        }
    }

    /// Whether the same authority is in the chain already: one that is renewed has another certificate and the same key.
    fn holds(&self, candidate: &Certificate<'_>) -> bool {
        self.down().any(|one| {
            one.subject() == candidate.subject()
                && one.key() == candidate.key()
                && one.names() == candidate.names()
        })
    }
}

/// The search for a chain.
struct ChainSearch<'a> {
    case: &'a ChainVerification<'a>,
    intermediates: &'a [Certificate<'a>],
    signatures: usize,
    /// Why the first candidate was none: the likeliest reason of a failure.
    first: Option<CertificateError>,
}

impl ChainSearch<'_> {
    fn is_issued_by_an_anchor(&mut self, link: &ChainLink<'_>) -> Result<bool, CertificateError> {
        let issuer = link.certificate.issuer();
        for der in self.case.anchors.named(issuer) {
            // It was readable when it was put there.
            if let Ok(anchor) = Certificate::read(der)
                && self.extends_to_anchor(&anchor, ChainRole::Anchor, link)?
            {
                return Ok(true);
            }
        }
        let intermediates = self.intermediates;
        for intermediate in intermediates.iter().filter(|intermediate| intermediate.subject() == issuer) {
            if self.extends_to_anchor(intermediate, ChainRole::Intermediate, link)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `candidate` issued the end of the chain, and is an anchor or issued by one.
    fn extends_to_anchor(
        &mut self,
        candidate: &Certificate<'_>,
        role: ChainRole,
        chain: &ChainLink<'_>,
    ) -> Result<bool, CertificateError> {
        if chain.holds(candidate) {
            return Ok(false);
        }
        self.signatures += 1;
        if self.signatures > MAX_SIGNATURES {
            return Err(refusal("the server sent too many certificates to check"));
        }
        let longer = ChainLink { certificate: candidate, issued: Some(chain) };
        let usable = self.may_have_issued(candidate, chain.certificate).and_then(|()| {
            longer.is_sound(role, self.case.now)?;
            if role == ChainRole::Anchor { longer.is_for_servers() } else { Ok(()) }
        });
        match usable {
            Ok(()) if role == ChainRole::Anchor => Ok(true),
            Ok(()) => self.is_issued_by_an_anchor(&longer),
            Err(why) => {
                self.first.get_or_insert(why);
                Ok(false)
            }
        }
    }

    fn may_have_issued(
        &self,
        issuer: &Certificate<'_>,
        issued: &Certificate<'_>,
    ) -> Result<(), CertificateError> {
        if !issuer.may_sign() {
            return Err(refusal(format!("its issuer, {}, is not a certificate authority", issuer.name())));
        }
        issued.is_signed_by(issuer, self.case.algorithms)
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
