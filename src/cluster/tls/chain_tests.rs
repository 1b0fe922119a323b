use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, ExtendedKeyUsagePurpose as Usage,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls::pki_types::ServerName;

use super::*;
use crate::cluster::tls::{
    fake::{TestCertificate, authority, selfsigned, with_key},
    provider,
};

/// Judges what a server shows, in 2030.
fn judge(
    shown: &[CertificateDer<'static>],
    believed: &[&TestCertificate],
    host: &str,
) -> Result<(), CertificateError> {
    let anchors = TrustAnchors::new(believed.iter().map(|made| made.der.clone()));
    ChainVerification {
        anchors: &anchors,
        intermediates: &shown[1..],
        host: &ServerName::try_from(host).unwrap(),
        now: UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_900_000_000)),
        algorithms: provider().signature_verification_algorithms.all,
    }
    .verify(&shown[0])
}

fn accepted(what: &str, shown: &[&TestCertificate], believed: &[&TestCertificate]) {
    let shown: Vec<_> = shown.iter().map(|made| made.der.clone()).collect();
    assert_eq!(judge(&shown, believed, "api"), Ok(()), "{what}");
}

/// The reason has these words.
fn refused(what: &str, shown: &[&TestCertificate], believed: &[&TestCertificate], words: &str) {
    let shown: Vec<_> = shown.iter().map(|made| made.der.clone()).collect();
    refused_der(what, &shown, believed, words);
}

