//! Names in certificates: whose they are, and which ones an authority may vouch for.
//!
//! Hosts are compared as Go does it: IP addresses with IP addresses alone, a `*` only for the whole first label, and
//! a common name is no name.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use x509_parser::extensions::{GeneralName, NameConstraints};

/// Whether a certificate with these names is for `host`.
pub(super) fn is_for(names: &[GeneralName<'_>], host: &ServerName<'_>) -> bool {
    match host {
        ServerName::IpAddress(address) => {
            let wanted = IpAddr::from(*address).to_canonical();
            names.iter().filter_map(address_of).any(|address| address == wanted)
        }
        ServerName::DnsName(name) => {
            let host = name.as_ref();
            let host = host.strip_suffix('.').unwrap_or(host);
            names.iter().any(|name| matches!(name, GeneralName::DNSName(pattern) if covers(pattern, host)))
        }
        _ => false,
    }
}

/// The hosts that a certificate is for, in words.
pub(super) fn shown(names: &[GeneralName<'_>]) -> Vec<String> {
    let one = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.escape_debug().to_string()),
        name => address_of(name).map(|address| address.to_string()),
    };
    names.iter().filter_map(one).collect()
}

fn address_of(name: &GeneralName<'_>) -> Option<IpAddr> {
    let GeneralName::IPAddress(bytes) = name else { return None };
    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?;
    Some(address.to_canonical())
}

fn covers(pattern: &str, host: &str) -> bool {
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((first, rest))) => !first.is_empty() && parent.eq_ignore_ascii_case(rest),
        _ => !pattern.is_empty() && pattern.eq_ignore_ascii_case(host),
    }
}

/// Which list of a name constraint a subtree is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subtrees {
    Permitted,
    Excluded,
}

/// The first of these names that an authority with these constraints may not vouch for.
pub(super) fn first_excluded<'n, 'a>(
    constraints: &NameConstraints<'_>,
    names: &'n [GeneralName<'a>],
) -> Option<&'n GeneralName<'a>> {
    let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
    let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
    names.iter().find(|name| {
        let mut of_this_kind = permitted
            .iter()
            .filter_map(|subtree| is_within(name, &subtree.base, Subtrees::Permitted))
            .peekable();
        let not_permitted = of_this_kind.peek().is_some() && !of_this_kind.any(|within| within);
        not_permitted
            || excluded
                .iter()
                .filter_map(|subtree| is_within(name, &subtree.base, Subtrees::Excluded))
                .any(|within| within)
    })
}

/// Whether a name is in a subtree; `None` where they are of different kinds, or of one that is not looked at. What cannot be
/// compared counts against the name.
fn is_within(name: &GeneralName<'_>, subtree: &GeneralName<'_>, subtrees: Subtrees) -> Option<bool> {
    use GeneralName as G;
    let excluded = subtrees == Subtrees::Excluded;
    match (name, subtree) {
        (G::DNSName(name), G::DNSName(subtree)) => {
            let within = domain_is_within(name, subtree);
            // `*.example.com` stands for names that an exclusion of `a.example.com` forbids.
            let reaches_into =
                || name.strip_prefix("*.").is_some_and(|parent| domain_is_within(subtree, parent));
            Some(within || excluded && reaches_into())
        }
        (G::IPAddress(_), G::IPAddress(net)) if !matches!(net.len(), 8 | 32) => Some(excluded),
        (G::IPAddress(address), G::IPAddress(net)) => {
            let (base, mask) = net.split_at(net.len() / 2);
            let same = |((address, base), mask): ((&u8, &u8), &u8)| address & mask == base & mask;
            Some(address.len() == base.len() && address.iter().zip(base).zip(mask).all(same))
        }
        // No API server is reached by one of these, so they are not taken apart: a constraint forbids them all.
        (G::RFC822Name(_), G::RFC822Name(_)) | (G::URI(_), G::URI(_)) => Some(excluded),
        _ => None,
    }
}

