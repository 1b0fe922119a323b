//! Which forward a browser can show, and under which scheme: by the application protocol that the service declares, by the
//! port's name, by its number.

use crate::model::ports::RemotePort;

/// What is known of the port of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPort {
    /// As it was typed.
    pub remote: RemotePort,
    /// The number in the pod.
    pub pod_port: Option<u16>,
    /// The service's name for it.
    pub name: Option<String>,
    /// The service's `appProtocol`.
    pub app_protocol: Option<String>,
}

/// How a browser speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebScheme {
    /// In plain text.
    Http,
    /// Over TLS.
    Https,
}

impl WebScheme {
    /// As URLs write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Numbers that are HTTP nearly everywhere.
const HTTP: [u16; 9] = [80, 3000, 5000, 8000, 8008, 8080, 8081, 8888, 9090];
const HTTPS: [u16; 4] = [443, 6443, 8443, 9443];

/// The first that looks like HTTP, and how it is spoken to. Where none does a single one is tried all the same; of several
/// none is.
pub fn choose(ports: &[WebPort]) -> Option<(usize, WebScheme)> {
    let found = ports.iter().enumerate().find_map(|(at, port)| Some((at, scheme(port)?)));
    found.or_else(|| (ports.len() == 1).then_some((0, WebScheme::Http)))
}

fn scheme(port: &WebPort) -> Option<WebScheme> {
    let typed = match &port.remote {
        RemotePort::Name(name) => Some(name.as_str()),
        RemotePort::Number(_) => None,
    };
    if let Some(protocol) = &port.app_protocol {
        // Declared, so it is this or none.
        return by_protocol(protocol);
    }
    let by_name = [typed, port.name.as_deref()].into_iter().flatten().find_map(by_name);
    let number = match port.remote {
        RemotePort::Number(number) => Some(number),
        RemotePort::Name(_) => None,
    };
    by_name.or_else(|| [number, port.pod_port].into_iter().flatten().find_map(by_number))
}

/// `http`, `HTTPS`, `kubernetes.io/ws`: what Kubernetes and IANA call them.
fn by_protocol(protocol: &str) -> Option<WebScheme> {
    match protocol.to_ascii_lowercase().as_str() {
        "http" | "http2" | "kubernetes.io/ws" => Some(WebScheme::Http),
        "https" | "kubernetes.io/wss" => Some(WebScheme::Https),
        _ => None,
    }
}

/// A word of the name says it: `http`, `https-admin`, `web`.
fn by_name(name: &str) -> Option<WebScheme> {
    name.split('-').find_map(|word| match word {
        "https" | "tls" => Some(WebScheme::Https),
        "http" | "http2" | "web" | "www" | "ui" | "dashboard" => Some(WebScheme::Http),
        _ => None,
    })
}

fn by_number(number: u16) -> Option<WebScheme> {
    match number {
        number if HTTPS.contains(&number) => Some(WebScheme::Https),
        number if HTTP.contains(&number) => Some(WebScheme::Http),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(remote: &str) -> WebPort {
        let remote = remote.parse().map_or_else(|_| RemotePort::Name(remote.into()), RemotePort::Number);
        WebPort { remote, pod_port: None, name: None, app_protocol: None }
    }

    #[test]
    fn schemes() {
        let named = |name: &str| WebPort { name: Some(name.into()), ..port("1") };
        let declared = |name: &str| WebPort { app_protocol: Some(name.into()), ..port("80") };
        for (port, expected) in [
            (port("80"), Some(WebScheme::Http)),
            (port("8443"), Some(WebScheme::Https)),
            (port("5432"), None),
            (port("http"), Some(WebScheme::Http)),
            (port("https-admin"), Some(WebScheme::Https)),
            (port("metrics"), None),
            (named("web"), Some(WebScheme::Http)),
            (named("https"), Some(WebScheme::Https)),
            (named("postgres"), None),
            (WebPort { pod_port: Some(8080), ..port("1234") }, Some(WebScheme::Http)),
            (WebPort { pod_port: Some(8080), ..port("443") }, Some(WebScheme::Https)),
            (declared("HTTPS"), Some(WebScheme::Https)),
            (declared("kubernetes.io/ws"), Some(WebScheme::Http)),
            (declared("redis"), None),
        ] {
            assert_eq!(scheme(&port), expected, "{port:?}");
        }
    }

    #[test]
    fn the_first_of_several() {
        assert_eq!(choose(&[port("5432"), port("443"), port("80")]), Some((1, WebScheme::Https)));
        assert_eq!(choose(&[port("5432")]), Some((0, WebScheme::Http)));
        assert_eq!(choose(&[port("5432"), port("6379")]), None);
        assert_eq!(choose(&[]), None);
    }
}