fn refused_der(what: &str, shown: &[CertificateDer<'static>], believed: &[&TestCertificate], words: &str) {
    let error = judge(shown, believed, "api").expect_err(what);
    let told = crate::cluster::error::tls::reason(&error.into());
    assert!(told.contains(words), "{what}: {told}");
}

fn api(params: &mut CertificateParams) {
    params.subject_alt_names = vec![SanType::DnsName("api".try_into().unwrap())];
}

fn api_with(change: impl FnOnce(&mut CertificateParams)) -> impl FnOnce(&mut CertificateParams) {
    |params| {
        api(params);
        change(params);
    }
}

fn authority_with(change: impl FnOnce(&mut CertificateParams)) -> impl FnOnce(&mut CertificateParams) {
    |params| {
        authority(params);
        change(params);
    }
}

#[test]
fn a_certificate_that_is_believed_itself() {
    // `openssl req -x509`, and what other tools make of one.
    for (what, change) in [
        ("CA:TRUE", authority as fn(&mut CertificateParams)),
        ("CA:FALSE", |params| params.is_ca = IsCa::ExplicitNoCa),
        ("no word of CA", |_| {}),
        ("any use", |params| params.extended_key_usages = vec![Usage::Any]),
        ("no right to sign", |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
    ] {
        let own = selfsigned("api", api_with(change));
        let other = selfsigned("api", api_with(change));
        accepted(what, &[&own], &[&own]);
        accepted(what, &[&own, &other], &[&other, &own]);
        refused(what, &[&own], &[], "unknown authority");
        // The same names with another key.
        let words = if what == "CA:TRUE" { "unknown authority" } else { "" };
        refused(what, &[&other], &[&own], words);
        let shown = [own.der.clone()];
        assert!(matches!(
            judge(&shown, &[&own], "other"),
            Err(CertificateError::NotValidForNameContext { .. })
        ));
    }
    let root = selfsigned("root", authority);
    let leaf = root.issue("leaf", api);
    accepted("the leaf alone is believed", &[&leaf], &[&leaf]);
    // It is believed for what it says, and no further.
    let old = selfsigned("api", api_with(|params| params.not_after = date_time_ymd(2025, 1, 1)));
    refused("it has expired", &[&old], &[&old], "has expired");
    let client = selfsigned("api", api_with(|params| params.extended_key_usages = vec![Usage::ClientAuth]));
    refused("it is for clients", &[&client], &[&client], "not for servers");
    let pinned = selfsigned("pinned", api);
    refused("it signs another", &[&pinned.issue("api", api)], &[&pinned], "is not a certificate authority");
}

#[test]
fn a_certificate_that_an_authority_signed() {
    let root = selfsigned("root", authority);
    for (what, change) in [
        ("plain", (|_| {}) as fn(&mut CertificateParams)),
        ("CA:TRUE", authority),
        ("CA:FALSE", |params| params.is_ca = IsCa::ExplicitNoCa),
        ("for servers", |params| params.extended_key_usages = vec![Usage::ClientAuth, Usage::ServerAuth]),
        ("any use", |params| params.extended_key_usages = vec![Usage::Any]),
        ("a wildcard beside it", |params| {
            params.subject_alt_names.push(SanType::DnsName("*.x".try_into().unwrap()));
        }),
    ] {
        accepted(what, &[&root.issue("leaf", api_with(change))], &[&root]);
    }
    let twin = selfsigned("root", authority);
    let leaf = root.issue("leaf", api);
    accepted("two authorities of one name", &[&leaf], &[&twin, &root]);
    accepted("the authority is sent as well", &[&leaf, &root], &[&root]);
    accepted("version 1", &[&leaf], &[&root.as_version_1(&root)]);
    for (what, made, words) in [
        (
            "expired",
            root.issue("leaf", api_with(|params| params.not_after = date_time_ymd(2025, 1, 1))),
            "has expired",
        ),
        (
            "early",
            root.issue("leaf", api_with(|params| params.not_before = date_time_ymd(2035, 1, 1))),
            "not valid yet",
        ),
        (
            "for clients",
            root.issue("leaf", api_with(|params| params.extended_key_usages = vec![Usage::ClientAuth])),
            "not for servers",
        ),
        ("a common name alone", root.issue("api", |_| {}), "names no host"),
        ("version 1", leaf.as_version_1(&root), "names no host"),
        ("by another of that name", twin.issue("leaf", api), "unknown authority"),
        ("by a stranger", selfsigned("stranger", authority).issue("leaf", api), "unknown authority"),
        (
            "something unknown is critical",
            root.issue(
                "leaf",
                api_with(|params| {
                    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                    extension.set_criticality(true);
                    params.custom_extensions = vec![extension];
                }),
            ),
            "critical extension",
        ),
    ] {
        refused(what, &[&made], &[&root], words);
    }
    refused_der("a broken signature", &[leaf.broken()], &[&root], "unknown authority");
    refused_der("nonsense", &[vec![0x30, 3, 2, 1, 1].into()], &[&root], "cannot be read");
    let cut = leaf.der[..leaf.der.len() - 1].to_vec();
    refused_der("cut short", &[cut.into()], &[&root], "cannot be read");
    let longer = [&leaf.der[..], &[0]].concat();
    refused_der("something behind it", &[longer.into()], &[&root], "cannot be read");
    for (what, change, words) in [
        (
            "an expired root",
            (|params| params.not_after = date_time_ymd(2025, 1, 1)) as fn(&mut CertificateParams),
            "expired",
        ),
        ("a root to come", |params| params.not_before = date_time_ymd(2035, 1, 1), "not valid yet"),
        (
            "a root for clients",
            |params| params.extended_key_usages = vec![Usage::ClientAuth],
            "not for servers",
        ),
        (
            "a root that signs lists",
            |params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
            "is not a certificate authority",
        ),
        ("a root that is none", |params| params.is_ca = IsCa::ExplicitNoCa, "is not a certificate authority"),
    ] {
        let root = selfsigned("root", authority_with(change));
        refused(what, &[&root.issue("leaf", api)], &[&root], words);
    }
}

#[test]
fn hosts_are_looked_for_among_the_names() {
    let root = selfsigned("root", authority);
    let leaf = root.issue("api", |params| {
        params.subject_alt_names = vec![
            SanType::DnsName("*.example.com".try_into().unwrap()),
            SanType::IpAddress([10, 0, 0, 1].into()),
            SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()),
        ];
    });
    let shown = [leaf.der];
    for (host, fine) in [
        ("a.example.com", true),
        ("10.0.0.1", true),
        ("::1", true),
        ("example.com", false),
        ("a.b.example.com", false),
        ("api", false),
        ("10.0.0.2", false),
        ("::2", false),
    ] {
        assert_eq!(judge(&shown, &[&root], host).is_ok(), fine, "{host}");
    }
}

#[test]
fn authorities_below_authorities() {
    let root = selfsigned("root", authority);
    let middle = root.issue("middle", authority);
    let low = middle.issue("low", authority);
    let leaf = low.issue("leaf", api);
    let stranger = selfsigned("stranger", authority);
    accepted("in order", &[&leaf, &low, &middle], &[&root]);
    accepted("in any order, with others", &[&leaf, &stranger, &middle, &root, &low, &low], &[&root]);
    accepted("believed below the root", &[&leaf, &low], &[&middle]);
    accepted("believed at the bottom", &[&leaf], &[&low]);
    refused("one is missing", &[&leaf, &low], &[&root], "unknown authority");
    refused("nobody believes them", &[&leaf, &low, &middle, &root], &[&stranger], "unknown authority");
    let shown = [leaf.der.clone(), vec![1].into(), low.der.clone(), middle.der.clone()];
    assert_eq!(
        judge(&shown, &[&root], "api"),
        Ok(()),
        "one that cannot be read leads nowhere, and others do"
    );
    let shown = [leaf.der.clone(), low.broken(), middle.der.clone()];
    refused_der("a broken signature in between", &shown, &[&root], "unknown authority");
    for (what, change, words) in [
        (
            "CA:FALSE",
            (|params| params.is_ca = IsCa::ExplicitNoCa) as fn(&mut CertificateParams),
            "is not a certificate authority",
        ),
        ("no word of CA", |params| params.is_ca = IsCa::NoCa, "is not a certificate authority"),
        (
            "no right to sign",
            |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
            "is not a certificate authority",
        ),
        ("for clients", |params| params.extended_key_usages = vec![Usage::ClientAuth], "not for servers"),
        ("expired", |params| params.not_after = date_time_ymd(2025, 1, 1), "middle, has expired"),
        (
            "none below it",
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            "so many authorities",
        ),
    ] {
        let middle = root.issue("middle", authority_with(change));
        let low = middle.issue("low", authority);
        refused(what, &[&low.issue("leaf", api), &low, &middle], &[&root], words);
    }
    let only = root
        .issue("only", authority_with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))));
    accepted("none below it, and there is none", &[&only.issue("leaf", api), &only], &[&root]);
    let ancient = middle.as_version_1(&root);
    refused("version 1", &[&leaf, &low, &ancient], &[&root], "is not a certificate authority");
}

