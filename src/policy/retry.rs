//! What may be tried again elsewhere without anybody noticing (PROTOCOL §3.7).
//!
//! An application has seen bytes only if the pair was complete at the runtime, its dial succeeded, and DATA was read
//! there. Where one of these provably did not happen, and the local client has seen nothing either, the connection can
//! be opened again on another session or pod. Where it cannot be proven, it is not done: a request is never doubled,
//! unless its user has said that safe ones may be ([`may_resend`]).

use super::safe_http;

/// How an attempt to carry one connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptFailure {
    /// The upgrade never reached 101, or the session was gone before the pair was opened.
    NotOpened,
    /// The runtime gave this text on the error stream.
    Text(String),
    /// A stream was reset without ever having been taken.
    Rejected,
    /// The session ended under the connection.
    SessionLost,
    /// The runtime cut it off and said nothing.
    Cut,
}

/// What is known of an attempt beside its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Bytes of the application were passed to the local client.
    pub answered: bool,
    /// A DATA frame of the pair was handed to the transport, in part or whole.
    pub data_written: bool,
    /// All that was read from the local client is still kept.
    pub replayable: bool,
}

/// What a runtime's text says about the dial behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody listens on the port: the pod lives, the application does not.
    Refused,
    /// The pod's sandbox is gone: another pod, or another session, is needed.
    SandboxGone,
    /// The runtime never had a complete pair.
    Incomplete,
    /// The connection was made, and broke.
    Broken,
}

/// Texts of containerd and CRI-O (§3.5), each written before any byte is copied, and what they mean. Matched as
/// substrings, all parts of a row, never the whole.
const TEXTS: [(&[&str], Verdict); 11] = [
    (&["failed to connect to localhost:"], Verdict::Refused),
    // containerd on Windows dials the pod's address.
    (&["failed to connect to "], Verdict::Refused),
    (&["failed to find sandbox"], Verdict::SandboxGone),
    (&["network namespace for sandbox", "is closed"], Verdict::SandboxGone),
    (&["network namespace path of sandbox"], Verdict::SandboxGone),
    (&["could not find sandbox"], Verdict::SandboxGone),
    (&["PodSandbox with ID starting with"], Verdict::SandboxGone),
    (&["sandbox", "is not running"], Verdict::SandboxGone),
    (&["is not running"], Verdict::SandboxGone),
    (&["timed out waiting for streams"], Verdict::Incomplete),
    (&["already assigned"], Verdict::Incomplete),
];

/// Reads an error stream's text.
pub fn verdict(text: &str) -> Verdict {
    TEXTS
        .iter()
        .find(|(parts, _)| parts.iter().all(|part| text.contains(part)))
        .map_or(Verdict::Broken, |(_, verdict)| *verdict)
}

/// Whether the connection may be opened again elsewhere.
pub fn may_replay(failure: &AttemptFailure, evidence: Evidence) -> bool {
    if evidence.answered || !evidence.replayable {
        return false;
    }
    match failure {
        AttemptFailure::NotOpened | AttemptFailure::Rejected => true,
        AttemptFailure::Text(text) => !evidence.data_written || verdict(text) != Verdict::Broken,
        AttemptFailure::SessionLost | AttemptFailure::Cut => !evidence.data_written,
    }
}

/// Whether `sent`, all that the client sent so far, may be sent again although an application may have had it
/// (`--retry safe-http`). Only the loss of the tunnel is a reason. A text is the runtime's word on what the application
/// did, a reset for example, and so is an end in order: that is the answer, and asking again would get the same.
pub fn may_resend(failure: &AttemptFailure, evidence: Evidence, sent: &[u8]) -> bool {
    matches!(failure, AttemptFailure::SessionLost | AttemptFailure::Cut)
        && !evidence.answered
        && evidence.replayable
        && safe_http::is_safe(sent)
}

