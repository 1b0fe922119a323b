//! A free local port to propose for a port.

use super::conflict::{INSTEAD_OF_PRIVILEGED, PRIVILEGED, above, is_free};
use crate::model::ports::{Address, listen_ips};

/// A local port for this port of a target: the same, or one that needs no privileges in its place (8080 for 80), or the next
/// that is free. `taken` are not proposed either.
pub fn propose(port: u16, addresses: &[Address], taken: &[u16]) -> Option<u16> {
    let wanted = if port < PRIVILEGED { INSTEAD_OF_PRIVILEGED + port } else { port };
    nearest(wanted, addresses, taken)
}

/// This local port, or the next that is free.
pub fn nearest(port: u16, addresses: &[Address], taken: &[u16]) -> Option<u16> {
    let ips = listen_ips(addresses);
    std::iter::once(port).chain(above(port)).find(|port| !taken.contains(port) && is_free(*port, &ips))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const HERE: [Address; 1] = [Address::Localhost];

    #[test]
    fn the_same_or_the_next() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let found = nearest(port, &HERE, &[]);
        assert!(found.is_none_or(|found| found > port), "{found:?}");
        let Some(free) = found else { return };
        drop(taken);
        assert_eq!(nearest(port, &HERE, &[port]).map(|other| other > port), Some(true));
        assert_ne!(nearest(free, &HERE, &[free]), Some(free));
    }

    #[test]
    fn privileged_ports_have_one_instead() {
        assert!(propose(80, &HERE, &[]).is_some_and(|port| port >= 8080));
        assert!(propose(443, &HERE, &[]).is_some_and(|port| port >= 8443));
    }
}