#[test]
fn a_renewed_authority_keeps_its_key() {
    let key = || KeyPair::generate().unwrap();
    let shared = key();
    let copy = || KeyPair::try_from(shared.serialize_der()).unwrap();
    let old = with_key("root", copy(), authority_with(|params| params.not_after = date_time_ymd(2025, 1, 1)));
    let new = with_key("root", copy(), authority);
    let leaf = old.issue("leaf", api);
    accepted("the old one is still there", &[&leaf], &[&old, &new]);
    accepted("the old one is sent", &[&leaf, &old], &[&new]);
    refused("only the old one is there", &[&leaf], &[&old], "has expired");
}

#[test]
fn names_that_an_authority_may_not_vouch_for() {
    let subtree = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let net = GeneralSubtree::IpAddress(CidrSubnet::V4([10, 0, 0, 0], [255, 0, 0, 0]));
    for (what, permitted, excluded, fine) in [
        ("its own", vec![subtree("api")], vec![], true),
        ("another's", vec![subtree("other")], vec![], false),
        ("excluded", vec![], vec![subtree("api")], false),
        ("another is excluded", vec![], vec![subtree("other")], true),
        ("of another kind", vec![net], vec![], true),
    ] {
        let root = selfsigned(
            "root",
            authority_with(|params| {
                params.name_constraints =
                    Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
            }),
        );
        let (leaf, middle) = (root.issue("leaf", api), root.issue("middle", authority));
        let below = middle.issue("leaf", api);
        if fine {
            accepted(what, &[&leaf], &[&root]);
            accepted(what, &[&below, &middle], &[&root]);
        } else {
            refused(what, &[&leaf], &[&root], "is not allowed to certify");
            refused(what, &[&below, &middle], &[&root], "is not allowed to certify");
        }
    }
}

