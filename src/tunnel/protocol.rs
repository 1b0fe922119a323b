//! Which protocol to speak, and when to fall back to the next (PROTOCOL §1).
//!
//! Pure: what the server answered in, what to do out.

use http::StatusCode;
use kube::core::Status;

use crate::cluster::error::denied::Denied;

/// Characters of a refusal that a person is shown: the longest that say something, of a missing right with the user's long
/// name in it, are half of that.
const MAX_SHOWN: usize = 600;

/// The ways into a pod, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// SPDY frames inside a WebSocket: passes proxies, needs an API server of 1.31 or newer, and the verb `get`.
    WebSocketTunnel,
    /// SPDY as it is: every version, the verb `create`; many proxies do not pass it.
    Spdy,
    /// `v4.channel.k8s.io`: one upgrade per connection, no half-close. Where nothing else passes.
    LegacyWebSocket,
}

impl Protocol {
    /// The word for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocketTunnel => "the WebSocket tunnel",
            Self::Spdy => "SPDY",
            Self::LegacyWebSocket => "the legacy WebSocket",
        }
    }
}

/// A server's answer that is not the wanted upgrade.
#[derive(Debug, Clone)]
pub struct UpgradeRefusal {
    /// The HTTP status; 101 where the upgrade was to something else.
    pub status: StatusCode,
    /// The body, where it is a Kubernetes Status: then the API server itself speaks.
    pub kubernetes_status: Option<Box<Status>>,
    /// Otherwise the body's beginning.
    pub text: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl UpgradeRefusal {
    /// Whether another protocol than plain SPDY may do better, which is asked in any case.
    ///
    /// Not for what would be refused again: bad credentials (401), a pod that is gone (404 with a Status), rights that
    /// are missing for good. A 403 with a Status is worth one try where it names the verb `get`: a role that grants
    /// only `create` gets it for every WebSocket and may use SPDY.
    pub fn may_fall_back(&self) -> bool {
        match self.status.as_u16() {
            101 | 405 | 426 => true,
            400 => !self.words().contains("does not have a host assigned"),
            403 => self.kubernetes_status.is_none() || self.words().contains("cannot get resource"),
            // kubelet's own texts about the pod are no matter of the protocol.
            404 | 500..=599 => self.kubernetes_status.is_none() && !self.names_missing_pod(),
            _ => false,
        }
    }

    /// How much it says, beside the answer to another protocol: what is the matter with the pod or its node is worth more
    /// than that the API server refuses, and that more than a proxy's words or page.
    pub fn weight(&self) -> u8 {
        let page = |text: &str| text.is_empty() || text.starts_with('<');
        if self.is_about_the_pod() {
            return 3;
        }
        match &self.kubernetes_status {
            Some(_) => 2,
            None if page(self.text.trim()) || self.status.is_informational() => 0,
            None => 1,
        }
    }

    fn is_about_the_pod(&self) -> bool {
        let words = self.words();
        self.names_missing_pod()
            || self.status == StatusCode::NOT_FOUND && words.starts_with("pods ")
            || ["error dialing backend", "does not have a host assigned"]
                .iter()
                .any(|known| words.contains(known))
    }

    /// The server's own words.
    fn words(&self) -> &str {
        self.kubernetes_status.as_ref().map_or_else(|| self.text.trim(), |status| status.message.as_str())
    }

    /// kubelet: the pod is not known there, yet or any more.
    fn names_missing_pod(&self) -> bool {
        ["pod does not exist", "pod not found", "sandboxID", "sandbox container is not running"]
            .iter()
            .any(|known| self.text.contains(known))
    }

    /// What the server said, for a person.
    pub fn reason(&self) -> String {
        let mut why = self.worded();
        if let Some((end, _)) = why.char_indices().nth(MAX_SHOWN) {
            why.truncate(end);
            why.push('…');
        }
        why
    }

    fn worded(&self) -> String {
        match (self.status.as_u16(), self.words()) {
            (101, _) => "the server switched to a protocol that was not asked for".to_owned(),
            (status, "") => format!("the server answered {status}"),
            (status, page) if page.starts_with('<') => format!("the server answered {status} and a web page"),
            (status, said) => match Denied::parse(said) {
                Some(denied) => format!("{status}: {denied}"),
                None => format!("{said} ({status})"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, message: Option<&str>, text: &str) -> UpgradeRefusal {
        let status = StatusCode::from_u16(status).unwrap();
        let said = message.map(|message| Box::new(Status::failure(message, "")));
        UpgradeRefusal { status, kubernetes_status: said, text: text.to_owned(), retry_after: None }
    }

    #[test]
    fn the_fall_back_rule() {
        let get = "pods \"db-0\" is forbidden: User \"dev\" cannot get resource \"pods/portforward\"";
        let create = "pods \"db-0\" is forbidden: User \"dev\" cannot create resource \"pods/portforward\"";
        for (refusal, expected) in [
            (refusal(400, None, "query parameter \"port\" is required"), true),
            (refusal(400, Some("pod x does not have a host assigned"), ""), false),
            (refusal(401, Some("Unauthorized"), ""), false),
            (refusal(403, Some(get), ""), true),
            (refusal(403, Some(create), ""), false),
            (refusal(403, None, "<html>blocked"), true),
            (refusal(404, Some("pods \"x\" not found"), ""), false),
            (refusal(404, None, "404 page not found"), true),
            (refusal(404, None, "pod does not exist"), false),
            (refusal(405, None, ""), true),
            (refusal(426, None, ""), true),
            (refusal(429, None, "too many"), false),
            (refusal(500, Some("error dialing backend: timeout"), ""), false),
            (refusal(500, None, "pod not found (\"x_default\")"), false),
            (refusal(502, None, "<html>bad gateway"), true),
            (refusal(101, None, ""), true),
            (refusal(200, None, "hello"), false),
        ] {
            assert_eq!(refusal.may_fall_back(), expected, "{refusal:?}");
        }
    }
}