/// Why a connection to `port` failed, in words for a person: a runtime's text without its prefixes, which name
/// nothing a person knows.
pub fn explain(failure: &AttemptFailure, port: u16) -> String {
    match failure {
        AttemptFailure::NotOpened => "the pod could not be reached".to_owned(),
        AttemptFailure::Rejected => "the runtime refused the stream".to_owned(),
        AttemptFailure::SessionLost => {
            "the connection to the pod was lost while a request was under way".to_owned()
        }
        AttemptFailure::Cut => "the runtime cut the connection off".to_owned(),
        AttemptFailure::Text(text) => match verdict(text) {
            Verdict::Refused => format!("connection refused: nothing listens on port {port} in the pod"),
            Verdict::SandboxGone => "the pod's sandbox is gone".to_owned(),
            _ if text.contains("connection reset by peer") => {
                "connection reset by the application".to_owned()
            }
            // Go's words for it name sockets of the node, which nobody knows.
            _ if text.contains("broken pipe") => {
                "the application closed the connection while more was sent to it".to_owned()
            }
            _ => {
                let text = text.split_once("uid : ").map_or(text.as_str(), |(_, rest)| rest);
                let inner =
                    text.split_once("network namespace \"").and_then(|(_, rest)| rest.split_once("\": "));
                inner.map_or(text, |(_, rest)| rest).trim().to_owned()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Evidence = Evidence { answered: false, data_written: true, replayable: true };
    const UNSENT: Evidence = Evidence { data_written: false, ..SENT };

    fn text(text: &str) -> AttemptFailure {
        AttemptFailure::Text(format!("error forwarding port 80 to pod 0a1b, uid : {text}"))
    }

    /// §3.7, row by row: what may be replayed with bytes sent, and with none.
    #[test]
    fn every_row() {
        let netns = "failed to execute portforward in network namespace \"/var/run/netns/x\": ";
        let rows = [
            (AttemptFailure::NotOpened, true, true),
            (AttemptFailure::Rejected, true, true),
            (AttemptFailure::SessionLost, false, true),
            (AttemptFailure::Cut, false, true),
            (
                text(&format!(
                    "{netns}failed to connect to localhost:80 inside namespace \"0a\", IPv4: dial"
                )),
                true,
                true,
            ),
            (text("failed to connect to 10.0.0.1:80"), true, true),
            (text("failed to find sandbox \"0a1b\" in store: not found"), true, true),
            (text("network namespace for sandbox \"0a1b\" is closed"), true, true),
            (text("network namespace path of sandbox 0a1b is empty"), true, true),
            (text("could not find sandbox 0a1b"), true, true),
            (text("PodSandbox with ID starting with 0a1b not found: ID does not exist"), true, true),
            (text("sandbox 0a1b is not running"), true, true),
            (AttemptFailure::Text("(conn=0xc0, request=1) timed out waiting for streams".into()), true, true),
            (
                AttemptFailure::Text(
                    "error processing stream for request 1: error stream already assigned".into(),
                ),
                true,
                true,
            ),
            (
                text(&format!("{netns}read tcp4 127.0.0.1:1->127.0.0.1:80: read: connection reset by peer")),
                false,
                true,
            ),
            (text(&format!("{netns}write tcp4 127.0.0.1:1->127.0.0.1:80: broken pipe")), false, true),
            (text("something new"), false, true),
        ];
        for (failure, sent, unsent) in rows {
            assert_eq!(may_replay(&failure, SENT), sent, "sent: {failure:?}");
            assert_eq!(may_replay(&failure, UNSENT), unsent, "unsent: {failure:?}");
            for evidence in [SENT, UNSENT] {
                assert!(
                    !may_replay(&failure, Evidence { answered: true, ..evidence }),
                    "answered: {failure:?}"
                );
                assert!(
                    !may_replay(&failure, Evidence { replayable: false, ..evidence }),
                    "not kept: {failure:?}"
                );
            }
        }
    }

    /// Only where the tunnel went, only before the first byte of an answer, and only a safe request.
    #[test]
    fn what_is_sent_again() {
        let (get, post) = (b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n");
        for failure in [AttemptFailure::SessionLost, AttemptFailure::Cut] {
            assert!(may_resend(&failure, SENT, get) && !may_resend(&failure, SENT, post), "{failure:?}");
            assert!(!may_resend(&failure, Evidence { answered: true, ..SENT }, get), "{failure:?}");
            assert!(!may_resend(&failure, Evidence { replayable: false, ..SENT }, get), "{failure:?}");
        }
        for said in ["read: connection reset by peer", "write: broken pipe", "something new"] {
            assert!(!may_resend(&text(said), SENT, get), "{said}");
        }
    }

    #[test]
    fn explanations_leave_out_what_no_person_knows() {
        let netns = "failed to execute portforward in network namespace \"/var/run/netns/x\": ";
        assert_eq!(
            explain(&text(&format!("{netns}write tcp4 a->b: broken pipe")), 80),
            "the application closed the connection while more was sent to it"
        );
        assert_eq!(
            explain(&text(&format!("{netns}failed to connect to localhost:80 inside namespace \"x\"")), 80),
            "connection refused: nothing listens on port 80 in the pod"
        );
        assert_eq!(explain(&AttemptFailure::Text("something else".into()), 80), "something else");
    }

    #[test]
    fn verdicts() {
        assert_eq!(verdict("failed to connect to localhost:7 inside"), Verdict::Refused);
        assert_eq!(verdict("network namespace for sandbox \"x\" is closed"), Verdict::SandboxGone);
        assert_eq!(verdict("network namespace for sandbox \"x\" is odd"), Verdict::Broken);
        assert_eq!(verdict("read: connection reset by peer"), Verdict::Broken);
    }
}