/// `example.com` holds itself and what is below it, `.example.com` what is below it, and the empty name everything.
fn domain_is_within(name: &str, subtree: &str) -> bool {
    let (below_only, subtree) = match subtree.strip_prefix('.') {
        Some(subtree) => (true, subtree),
        None => (false, subtree),
    };
    let (name, subtree) = (name.to_ascii_lowercase(), subtree.to_ascii_lowercase());
    subtree.is_empty()
        || (name == subtree && !below_only)
        || name.strip_suffix(&subtree).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use x509_parser::extensions::GeneralSubtree;

    use super::*;

    const fn dns(name: &str) -> GeneralName<'_> {
        GeneralName::DNSName(name)
    }

    #[test]
    fn hosts() {
        const V4: GeneralName<'_> = GeneralName::IPAddress(&[10, 0, 0, 1]);
        const MAPPED: GeneralName<'_> =
            GeneralName::IPAddress(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1]);
        const LOOPBACK: GeneralName<'_> =
            GeneralName::IPAddress(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        for (name, host, expected) in [
            (dns("a.example.com"), "a.example.com", true),
            (dns("A.example.com"), "a.EXAMPLE.com", true),
            (dns("a.example.com"), "a.example.com.", true),
            (dns("a.example.com"), "b.example.com", false),
            (dns("example.com"), "a.example.com", false),
            (dns("*.example.com"), "a.example.com", true),
            (dns("*.example.com"), "example.com", false),
            (dns("*.example.com"), "a.b.example.com", false),
            (dns("a.*.com"), "a.b.com", false),
            (dns("a*.example.com"), "ab.example.com", false),
            (dns("*"), "localhost", false),
            (dns(""), "localhost", false),
            (V4, "10.0.0.1", true),
            (MAPPED, "10.0.0.1", true),
            (V4, "10.0.0.2", false),
            (LOOPBACK, "::1", true),
            (GeneralName::IPAddress(&[10, 0, 0]), "10.0.0.1", false),
            // Neither for the other.
            (dns("10.0.0.1"), "10.0.0.1", false),
            (GeneralName::URI("a.example.com"), "a.example.com", false),
        ] {
            let wanted = ServerName::try_from(host).unwrap();
            assert_eq!(is_for(&[dns("other"), name.clone()], &wanted), expected, "{name:?} for {host}");
        }
        assert_eq!(shown(&[dns("a\u{1b}"), V4, GeneralName::URI("x")]), ["a\\u{1b}", "10.0.0.1"]);
    }

    #[test]
    fn constraints() {
        const NET: GeneralName<'_> = GeneralName::IPAddress(&[10, 0, 0, 0, 255, 0, 0, 0]);
        const IN: GeneralName<'_> = GeneralName::IPAddress(&[10, 1, 2, 3]);
        const OUT: GeneralName<'_> = GeneralName::IPAddress(&[11, 1, 2, 3]);
        const ODD: GeneralName<'_> = GeneralName::IPAddress(&[10, 1, 2]);
        for (permitted, excluded, name, fine) in [
            (None, None, dns("a"), true),
            (Some(dns("example.com")), None, dns("example.com"), true),
            (Some(dns("example.com")), None, dns("a.EXAMPLE.com"), true),
            (Some(dns("example.com")), None, dns("*.example.com"), true),
            (Some(dns("example.com")), None, dns("badexample.com"), false),
            (Some(dns(".example.com")), None, dns("example.com"), false),
            (Some(dns(".example.com")), None, dns("a.example.com"), true),
            (Some(dns("")), None, dns("a"), true),
            (None, Some(dns("")), dns("a"), false),
            (None, Some(dns("example.com")), dns("a.example.com"), false),
            (None, Some(dns("a.example.com")), dns("b.example.com"), true),
            (None, Some(dns("a.example.com")), dns("*.example.com"), false),
            // Constraints speak of names of their own kind.
            (Some(dns("example.com")), None, IN, true),
            (Some(NET), None, dns("a"), true),
            (Some(NET), None, IN, true),
            (Some(NET), None, OUT, false),
            (Some(NET), None, ODD, false),
            (None, Some(NET), IN, false),
            (None, Some(NET), OUT, true),
            (Some(GeneralName::URI("a")), None, GeneralName::URI("https://a"), false),
            (None, Some(GeneralName::URI("b")), GeneralName::URI("https://a"), false),
        ] {
            let shown = format!("{permitted:?} {excluded:?} {name:?}");
            let subtrees =
                |base: Option<GeneralName<'static>>| base.map(|base| vec![GeneralSubtree { base }]);
            let constraints = NameConstraints {
                permitted_subtrees: subtrees(permitted),
                excluded_subtrees: subtrees(excluded),
            };
            assert_eq!(first_excluded(&constraints, &[name]).is_none(), fine, "{shown}");
        }
    }
}