#[test]
fn keys_of_every_kind_that_go_has() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let key = || KeyPair::generate_for(algorithm).unwrap();
        let root = with_key("root", key(), authority);
        accepted("it signs", &[&root.issue("leaf", api)], &[&root]);
        accepted("it is signed", &[&root.issue_for("leaf", key(), api)], &[&root]);
    }
}

#[test]
fn a_search_without_end_is_given_up() {
    // Each has the name and the key of every other's issuer, so that every order of them is a chain.
    let shared = KeyPair::generate().unwrap();
    let many: Vec<_> = (0..12_u8)
        .map(|number| {
            with_key(
                "maze",
                KeyPair::try_from(shared.serialize_der()).unwrap(),
                authority_with(|params| {
                    params.subject_alt_names = vec![SanType::IpAddress([number, 0, 0, 0].into())];
                }),
            )
        })
        .collect();
    let leaf = many[0].issue("leaf", api);
    let shown: Vec<_> = std::iter::once(&leaf).chain(&many).collect();
    refused("a maze", &shown, &[&selfsigned("root", authority)], "too many certificates");
}

#[test]
fn keys_that_are_too_short() {
    // `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024` and `openssl req -x509`, for the name `api`.
    const SHORT: &str = "-----BEGIN CERTIFICATE-----\n\
MIICCjCCAXOgAwIBAgIUO98NRpNaLsmBmRHDtM8SFSRCm/kwDQYJKoZIhvcNAQEL\n\
BQAwDjEMMAoGA1UEAwwDYXBpMCAXDTI2MTEyODExNDA1N1oYDzIxMjYxMTA0MTE0\n\
MDU3WjAOMQwwCgYDVQQDDANhcGkwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGB\n\
AOUWXHWAtsOW5ZxlnR1vOy3SDt+EWzb4a9E/5XDiu1HvfIqx9pq+sZhevJ6u45to\n\
md684GEb2Du+oEzJjNaLJq524B3h3o6cIqrF/ttS/azlVTE808YS6xeACCY4/hC4\n\
b2ocfxzYowOfr/9T6PI4H33KcVclOf1TVgQBbNdTYqVDAgMBAAGjYzBhMB0GA1Ud\n\
DgQWBBRd8HBtsgh3CjU/2bqXh8gT2SHI8TAfBgNVHSMEGDAWgBRd8HBtsgh3CjU/\n\
2bqXh8gT2SHI8TAPBgNVHRMBAf8EBTADAQH/MA4GA1UdEQQHMAWCA2FwaTANBgkq\n\
hkiG9w0BAQsFAAOBgQAi9vy3DX2Afqz4PE73tIrGnpNqZVfqeE+rSybQOmEfRA1H\n\
4MqSUxnh1wOgfCwC2p9M+z/VIHb5s+NnA3tQTTWshXVk2iEcOj7DqRm8ntEU9Wye\n\
A0u6f1eaDZUMYr47Znywy7pQMd/ydOgON958Geor3VTzgGFp9/SU5wo5d9ifAQ==\n\
-----END CERTIFICATE-----\n";
    let der = crate::cluster::tls::certificate::authorities(SHORT.as_bytes()).next().unwrap();
    let anchors = TrustAnchors::new([der.clone()]);
    let case = ChainVerification {
        anchors: &anchors,
        intermediates: &[],
        host: &ServerName::try_from("api").unwrap(),
        now: UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_900_000_000)),
        algorithms: provider().signature_verification_algorithms.all,
    };
    let told = crate::cluster::error::tls::reason(&case.verify(&der).unwrap_err().into());
    assert!(told.contains("fewer than 2048 bits"), "{told}");
}
