//! Which local ends are wanted already. Pure.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use super::resolve::local_number;
use crate::model::ports::{Address, Local, PortSpec};

/// Local ends, each with whoever wants it. Finding one that two want takes as long for the thousandth as for the first.
#[derive(Debug)]
pub struct Taken<T> {
    sockets: HashMap<PathBuf, T>,
    ports: HashMap<(u16, IpAddr), T>,
    /// Who has a port on some address of a family, which `0.0.0.0` or `::` would take as well.
    families: HashMap<(u16, bool), T>,
}

impl<T> Default for Taken<T> {
    fn default() -> Self {
        Self { sockets: HashMap::new(), ports: HashMap::new(), families: HashMap::new() }
    }
}

impl<T: Clone> Taken<T> {
    /// Takes the local end of a port, which is on `addresses` unless it says otherwise. Where another has it, or a part
    /// of it, that one is returned, and it is not taken.
    pub fn take(&mut self, port: &PortSpec, addresses: &[Address], by: &T) -> Option<T> {
        if let Local::Unix(path) = &port.local {
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
        let other = ips.iter().find_map(|ip| self.holder(number, *ip));
        if other.is_none() {
            for ip in ips {
                self.ports.insert((number, ip), by.clone());
                self.families.insert((number, ip.is_ipv4()), by.clone());
            }
        }
        other
    }

    fn holder(&self, port: u16, ip: IpAddr) -> Option<T> {
        let every: IpAddr =
            if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let same = self.ports.get(&(port, ip)).or_else(|| self.ports.get(&(port, every)));
        let any = || self.families.get(&(port, ip.is_ipv4())).filter(|_| ip == every);
        same.or_else(any).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resolve::same_local;

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
                let mut taken = Taken::default();
                assert_eq!(taken.take(one.0, one.1, &1), None);
                let found = taken.take(other.0, other.1, &2);
                assert_eq!(found.is_some(), same_local(one, other), "{one:?} {other:?}");
            }
        }
    }
}
