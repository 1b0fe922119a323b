//! Which local addresses are wanted already, and which two ports want the same one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use crate::model::ports::{Address, LocalPort, PortSpec, RemotePort, ip_covers};

/// Local addresses, each with its claimant. Finding one that two want takes as long for the thousandth as for the first.
#[derive(Debug)]
pub struct PortClaims<T> {
    sockets: HashMap<PathBuf, T>,
    ports: HashMap<(u16, IpAddr), T>,
    /// Who has a port on some address of a family, which `0.0.0.0` or `::` would take as well.
    families: HashMap<(u16, bool), T>,
}

impl<T> Default for PortClaims<T> {
    fn default() -> Self {
        Self { sockets: HashMap::new(), ports: HashMap::new(), families: HashMap::new() }
    }
}

impl<T: Clone> PortClaims<T> {
    /// Takes the local address of a port, which is on `addresses` unless it says otherwise. Where another has it, or a part
    /// of it, that one is returned, and it is not taken.
    pub fn claim(&mut self, port: &PortSpec, addresses: &[Address], by: &T) -> Option<T> {
        if let LocalPort::Unix(path) = &port.local {
            let there = self.sockets.get(path).cloned();
            if there.is_none() {
                self.sockets.insert(path.clone(), by.clone());
            }
            return there;
        }
        let number = local_number(port)?;
        let own = port.address.map(|address| [address]);
        let addresses = own.as_ref().map_or(addresses, |own| own);
        let ips: Vec<IpAddr> = addresses.iter().copied().flat_map(Address::ips).collect();
        let other = ips.iter().find_map(|ip| self.claimant(number, *ip));
        if other.is_none() {
            for ip in ips {
                self.ports.insert((number, ip), by.clone());
                self.families.insert((number, ip.is_ipv4()), by.clone());
            }
        }
        other
    }

    fn claimant(&self, port: u16, ip: IpAddr) -> Option<T> {
        let every: IpAddr =
            if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let same = self.ports.get(&(port, ip)).or_else(|| self.ports.get(&(port, every)));
        let any = || self.families.get(&(port, ip.is_ipv4())).filter(|_| ip == every);
        same.or_else(any).cloned()
    }
}

/// Whether two ports want the same local address, each on its own addresses.
pub fn same_local((one, here): (&PortSpec, &[Address]), (other, there): (&PortSpec, &[Address])) -> bool {
    if let (LocalPort::Unix(one), LocalPort::Unix(other)) = (&one.local, &other.local) {
        return one == other;
    }
    let of = |port: &PortSpec, defaults: &[Address]| {
        port.address.map_or_else(|| defaults.to_vec(), |address| vec![address])
    };
    let theirs = of(other, there);
    local_number(one).is_some_and(|number| local_number(other) == Some(number))
        && of(one, here).into_iter().any(|a| theirs.iter().any(|b| overlap(a, *b)))
}

/// The local address in words.
pub fn local_end(port: &PortSpec) -> String {
    match &port.local {
        LocalPort::Unix(path) => format!("the socket {}", path.display()),
        _ => format!("local port {}", local_number(port).unwrap_or_default()),
    }
}

/// The local port, where it is known without asking the cluster.
fn local_number(port: &PortSpec) -> Option<u16> {
    match (&port.local, &port.remote) {
        (LocalPort::Number(number), _) | (LocalPort::Same, RemotePort::Number(number)) => Some(*number),
        _ => None,
    }
}

fn overlap(one: Address, other: Address) -> bool {
    let others = other.ips();
    one.ips().into_iter().any(|one| others.iter().any(|o| ip_covers(one, *o) || ip_covers(*o, one)))
}

#[cfg(test)]
mod tests {
    use super::{same_local, *};

    /// It finds what comparing each with each finds.
    #[test]
    fn as_by_comparing_each_with_each() {
        let ends = [
            "80",
            "81",
            ":80",
            "http",
            "80:http",
            "8080:80",
            "127.0.0.1:80:1",
            "127.0.0.2:80:2",
            "0.0.0.0:80:3",
            "[::1]:80:4",
            "[::]:80:5",
            "[fe80::1]:80:6",
            "localhost:80:7",
            "unix:/a:80",
            "unix:/a:81",
            "unix:/b:80",
        ]
        .map(|text| PortSpec::parse(text).unwrap());
        let defaults = [
            vec![Address::Localhost],
            vec![Address::parse("10.0.0.5").unwrap()],
            vec![Address::parse("0.0.0.0").unwrap(), Address::parse("::1").unwrap()],
        ];
        let all =
            || ends.iter().flat_map(|end| defaults.iter().map(move |addresses| (end, addresses.as_slice())));
        for one in all() {
            for other in all() {
                let mut taken = PortClaims::default();
                assert_eq!(taken.claim(one.0, one.1, &1), None);
                let found = taken.claim(other.0, other.1, &2);
                assert_eq!(found.is_some(), same_local(one, other), "{one:?} {other:?}");
            }
        }
    }
}
