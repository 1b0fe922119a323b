use rcgen::KeyPair;

use super::{
    fake::{Made, authority, pem, selfsigned, with_key},
    *,
};

/// A user with these PEMs as data.
fn user(certificate: &str, key: &str) -> AuthInfo {
    let mut user = AuthInfo::default();
    set_identity(&mut user, certificate, key);
    user
}

fn identity_of(certificate: &str, key: &str) -> Result<Arc<CertifiedKey>, Fatal> {
    own_identity(&user(certificate, key), &provider()).map(|identity| identity.expect("there are both"))
}

fn pkcs8(made: &Made) -> String {
    pem("PRIVATE KEY", &made.key.serialize_der())
}

#[test]
fn pairs_as_go_takes_them() {
    let root = selfsigned("root", authority);
    let client = root.issue("client", |_| {});
    let other = root.issue("other", |_| {});
    let key = pkcs8(&client);
    let both = [client.pem(), root.pem()].concat();
    for (what, certificate, key, certificates) in [
        ("plain", client.pem(), key.clone(), 1),
        ("a chain", both.clone(), key.clone(), 2),
        ("text around them", format!("Bag Attributes\n{both}\nend"), format!("a: b\n{key}"), 2),
        ("the same file twice", [&*key, &*both].concat(), [&*both, &*key].concat(), 2),
        ("another key in the certificate's", [client.pem(), pkcs8(&other)].concat(), key.clone(), 1),
        ("another certificate in the key's", client.pem(), [root.pem(), key.clone()].concat(), 1),
        ("parameters before the key", client.pem(), format!("{}{key}", pem("EC PARAMETERS", &[6, 0])), 1),
        ("another label", client.pem(), key.replace("PRIVATE", "RSA PRIVATE"), 1),
        ("Windows", both.replace('\n', "\r\n"), key.replace('\n', "\r\n"), 2),
        ("version 1", client.as_version_1(&root).pem(), key.clone(), 1),
    ] {
        let identity = identity_of(&certificate, &key).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(identity.cert.len(), certificates, "{what}");
    }
}

#[test]
fn keys_of_every_kind() {
    let mut keys = Vec::new();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        keys.push(KeyPair::generate_for(algorithm).unwrap());
    }
    for key in keys {
        let made = with_key("client", key, |_| {});
        let identity = identity_of(&made.pem(), &pkcs8(&made));
        assert!(identity.is_ok(), "{:?}: {:?}", made.key.algorithm(), identity.err());
    }
}

#[test]
fn what_cannot_be_used_is_told_by_its_field() {
    let made = selfsigned("client", |_| {});
    let other = selfsigned("other", |_| {});
    let (certificate, key) = (made.pem(), pkcs8(&made));
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAQID\n-----END RSA PRIVATE KEY-----\n";
    for (certificate, key, field, why) in [
        ("", &*key, "client-certificate-data", "no PEM block"),
        ("nonsense", &key, "client-certificate-data", "no PEM block"),
        (&key, &certificate, "client-certificate-data", "swapped"),
        (&pem("X", &[1]), &key, "client-certificate-data", "a block 'X'"),
        (&pem("CERTIFICATE", &[1]), &key, "client-certificate-data", "is no certificate"),
        (&certificate, "nonsense", "client-key-data", "no PEM block"),
        (&certificate, &certificate, "client-key-data", "swapped"),
        (&certificate, &pem("PRIVATE KEY", &[1]), "client-key-data", "damaged"),
        (&certificate, &pem("ENCRYPTED PRIVATE KEY", &[1]), "client-key-data", "encrypted"),
        (&certificate, encrypted, "client-key-data", "encrypted"),
        (&certificate, &pkcs8(&other), "client-key-data", "not the key of the certificate"),
    ] {
        if certificate.is_empty() {
            continue;
        }
        let error = identity_of(certificate, key).err().unwrap();
        let told = format!("{error}: {}", error.causes().collect::<Vec<_>>().join(": "));
        assert!(told.contains(field) && told.contains(why), "{field}, {why}: {told}");
        assert!(error.advice().is_some(), "{told}");
    }
    let with = |change: fn(&mut AuthInfo)| {
        let mut user = user(&certificate, &key);
        change(&mut user);
        own_identity(&user, &provider())
    };
    let error = with(|user| user.client_key_data = None).err().unwrap();
    assert!(error.to_string().contains("no key for client-certificate-data"), "{error}");
    let error = with(|user| user.client_certificate_data = Some("no base64!".into())).err().unwrap();
    assert!(error.causes().any(|why| why.contains("not base64")), "{error}");
    let error = with(|user| {
        user.client_key_data = None;
        user.client_key = Some("/no/such/key".into());
    });
    assert!(error.err().unwrap().to_string().contains("client-key /no/such/key"));
    assert!(with(|user| user.client_certificate_data = None).unwrap().is_none(), "a key alone is no harm");
}

#[test]
fn a_bundle_of_authorities() {
    let bundle = |pem: &str| {
        let cluster =
            Cluster { certificate_authority_data: Some(STANDARD.encode(pem)), ..Cluster::default() };
        certificate_authority(&cluster).map(|certificates| certificates.unwrap().len())
    };
    let (one, two) = (selfsigned("one", authority), selfsigned("two", authority));
    for (what, text, count) in [
        ("two", [one.pem(), two.pem()].concat(), 2),
        ("text and others between", format!("x\n{}{}{}", one.pem(), pkcs8(&one), two.pem()), 2),
        ("one that is damaged", [pem("CERTIFICATE", &[1]), two.pem()].concat(), 1),
    ] {
        assert_eq!(bundle(&text).unwrap(), count, "{what}");
    }
    for text in ["", "words", &pem("CERTIFICATE", &[1]), &pkcs8(&one)] {
        if !text.is_empty() {
            assert!(bundle(text).err().unwrap().causes().any(|why| why.contains("no certificate")), "{text}");
        }
    }
}
