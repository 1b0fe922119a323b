//! What went wrong with TLS, in words, and what to do about it.

use std::sync::Arc;

use rustls::{AlertDescription as Alert, CertificateError, Error, InvalidMessage, OtherError};

/// How many of a certificate's names are shown. Some have hundreds.
const NAMES_SHOWN: usize = 8;

/// One line about what happened.
pub(in crate::cluster) fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(certificate) => certificate_reason(certificate),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS".to_owned()
        }
        Error::AlertReceived(alert) => format!("the server ended TLS: {}", alert_words(*alert)),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => {
            "the server and this program have no TLS version or cipher in common".to_owned()
        }
        Error::NoCertificatesPresented => "the server showed no certificate".to_owned(),
        Error::DecryptError | Error::PeerSentOversizedRecord => {
            "TLS data was damaged on the way and cannot be decrypted".to_owned()
        }
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => "the server violates the TLS protocol".to_owned(),
        Error::General(words) => format!("TLS failed: {words}"),
        Error::Other(other) => format!("TLS failed: {other}"),
        _ => "TLS failed on this side".to_owned(),
    }
}

fn certificate_reason(error: &CertificateError) -> String {
    use CertificateError as C;
    let words = match error {
        C::Expired | C::ExpiredContext { .. } => "has expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "is not valid yet",
        C::UnknownIssuer | C::BadSignature => "is signed by an unknown authority",
        C::NotValidForName => "is for another name",
        C::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "names no host (its common name does not count)"
        }
        C::NotValidForNameContext { expected, presented } => {
            return format!(
                "the server's certificate is for {}, not for {}",
                shown(presented),
                expected.to_str()
            );
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "is not for servers (extended key usage)",
        C::UnhandledCriticalExtension => "has an unknown critical extension",
        C::BadEncoding => "cannot be read",
        C::Revoked => "was revoked",
        C::Other(other) => return format!("the server's certificate is not accepted: {other}"),
        _ => "is not accepted",
    };
    format!("the server's certificate {words}")
}

fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let text = names[..names.len() - more].join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

fn alert_words(alert: Alert) -> String {
    let words = match alert {
        Alert::CertificateRequired | Alert::NoCertificate => "it requires a client certificate",
        Alert::CertificateExpired => "the client certificate has expired",
        Alert::CertificateRevoked => "the client certificate was revoked",
        Alert::UnknownCA => "it does not know who signed the client certificate",
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate => {
            "it does not accept the client certificate"
        }
        Alert::AccessDenied => "it denies access",
        Alert::ProtocolVersion => "it supports neither TLS 1.2 nor TLS 1.3",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "it found no cipher, key or certificate that both sides have"
        }
        Alert::UnrecognisedName => "it is not the server of that name",
        Alert::InternalError => "it had an internal error",
        Alert::DecryptError => "it could not check a signature",
        other => return format!("alert {}", u8::from(other)),
    };
    words.to_owned()
}

/// What to do next.
pub(in crate::cluster) fn help(error: &Error) -> &'static str {
    use CertificateError as C;
    match error {
        // By name it is the right authority: that of the cluster which was there before.
        Error::InvalidCertificate(C::BadSignature) => {
            "if the cluster was re-created, get its new kubeconfig; otherwise give its CA with --certificate-authority FILE"
        }
        Error::InvalidCertificate(C::UnknownIssuer) => {
            "give the cluster's CA with certificate-authority in the kubeconfig or --certificate-authority FILE"
        }
        Error::InvalidCertificate(C::NotValidForNameContext { presented, .. }) if presented.is_empty() => {
            "the server needs a certificate with a subjectAltName; `kubectl version` refuses this one too"
        }
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "use a name of the certificate in the server's URL, or give --tls-server-name NAME"
        }
        Error::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => "if this machine's clock is right, the cluster's administrator has to replace the certificate",
        Error::InvalidCertificate(_) => {
            "kubectl judges by the same rules, but takes keys that are too weak here (RSA of fewer than 2048 bits, P-224)"
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server's URL probably has to begin with http://, or its port is another one"
        }
        Error::AlertReceived(Alert::ProtocolVersion | Alert::InsufficientSecurity)
        | Error::PeerIncompatible(_) => {
            "TLS 1.2 with ECDHE and AES-GCM or ChaCha20, or TLS 1.3, is needed; what stands in front of the server?"
        }
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::HandshakeFailure
            | Alert::DecryptError,
        ) => "the client certificate is missing, expired or of another cluster",
        Error::AlertReceived(Alert::UnrecognisedName) => {
            "give the server's own name with --tls-server-name NAME"
        }
        _ => "run `kubectl version` to check",
    }
}

/// A reason for which rustls has no word of its own.
pub(in crate::cluster) fn refusal(why: impl Into<String>) -> CertificateError {
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct UnacceptedName(String);
    CertificateError::Other(OtherError(Arc::new(UnacceptedName(why.into()))))
}

#[cfg(test)]
mod tests {
    use rustls::{PeerIncompatible, PeerMisbehaved, pki_types::ServerName};

    use super::*;

    /// What Rust's debug output of an error would show.
    fn is_plain(text: &str) -> bool {
        !text.contains("Error") && !text.contains("{ ") && !text.contains("::") && !text.contains("Context")
    }

    #[test]
    fn errors_are_told_in_words() {
        let names = |names: &[&str]| {
            let presented = names.iter().map(ToString::to_string).collect();
            CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("a").unwrap(),
                presented,
            }
        };
        let many: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (error, words) in [
            (CertificateError::Expired.into(), "expired"),
            (CertificateError::NotValidYet.into(), "not valid yet"),
            (CertificateError::UnknownIssuer.into(), "unknown authority"),
            (CertificateError::InvalidPurpose.into(), "not for servers"),
            (CertificateError::BadEncoding.into(), "cannot be read"),
            (CertificateError::Revoked.into(), "revoked"),
            (CertificateError::ApplicationVerificationFailure.into(), "is not accepted"),
            (refusal("its issuer is odd").into(), "not accepted: its issuer is odd"),
            (names(&["b", "10.0.0.1"]).into(), "is for b, 10.0.0.1, not for a"),
            (names(&many).into(), "n7 and 2 more"),
            (names(&[]).into(), "names no host"),
            (Error::AlertReceived(Alert::UnknownCA), "does not know who signed the client certificate"),
            (Error::AlertReceived(Alert::DecodeError), "alert 50"),
            (PeerIncompatible::ServerDoesNotSupportTls12Or13.into(), "no TLS version or cipher"),
            (PeerMisbehaved::TooMuchEarlyDataReceived.into(), "violates the TLS protocol"),
            (InvalidMessage::MessageTooLarge.into(), "violates the TLS protocol"),
            (InvalidMessage::InvalidContentType.into(), "does not speak TLS"),
            (Error::FailedToGetRandomBytes, "on this side"),
        ] {
            let told = reason(&error);
            assert!(told.contains(words) && is_plain(&told), "{error:?}: {told}");
            assert!(is_plain(help(&error)), "{error:?}");
        }
    }

    #[test]
    fn only_a_certificate_out_of_its_time_is_to_be_replaced() {
        for error in [
            CertificateError::InvalidPurpose,
            CertificateError::BadEncoding,
            CertificateError::UnhandledCriticalExtension,
            refusal("x"),
        ] {
            assert!(!help(&error.into()).contains("replace"));
        }
        assert!(help(&CertificateError::Expired.into()).contains("replace"));
    }
}
